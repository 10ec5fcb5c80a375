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
from service.errors import NotFoundError, StackNotRunningError
from service.evaluation.evaluation import RunName

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
            "timings": {},
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
        "nDCG@10", "MRR@10", "MAP", "recall@100", "p50_ms", "p95_ms", "degraded"
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
    asked = {"path": "/collections/books/search", "query": "one", "k": 150}
    assert Answers.asked == [
        {**asked, "mode": "lexical", "rerank": False},
        {**asked, "mode": "vector", "rerank": False},
        {**asked, "mode": "hybrid", "rerank": False},
        {**asked, "mode": "hybrid", "rerank": {"candidates": 50, "budget_ms": 10_000}},
    ]


def test_degraded_answers_are_warned_of_by_the_run_they_spoil(
    url: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    queries, qrels = files
    runs = [RunName.HYBRID, RunName.RERANKED]
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
