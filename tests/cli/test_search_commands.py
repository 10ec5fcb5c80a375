import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Run

DOCUMENTS = [
    {
        "id": "otter",
        "title": "Otters",
        "text": "An otter [sic] cracks shells on a stone.",
        "metadata": {"legs": 4, "eats": ["shells", "fish"]},
    },
    {
        "id": "heron",
        "title": "Herons",
        "text": "A heron waits for fish & frogs <quietly>.",
        "metadata": {"legs": 2, "eats": ["fish"]},
    },
    {
        "id": "wren",
        "title": "Wrens",
        "text": "A wren sings loudly for its size.",
        "metadata": {"legs": 2},
    },
]


@pytest.fixture(scope="module")
def filled(http: httpx.Client) -> Iterator[str]:
    """A collection of three documents."""
    http.post("/collections", json={"name": "birds"})
    body = {"documents": DOCUMENTS, "wait": True}
    assert http.post("/collections/birds/documents", json=body).json()["waiting"] == 0
    yield "birds"
    http.delete("/collections/birds")


def test_a_search_shows_documents_best_first_with_their_passage_and_the_time(
    run: Run, filled: str
) -> None:
    shown = run("search", filled, "waiting for fish", "--budget-ms", "30000")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    *document, relevance = lines[0].split()
    assert document == ["1", "Herons", "heron"]
    assert 0 < float(relevance) < 1
    assert "heron waits for fish & frogs <quietly" in lines[1]
    assert lines[-1].endswith("ms, reranked 3 of 3")
    assert shown.stderr == ""


def test_words_that_look_like_markup_are_shown_as_they_are(run: Run, filled: str) -> None:
    shown = run("search", filled, "otter shells", "--mode", "lexical")
    assert "otter [sic] cracks shells on a stone" in shown.stdout


def test_explain_shows_the_ranks_and_the_time_of_every_stage(run: Run, filled: str) -> None:
    shown = run("search", filled, "loud song", "--explain", "--budget-ms", "30000")
    header, first, *_, last = shown.stdout.splitlines()
    assert header.split() == ["document", "relevance", "lexical", "vector", "fused", "rerank"]
    assert "wren" in first
    for stage in ("plan", "embed", "candidates", "rerank", "present", "total"):
        assert f"{stage} " in last


def test_json_is_the_answer_of_the_service(run: Run, filled: str) -> None:
    shown = run("search", filled, "fish", "--json", "-k", "2", "--no-rerank")
    answer = json.loads(shown.stdout)
    assert set(answer) == {
        "results",
        "degraded",
        "complete",
        "incomplete_reason",
        "corrections",
        "relaxed",
        "reranked",
        "cut",
        "facets",
        "next_cursor",
        "gone",
        "timings",
        "explain",
    }
    assert len(answer["results"]) == 2
    assert answer["reranked"] is None


def test_a_correction_is_told_before_the_results(run: Run, filled: str) -> None:
    shown = run("search", filled, "otetr", "--mode", "lexical", "--correct")
    lines = shown.stdout.splitlines()
    assert lines[0] == "searched for 'otter' instead of 'otetr'"
    assert lines[1].split() == ["1", "Otters", "otter"]
    typed = run("search", filled, "otetr", "--mode", "lexical", "--no-correct")
    assert typed.stdout.startswith("nothing found\n")


def test_options_of_reranking_go_to_the_search(run: Run, filled: str) -> None:
    sizes = ("--depth", "2", "-k", "1", "--budget-ms", "30000", "--no-adaptive", "--weight", "9")
    answer = json.loads(run("search", filled, "fish", "--json", "--explain", *sizes).stdout)
    assert (answer["reranked"]["of"], answer["explain"]["rerank"]["reason"]) == (2, "request")
    three = ("--mode", "vector", "--candidates", "9", "--budget-ms", "30000", "--feedback", "0.5")
    answer = json.loads(run("search", filled, "fish", "--json", "--explain", *three).stdout)
    assert answer["explain"]["rerank"]["feedback"] == 0.5
    refused = run("search", filled, "fish", "--depth", "2")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: a depth of 2 leaves some of the 10 results unscored")


def test_facets_are_a_table_below_the_results(run: Run, filled: str) -> None:
    facets = ("--facet", "legs", "--facet", "eats")
    shown = run("search", filled, "fish", "--mode", "vector", "-k", "1", *facets)
    rows = [line.split() for line in shown.stdout.splitlines()]
    table = rows[rows.index(["field", "value", "documents"]) + 1 :][:4]
    assert table == [["legs", "2", "2"], ["4", "1"], ["eats", "fish", "2"], ["shells", "1"]]


