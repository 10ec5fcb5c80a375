"""Rerank policy: what reranker and feedback count, how many candidates are scored, when fewer do.

All of it is computed from lists that were scored whole, once. What is told of each is by
cross-validation, as in ``tuning``: chosen on some of the queries, judged by the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.evaluation.folds import deal_queries
from service.evaluation.judgements import Judgements
from service.evaluation.rerank_table import LEAST_DEPTH, Counts, Floats, RerankTable
from service.evaluation.reranked_lists import RerankedLists
from service.evaluation.significance import randomisation_test
from service.search.blend import FUSED, Blend, Part
from service.search.depth import DepthPolicy, DepthRule
from service.search.feedback import Embeddings

#: Weights tried, unless others are; 0 leaves the reranker out.
WEIGHTS: Final = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
#: What likeness to the best is tried to count; 0: nothing.
FEEDBACKS: Final = (0.0, 0.3, 0.5, 0.8, 1.2)
#: Depths tried, as shares of the candidates.
_SHARES: Final = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
#: Thresholds of a rule: quantiles of what the queries have.
_QUANTILES: Final = (0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
#: Rules of a policy at most; a second one that saves less than this is not worth reading.
_RULES: Final = 2
_WORTH: Final = 0.01


@dataclass(frozen=True, slots=True)
class ValueRow:
    """A weight or feedback: its nDCG@10 with all candidates scored, and less the one as it is."""

    value: float
    mean: float
    difference: float
    p: float


@dataclass(frozen=True, slots=True)
class ValueChoice:
    """The value of a part with the best mean, and what such a choice gains on other queries.

    ``gain`` is against ``present``, the value as it is, over queries that did not choose.
    """

    part: Part
    rows: list[ValueRow]
    present: float
    chosen: float
    cross_validated: float
    gain: float
    p: float

    def objection(self, significance: float) -> str | None:
        """Return why the chosen value must not be written; None: it may."""
        as_it_is = f"the {self.part} as it is"
        if self.chosen == self.present:
            return f"it is {as_it_is}"
        if self.gain <= 0:
            return f"on queries that did not choose it, it is no better than {as_it_is}"
        if self.p >= significance:
            return f"its gain may be luck: p is {self.p:.3f}, not below {significance:g}"
        return None

    def accepted(self, blend: Blend, significance: float) -> Blend:
        """Return the blend with what was chosen of the part, if it may be written."""
        refused = self.objection(significance) is not None
        return blend if refused else blend.with_part(self.part, self.chosen)


@dataclass(frozen=True, slots=True)
class DepthRow:
    """A depth: its nDCG@10, less that of all candidates, and what is not scored for it."""

    depth: int
    mean: float
    difference: float
    p: float
    pairs_saved: float
    saved_ms: float


@dataclass(frozen=True, slots=True)
class DepthChoice:
    """The least depth whose loss stays in the tolerance, on all queries and on others."""

    rows: list[DepthRow]
    chosen: DepthRow
    held_out_difference: float

    def objection(self, most: int, tolerance: float) -> str | None:
        """Return why the depth must not be written; None: it may."""
        if self.chosen.depth >= most:
            return "every lesser depth loses more than the tolerance"
        if -self.held_out_difference > tolerance:
            return (
                f"on queries that did not choose it, it loses {-self.held_out_difference:.4f}, "
                f"more than {tolerance:g}"
            )
        return None


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """The policy that saves most within the tolerance, and its loss on queries it did not see.

    ``difference`` and ``p`` compare nDCG@10 with and without it over queries that did not choose;
    ``pairs_saved`` is the share of pairs that those did not score, ``queries_cut`` the share of
    them that were cut at all. ``saved_ms`` is the time of those pairs, a query.
    """

    policy: DepthPolicy
    difference: float
    p: float
    pairs_saved: float
    queries_cut: float
    saved_ms: float

    def objection(self, tolerance: float) -> str | None:
        """Return why the policy must not be written; None: it may."""
        if not self.policy.rules:
            return "no rule saves anything within the tolerance"
        if -self.difference > tolerance:
            return (
                f"on queries that did not choose it, it loses {-self.difference:.4f}, "
                f"more than {tolerance:g}"
            )
        if self.pairs_saved <= 0:
            return "on queries that did not choose it, it saves nothing"
        return None


@dataclass(frozen=True, slots=True)
class RerankReport:
    """What reranking does to the judged queries, and what was learned of it.

    ``fused`` is the mean nDCG@10 without reranking. ``blend`` is the one that depth and policy
    were learned with, its weight the one that the feedback was; ``depth`` is the policy's.
    """

    fused: float
    weights: ValueChoice
    feedbacks: ValueChoice
    blend: Blend
    depths: DepthChoice
    depth: int
    policy: PolicyChoice
    pair_ms: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learned from: the lists, the fold of every query, and the loss that is borne."""

    table: RerankTable
    deal: Counts
    tolerance: float

    def held_out(self, values_by: Callable[[NDArray[np.bool_]], NDArray[Any]]) -> NDArray[Any]:
        """Return each query's value by what was chosen on the other folds' queries.

        Args:
            values_by: chooses on the queries that are true, and returns all queries' values by it.
        """
        parts = [(self.deal == fold, values_by(self.deal != fold)) for fold in self.folds]
        found = np.zeros_like(parts[0][1])
        for inside, values in parts:
            found[inside] = values[inside]
        return found

    @property
    def folds(self) -> range:
        """Return the numbers of the folds."""
        return range(int(self.deal.max()) + 1)

    @property
    def everyone(self) -> NDArray[np.bool_]:
        """Return all queries, to choose on."""
        return np.ones(len(self.deal), dtype=np.bool_)

    def bears(self, differences: Floats) -> bool:
        """Tell whether a loss stays in the tolerance, one standard error of its mean on top."""
        if not differences.any():
            return True
        error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
        return bool(error - float(differences.mean()) <= self.tolerance)


