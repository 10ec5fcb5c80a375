"""Deadlines, depth and relevance of searches, over HTTP and real workers."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.collections.learned import (
    RerankProfile,
    remove_calibrations,
    write_calibration,
    write_rerank_profile,
)
from service.db.connection import Connection, connect
from service.model_cards import DEFAULT_ENCODER, DEFAULT_RERANKER, reranker_card
from service.search.depth import DepthPolicy, DepthRule
from service.search.facets import count_facets
from service.search.relevance import Calibration
from tests.support.stack import RealStack
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("library")

AMPLE = {"candidates": 50, "budget_ms": 30_000}
QUERY = "how does ice move slowly downhill"
#: A relevance of a half at 0, and its mirror image below.
PLATT = Calibration("platt", ((1.0, 0.0),), "for the tests")


def post(
    http: httpx.Client, body: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx.Response:
    return http.post(
        "/collections/library/search", json={"query": QUERY, **body}, headers=headers or {}
    )


def search(http: httpx.Client, **body: Any) -> Any:
    answer = post(http, {"rerank": AMPLE, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [result["id"] for result in answer["results"]]


def relevances(answer: Any) -> dict[str, float | None]:
    return {result["id"]: result["relevance"] for result in answer["results"]}


@pytest.fixture
def own(stack: RealStack) -> Iterator[Connection]:
    """A connection that commits; what is learned for the library is forgotten afterwards."""
    with connect(stack.record.database_url, autocommit=True) as connection:
        yield connection
        write_rerank_profile(connection, "library", RerankProfile())
        remove_calibrations(connection, "library")


def calibrate(own: Connection, target: Any, model: str) -> None:
    write_calibration(own, "library", target, model, PLATT, judged_queries=7, figures={})


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"timeout_ms": 1}, None),
        ({}, {"X-Request-Timeout-Ms": "1"}),
        ({"timeout_ms": 30_000}, {"X-Request-Timeout-Ms": "1"}),
        ({"timeout_ms": 1}, {"X-Request-Timeout-Ms": "30000"}),
    ],
    ids=["body", "header", "shorter header", "shorter body"],
)
def test_a_search_without_time_is_lexical_and_names_what_it_went_without(
    http: httpx.Client, body: dict[str, Any], headers: dict[str, str] | None
) -> None:
    query = f"glaze {sorted(body)} {headers}"
    answer = post(http, {"rerank": AMPLE, "query": query, **body}, headers)
    assert answer.status_code == 200, answer.text
    assert "Retry-After" not in answer.headers
    told = answer.json()
    assert [(each["stage"], each["reason"]) for each in told["degraded"]] == [
        ("vector", "timeout"),
        ("rerank", "timeout"),
    ]
    assert told["reranked"]["state"] == "none"
    assert ids(told) == ["kiln"]


def test_facets_have_their_part_of_the_time(http: httpx.Client, stack: RealStack) -> None:
    none = search(http, mode="lexical", rerank=False, facets=["topic"], timeout_ms=1)
    reasons = [(each["stage"], each["reason"]) for each in none["degraded"]]
    assert (none["facets"], reasons) == (None, [("facets", "timeout")])
    with (
        connect(stack.record.database_url) as holder,
        connect(stack.record.database_url) as counter,
    ):
        holder.execute("LOCK TABLE rankgres.chunk IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            count_facets(counter, "library", ["topic"], timeout_ms=20)
    options = {"query": "glaze", "facets": ["topic"], "timeout_ms": 60_000}
    some = search(http, mode="lexical", rerank=False, **options)
    assert (some["degraded"], len(some["facets"]["topic"])) == ([], 1)


def test_a_search_with_time_goes_without_nothing(http: httpx.Client) -> None:
    answer = search(http, timeout_ms=60_000)
    assert answer["degraded"] == []
    assert answer["reranked"]["state"] == "full"


@pytest.mark.parametrize("value", ["0", "soon", "600001"])
def test_a_timeout_that_cannot_be_is_refused(http: httpx.Client, value: str) -> None:
    problem = post(http, {}, {"X-Request-Timeout-Ms": value})
    assert problem.status_code == 422
    assert problem.json()["field"] == "X-Request-Timeout-Ms"


def test_a_further_page_has_a_deadline_too(http: httpx.Client) -> None:
    first = search(http, k=2, page=True)
    rest = post(http, {"cursor": first["next_cursor"], "k": 10, "timeout_ms": 1}).json()
    assert len(rest["results"]) == 4


def test_depth_says_how_many_are_scored(http: httpx.Client) -> None:
    answer = search(http, k=2, rerank={"depth": 3, "budget_ms": 30_000}, explain=True)
    assert (answer["reranked"]["scored"], answer["reranked"]["of"]) == (3, 3)
    told = answer["explain"]["rerank"]
    assert (told["depth"], told["reason"]) == (3, "request")
    assert told["models"][0]["model"] == DEFAULT_RERANKER


def test_depth_and_k_that_do_not_go_together_are_refused(http: httpx.Client) -> None:
    problem = post(http, {"k": 10, "rerank": {"depth": 3}})
    assert (problem.status_code, problem.json()["field"]) == (422, "rerank.depth")
    assert "at least k" in problem.json()["mend"]


def test_the_weight_of_the_request_decides(http: httpx.Client) -> None:
    fused = search(http, rerank=False)
    assert ids(search(http, rerank=AMPLE | {"weight": 0, "feedback": 0})) == ids(fused)
    decided = search(http, rerank=AMPLE | {"weight": 1000, "feedback": 0})
    ranks = [result["stages"]["rerank"]["rank"] for result in decided["results"]]
    assert ranks == [1, 2, 3, 4, 5, 6]


def test_the_feedback_is_the_requests_else_the_collections_else_the_cards(
    http: httpx.Client, own: Connection
) -> None:
    def told(**rerank: float) -> float:
        answer = search(http, rerank=AMPLE | rerank, explain=True)
        return float(answer["explain"]["rerank"]["feedback"])

    assert told() == reranker_card(DEFAULT_RERANKER).feedback > 0
    write_rerank_profile(own, "library", RerankProfile(feedback=0.25))
    assert told() == 0.25
    assert told(feedback=2) == 2


def test_what_the_request_leaves_open_is_the_collections(
    http: httpx.Client, own: Connection
) -> None:
    fused = ids(search(http, rerank=False))
    policy = DepthPolicy((DepthRule(0, 0, 1),))
    profile = RerankProfile(weight=0, candidates=5, adaptive=policy.as_json())
    write_rerank_profile(own, "library", profile)
    answer = search(http, k=1, rerank={"budget_ms": 30_000}, explain=True)
    assert ids(answer) == fused[:1]
    # The rule would score one alone: twice k are kept.
    assert answer["reranked"]["of"] == 2
    assert answer["explain"]["rerank"]["reason"] == "adaptive"
    assert 0 <= answer["explain"]["rerank"]["clarity"]["agreement"] <= 1
    deeper = search(http, k=1, rerank={"budget_ms": 30_000, "adaptive": False})
    assert deeper["reranked"]["of"] == 5


def test_relevance_comes_from_what_scored_a_hit(http: httpx.Client, own: Connection) -> None:
    calibrate(own, "rerank", DEFAULT_RERANKER)
    calibrate(own, "fused", DEFAULT_ENCODER)
    answer = search(http, rerank={"candidates": 2, "budget_ms": 30_000})
    for result in answer["results"]:
        scored = result["stages"]["rerank"] or result["stages"]["fused"]
        assert result["relevance"] == pytest.approx(PLATT.relevance(scored["score"]))
        assert result["relevance_source"].startswith("rankgres calibrate, 7 judged queries")
    assert [result["stages"]["rerank"] is None for result in answer["results"]][:3] == [
        False,
        False,
        True,
    ]
    # Scores of another fusion, or of one stage alone, mean another thing.
    for changed in ({"fusion": "rrf"}, {"lexical_weight": 0.9}, {"mode": "vector"}):
        assert set(relevances(search(http, rerank=False, **changed)).values()) == {None}


def test_without_a_calibration_nothing_is_relevant_or_not(http: httpx.Client) -> None:
    answer = search(http, rerank=False)
    assert set(relevances(answer).values()) == {None}
    cut = search(http, rerank=False, min_relevance=0.0)
    assert (ids(cut), cut["cut"]) == ([], 6)


def test_min_relevance_cuts_on_exactly_what_is_told(http: httpx.Client, own: Connection) -> None:
    calibrate(own, "rerank", DEFAULT_RERANKER)
    calibrate(own, "fused", DEFAULT_ENCODER)
    for rerank in (AMPLE, False):
        whole = search(http, rerank=rerank)
        assert whole["cut"] == 0
        told = {name: value for name, value in relevances(whole).items() if value is not None}
        least = sorted(told.values())[3]
        kept = search(http, rerank=rerank, min_relevance=least)
        assert ids(kept) == [name for name in ids(whole) if told[name] >= least]
        assert kept["cut"] == 6 - len(kept["results"]) == 3


def test_pages_tell_the_relevance_of_the_list_they_go_on_with(
    http: httpx.Client, own: Connection
) -> None:
    calibrate(own, "rerank", DEFAULT_RERANKER)
    whole = search(http)
    first = search(http, k=2, page=True)
    rest = search(http, cursor=first["next_cursor"])
    assert {**relevances(first), **relevances(rest)} == relevances(whole)
    least = sorted(value for value in relevances(whole).values() if value is not None)[1]
    first = search(http, k=2, page=True, min_relevance=least)
    assert first["cut"] == 1
    assert len(search(http, cursor=first["next_cursor"])["results"]) == 3


def told(http: httpx.Client, pattern: str) -> list[float]:
    found = re.findall(rf"^{pattern} (\S+)$", http.get("/metrics").text, re.MULTILINE)
    return [float(value) for value in found]


def test_the_metrics_tell_how_often_a_query_was_remembered(http: httpx.Client) -> None:
    outcomes = [rf'rankgres_query_cache_total\{{outcome="{each}"\}}' for each in ("hit", "miss")]
    before = [sum(told(http, outcome)) for outcome in outcomes]
    for _ in range(3):
        search(http, query="a question that nobody else here asks", rerank=False)
    search(http, mode="lexical", rerank=False)
    assert [sum(told(http, outcome)) for outcome in outcomes] == [before[0] + 2, before[1] + 1]


def test_the_metrics_tell_what_the_workers_say_of_themselves(http: httpx.Client) -> None:
    search(http)
    labels = r'\{backend="[^"]+",model="[^"]+",queue="rerank",worker="[^"]+"\}'
    for figure in ("waiting_tokens", "batch_fill", "dropped_total", "refused_total"):
        assert len(told(http, f"rankgres_worker_{figure}{labels}")) == 1, figure
    eventually(
        lambda: told(http, f"rankgres_worker_sequences_total{labels}")[0] > 0,
        "the worker counts what it read",
    )
    assert told(http, f"rankgres_worker_resident_bytes{labels}")[0] > 10 * 1024**2
