"""Held-out queries: how well scores order lists not learnt from, and whether that is luck.

Lists hold what the candidate stage returned, so that what is measured is reranking alone: a
relevant document that the stage did not find counts against nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.evaluation.significance import randomisation_test
from service.search.ranking import z_scores
from workers.training.ranking_lists import RankingList

DEPTH: Final = 10
#: Weights of the reranker beside the fused score that are tried, as RANKGRES_RERANK_WEIGHT has it.
BLENDS: Final = (0.3, 1.0, 3.0)

Scores = list[list[float]]


@dataclass(frozen=True, slots=True)
class Order:
    """One way to order the held-out lists: its nDCG@10 and its first result's grade, by list."""

    name: str
    gains: NDArray[np.float64]
    firsts: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Return the mean nDCG@10."""
        return float(self.gains.mean())


@dataclass(frozen=True, slots=True)
class Difference:
    """What an order wins against another: nDCG@10, its p-value, and first results."""

    gain: float
    p: float
    firsts_better: int
    firsts_worse: int

    def as_json(self) -> dict[str, Any]:
        """Return it rounded to what it can bear."""
        return {
            "gain": round(self.gain, 5),
            "p": round(self.p, 6),
            "first results better": self.firsts_better,
            "first results worse": self.firsts_worse,
        }


def order_lists(name: str, lists: Sequence[RankingList], scores: Scores) -> Order:
    """Return how well scores order the lists; ties count against them."""
    ranked = [_ranked(each.labels, values) for each, values in zip(lists, scores, strict=True)]
    return Order(
        name,
        np.array([_ndcg(labels) for labels in ranked]),
        np.array([labels[0] for labels in ranked]),
    )


def mean_ndcg(lists: Sequence[RankingList], scores: Scores) -> float:
    """Return the mean nDCG@10 of the lists in the order of the scores."""
    return order_lists("", lists, scores).mean


def difference(order: Order, baseline: Order) -> Difference:
    """Return what an order wins against a baseline over the same lists, by a paired test."""
    differences = (order.gains - baseline.gains)[:, None]
    return Difference(
        float(differences.mean()),
        float(randomisation_test(differences)[0]),
        int((order.firsts > baseline.firsts).sum()),
        int((order.firsts < baseline.firsts).sum()),
    )


def fused_scores(lists: Sequence[RankingList]) -> Scores | None:
    """Return the candidate stage's own scores, or None where a list lacks them."""
    if any(each.fused is None for each in lists):
        return None
    return [each.fused or [] for each in lists]


def blended(fused: Scores, scores: Scores, weight: float) -> Scores:
    """Return z(fused) + weight * z(reranker), which a search orders by."""
    return [
        [one + weight * other for one, other in zip(z_scores(base), z_scores(own), strict=True)]
        for base, own in zip(fused, scores, strict=True)
    ]


def reranker_orders(
    name: str, lists: Sequence[RankingList], scores: Scores, weights: Sequence[float]
) -> list[Order]:
    """Return the order by a reranker alone, and those with the fused score, by weight."""
    orders = [order_lists(f"{name} alone", lists, scores)]
    fused = fused_scores(lists)
    if fused is not None:
        orders += [
            order_lists(f"{name}, weight {weight:g}", lists, blended(fused, scores, weight))
            for weight in weights
        ]
    return orders


def _ranked(labels: Sequence[float], scores: Sequence[float]) -> list[float]:
    by_score = sorted(range(len(labels)), key=lambda index: (-scores[index], labels[index]))
    return [labels[index] for index in by_score]


def _ndcg(labels: Sequence[float]) -> float:
    """Return nDCG@10 of grades in their order; linear gains, as everywhere here."""
    best = _dcg(sorted(labels, reverse=True))
    return _dcg(labels) / best if best > 0 else 0.0


def _dcg(labels: Sequence[float]) -> float:
    gains = np.maximum(np.array(labels[:DEPTH]), 0.0)
    return float(gains @ (1 / np.log2(np.arange(2, len(gains) + 2))))