def learn_reranking(
    lists: RerankedLists,
    judgements: Judgements,
    embeddings: Sequence[Embeddings],
    *,
    present: Blend,
    weights: Sequence[float] = WEIGHTS,
    feedbacks: Sequence[float] = FEEDBACKS,
    folds: int,
    seed: int,
    significance: float,
    tolerance: float,
    keep_depth: bool = False,
) -> RerankReport:
    """Learn weight, feedback, depth and policy, each with what was accepted before it.

    Args:
        lists: all candidates of every judged query, scored.
        judgements: of the same queries.
        embeddings: of each list's hits, of length 1 each.
        present: weight and feedback as they are; the weight is learned with that feedback.
        weights: tried beside the one as it is.
        feedbacks: the same.
        folds: of the cross-validation.
        seed: of its deal.
        significance: p from which a gain of weight or feedback may be luck.
        tolerance: nDCG@10 that a lesser depth, and the policy, may lose.
        keep_depth: whether the policy is learned from all candidates, whatever lesser depth would
            do for every query.

    Raises:
        InvalidInputError: there are fewer queries than folds.
    """
    table = RerankTable(lists, judgements, embeddings)
    lesson = Lesson(table, deal_queries(len(lists.lists), folds, seed), tolerance)
    most = lists.candidates
    weighed = choose_value(lesson, "weight", weights, present, most)
    blend = weighed.accepted(present, significance)
    fed = choose_value(lesson, "feedback", feedbacks, blend, most)
    blend = fed.accepted(blend, significance)
    depths = choose_depth(lesson, blend, most)
    lesser = not keep_depth and depths.objection(most, tolerance) is None
    depth = depths.chosen.depth if lesser else most
    policy = choose_policy(lesson, blend, depth)
    fused = _mean(table.gains(FUSED, most))
    return RerankReport(fused, weighed, fed, blend, depths, depth, policy, table.pair_ms)


def choose_value(
    lesson: Lesson, part: Part, tried: Sequence[float], present: Blend, depth: int
) -> ValueChoice:
    """Return the best value of a part with so many candidates scored, the least of equals.

    Args:
        lesson: what is learned from.
        part: of the blend; the other stays as it is.
        tried: values beside the present one.
        present: the blend as it is.
        depth: candidates scored.
    """
    values = sorted({present.part(part), *tried})
    blends = [present.with_part(part, value) for value in values]
    gains = np.array([lesson.table.gains(blend, depth) for blend in blends])
    now = lesson.table.gains(present, depth)
    held_out = lesson.held_out(lambda train: gains[int(gains[:, train].mean(axis=1).argmax())])
    p_values = randomisation_test((gains - now).T)
    rows = zip(values, gains, p_values, strict=True)
    return ValueChoice(
        part,
        [ValueRow(value, _mean(row), _mean(row - now), float(p)) for value, row, p in rows],
        present.part(part),
        values[int(gains.mean(axis=1).argmax())],
        _mean(held_out),
        _mean(held_out - now),
        _p(held_out - now),
    )


