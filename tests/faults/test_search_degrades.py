"""A stage that is down is left out and named; what is up answers within the deadlines."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.faults.ingestion import Ingestion, made_up_documents
from tests.support.stack import RealStack
from tests.support.waiting import eventually

#: Of the stack's settings: a wait for an embedding, and the reranking's budget.
ENCODE_SECONDS = 1.5
BUDGET_SECONDS = 0.5
#: What a search may take beside its deadlines on a busy machine.
SPARE_SECONDS = 1.5


@pytest.fixture(scope="module")
def filled(fragile: RealStack) -> Iterator[Ingestion]:
    with Ingestion.begin(fragile) as ingestion:
        ingestion.write(made_up_documents(40))
        ingestion.wait_drained()
        yield ingestion


def search(ingestion: Ingestion, query: str = "which violin sings", **choice: Any) -> Any:
    body = {"query": query, "rerank": {"candidates": 10, "budget_ms": 500}, **choice}
    with ingestion.stack.http() as client:
        response = client.post(f"/collections/{ingestion.name}/search", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def timed_search(ingestion: Ingestion) -> tuple[Any, float]:
    started = time.monotonic()
    return search(ingestion), time.monotonic() - started


def wait_whole(ingestion: Ingestion) -> None:
    def whole() -> bool:
        answer = search(ingestion)
        return not answer["degraded"] and answer["reranked"]["scored"] > 0

    eventually(whole, "a search with every stage")


def fused_order(answer: Any) -> list[int]:
    return [result["stages"]["fused"]["rank"] for result in answer["results"]]


def test_without_a_reranking_worker_the_order_is_the_fused_one(filled: Ingestion) -> None:
    wait_whole(filled)
    with filled.stack.held_down("worker-rerank"):
        answer, seconds = timed_search(filled)
    assert seconds < BUDGET_SECONDS + SPARE_SECONDS
    assert [item["stage"] for item in answer["degraded"]] == ["rerank"]
    assert answer["reranked"]["state"] == "none"
    assert answer["results"]
    assert fused_order(answer) == sorted(fused_order(answer))
    wait_whole(filled)


def test_a_reranking_worker_that_hangs_is_not_waited_for_beyond_the_budget(
    filled: Ingestion,
) -> None:
    wait_whole(filled)
    with filled.stack.paused("worker-rerank"):
        answer, seconds = timed_search(filled)
    assert seconds < BUDGET_SECONDS + SPARE_SECONDS
    assert answer["degraded"] == [{"stage": "rerank", "reason": "timeout"}]
    assert fused_order(answer) == sorted(fused_order(answer))
    wait_whole(filled)


def test_without_an_encoding_worker_the_answer_is_lexical(filled: Ingestion) -> None:
    wait_whole(filled)
    with filled.stack.held_down("worker-encode"):
        answer, seconds = timed_search(filled)
    assert seconds < ENCODE_SECONDS + BUDGET_SECONDS + SPARE_SECONDS
    assert [item["stage"] for item in answer["degraded"]] == ["vector"]
    assert answer["results"]
    assert all(result["stages"]["vector"] is None for result in answer["results"])
    wait_whole(filled)


def test_without_redis_the_answer_is_lexical_and_says_so(filled: Ingestion) -> None:
    wait_whole(filled)
    with filled.stack.held_down("redis"):
        answer, seconds = timed_search(filled)
    assert seconds < ENCODE_SECONDS + BUDGET_SECONDS + SPARE_SECONDS
    assert answer["degraded"] == [
        {"stage": "vector", "reason": "redis_down"},
        {"stage": "rerank", "reason": "redis_down"},
    ]
    assert answer["results"]
    wait_whole(filled)


def test_degraded_searches_are_counted(filled: Ingestion) -> None:
    wait_whole(filled)
    with filled.stack.held_down("worker-rerank"):
        search(filled)
        with filled.stack.http() as client:
            metrics = client.get("/metrics").text
    assert 'rankgres_search_degraded_total{reason="' in metrics
    wait_whole(filled)


def test_without_postgres_the_answer_is_a_problem_and_recovers_by_itself(
    filled: Ingestion,
) -> None:
    wait_whole(filled)
    with filled.stack.held_down("postgres"), filled.stack.http() as client:
        response: httpx.Response = client.post(
            f"/collections/{filled.name}/search", json={"query": "violin"}
        )
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["mend"]

    def answers() -> bool:
        with filled.stack.http() as client:
            path = f"/collections/{filled.name}/search"
            return client.post(path, json={"query": "violin"}).status_code == 200

    eventually(answers, "the service answers again")
    wait_whole(filled)
