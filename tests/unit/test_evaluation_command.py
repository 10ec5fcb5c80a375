"""The command against a server that answers as the service does, down to its problem documents."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from service.cli.evaluate import evaluate
from service.errors import InvalidInputError, NotFoundError, StackNotRunningError

QUERIES = '{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "two"}\n{"_id": "q3", "text": "x"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\tright\t1\nq2\tright\t1\n"


class Answers(BaseHTTPRequestHandler):
    """Lexical search puts the right document second; reranking of the query "two" is too late."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append({"path": self.path, **request})
        if self.path != "/collections/books/search":
            problem = {
                "type": "https://rankgres.example/problems/not-found",
                "title": "What the caller named does not exist.",
                "status": 404,
                "detail": "no collection 'films'",
                "field": "collection",
                "value": "films",
                "mend": "create it",
            }
            self.answer(404, "application/problem+json", problem)
            return
        order = ["wrong", "right"] if request["mode"] == "lexical" else ["right", "wrong"]
        late = request["rerank"] and request["query"] == "two"
        response = {
            "results": [
                {"id": name, "score": 1.0, "rank": rank} for rank, name in enumerate(order, 1)
            ],
            "degraded": [{"stage": "rerank", "reason": "too late"}] if late else [],
            "timings": {"candidates": 3.0, "total": 4.0},
            "explain": {
                "sql_ms": 2.0,
                "model_ms": 0.0,
                "candidates": {"generation": 7, "lexical_ms": 1.5, "vector_ms": None},
            },
        }
        self.answer(200, "application/json", response)

    def answer(self, status: int, kind: str, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class named it
        """Write nothing: the test's output is the command's."""


@pytest.fixture
def url() -> Iterator[str]:
    Answers.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    queries.write_text(QUERIES)
    qrels.write_text(QRELS)
    return queries, qrels


def test_all_four_runs_are_written_as_json_and_as_a_table(
    url: str, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries, qrels = files
    figures = tmp_path / "figures.json"
    evaluate("books", queries=queries, qrels=qrels, json_file=figures, service_url=url)

    written = json.loads(figures.read_text())
    assert (written["collection"], written["queries"]) == ("books", 2)
    assert list(written["runs"]) == ["lexical", "vector", "hybrid", "reranked"]
    assert set(written["runs"]["hybrid"]) == {
        "nDCG@10", "MRR@10", "MAP", "recall@100", "p50_ms", "p95_ms", "p99_ms", "degraded",
        "stages", "depth", "relevance",
    }  # fmt: skip
    assert {name: run["MRR@10"] for name, run in written["runs"].items()} == {
        "lexical": 0.5,
        "vector": 1.0,
        "hybrid": 1.0,
        "reranked": 1.0,
    }
    printed = capsys.readouterr()
    assert "0.6309" in printed.out  # 1 / log2(3)
    assert "1 queries have no relevant document" in printed.err


def test_each_run_asks_for_its_own_mode_and_only_the_reranked_one_reranks(
    url: str, files: tuple[Path, Path]
) -> None:
    queries, qrels = files
    evaluate("books", queries=queries, qrels=qrels, service_url=url, k=150, limit=1)
    asked = {"path": "/collections/books/search", "query": "one", "k": 150, "explain": True}
    assert Answers.asked == [
        {**asked, "mode": "lexical", "rerank": False},
        {**asked, "mode": "vector", "rerank": False},
        {**asked, "mode": "hybrid", "rerank": False},
        {**asked, "mode": "hybrid", "rerank": {"candidates": 50, "budget_ms": 10_000}},
    ]


def test_a_run_of_ones_own_asks_for_what_its_json_says_and_else_as_hybrid_does(
    url: str, files: tuple[Path, Path]
) -> None:
    queries, qrels = files
    runs = ['rrf={"fusion": "rrf"}', 'mine={"mode": "lexical", "rerank": true, "explain": false}']
    evaluate("books", queries=queries, qrels=qrels, service_url=url, run=runs, limit=1)
    asked = {"path": "/collections/books/search", "query": "one", "k": 100}
    assert Answers.asked == [
        {**asked, "mode": "hybrid", "rerank": False, "explain": True, "fusion": "rrf"},
        {**asked, "mode": "lexical", "rerank": True, "explain": False},
    ]


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (["fast"], "there is no run 'fast'"),
        (["a b={}"], "'a b' cannot name a run"),
        (["../x={}"], "'../x' cannot name a run"),
        (["x={"], "not JSON"),
        (["x=[]"], "not a JSON object"),
        (['x={"query": "mine"}'], "'query' is set by the evaluation itself"),
        (["x={}", "x={}"], "there are two runs of the name 'x'"),
        (["hybrid={}"], "there are two runs of the name 'hybrid'"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_asked(
    url: str, files: tuple[Path, Path], runs: list[str], said: str
) -> None:
    queries, qrels = files
    with pytest.raises(InvalidInputError) as caught:
        evaluate("books", queries=queries, qrels=qrels, service_url=url, run=runs)
    assert said in caught.value.detail
    assert caught.value.mend
    assert Answers.asked == []


def test_runs_are_compared_with_the_baseline_query_by_query(
    url: str, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries, qrels = files
    evaluate(
        "books",
        queries=queries,
        qrels=qrels,
        service_url=url,
        run=["lexical", "hybrid"],
        baseline="hybrid",
        json_file=tmp_path / "figures.json",
    )
    compared = json.loads((tmp_path / "figures.json").read_text())["comparisons"]
    assert list(compared) == ["lexical"]
    assert compared["lexical"]["baseline"] == "hybrid"
    ndcg = compared["lexical"]["measures"]["nDCG@10"]
    assert (ndcg["wins"], ndcg["losses"], ndcg["ties"]) == (0, 2, 0)
    assert ndcg["p"] == 0.5  # of four ways to sign two equal differences, two are as far from 0
    assert [query["query"] for query in compared["lexical"]["queries"]] == ["q1", "q2"]
    printed = capsys.readouterr().out
    assert "less hybrid" in printed
    assert "-0.3691 (p 0.5000)" in printed


def test_stages_are_told_with_the_parts_of_the_candidate_stage(
    url: str, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries, qrels = files
    evaluate(
        "books",
        queries=queries,
        qrels=qrels,
        service_url=url,
        run=["hybrid"],
        json_file=tmp_path / "figures.json",
    )
    stages = json.loads((tmp_path / "figures.json").read_text())["runs"]["hybrid"]["stages"]
    assert list(stages) == ["candidates", "lexical", "total", "sql_ms", "model_ms"]
    assert stages["lexical"] == {"p50_ms": 1.5, "p95_ms": 1.5, "p99_ms": 1.5}
    assert "3.0 / 3.0 / 3.0" in capsys.readouterr().out


def test_run_files_go_out_and_come_in_as_runs_beside_the_others(
    url: str, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries, qrels = files
    folder = tmp_path / "runs"
    runs = ["lexical", "hybrid"]
    evaluate("books", queries=queries, qrels=qrels, service_url=url, run=runs, write_runs=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["hybrid.run", "lexical.run"]
    Answers.asked.clear()

    (folder / "hybrid.run").rename(folder / "before.run")
    (folder / "half.run").write_text("q1 Q0 right 1 1.0 half\n")
    evaluate(
        "books",
        queries=queries,
        qrels=qrels,
        service_url=url,
        run_file=[folder / "before.run", folder / "half.run"],
        json_file=tmp_path / "figures.json",
    )
    assert Answers.asked == []
    written = json.loads((tmp_path / "figures.json").read_text())["runs"]
    assert written["before"]["MRR@10"] == 1.0
    assert written["half"]["MRR@10"] == 0.5
    assert written["before"]["p95_ms"] is None
    assert "1 queries are not in the run half: they count as 0" in capsys.readouterr().err


def test_a_run_file_of_the_name_of_a_run_is_refused(
    url: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    queries, qrels = files
    path = tmp_path / "hybrid.run"
    path.write_text("q1 Q0 right 1 1.0 x\n")
    with pytest.raises(InvalidInputError, match="two runs of the name 'hybrid'"):
        evaluate(
            "books", queries=queries, qrels=qrels, service_url=url, run=["hybrid"], run_file=[path]
        )


def test_a_baseline_that_is_no_run_is_refused(url: str, files: tuple[Path, Path]) -> None:
    queries, qrels = files
    with pytest.raises(InvalidInputError) as caught:
        evaluate("books", queries=queries, qrels=qrels, service_url=url, baseline="best")
    assert caught.value.mend == "choose among lexical, vector, hybrid, reranked"
    assert Answers.asked == []


def test_the_report_is_written_where_it_is_asked_for(
    url: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    queries, qrels = files
    page = tmp_path / "report.html"
    evaluate("books", queries=queries, qrels=qrels, service_url=url, html_file=page)
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_degraded_answers_are_warned_of_by_the_run_they_spoil(
    url: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    queries, qrels = files
    runs = ["hybrid", "reranked"]
    evaluate("books", queries=queries, qrels=qrels, service_url=url, run=runs)
    warning = " ".join(capsys.readouterr().err.split())
    assert "The figures of 'reranked' are not true: 1 of 2 answers were degraded" in warning
    assert "rerank: too late" in warning
    assert "'hybrid'" not in warning


def test_a_problem_of_the_service_comes_back_as_its_own_error(
    url: str, files: tuple[Path, Path]
) -> None:
    queries, qrels = files
    with pytest.raises(NotFoundError) as caught:
        evaluate("films", queries=queries, qrels=qrels, service_url=url)
    assert caught.value.detail == "no collection 'films'"
    assert (caught.value.field, caught.value.mend) == ("collection", "create it")
    assert len(Answers.asked) == 1


def test_a_service_that_is_not_there_is_named(files: tuple[Path, Path]) -> None:
    queries, qrels = files
    with socket.socket() as bound:  # bound and not listening: refused for certain
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(StackNotRunningError) as caught:
            evaluate("books", queries=queries, qrels=qrels, service_url=url)
    assert url in caught.value.detail
