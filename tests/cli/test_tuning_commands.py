"""``rankgres collection profile``, ``tune`` and ``calibrate`` against a running stack."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.collections.learned import RerankProfile, list_calibrations, read_rerank_profile
from service.collections.profile import parse_profile, read_profile, write_profile
from service.db.connection import Connection, connect
from service.model_cards import DEFAULT_RERANKER, reranker_card
from service.search.relevance import Calibration
from tests.cli.conftest import Run
from tests.support.stack import RealStack

_SUBJECTS = (
    "tides", "bread", "gardens", "clocks", "kites", "goats", "bottles", "trains", "honey", "stones"
)  # fmt: skip


def _document(number: int) -> dict[str, str]:
    subject = _SUBJECTS[number % len(_SUBJECTS)]
    return {"id": f"n{number}", "text": f"About {subject}, filed under q{number * 7919}."}


@pytest.fixture(scope="module")
def filed(http: httpx.Client) -> Iterator[str]:
    """Forty documents; those on one subject differ by a code that only words can tell apart."""
    http.post("/collections", json={"name": "filed"})
    body = {"documents": [_document(number) for number in range(40)], "wait": True}
    assert http.post("/collections/filed/documents", json=body).json()["waiting"] == 0
    yield "filed"
    http.delete("/collections/filed")


@pytest.fixture
def judged(tmp_path: Path) -> list[str]:
    """Queries by code; the subject that each names beside it is that of other documents."""
    queries, judgements = [], []
    for number in range(40):
        text = f"{_SUBJECTS[(number + 3) % len(_SUBJECTS)]} q{number * 7919}"
        queries.append(json.dumps({"_id": f"{number}", "text": text}))
        judgements.append(f"{number}\t0\tn{number}\t1")
    (tmp_path / "queries.jsonl").write_text("\n".join(queries))
    (tmp_path / "qrels.tsv").write_text("\n".join(judgements))
    return ["--queries", "queries.jsonl", "--qrels", "qrels.tsv"]


#: A grid small enough for a test; one weight each for vectors, for both, and for words.
GRID = [
    "--values", "lexical_weight=0.01,0.5,0.99", "--values", "fusion=rrf", "--values", "rrf_k=60",
    "--values", "heading_weight=null", "--values", "posting_budget=20000",
    "--values", "ef_search=null", "--values", "stage_candidates=100",
]  # fmt: skip


@pytest.fixture
def database(stack: RealStack, filed: str) -> Iterator[Connection]:
    """A connection that commits at once; the collection has no profile before and after."""
    with connect(stack.record.database_url, autocommit=True) as connection:
        write_profile(connection, filed, parse_profile({}))
        yield connection
        write_profile(connection, filed, parse_profile({}))


def profile(database: Connection) -> dict[str, Any]:
    return read_profile(database, "filed").as_json()


def test_a_profile_is_set_shown_and_unset(run: Run, database: Connection) -> None:
    shown = run("collection", "profile", "filed")
    assert shown.stdout == "filed has nothing but built-in values\n"
    done = run(
        "collection", "profile", "filed", "--set", "fusion=rrf", "--set", "lexical_weight=0.3",
        "--set", "match=75%",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert profile(database) == {"fusion": "rrf", "lexical_weight": 0.3, "match": "75%"}
    assert "the lexical list's share" in done.stdout
    done = run("collection", "profile", "filed", "--unset", "fusion", "--set", "match=2", "--json")
    assert json.loads(done.stdout) == profile(database) == {"lexical_weight": 0.3, "match": "2"}
    run("collection", "profile", "filed", "--reset", "--set", "rrf_k=10")
    assert profile(database) == {"rrf_k": 10}


@pytest.mark.parametrize(
    ("arguments", "error", "mend"),
    [
        (["nope"], "there is no collection 'nope'", "collection list"),
        (["filed", "--set", "fusion"], "'fusion' has no value", "NAME=VALUE"),
        (["filed", "--set", "fusion=best"], "fusion: ", "how the two lists become one"),
        (["filed", "--unset", "fuse"], "there is no parameter 'fuse'", "fusion"),
    ],
)
def test_what_cannot_be_a_profile_is_an_error_and_changes_nothing(
    run: Run, database: Connection, arguments: list[str], error: str, mend: str
) -> None:
    failed = run("collection", "profile", *arguments)
    assert failed.returncode == 2
    assert error in failed.stderr
    assert mend in failed.stderr
    assert profile(database) == {}


def test_tune_finds_the_weight_that_was_planted_and_writes_it(
    run: Run, database: Connection, judged: list[str], tmp_path: Path
) -> None:
    write_profile(database, "filed", parse_profile({"lexical_weight": 0.01, "autocut": 0}))
    done = run("tune", "filed", *judged, *GRID, "--write", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["objection"] is None
    assert found["queries"] == 40
    assert found["before"]["nDCG@10"] < 0.9
    assert found["after"]["nDCG@10"] == 1.0
    chosen = found["front"][-1]
    assert chosen["settings"]["lexical_weight"] == 0.99
    assert (chosen["cross_validated"], chosen["standard_error"]) == (1.0, 0.0)
    assert chosen["gain"] == pytest.approx(1 - found["before"]["nDCG@10"], abs=1e-4)
    assert chosen["p"] < 0.001
    assert "written to filed" in done.stdout
    assert profile(database) == found["profile"]
    assert profile(database)["lexical_weight"] == 0.99
    assert profile(database)["autocut"] == 0  # what is not tuned stays


def test_tune_writes_nothing_where_nothing_is_gained(
    run: Run, database: Connection, judged: list[str]
) -> None:
    best = {"lexical_weight": 0.99, "fusion": "rrf"}
    write_profile(database, "filed", parse_profile(best))
    done = run("tune", "filed", *judged, *GRID, "--write")
    assert done.returncode == 0, done.stderr
    assert "not written: on queries that did not choose it, it is no better" in done.stdout
    assert profile(database) == best


def test_without_write_the_profile_is_only_shown(
    run: Run, database: Connection, judged: list[str]
) -> None:
    write_profile(database, "filed", parse_profile({"lexical_weight": 0.01}))
    done = run("tune", "filed", *judged, *GRID)
    assert done.returncode == 0, done.stderr
    assert "not written: add --write" in done.stdout
    assert profile(database) == {"lexical_weight": 0.01}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--values", "lexical_weight"], "gives none"),
        (["--values", "lexical_weight=2"], "lexical_weight: "),
        (["--latency-limit-ms", "0.001"], "fastest settings have a p95 of"),
    ],
)
def test_what_cannot_be_tuned_is_an_error(
    run: Run, filed: str, judged: list[str], arguments: list[str], error: str
) -> None:
    failed = run("tune", filed, *judged, *GRID, *arguments)
    assert failed.returncode == 2, failed.stdout
    assert error in failed.stderr


def test_parameters_of_the_reranking_stand_beside_the_others(
    run: Run, database: Connection, filed: str
) -> None:
    rules = {"rules": [{"agreement": 0.5, "margin": 0.1, "depth": 20}]}
    done = run(
        "collection", "profile", filed, "--set", "rerank.weight=0.7", "--set", "fusion=rrf",
        "--set", f"rerank.adaptive={json.dumps(rules)}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the reranker's z-score" in " ".join(done.stdout.split())
    assert read_rerank_profile(database, filed) == RerankProfile(weight=0.7, adaptive=rules)
    assert profile(database) == {"fusion": "rrf"}
    done = run("collection", "profile", filed, "--unset", "rerank.adaptive", "--json")
    assert json.loads(done.stdout) == {"fusion": "rrf", "rerank.weight": 0.7}
    failed = run("collection", "profile", filed, "--set", 'rerank.adaptive={"rules": [3]}')
    assert failed.returncode == 2
    assert "no depth policy" in failed.stderr
    run("collection", "profile", filed, "--reset")
    assert read_rerank_profile(database, filed) == RerankProfile()
    assert profile(database) == {}


def test_reranking_is_learned_kept_and_removed_again(
    run: Run, database: Connection, filed: str, judged: list[str], tmp_path: Path
) -> None:
    own = reranker_card(DEFAULT_RERANKER)  # its values are tried whatever else is
    tuned = run(
        "tune", filed, *judged, "--rerank", "--candidates", "25", "--values", "weight=0,0.3",
        "--values", "feedback=0,2", "--tolerance", "0.5", "--write", "--json", "out.json",
    )  # fmt: skip
    assert tuned.returncode == 0, tuned.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert [row["weight"] for row in found["weight"]["tried"]] == [0.0, 0.3, own.weight]
    fed = found["feedback"]
    assert [row["feedback"] for row in fed["tried"]] == [0.0, own.feedback, 2.0]
    assert fed["present"] == found["weight"]["feedback"] == own.feedback
    assert fed["tried"][0]["nDCG@10"] > fed["tried"][2]["nDCG@10"]  # others on a subject are alike
    assert fed["weight"] == found["depth"]["weight"]
    assert f"less feedback {own.feedback:g}" in tuned.stdout
    assert found["depth"]["chosen"] == 20  # with that tolerance, the least there is
    assert found["depth"]["objection"] is None
    assert found["adaptive"]["objection"] == "no rule saves anything within the tolerance"
    kept = read_rerank_profile(database, filed)
    assert kept.as_json() == found["profile"]
    assert kept.candidates == 20
    written = None if fed["objection"] else fed["chosen"]
    assert kept.feedback == written
    assert found["depth"]["feedback"] == (own.feedback if written is None else written)
    assert (kept.source or "").startswith("rankgres tune --rerank, 40 judged queries, ")
    assert "written to filed" in tuned.stdout
    run("collection", "profile", filed, "--reset")
    assert read_rerank_profile(database, filed) == RerankProfile()


def test_calibrated_scores_give_every_hit_a_relevance(
    run: Run, database: Connection, filed: str, judged: list[str], http: httpx.Client
) -> None:
    done = run("calibrate", filed, *judged, "--candidates", "20", "--folds", "4")
    assert done.returncode == 0, done.stderr
    kept = {each.target: each for each in list_calibrations(database, filed)}
    assert kept["fused"].figures["queries"] == kept["fused"].judged_queries == 40
    assert kept["fused"].figures["unjudged"] == "not-relevant"
    body = {"query": f"tides q{7 * 7919}", "rerank": False, "k": 20}
    hits = http.post(f"/collections/{filed}/search", json=body).json()["results"]
    relevances = [hit["relevance"] for hit in hits]
    assert relevances == sorted(relevances, reverse=True)
    assert 1 > relevances[0] > relevances[-1] > 0
    assert "rankgres calibrate, 40 judged queries" in hits[0]["relevance_source"]
    assert "calibration error" in run("calibrate", filed).stdout
    # Under another profile, fused scores are other scores.
    write_profile(database, filed, parse_profile({"fusion": "rrf"}))
    (first, *_) = http.post(f"/collections/{filed}/search", json=body).json()["results"]
    assert first["relevance"] is None
    assert "the search profile has changed" in " ".join(run("calibrate", filed).stdout.split())
    forgotten = run("calibrate", filed, "--forget")
    assert f"{len(kept)} calibrations removed" in forgotten.stdout
    assert list_calibrations(database, filed) == []


def test_a_calibration_is_printed_for_a_card_and_then_not_kept(
    run: Run, database: Connection, filed: str, judged: list[str]
) -> None:
    done = run("calibrate", filed, *judged, "--candidates", "20", "--limit", "8", "--print")
    assert done.returncode == 0, done.stderr
    card = tomllib.loads(done.stdout)
    assert Calibration.from_json(card["calibration"]).source.startswith("rankgres calibrate, 8 ")
    assert list_calibrations(database, filed) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["tune", "--rerank", "--values", "fusion=rrf"], "'fusion' is not searched with --rerank"),
        (["tune", "--rerank", "--values", "feedback=-1"], "rerank.feedback: "),
        (["tune", "--rerank", "--latency-limit-ms", "9"], "a reranking has no --latency-limit-ms"),
        (["calibrate", "--relevant-from", "2"], "no judgement has a grade of 2"),
    ],
)
def test_what_cannot_be_learned_is_an_error(
    run: Run, filed: str, judged: list[str], arguments: list[str], error: str
) -> None:
    command, *rest = arguments
    failed = run(command, filed, *judged, "--candidates", "20", *rest)
    assert failed.returncode == 2, failed.stdout
    assert error in failed.stderr
