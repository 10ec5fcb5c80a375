"""Whatever is missing, search answers in its time, without that stage, and says so.

Bounds are the configured times plus what a busy machine may take; the faults themselves would
last until they are mended.
"""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.search.task_sender import COMMAND_SECONDS
from service.settings import Settings
from tests.support.stack import RealStack
from tests.support.waiting import eventually

DEFAULTS = Settings.model_fields
ENCODE_SECONDS = DEFAULTS["encode_timeout_ms"].default / 1000
BUDGET_SECONDS = 0.3
BUSY_SECONDS = 5.0

DOCUMENTS = [
    {"id": "harbour", "text": "Boats return to the harbour before the storm."},
    {"id": "market", "text": "Fishermen sell the catch at the market by the harbour."},
    {"id": "orchard", "text": "Apples ripen in the orchard behind the house."},
]
ALL = {"harbour", "market", "orchard"}
WORDS = {"harbour", "market"}


@pytest.fixture(scope="module")
def _filled(fragile: RealStack) -> Iterator[None]:
    with fragile.http() as client:
        client.post("/collections", json={"name": "coast"})
        body = {"documents": DOCUMENTS, "wait": True}
        assert client.post("/collections/coast/documents", json=body).json()["waiting"] == 0
        yield
        client.delete("/collections/coast")


pytestmark = pytest.mark.usefixtures("_filled")


class Asked:
    """A search that was never asked before, and how long it took."""

    _asked = 0

    def __init__(self, http: httpx.Client, **options: Any) -> None:
        # An unknown number is no word of any document, but makes the embedding a new one.
        Asked._asked += 1
        rerank = {"candidates": 3, "budget_ms": int(1000 * BUDGET_SECONDS)}
        body = {"query": f"harbour {Asked._asked}", "rerank": rerank, **options}
        began = time.monotonic()
        self.response = http.post("/collections/coast/search", json=body)
        self.seconds = time.monotonic() - began

    @property
    def answer(self) -> Any:
        assert self.response.status_code == 200, self.response.text
        return self.response.json()

    @property
    def ids(self) -> list[str]:
        return [result["id"] for result in self.answer["results"]]

    @property
    def degraded(self) -> dict[str, str]:
        return {item["stage"]: item["reason"] for item in self.answer["degraded"]}


def eventually_whole(http: httpx.Client) -> None:
    """Wait until a new search has every stage again."""

    def whole() -> bool:
        asked = Asked(http, rerank={"candidates": 3, "budget_ms": 30_000})
        return asked.degraded == {} and asked.answer["reranked"]["state"] == "full"

    eventually(whole, "searches are whole again")


def eventually_all(http: httpx.Client) -> None:
    """Wait until a new search finds by its embedding too, which a busy machine may hold up."""
    eventually(lambda: set(Asked(http).ids) == ALL, "a search finds all")


def fused_order(http: httpx.Client) -> list[str]:
    return Asked(http, rerank=False, query="harbour").ids


def assert_not_reranked(http: httpx.Client, *reasons: str) -> None:
    expected = fused_order(http)
    asked = Asked(http, query="harbour")
    assert asked.ids == expected
    assert set(asked.degraded) == {"rerank"}
    assert asked.degraded["rerank"] in reasons
    reranked = asked.answer["reranked"]
    assert (reranked["state"], reranked["scored"], reranked["of"]) == ("none", 0, 3)
    assert asked.seconds < BUDGET_SECONDS + BUSY_SECONDS


def test_with_the_rerank_worker_dead_the_fused_order_stands(
    fragile: RealStack, http: httpx.Client
) -> None:
    fused_order(http)
    with fragile.held_down("worker-rerank"):
        # Its last pulse may be there a moment longer.
        assert_not_reranked(http, "timeout", "no_worker")
        eventually(lambda: Asked(http).degraded == {"rerank": "no_worker"}, "its pulse is over")
        assert http.get("/health/ready").json()["status"] == "degraded"
    eventually_whole(http)


