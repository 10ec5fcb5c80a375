"""Rerank table: judged lists, every candidate scored, reordered by any blend to any depth.

A blend or a depth changes no score. So every candidate is scored once, and each way to rerank is
computed here; a test holds that the order is that of ``service.search.ranking`` and
``service.search.feedback``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.evaluation.judgements import Judgements
from service.evaluation.reranked_lists import RerankedList, RerankedLists
from service.evaluation.tuning import discounted_gain
from service.search.blend import Blend
from service.search.depth import LEAST_TIMES_K, TOP, DepthRule, clarity
from service.search.feedback import LEAST_FED, Embeddings, feedback_scores
from service.search.ranking import z_scores

Floats = NDArray[np.float64]
Counts = NDArray[np.integer[Any]]

#: A search for ten results scores no fewer, whatever a policy says.
LEAST_DEPTH: Final = LEAST_TIMES_K * TOP


class _JudgedList(NamedTuple):
    """One query's candidates in fused order: both scores, the grades, the embeddings."""

    fused: list[float]
    raw: list[float]
    grades: Floats
    embeddings: Embeddings


class RerankTable:
    """Every query's list, to be reordered by any blend to any depth.

    Args:
        lists: all candidates scored.
        judgements: of the same queries, in the same order.
        embeddings: of each list's hits, of length 1 each, shape (hits, dimension).
    """

    def __init__(
        self, lists: RerankedLists, judgements: Judgements, embeddings: Sequence[Embeddings]
    ) -> None:
        self.pair_ms = lists.pair_ms
        self.sizes = np.array([len(each.hits) for each in lists.lists])
        seen = [clarity(each.hits) for each in lists.lists]
        self.agreement = np.array([each.agreement for each in seen])
        self.margin = np.array([each.margin for each in seen])
        rows = zip(lists.lists, judgements.relevance.values(), embeddings, strict=True)
        self._rows = [_judged_list(*row) for row in rows]
        self._ideal = np.array(
            [
                discounted_gain(sorted(each.values(), reverse=True))
                for each in judgements.relevance.values()
            ]
        )
        self._known: dict[tuple[Blend, int], Floats] = {}

    def gains(self, blend: Blend, depth: int) -> Floats:
        """Return each query's nDCG@10 with so many of its candidates reranked by that blend."""
        if (blend, depth) not in self._known:
            found = [_gain(row, blend, depth) for row in self._rows]
            self._known[blend, depth] = np.array(found) / self._ideal
        return self._known[blend, depth]

    def pairs(self, depth: int) -> Counts:
        """Return how many pairs each query has, so many of its candidates being scored."""
        pairs: Counts = np.minimum(self.sizes, depth)
        return pairs

    def depths(self, rules: Sequence[DepthRule], depth: int) -> Counts:
        """Return the depth of every query, as ``service.search.depth`` finds it for one."""
        used = np.full(len(self.sizes), depth)
        for rule in rules:
            clear = self.clear(rule)
            used[clear] = np.minimum(used[clear], max(rule.depth, LEAST_DEPTH))
        return used

    def clear(self, rule: DepthRule) -> NDArray[np.bool_]:
        """Return whether each query's list is as clear as a rule wants it."""
        agreed: NDArray[np.bool_] = self.agreement >= rule.agreement
        return agreed & (self.margin >= rule.margin)

    def gains_at(self, blend: Blend, used: Counts) -> Floats:
        """Return each query's nDCG@10 at a depth of its own."""
        gains = np.zeros(len(used))
        for depth in np.unique(used):
            gains[used == depth] = self.gains(blend, int(depth))[used == depth]
        return gains


def _judged_list(
    scored: RerankedList, judged: Mapping[str, int], embeddings: Embeddings
) -> _JudgedList:
    grades = [max(0, judged.get(hit.document, 0)) for hit in scored.hits]
    return _JudgedList(
        [hit.score for hit in scored.hits],
        [hit.rerank_score for hit in scored.hits],
        np.array(grades, dtype=float),
        embeddings,
    )


def _gain(row: _JudgedList, blend: Blend, depth: int) -> float:
    """Return the discounted gain of one list, reordered as a search does."""
    order = _order(row, blend, depth)
    return discounted_gain([*row.grades[:depth][order], *row.grades[depth:TOP]])


def _order(row: _JudgedList, blend: Blend, depth: int) -> Counts:
    """Return the places of the first candidates as ``rerank_by`` and ``feed_back`` order them."""
    fused, raw = np.array(z_scores(row.fused[:depth])), np.array(z_scores(row.raw[:depth]))
    summed = fused + blend.weight * raw
    order: Counts = np.argsort(-summed, kind="stable")
    if blend.feedback == 0 or len(order) < LEAST_FED:
        return order
    scores = feedback_scores(summed[order].tolist(), row.embeddings[order], blend.feedback)
    return order[np.argsort(-np.array(scores), kind="stable")]
