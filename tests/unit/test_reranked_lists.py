"""Reranked lists: what judged queries are asked as, and what is read of the answers."""

from typing import Any

import pytest

from service.evaluation.judgements import Judgements
from service.evaluation.reranked_lists import RerankedHit, ask_reranked

JUDGED = Judgements({"a": "one"}, {"a": {"best": 1}}, 0, 0)


def result(document: str, rank: int, fused: int) -> dict[str, Any]:
    return {
        "rank": rank,
        "id": document,
        "passages": [{"position": 10 * fused}],
        "stages": {
            "fused": {"rank": fused, "score": 1 / fused},
            "lexical": {"rank": fused, "score": 2.0},
            "vector": None,
            "rerank": {"rank": rank, "score": 0.5},
            "rerank_second": None,
        },
    }


class Service:
    """Answers every search alike, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        return {
            "results": [result("second", 1, 2), result("first", 2, 1)],
            "degraded": [],
            "reranked": {"scored": 2, "models": [{"model": "a model"}]},
            "timings": {"rerank": 5.0},
        }


def test_hits_are_read_in_fused_order_with_their_best_passages() -> None:
    lists = ask_reranked(Service(), JUDGED, 30)
    assert lists.lists[0].hits == [
        RerankedHit("first", 1.0, 1, None, 0.5, None, 2, 10),
        RerankedHit("second", 0.5, 2, None, 0.5, None, 1, 20),
    ]
    assert (lists.reranker, lists.candidates, lists.pair_ms) == ("a model", 30, 2.5)


@pytest.mark.parametrize(("feedback", "said"), [(None, {}), (0, {"feedback": 0})])
def test_the_order_is_that_of_searches_unless_a_feedback_is_given(
    feedback: float | None, said: dict[str, float]
) -> None:
    service = Service()
    ask_reranked(service, JUDGED, 30, feedback=feedback)
    (body,) = service.asked
    assert body["rerank"] == {
        "candidates": 30,
        "depth": 30,
        "budget_ms": 60_000,
        "adaptive": False,
        **said,
    }