def test_with_the_rerank_worker_hanging_the_fused_order_stands(
    fragile: RealStack, http: httpx.Client
) -> None:
    fused_order(http)
    with fragile.paused("worker-rerank"):
        assert_not_reranked(http, "timeout", "no_worker")
        eventually(lambda: Asked(http).degraded == {"rerank": "no_worker"}, "its pulse is over")
    eventually_whole(http)


def test_without_the_encode_worker_results_are_lexical(
    fragile: RealStack, http: httpx.Client
) -> None:
    eventually_all(http)
    with fragile.paused("worker-encode"):
        asked = Asked(http, rerank=False)
        assert set(asked.ids) == WORDS
        assert asked.degraded["vector"] in {"timeout", "no_worker"}
        assert asked.seconds < ENCODE_SECONDS + BUSY_SECONDS
        eventually(
            lambda: Asked(http, rerank=False).degraded == {"vector": "no_worker"},
            "its pulse is over",
        )
    with fragile.held_down("worker-encode"):
        asked = Asked(http, rerank=False)
        assert set(asked.ids) == WORDS
        assert asked.degraded["vector"] in {"timeout", "no_worker"}
    eventually_whole(http)


def test_a_query_asked_before_needs_no_encode_worker(
    fragile: RealStack, http: httpx.Client
) -> None:
    eventually(lambda: not Asked(http, rerank=False, query="seaside").degraded, "it was embedded")
    with fragile.paused("worker-encode"):
        again = Asked(http, rerank=False, query="seaside")
        assert (again.degraded, set(again.ids)) == ({}, ALL)


def assert_lexical_without_redis(http: httpx.Client) -> None:
    asked = Asked(http)
    assert set(asked.ids) == WORDS
    assert asked.degraded == {"vector": "redis_down", "rerank": "redis_down"}
    assert asked.answer["reranked"]["state"] == "none"
    # Each of the two stages gives Redis one chance.
    assert asked.seconds < 2 * COMMAND_SECONDS + BUSY_SECONDS
    ready = http.get("/health/ready")
    assert ready.status_code == 200
    assert (ready.json()["status"], ready.json()["redis"]) == ("degraded", False)


def test_with_redis_down_results_are_lexical_and_its_return_makes_them_whole(
    fragile: RealStack, http: httpx.Client
) -> None:
    eventually_all(http)
    service = fragile.process("service").pid
    with fragile.held_down("redis"):
        for _ in range(3):
            assert_lexical_without_redis(http)
    eventually_whole(http)
    assert fragile.process("service").pid == service


def test_with_redis_hanging_results_are_lexical_and_in_time(
    fragile: RealStack, http: httpx.Client
) -> None:
    eventually_all(http)
    with fragile.paused("redis"):
        for _ in range(2):
            assert_lexical_without_redis(http)
    eventually_whole(http)


def test_degradations_are_counted(fragile: RealStack, http: httpx.Client) -> None:
    def counted() -> float:
        name = 'rankgres_search_degraded_total{reason="redis_down",stage="vector"} '
        lines = http.get("/metrics").text.splitlines()
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    before = counted()
    with fragile.held_down("redis"):
        Asked(http)
    assert counted() == before + 1
    eventually_whole(http)


def test_without_postgres_search_is_a_problem_until_it_is_back(
    fragile: RealStack, http: httpx.Client
) -> None:
    eventually_all(http)
    service = fragile.process("service").pid
    with fragile.held_down("postgres"):
        asked = Asked(http)
        assert asked.response.status_code == 503
        assert asked.response.headers["Content-Type"] == "application/problem+json"
        assert asked.response.headers["Retry-After"] == "1"
        problem = asked.response.json()
        assert problem["type"] == "/problems/database-unavailable"
        assert problem["mend"]
        assert http.get("/health/live").status_code == 200
        ready = http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unready")
    eventually(lambda: Asked(http).response.status_code == 200, "searches are answered again")
    eventually_whole(http)
    assert fragile.process("service").pid == service
