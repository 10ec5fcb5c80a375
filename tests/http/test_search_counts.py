"""What /metrics counts of answers that a healthy stack does not give."""

from typing import Any

from prometheus_client import REGISTRY

from service.http.metrics import record_search
from service.search.results import SearchResponse

ANSWER: dict[str, Any] = {
    "results": [],
    "degraded": [{"stage": "rerank_second", "reason": "overloaded", "retry_after_ms": 250}],
    "complete": True,
    "incomplete_reason": None,
    "corrections": {},
    "relaxed": False,
    "reranked": {
        "state": "partial",
        "scored": 63,
        "of": 100,
        "model": "small",
        "models": [
            {"model": "small", "scored": 63, "of": 100},
            {"model": "large", "scored": 0, "of": 20},
        ],
    },
    "cut": 7,
    "timings": {"total": 5.0},
}
COUNTERS: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
    (
        "rankgres_search_degraded_total",
        (("stage", "rerank_second"), ("reason", "overloaded")),
    ): 1,
    ("rankgres_rerank_candidates_total", (("outcome", "scored"),)): 63,
    ("rankgres_rerank_candidates_total", (("outcome", "not_scored"),)): 57,
    ("rankgres_rerank_depth_sum", ()): 100,
    ("rankgres_search_cut_total", ()): 7,
    ("rankgres_query_cache_total", (("outcome", "miss"),)): 1,
}


def counted() -> list[float]:
    return [REGISTRY.get_sample_value(name, dict(labels)) or 0 for name, labels in COUNTERS]


def test_overload_depth_and_cuts_are_counted() -> None:
    answer = SearchResponse.model_validate(ANSWER)
    before = counted()
    record_search(answer.embedded(cached=False))
    added = [after - earlier for after, earlier in zip(counted(), before, strict=True)]
    assert added == list(COUNTERS.values())


def test_a_search_without_an_embedding_counts_none() -> None:
    answer = SearchResponse.model_validate(ANSWER | {"degraded": [], "reranked": None, "cut": 0})
    before = counted()
    record_search(answer.embedded(cached=None))
    assert counted() == before
