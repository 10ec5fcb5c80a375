"""A trained reranker against the current one, and against the order that both are given."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from service.model_cards import RerankerCard
from service.settings import Settings
from workers.inference.reranker import Reranker, load_reranker
from workers.training.held_out import (
    BLENDS,
    Difference,
    Order,
    Scores,
    difference,
    fused_scores,
    order_lists,
    reranker_orders,
)
from workers.training.model_card import CURRENT, Figure
from workers.training.ranking_lists import RankingList


def served_scores(
    reranker: Reranker, lists: Sequence[RankingList], on_list: Callable[[], None]
) -> Scores:
    """Return the scores that a worker would give; a passage without one comes last."""
    scores: Scores = []
    for each in lists:
        found = reranker.score(each.query, each.passages, None).scores
        lowest = min((score for score in found if score is not None), default=0.0) - 1
        scores.append([lowest if score is None else score for score in found])
        on_list()
    return scores


def current_scores(
    name: str, lists: Sequence[RankingList], settings: Settings, on_list: Callable[[], None]
) -> Scores:
    """Return the scores of the reranker that is used now."""
    reranker = load_reranker(name, settings)
    try:
        return served_scores(reranker, lists, on_list)
    finally:
        reranker.close()


def trained_scores(
    card: RerankerCard,
    lists: Sequence[RankingList],
    settings: Settings,
    on_list: Callable[[], None],
) -> Scores:
    """Return the scores of a cross-encoder in a folder, as a worker runs it: exported, in int8."""
    from workers.inference.cross_encoder import load_cross_encoder

    reranker = load_cross_encoder(card, settings)
    try:
        return served_scores(reranker, lists, on_list)
    finally:
        reranker.close()


class Contender(NamedTuple):
    """A reranker, its scores of the lists, and the weights to try beside the fused score."""

    name: str
    scores: Scores
    weights: Sequence[float]


def compare(lists: Sequence[RankingList], trained: Contender, current: Contender) -> list[Figure]:
    """Return a row for every order: fused alone, the current model's, the trained model's.

    Each is compared with the fused order, and the trained model's with the current model's of the
    same kind: alone with alone, summed with summed.
    """
    fused = fused_scores(lists)
    baselines = [] if fused is None else [order_lists("fused", lists, fused)]
    old, new = (
        reranker_orders(each.name, lists, each.scores, each.weights) for each in (current, trained)
    )
    rows = [Figure(order.name, order.mean, {}) for order in baselines]
    rows += [Figure(order.name, order.mean, _against(order, baselines)) for order in old]
    for number, order in enumerate(new):
        against = _against(order, baselines)
        against[CURRENT] = difference(order, old[min(number, len(old) - 1)])
        rows.append(Figure(order.name, order.mean, against))
    return rows


def best_weight(lists: Sequence[RankingList], trained: Scores) -> float | None:
    """Return the weight beside the fused score that orders the lists best; None without fused."""
    if fused_scores(lists) is None:
        return None
    summed = reranker_orders("", lists, trained, BLENDS)[1:]
    means = [order.mean for order in summed]
    return BLENDS[means.index(max(means))]


def _against(order: Order, baselines: Sequence[Order]) -> dict[str, Difference]:
    return {each.name: difference(order, each) for each in baselines}
