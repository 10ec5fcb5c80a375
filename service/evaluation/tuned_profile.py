"""Tuned profile: from trials to one profile, searched for real and held against the present one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.evaluation.candidate_lists import CandidateStage, Parameters
from service.evaluation.comparison import LEADING
from service.evaluation.judgements import Judgements
from service.evaluation.metrics import measure_run
from service.evaluation.significance import randomisation_test
from service.evaluation.tuning import (
    FrontPoint,
    Grid,
    pareto_points,
    passes,
    searched,
    try_settings,
)

#: Whole searches of every query: to warm up, with the profile as it is, and with what was chosen.
_WHOLE_SEARCHES = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """Whole searches of all queries: each one's nDCG@10, and the p95 of their milliseconds."""

    gains: NDArray[np.float64]
    p95_ms: float

    @property
    def mean(self) -> float:
        """Return the mean nDCG@10."""
        return float(self.gains.mean())


@dataclass(frozen=True, slots=True)
class FrontRow:
    """A point of the front beside the profile as it is: gain and p on queries it did not see."""

    point: FrontPoint
    gain: float
    p: float


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What tuning found: the front, the row of it that was chosen, and both profiles searched.

    ``parameters`` are those of the chosen row that were searched; the rest stays as it is.
    """

    front: list[FrontRow]
    chosen: FrontRow
    parameters: dict[str, Any]
    before: Measured
    after: Measured

    def objection(self, significance: float, limit_ms: float | None) -> str | None:
        """Return why the chosen settings must not become the profile; None: they may."""
        if self.chosen.gain <= 0:
            return "on queries that did not choose it, it is no better than the profile as it is"
        if self.chosen.p >= significance:
            return (
                "its gain on queries that did not choose it may be luck: "
                f"p is {self.chosen.p:.3f}, not below {significance:g}"
            )
        if self.after.mean <= self.before.mean:
            return "searches with it are no better than with the profile as it is"
        if limit_ms is not None and self.after.p95_ms > limit_ms:
            return f"searches with it have a p95 of {self.after.p95_ms:.1f} ms"
        return None


def answers_needed(grid: Grid, queries: int) -> int:
    """Return how many answers ``tune_profile`` asks the database for."""
    return (passes(grid) + _WHOLE_SEARCHES) * queries


def tune_profile(
    stage: CandidateStage,
    judgements: Judgements,
    grid: Grid,
    given: Grid,
    *,
    folds: int,
    seed: int,
    limit_ms: float | None,
) -> TuningReport:
    """Try a grid, choose by cross-validation, and search with what was chosen.

    The point with the best mean on queries that did not choose it is taken, the fastest of equals.

    Args:
        stage: asks the judged queries, in their order.
        judgements: what is relevant to them.
        grid: values of every tunable parameter.
        given: the part of the grid that the caller gave.
        folds: of the cross-validation.
        seed: of its deal.
        limit_ms: p95 that the whole stage may have.

    Raises:
        InvalidInputError: nothing is as fast as the limit, or queries are fewer than folds.
    """
    stage.search({})  # warms caches, so that no setting pays for being first
    now = stage.search({})
    before = _measured(judgements, now.rankings, now.milliseconds)
    trials = try_settings(stage, judgements, grid, now.beside_stages)
    front = [
        FrontRow(point, float(difference.mean()), _p_value(difference))
        for point in pareto_points(trials, folds, seed, limit_ms)
        for difference in [point.held_out - before.gains]
    ]
    chosen = max(front, key=lambda row: row.point.cross_validated)
    parameters = searched(chosen.point.setting, grid, given)
    then = stage.search(parameters)
    after = _measured(judgements, then.rankings, then.milliseconds)
    return TuningReport(front, chosen, parameters, before, after)


def tuned_values(profile: Parameters, parameters: Parameters) -> dict[str, Any]:
    """Return a profile's values with the chosen parameters; a k that nothing reads is left out."""
    values = {**profile, **parameters}
    if values.get("fusion", "rrf") != "rrf":
        values.pop("rrf_k", None)
    return values


def _measured(
    judgements: Judgements, rankings: dict[str, list[str]], milliseconds: NDArray[np.float64]
) -> Measured:
    quality = measure_run(judgements.relevance, rankings)
    gains = [quality.per_query[query][LEADING] for query in judgements.queries]
    return Measured(np.array(gains), float(np.percentile(milliseconds, 95)))


def _p_value(differences: NDArray[np.float64]) -> float:
    return float(randomisation_test(differences[:, None])[0])
