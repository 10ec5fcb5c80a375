"""The final order: z-scores of both stages summed, with hand-made candidates and scores."""

import math
from collections.abc import Sequence

import pytest

from service.search.candidates import Candidate
from service.search.ranking import (
    ModelScore,
    RankedDocument,
    group_documents,
    rerank_by,
    z_scores,
)


def candidate(document_id: str, rank: int, score: float, passage: int = 1) -> Candidate:
    return Candidate(
        rank=rank,
        passage=passage,
        document_id=document_id,
        position=passage,
        heading="",
        text=document_id,
        start_offset=0,
        end_offset=1,
        metadata={},
        score=score,
        lexical_rank=None,
        lexical_score=None,
        vector_rank=rank,
        vector_score=score,
    )


def fused(*scores: float) -> list[RankedDocument]:
    """Documents a, b, c … with these fused scores."""
    return group_documents(
        [candidate(chr(97 + place), place + 1, score) for place, score in enumerate(scores)]
    )


def ids(documents: Sequence[RankedDocument]) -> str:
    return "".join(document.best.document_id for document in documents)


def reorder(
    documents: Sequence[RankedDocument], scores: Sequence[float | None], weight: float
) -> list[RankedDocument]:
    return rerank_by(documents, scores, "m", weight)


def said(documents: Sequence[RankedDocument]) -> list[ModelScore | None]:
    return [document.rerank for document in documents]


def test_z_scores_count_standard_deviations_from_the_mean() -> None:
    # Mean 4; squared deviations 4, 0, 4; deviation sqrt(8 / 3).
    unit = 2 / math.sqrt(8 / 3)
    assert z_scores([2, 4, 6]) == pytest.approx([-unit, 0, unit])


@pytest.mark.parametrize("values", [[], [3.0], [0.1, 0.1, 0.1], [1e9, 1e9]])
def test_values_that_agree_have_z_scores_of_0(values: list[float]) -> None:
    assert z_scores(values) == [0.0] * len(values)


def test_equals_that_differ_by_rounding_are_equals() -> None:
    assert z_scores([0.1 + 0.2, 0.3]) == [0.0, 0.0]


def test_passages_of_one_document_become_one_document_in_fused_order() -> None:
    rows = [candidate("a", 1, 0.9), candidate("a", 1, 0.9, passage=2), candidate("b", 2, 0.5)]
    grouped = group_documents(rows)
    assert ids(grouped) == "ab"
    assert [len(document.passages) for document in grouped] == [2, 1]
    assert grouped[0].score == 0.9


def test_a_weight_of_0_keeps_fused_order() -> None:
    assert ids(reorder(fused(3, 2, 1), [0, 5, 9], weight=0)) == "abc"


def test_a_large_weight_lets_the_reranker_decide() -> None:
    ordered = reorder(fused(3, 2, 1), [0, 5, 9], weight=100)
    assert ids(ordered) == "cba"
    assert said(ordered) == [ModelScore("m", 9, 1), ModelScore("m", 5, 2), ModelScore("m", 0, 3)]


def test_the_score_is_the_weighted_sum_of_both_z_scores() -> None:
    first, second = reorder(fused(2, 1), [0, 10], weight=0.5)
    # Of two values the z-scores are 1 and -1.
    assert ids([first, second]) == "ab"
    assert [first.score, second.score] == pytest.approx([1 - 0.5, -1 + 0.5])


def test_what_was_not_scored_follows_in_fused_order() -> None:
    ordered = reorder(fused(5, 4, 3, 2, 1), [1, None, 9, None], weight=100)
    assert ids(ordered) == "cabde"
    assert said(ordered) == [ModelScore("m", 9, 1), ModelScore("m", 1, 2), None, None, None]
    # Left as it was: fused scores are of another kind than sums of z-scores.
    assert [document.score for document in ordered[2:]] == [4, 2, 1]


def test_ties_keep_fused_order() -> None:
    assert ids(reorder(fused(1, 1, 1), [7, 7, 7], weight=1)) == "abc"


def test_without_any_score_nothing_moves() -> None:
    documents = fused(3, 2, 1)
    assert reorder(documents, [None, None], weight=1) == documents


def test_one_scored_document_alone_comes_first() -> None:
    assert ids(reorder(fused(3, 2), [None, -8], weight=1)) == "ba"
