"""Rerank table: judged lists, every candidate scored, reordered by any weight to any depth.

A weight or a depth changes no score. So every candidate is scored once, and each way to rerank is
computed here; a test holds that the order is that of ``service.search.ranking``.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.evaluation.judgements import Judgements
from service.evaluation.reranked_lists import RerankedLists
from service.evaluation.tuning import discounted_gain
from service.search.depth import LEAST_TIMES_K, TOP, DepthRule, clarity
from service.search.ranking import z_scores

Floats = NDArray[np.float64]
Counts = NDArray[np.integer[Any]]

#: A search for ten results scores no fewer, whatever a policy says.
LEAST_DEPTH: Final = LEAST_TIMES_K * TOP


class RerankTable:
    """Every query's list, to be reordered by any weight to any depth.

    Args:
        lists: all candidates scored.
        judgements: of the same queries, in the same order.
    """

    def __init__(self, lists: RerankedLists, judgements: Judgements) -> None:
        self.pair_ms = lists.pair_ms
        self.sizes = np.array([len(each.hits) for each in lists.lists])
        seen = [clarity(each.hits) for each in lists.lists]
        self.agreement = np.array([each.agreement for each in seen])
        self.margin = np.array([each.margin for each in seen])
        self._fused = [[hit.score for hit in each.hits] for each in lists.lists]
        self._raw = [[hit.rerank_score for hit in each.hits] for each in lists.lists]
        self._grades = [
            np.array([max(0, grades.get(hit.document, 0)) for hit in each.hits], dtype=float)
            for each, grades in zip(lists.lists, judgements.relevance.values(), strict=True)
        ]
        self._ideal = np.array(
            [
                discounted_gain(sorted(each.values(), reverse=True))
                for each in judgements.relevance.values()
            ]
        )
        self._known: dict[tuple[float, int], Floats] = {}

    def gains(self, weight: float, depth: int) -> Floats:
        """Return each query's nDCG@10 with so many of its candidates reranked by that weight."""
        if (weight, depth) not in self._known:
            rows = zip(self._fused, self._raw, self._grades, strict=True)
            found = [_gain(*row, weight, depth) for row in rows]
            self._known[weight, depth] = np.array(found) / self._ideal
        return self._known[weight, depth]

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

    def gains_at(self, weight: float, used: Counts) -> Floats:
        """Return each query's nDCG@10 at a depth of its own."""
        gains = np.zeros(len(used))
        for depth in np.unique(used):
            gains[used == depth] = self.gains(weight, int(depth))[used == depth]
        return gains


def _gain(fused: list[float], raw: list[float], grades: Floats, weight: float, depth: int) -> float:
    """Return the discounted gain of one list, reordered as ``rerank_by`` does."""
    summed = np.array(z_scores(fused[:depth])) + weight * np.array(z_scores(raw[:depth]))
    order = np.argsort(-summed, kind="stable")
    return discounted_gain([*grades[:depth][order], *grades[depth:TOP]])
