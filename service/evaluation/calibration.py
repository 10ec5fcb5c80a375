"""Calibration: how a score becomes the chance that a judge calls the hit relevant.

Two ways are fitted. Platt's is a logistic curve, two numbers, steady with few judgements (Platt,
"Probabilistic Outputs for Support Vector Machines", 1999; by Newton's method as Lin, Lin and Weng,
"A Note on Platt's Probabilistic Outputs for Support Vector Machines", 2007, have it). Isotonic
regression is any curve that never falls, by pool-adjacent-violators (Zadrozny and Elkan,
"Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002). Which of
the two is better is told by queries that it was not fitted on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError
from service.evaluation.folds import deal_queries
from service.search.relevance import Calibration, Method

METHODS: Final[tuple[Method, ...]] = ("platt", "isotonic")
#: Parts of equal width of the scale of relevance, of the table and of the calibration error.
_BINS: Final = 10
#: A chance is never nearer to 0 or 1 than this in the log loss.
_CLOSEST: Final = 1e-9
_NEWTON_STEPS: Final = 100
_HALVINGS: Final = 40
_STEEP: Final = 1e-10
#: Digits kept of what is fitted: a card is read by people, and more of them are noise.
_DIGITS: Final = 6

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Scores of hits, whether each was judged relevant, and the number of its query.

    All three have shape (hits,).
    """

    scores: Floats
    relevant: NDArray[np.bool_]
    queries: NDArray[np.intp]

    def take(self, kept: NDArray[np.bool_]) -> "Sample":
        """Return some of the hits."""
        return Sample(self.scores[kept], self.relevant[kept], self.queries[kept])


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Hits whose relevance lies between two tenths: how many, its mean, the share relevant."""

    least: float
    most: float
    hits: int
    mean_relevance: float
    share_relevant: float

    def as_json(self) -> dict[str, float]:
        """Return the values, rounded to what they can bear."""
        return {
            "least": self.least,
            "most": self.most,
            "hits": self.hits,
            "mean_relevance": round(self.mean_relevance, 4),
            "share_relevant": round(self.share_relevant, 4),
        }


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well relevances agree with judgements; less is better in all three figures.

    ``brier`` is the mean squared distance from 0 or 1 (Brier 1950); ``calibration_error`` the
    expected distance between relevance and share relevant over ten bins of equal width (ECE; Guo
    and others, "On Calibration of Modern Neural Networks", ICML 2017); ``log_loss`` the mean of
    -ln of the chance given to what was judged.
    """

    brier: float
    calibration_error: float
    log_loss: float
    bins: tuple[ReliabilityBin, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures and the table."""
        return {
            "brier": round(self.brier, 5),
            "calibration_error": round(self.calibration_error, 5),
            "log_loss": round(self.log_loss, 5),
            "reliability": [each.as_json() for each in self.bins],
        }


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """A calibration of all queries, and what each method reaches on queries it has not seen.

    ``uninformed`` is what the share of relevant hits alone would reach, given to every hit.
    """

    calibration: Calibration
    held_out: Mapping[Method, Reliability]
    uninformed: Reliability
    queries: int
    hits: int
    relevant: int

    @property
    def reliability(self) -> Reliability:
        """Return what the chosen method reaches on queries it has not seen."""
        return self.held_out[self.calibration.method]

    def as_json(self) -> dict[str, Any]:
        """Return the figures, of all methods, with the table of the one chosen."""
        return {
            "queries": self.queries,
            "hits": self.hits,
            "relevant": self.relevant,
            **self.reliability.as_json(),
            "held_out": {
                method: {
                    name: figure
                    for name, figure in found.as_json().items()
                    if name != "reliability"
                }
                for method, found in [*self.held_out.items(), ("uninformed", self.uninformed)]
            },
        }


def fit_calibration(sample: Sample, source: str, *, folds: int, seed: int) -> CalibrationFit:
    """Fit both methods, and keep the one with the lower log loss on queries that it did not see.

    The queries are dealt to folds; each fold's hits are judged by what was fitted on the others'.
    Log loss decides, since nothing but the true chances makes it least; Platt's method wins ties.

    Args:
        sample: hits of all queries.
        source: where it came from, in words for whoever reads a relevance.
        folds: parts of the queries.
        seed: of the deal.

    Raises:
        InvalidInputError: fewer queries than folds, or none or all of the hits are relevant.
    """
    relevant = int(sample.relevant.sum())
    if relevant in {0, len(sample.scores)}:
        raise InvalidInputError(
            f"of {len(sample.scores)} hits {relevant} are relevant: nothing can be told apart",
            field="qrels",
            value=relevant,
            mend="judge more queries of this collection; --relevant-from says what is relevant",
        )
    numbers, query_of_hit = np.unique(sample.queries, return_inverse=True)
    fold_of_hit = deal_queries(len(numbers), folds, seed)[query_of_hit]
    held_out: dict[Method, Reliability] = {
        method: measure_reliability(_held_out(sample, method, fold_of_hit), sample.relevant)
        for method in METHODS
    }
    best = min(METHODS, key=lambda method: held_out[method].log_loss)
    share = np.full(len(sample.scores), relevant / len(sample.scores))
    return CalibrationFit(
        Calibration(best, _fit(sample, best), source),
        held_out,
        measure_reliability(share, sample.relevant),
        queries=len(numbers),
        hits=len(sample.scores),
        relevant=relevant,
    )


def relevances(calibration: Calibration, scores: Floats) -> Floats:
    """Return the relevance of every score, as a search would."""
    return np.array([calibration.relevance(float(score)) for score in scores])


def measure_reliability(relevance: Floats, relevant: NDArray[np.bool_]) -> Reliability:
    """Return how well relevances agree with judgements, both of shape (hits,)."""
    judged = relevant.astype(float)
    chance = np.clip(np.where(relevant, relevance, 1 - relevance), _CLOSEST, 1.0)
    place = np.minimum((relevance * _BINS).astype(int), _BINS - 1)
    bins = tuple(
        ReliabilityBin(
            least=number / _BINS,
            most=(number + 1) / _BINS,
            hits=int(inside.sum()),
            mean_relevance=float(relevance[inside].mean()),
            share_relevant=float(judged[inside].mean()),
        )
        for number in range(_BINS)
        if (inside := place == number).any()
    )
    error = sum(each.hits * abs(each.mean_relevance - each.share_relevant) for each in bins)
    return Reliability(
        brier=float(np.square(relevance - judged).mean()),
        calibration_error=error / len(judged),
        log_loss=float(-np.log(chance).mean()),
        bins=bins,
    )


def fit_platt(scores: Floats, targets: Floats) -> tuple[float, float]:
    """Return slope and intercept of the log-odds that make the targets most likely.

    The slope is 0 where a falling curve would fit best: a higher score must not become a lower
    relevance.

    Args:
        scores: of the hits.
        targets: chances, as ``smoothed_targets`` gives them.
    """
    middle, spread = float(scores.mean()), float(scores.std())
    slope, intercept = 0.0, _log_odds(float(targets.mean()))
    if spread == 0:
        return slope, intercept
    scaled = (scores - middle) / spread
    loss = _logistic_loss(scaled, targets, slope, intercept)
    for _ in range(_NEWTON_STEPS):
        chance = _logistic(slope * scaled + intercept)
        wrong, bend = chance - targets, chance * (1 - chance)
        gradient = np.array([wrong @ scaled, wrong.sum()])
        if np.abs(gradient).max() < _STEEP * len(scores):
            break
        curve = np.array([[bend @ (scaled * scaled), bend @ scaled], [bend @ scaled, bend.sum()]])
        step = np.linalg.solve(curve + 1e-12 * np.eye(2), gradient)
        for halving in range(_HALVINGS):
            tried = slope - step[0] / 2**halving, intercept - step[1] / 2**halving
            reached = _logistic_loss(scaled, targets, *tried)
            if reached < loss:
                break
        else:
            break
        (slope, intercept), loss = (float(tried[0]), float(tried[1])), reached
    if slope < 0:
        return 0.0, _log_odds(float(targets.mean()))
    return slope / spread, intercept - slope * middle / spread


def fit_isotonic(scores: Floats, targets: Floats) -> list[tuple[float, float]]:
    """Return points of the curve that never falls and is nearest to the targets.

    Neighbours that fall are pooled until none do; of every pool its first and its last score are
    points, so that a search joins two pools by a straight line.

    Args:
        scores: of the hits.
        targets: chances, as ``smoothed_targets`` gives them.
    """
    found, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    sums = np.bincount(place, weights=targets)
    # Each pool: sum of its targets, number of its hits, first score, last score.
    pools: list[tuple[float, int, float, float]] = []
    for score, total, count in zip(found, sums, counts, strict=True):
        pool = float(total), int(count), float(score), float(score)
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            before = pools.pop()
            pool = before[0] + pool[0], before[1] + pool[1], before[2], pool[3]
        pools.append(pool)
    return [
        (score, total / count)
        for total, count, first, last in pools
        for score in ([first] if first == last else [first, last])
    ]


def smoothed_targets(relevant: NDArray[np.bool_]) -> Floats:
    """Return a chance for every judgement, a little inside 0 and 1 as Platt has it.

    One more of either kind is thought of, so that few judgements never make anything certain.
    """
    count, judged = len(relevant), int(relevant.sum())
    return np.where(relevant, (judged + 1) / (judged + 2), 1 / (count - judged + 2))


def _fit(sample: Sample, method: Method) -> tuple[tuple[float, float], ...]:
    """Return the points of a method's calibration, rounded so that they can be read."""
    targets = smoothed_targets(sample.relevant)
    if method == "platt":
        slope, intercept = fit_platt(sample.scores, targets)
        return ((_rounded(slope), _rounded(intercept)),)
    points = [(_rounded(x), _rounded(y)) for x, y in fit_isotonic(sample.scores, targets)]
    # Of scores that rounding made one, the last.
    return tuple(one for one, other in pairwise([*points, (np.inf, 1.0)]) if one[0] < other[0])


def _held_out(sample: Sample, method: Method, fold_of_hit: NDArray[np.integer[Any]]) -> Floats:
    """Return each hit's relevance by what was fitted on the other folds' queries."""
    values = np.zeros(len(sample.scores))
    for fold in range(int(fold_of_hit.max()) + 1):
        inside = fold_of_hit == fold
        fitted = Calibration(method, _fit(sample.take(~inside), method), "the other folds")
        values[inside] = relevances(fitted, sample.scores[inside])
    return values


def _logistic(values: Floats) -> Floats:
    odds: Floats = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + odds), odds / (1 + odds))


def _logistic_loss(scores: Floats, targets: Floats, slope: float, intercept: float) -> float:
    values = slope * scores + intercept
    return float((np.logaddexp(0.0, values) - targets * values).sum())


def _log_odds(chance: float) -> float:
    return float(np.log(chance / (1 - chance)))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