def test_a_list_is_read_on_by_the_cursor_that_is_printed(run: Run, filled: str) -> None:
    first = run("search", filled, "bird or otter", "-k", "2", "--no-rerank", "--page", COLUMNS="40")
    *_, more = first.stdout.splitlines()
    prefix = f"more: rankgres search {filled} "
    assert more.startswith(prefix)
    rest = run("search", filled, more.removeprefix(prefix))
    assert rest.returncode == 0, rest.stderr
    assert rest.stdout.splitlines()[0].split()[0] == "3"
    assert "more:" not in rest.stdout


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--match", "all"], ["heron"]),
        (["--boosts", '[{"field": "legs", "weight": 9}]'], ["otter", "heron"]),
        (["--min-score", "1000"], []),
        (["--autocut", "1"], ["heron"]),
        (["--recency", '{"field": "legs", "scale": "1 day"}', "--diversity", "0"], ["heron"]),
        (["--fusion", "rrf", "--lexical-weight", "1"], ["heron"]),
        (["--language", "english"], ["heron"]),
        (["--timeout-ms", "60000"], ["heron"]),
        (["--min-relevance", "0"], []),
    ],
    ids=" ".join,
)
def test_options_go_to_the_search(
    run: Run, filled: str, options: list[str], found: list[str]
) -> None:
    query = "heron waits fish otter"
    if "--match" in options:
        query = "heron waits fish"
    shown = run("search", filled, query, "--mode", "lexical", "--json", *options)
    assert shown.returncode == 0, shown.stderr
    ids = [result["id"] for result in json.loads(shown.stdout)["results"]]
    assert ids[: len(found)] == found
    assert bool(ids) == bool(found)


def test_nothing_found_says_so(run: Run, filled: str) -> None:
    shown = run("search", filled, "xylophone", "--mode", "lexical")
    assert shown.returncode == 0
    assert shown.stdout.startswith("nothing found\n")


def test_a_stage_that_was_left_out_is_named_beside_the_results(run: Run, filled: str) -> None:
    shown = run("search", filled, "fish", "--budget-ms", "1")
    assert shown.returncode == 0
    assert "heron" in shown.stdout
    assert shown.stderr == "without rerank: timeout\n"


def test_output_into_a_pipe_has_no_colours_and_is_not_folded_into_json(
    run: Run, filled: str
) -> None:
    for arguments in (
        ["search", filled, "fish"],
        ["search", "nope", "fish"],
        ["collection", "list"],
        ["--help"],
    ):
        done = run(*arguments)
        assert "\x1b" not in done.stdout + done.stderr
    long = run("search", filled, "fish", "--json", COLUMNS="20")
    assert json.loads(long.stdout)["results"]


@pytest.mark.parametrize(
    ("arguments", "error", "mend"),
    [
        (["nope", "fish"], "there is no collection 'nope'", "collection list"),
        (["a b", "fish"], "there is no collection 'a b'", "collection list"),
        (["{name}", ""], "query: no word in it", "at least one word"),
        (["{name}", "\udcff"], "query: '\\udcff' has half a surrogate pair", "UTF-8"),
        (["{name}", "fish", "--filter", "{{"], "the filter is not JSON", "single quotes"),
        (["{name}", "fish", "--filter", '{{"a": {{"b": 1}}}}'], 'operator "b"', "eq|ne"),
        (["{name}", "fish", "--filter", "[]"], "filter: Input should be", "/docs"),
    ],
    ids=lambda value: (
        " ".join(value).encode("ascii", "replace").decode() if isinstance(value, list) else ""
    ),
)
def test_what_cannot_be_searched_is_an_error_with_its_mend(
    run: Run, filled: str, arguments: list[str], error: str, mend: str
) -> None:
    failed = run("search", *(argument.format(name=filled) for argument in arguments))
    assert failed.returncode == 2
    first, second = failed.stderr.splitlines()
    assert first.startswith("error: ")
    assert error in first
    assert second.startswith(" mend: ")
    assert mend in second


def test_eval_measures_every_run_and_writes_the_figures(
    run: Run, filled: str, tmp_path: Path
) -> None:
    queries = {"q1": "otter shells", "q2": "heron frogs", "q3": "bird that sings", "q4": "unjudged"}
    (tmp_path / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": key, "text": text}) for key, text in queries.items())
    )
    judged = "query-id\tcorpus-id\tscore\nq1\totter\t1\nq2\theron\t2\nq3\twren\t1\n"
    (tmp_path / "test.tsv").write_text(judged)
    done = run(
        "eval", filled, "--queries", "queries.jsonl", "--qrels", "test.tsv", "--json", "out.json"
    )
    assert done.returncode == 0, done.stderr
    assert "1 queries have no relevant document: left out" in done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    assert set(report["runs"]) == {"lexical", "vector", "hybrid", "reranked"}
    for figures in report["runs"].values():
        assert {"nDCG@10", "MRR@10", "MAP", "recall@100", "p50_ms"} <= set(figures)
        assert figures["p50_ms"] > 0
        assert figures["degraded"] == 0
    # Three documents with words of their own: everybody finds each of them first.
    for name in ("lexical", "hybrid"):
        assert report["runs"][name]["nDCG@10"] == 1.0
    assert report["runs"]["vector"]["recall@100"] == 1.0
    assert all(name in done.stdout for name in report["runs"])
