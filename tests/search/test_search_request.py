from typing import Any

import pytest
from pydantic import ValidationError

from service.collections.profile import SearchProfile
from service.errors import InvalidInputError
from service.http.search import SearchBody
from service.search.request import RerankRequest, SearchRequest
from service.settings import Settings


def request(**values: Any) -> SearchRequest:
    return SearchRequest.model_validate({"collection": "c", "query": "q", **values})


def test_what_is_left_out_is_hybrid_and_not_reranked() -> None:
    assert request() == SearchRequest(
        collection="c", query="q", mode="hybrid", k=10, rerank=None, passages=3
    )


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        request().k = 5  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize(
    "values",
    [
        {"query": ""},
        {"query": "\t \u2003"},
        {"query": "a\x00"},
        {"query": "\ud800"},
        {"query": "a" * 65_537},
        {"k": 0},
        {"k": 1001},
        {"mode": "best"},
        {"fusion": "sum"},
        {"passages": 0},
        {"passages": 11},
        {"lexical_weight": -0.1},
        {"lexical_weight": float("nan")},
        {"rrf_k": 0},
        {"stage_candidates": 10_001},
        {"ef_search": 1001},
        {"match": "some"},
        {"match": "0"},
        {"match": "101%"},
        {"language": "a\x00"},
        {"heading_weight": -1},
        {"min_score": float("inf")},
        {"autocut": -1},
        {"recency": []},
        {"boosts": [{"field": "\x00"}]},
        {"boosts": [{}] * 21},
        {"diversity": 1.1},
        {"deadline_ms": 0},
        {"facets": "year"},
        {"facets": ["year"] * 21},
        {"cursor": "belongs to a page"},
        {"filter": {"a": "\x00"}},
        {"filter": {"a": float("inf")}},
        {"rerank": {"candidates": 0}},
        {"rerank": {"budget_ms": 60_001}},
        {"rerank": {"depth": 0}},
        {"rerank": {"weight": -1}},
        {"rerank": {"weight": float("inf")}},
        {"timeout_ms": 0},
        {"min_relevance": 1.1},
        {"unknown": 1},
    ],
    ids=repr,
)
def test_what_cannot_be_searched_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request(**values)


def test_there_are_as_many_candidates_as_results_or_reranked_need() -> None:
    assert request(k=20).candidates(0) == 20
    assert request(k=20).candidates(5) == 20
    assert request(k=5).candidates(30) == 30


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ("jaguar -car", "jaguar "),
        ('jaguar -"sports car" speed', "jaguar  speed"),
        ("-title:car jaguar", " jaguar"),
        ("jaguar -\u201csports car\u201d", "jaguar "),
        ('"jaguar -car"', '"jaguar -car"'),
        ("state-of-the-art", "state-of-the-art"),
        ("git commit --amend", "git commit --amend"),
        ("one - two", "one - two"),
        ("-car", "-car"),
    ],
)
def test_models_do_not_read_what_is_excluded(query: str, meaning: str) -> None:
    assert request(query=query).meaning == meaning


def test_a_list_that_is_paged_through_is_longer() -> None:
    assert request(page=True).candidates(0) == 200
    assert request(page=True, stage_candidates=50).candidates(0) == 200
    assert request(page=True, stage_candidates=500).candidates(0) == 500
    assert request(page=True, k=1000).candidates(0) == 1000


def test_a_profile_can_set_whatever_a_search_leaves_open() -> None:
    left_open = {name for name, value in request().model_dump().items() if value is None}
    of_one_search = {"filter", "facets", "rerank", "timeout_ms", "min_relevance"}
    assert left_open - of_one_search <= set(SearchProfile.model_fields)


def test_a_body_without_a_query_names_it() -> None:
    with pytest.raises(InvalidInputError) as raised:
        SearchBody.model_validate({"k": 3}).for_collection("c")
    assert raised.value.field == "query"


def test_reranking_is_sized_by_the_request_the_collection_or_the_settings() -> None:
    defaults = Settings.model_fields
    assert RerankRequest().budget_ms == defaults["rerank_budget_ms"].default == 200
    assert RerankRequest().most(10, None) == defaults["rerank_candidates"].default == 100
    assert RerankRequest().most(10, 40) == 40
    assert RerankRequest(candidates=7).most(10, 40) == 7
    assert RerankRequest(candidates=7, depth=7).most(7, None) == 7


def test_there_are_twice_as_many_candidates_as_results_to_choose_from() -> None:
    assert RerankRequest().most(80, None) == 160
    assert RerankRequest().most(80, 40) == 160
    assert RerankRequest().most(1000, None) == 1000
    # Whoever says how many means it.
    assert RerankRequest(candidates=50).most(80, None) == 50
    assert RerankRequest(depth=300).most(10, None) == 300


@pytest.mark.parametrize(
    ("rerank", "says", "mend"),
    [
        ({"depth": 9}, "9 leaves some of the 10", "at least k"),
        ({"depth": 30, "candidates": 20}, "30 is more than the 20", "raise candidates"),
    ],
    ids=repr,
)
def test_a_depth_goes_with_k_and_candidates(rerank: dict[str, int], says: str, mend: str) -> None:
    body = SearchBody.model_validate({"query": "q", "k": 10, "rerank": rerank})
    with pytest.raises(InvalidInputError, match=says) as raised:
        body.for_collection("c")
    assert (raised.value.field, raised.value.value) == ("rerank.depth", rerank["depth"])
    assert mend in (raised.value.mend or "")


@pytest.mark.parametrize(
    "rerank", [{"depth": 10}, {"depth": 20, "candidates": 20}, {"candidates": 3}], ids=repr
)
def test_a_depth_that_can_be_is_taken(rerank: dict[str, int]) -> None:
    body = SearchBody.model_validate({"query": "q", "k": 10, "rerank": rerank})
    assert body.for_collection("c").rerank == RerankRequest.model_validate(rerank)


@pytest.mark.parametrize(
    ("body", "reranked"),
    [
        ({}, True),
        ({"rerank": True}, True),
        ({"rerank": False}, False),
        ({"mode": "lexical"}, False),
        ({"mode": "vector"}, False),
        ({"mode": "vector", "rerank": True}, True),
        ({"mode": "lexical", "rerank": {"candidates": 7}}, True),
    ],
    ids=repr,
)
def test_hybrid_alone_is_reranked_unasked(body: dict[str, Any], reranked: bool) -> None:
    asked = SearchBody.model_validate({"query": "q", **body}).for_collection("c")
    assert (asked.rerank is not None) == reranked
    assert asked.collection == "c"
