"""Feedback among reranked documents, with hand-made embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.search.feedback import Embeddings, feed_back, feedback_scores
from service.search.ranking import RankedDocument, rerank_by, z_scores
from tests.search.test_reordering import fused, ids


def reranked(*scores: float | None) -> list[RankedDocument]:
    """Documents a, b, c … in the order of these scores, which a model gave."""
    return rerank_by(fused(*(0.0 for _ in scores)), scores, "m", 1.0)


def embeddings(**kinds: str) -> dict[str, Sequence[float]]:
    """Embeddings of documents: those of one kind are alike, and unlike all others."""
    axes = {kind: axis for axis, kind in enumerate(sorted(set(kinds.values())))}
    return {name: np.eye(len(axes))[axes[kind]].tolist() for name, kind in kinds.items()}


def fed(
    documents: Sequence[RankedDocument], known: Mapping[str, Sequence[float]], weight: float
) -> list[RankedDocument]:
    def read(asked: Sequence[RankedDocument]) -> Embeddings:
        return np.array([known[each.best.document_id] for each in asked], dtype=np.float32)

    return feed_back(documents, read, weight)


ALIKE = embeddings(a="x", b="y", c="y", d="x", e="x")


def test_what_resembles_the_best_moves_up() -> None:
    documents = reranked(5, 3, 2.9, 2.8, 2.7)
    assert ids(fed(documents, ALIKE, 0.0)) == "abcde"
    assert ids(fed(documents, ALIKE, 1.0)) == "adebc"


def test_a_clear_lead_outweighs_a_likeness() -> None:
    documents = reranked(5, 4.9, 1, 0.5, 0.4)
    assert ids(fed(documents, ALIKE, 0.5)) == "abdec"


def test_what_was_not_reranked_stays_behind() -> None:
    documents = reranked(5, 3, 2.9, None, None)
    assert ids(fed(documents, ALIKE, 9.0)) == "abcde"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_two_documents_nothing_is_read(count: int) -> None:
    documents = reranked(*range(count))
    assert feed_back(documents, lambda _: pytest.fail("it was read"), 1.0) == documents


def test_equals_keep_their_order() -> None:
    documents = [replace(document, score=1.0) for document in reranked(1, 1, 1, 1)]
    assert ids(fed(documents, embeddings(a="x", b="x", c="x", d="x"), 1.0)) == "abcd"


def test_copies_keep_their_order() -> None:
    row = np.random.default_rng(1).normal(size=384)
    known = dict.fromkeys("abcdefghijklmnop", (row / np.linalg.norm(row)).tolist())
    documents = [replace(document, score=1.0) for document in reranked(*[1] * 16)]
    assert ids(fed(documents, known, 1.0)) == "abcdefghijklmnop"


def test_passages_that_are_gone_resemble_nothing() -> None:
    known = {"a": [1.0, 0.0], "b": [0.0, 0.0], "c": [1.0, 0.0]}
    assert ids(fed(reranked(3, 2, 1.9), known, 1.0)) == "acb"


def test_documents_of_which_none_is_there_keep_their_order() -> None:
    known = {name: [0.0] for name in "abc"}
    assert ids(fed(reranked(3, 2, 1), known, 1.0)) == "abc"


@given(
    st.lists(st.floats(-10, 10), min_size=3, max_size=12).map(lambda v: sorted(v, reverse=True)),
    st.integers(0, 2**16),
)
def test_scores_are_the_sum_that_is_promised(scores: list[float], seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(len(scores), 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    before = z_scores(scores)
    shares = [np.exp((score - before[0]) / 0.5) for score in before[:5]]
    likeness = [
        sum(share * float(row @ best) for share, best in zip(shares, rows, strict=False))
        / sum(shares)
        for row in rows
    ]
    expected = np.array(before) + 0.7 * np.array(z_scores(likeness))
    assert feedback_scores(scores, rows, 0.7) == pytest.approx(expected, abs=1e-2)
    assert feedback_scores(scores, rows, 0.0) == before