def choose_depth(lesson: Lesson, blend: Blend, most: int) -> DepthChoice:
    """Return the least depth whose loss, one standard error on top, stays in the tolerance."""
    table = lesson.table
    shares = {max(LEAST_DEPTH, round(share * most)) for share in _SHARES}
    depths = sorted(depth for depth in shares | {most} if depth <= most)
    full, pairs = table.gains(blend, most), table.pairs(most)
    lost = np.array([table.gains(blend, depth) - full for depth in depths])

    def choose(train: NDArray[np.bool_]) -> int:
        # The deepest loses nothing.
        return next(number for number, row in enumerate(lost) if lesson.bears(row[train]))

    rows = []
    for depth, row, p in zip(depths, lost, randomisation_test(lost.T), strict=True):
        saved = _mean(pairs - table.pairs(depth))
        rows.append(
            DepthRow(
                depth,
                _mean(full + row),
                _mean(row),
                float(p),
                pairs_saved=saved / _mean(pairs),
                saved_ms=saved * table.pair_ms,
            )
        )
    held_out = lesson.held_out(lambda train: lost[choose(train)])
    return DepthChoice(rows, rows[choose(lesson.everyone)], _mean(held_out))


def choose_policy(lesson: Lesson, blend: Blend, depth: int) -> PolicyChoice:
    """Return the policy that saves most pairs, and what one so chosen does to other queries."""
    table = lesson.table
    rules = _possible_rules(table, depth)
    used = lesson.held_out(
        lambda train: table.depths(_fit_policy(lesson, rules, blend, depth, train), depth)
    )
    pairs = table.pairs(depth)
    lost = table.gains_at(blend, used) - table.gains(blend, depth)
    saved = pairs - np.minimum(pairs, used)
    return PolicyChoice(
        DepthPolicy(_fit_policy(lesson, rules, blend, depth, lesson.everyone)),
        _mean(lost),
        _p(lost),
        pairs_saved=float(saved.sum() / pairs.sum()),
        queries_cut=_mean(saved > 0),
        saved_ms=_mean(saved) * table.pair_ms,
    )


def _possible_rules(table: RerankTable, depth: int) -> list[DepthRule]:
    """Return every rule that is tried: its thresholds are quantiles of what the queries have.

    One that holds for every query is none: it would be a lesser depth.
    """
    agreements, margins = (
        sorted({0.0, *(round(float(value), 3) for value in np.quantile(values, _QUANTILES))})
        for values in (table.agreement, table.margin)
    )
    depths = sorted({max(LEAST_DEPTH, round(share * depth)) for share in _SHARES})
    rules = [
        DepthRule(agreement, margin, less)
        for less, agreement, margin in product(depths, agreements, margins)
        if less < depth
    ]
    return [rule for rule in rules if not table.clear(rule).all()]


def _fit_policy(
    lesson: Lesson,
    rules: Sequence[DepthRule],
    blend: Blend,
    depth: int,
    train: NDArray[np.bool_],
) -> tuple[DepthRule, ...]:
    """Return up to two rules, each the one that saves most beside those before it."""
    table = lesson.table
    pairs, full = table.pairs(depth), table.gains(blend, depth)
    policy: tuple[DepthRule, ...] = ()
    saved = 0
    for _ in range(_RULES):
        best: tuple[int, DepthRule] | None = None
        for rule in rules:
            used = table.depths((*policy, rule), depth)
            less = int((pairs - np.minimum(pairs, used))[train].sum())
            if less <= (best[0] if best else saved + _WORTH * pairs[train].sum()):
                continue
            if lesson.bears((table.gains_at(blend, used) - full)[train]):
                best = less, rule
        if best is None:
            break
        saved, policy = best[0], (*policy, best[1])
    return policy


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean())


def _p(differences: Floats) -> float:
    return float(randomisation_test(differences[:, None])[0])
