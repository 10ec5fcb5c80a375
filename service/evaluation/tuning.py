"""Tuning: the settings of the candidate stage that serve judged queries best in the time allowed.

The database is asked each stage's lists once for every setting of that stage; every fusion of them
is computed here. The choice is by cross-validation: settings are chosen on some of the queries and
judged by the others, so that what is told is what a choice of this kind gains on queries that it
did not see (Stone, "Cross-Validatory Choice and Assessment of Statistical Predictions", 1974).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError
from service.evaluation.candidate_lists import CandidateStage, Parameters, StageAnswers
from service.evaluation.folds import deal_queries
from service.evaluation.fusion import FUSIONS, RRF, FusionTable
from service.evaluation.judgements import Judgements

_DEPTH: Final = 10
_WEIGHTS: Final = tuple(round(0.1 * tenth, 1) for tenth in range(1, 10))


@dataclass(frozen=True, slots=True)
class Tunable:
    """A parameter that tuning searches, what it changes, and the values tried unless others are.

    One that changes a stage is asked of the database; one that changes the fusion is computed.
    None among the values leaves the parameter to the profile.
    """

    name: str
    changes: Literal["lexical", "vector", "both", "fusion"]
    values: tuple[Any, ...]


#: Every parameter that is searched. How many candidates are returned changes what callers get, so
#: that it is searched only where values for it are given.
TUNABLES: Final = (
    Tunable("heading_weight", "lexical", (1.0, 2.0)),
    Tunable("posting_budget", "lexical", (5_000, 20_000)),
    Tunable("ef_search", "vector", (None, 100, 200)),
    Tunable("stage_candidates", "both", (100, 200)),
    Tunable("candidates", "both", (100,)),
    Tunable("fusion", "fusion", FUSIONS),
    Tunable("lexical_weight", "fusion", _WEIGHTS),
    Tunable("rrf_k", "fusion", (10, 60)),
)

Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Trials:
    """Every setting that was tried, with each query's nDCG@10 and the time of the whole stage.

    ``gains`` has shape (settings, queries). ``p95_ms`` is over all queries: time is no judgement,
    so that a look at it makes no choice optimistic.
    """

    settings: list[dict[str, Any]]
    gains: NDArray[np.float64]
    p95_ms: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """The best settings that take no longer than ``p95_ms``.

    ``mean`` is their nDCG@10 over all queries, among which they were chosen; ``held_out`` are the
    values of every query by settings chosen, in the same time, without it.
    """

    setting: dict[str, Any]
    p95_ms: float
    mean: float
    held_out: NDArray[np.float64]

    @property
    def cross_validated(self) -> float:
        """Return the mean over queries that the settings were not chosen by."""
        return float(self.held_out.mean())

    @property
    def standard_error(self) -> float:
        """Return the standard error of that mean."""
        return float(self.held_out.std(ddof=1) / np.sqrt(len(self.held_out)))


def make_grid(given: Grid, profile: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values to try of every parameter: those given, else the usual and the profile's.

    Raises:
        InvalidInputError: values are given for something else.
    """
    unknown = given.keys() - {tunable.name for tunable in TUNABLES}
    if unknown:
        name = min(unknown)
        raise InvalidInputError(
            f"{name!r} is not searched",
            field="values",
            value=name,
            mend=f"give values for {', '.join(tunable.name for tunable in TUNABLES)}",
        )
    grid = {}
    for tunable in TUNABLES:
        usual = list(tunable.values)
        current = profile.get(tunable.name)
        if current is not None:
            others = usual if len(usual) > 1 else []
            usual = [current, *(value for value in others if value not in {None, current})]
        grid[tunable.name] = list(given.get(tunable.name, usual))
    return grid


def passes(grid: Grid) -> int:
    """Return how often every query is asked to try a grid."""
    sizes = len(_sizes(grid))
    return sizes * (len(_stage_settings(grid, "lexical")) + len(_stage_settings(grid, "vector")))


def searched(setting: Mapping[str, Any], grid: Grid, given: Grid) -> dict[str, Any]:
    """Return of a setting what was searched, or given: the rest is as the profile has it."""
    return {
        name: value
        for name, value in setting.items()
        if value is not None and (len(grid[name]) > 1 or name in given)
    }


def try_settings(
    stage: CandidateStage,
    judgements: Judgements,
    grid: Grid,
    beside_stages: NDArray[np.float64],
) -> Trials:
    """Ask for the lists of every stage's settings, and fuse them in every way of the grid.

    Args:
        stage: asked every query once in each pass.
        judgements: of the same queries.
        grid: values of every tunable parameter.
        beside_stages: milliseconds that a search of each query takes beside its two stages.
    """
    settings: list[dict[str, Any]] = []
    gains: list[NDArray[np.float64]] = []
    p95: list[float] = []
    fusions = _fusions(grid)
    for size in _sizes(grid):
        offered = max(size["stage_candidates"], size["candidates"])
        wanted = {"candidates": offered, "stage_candidates": offered}
        lexical = _answers(stage, "lexical", _stage_settings(grid, "lexical"), wanted)
        nearest = _answers(stage, "vector", _stage_settings(grid, "vector"), wanted)
        for (words, found), (near, met) in product(lexical, nearest):
            table = FusionTable(found.lists, met.lists)
            judged = JudgedTable(table, judgements)
            took = np.percentile(found.milliseconds + met.milliseconds + beside_stages, 95)
            for fusion in fusions:
                settings.append({**words, **near, **size, **fusion})
                gains.append(judged.ndcg(fusion, min(_DEPTH, size["candidates"])))
                p95.append(float(took))
    return Trials(settings, np.array(gains), np.array(p95))


class JudgedTable:
    """A table of lists with the judgements beside every document of it."""

    def __init__(self, table: FusionTable, judgements: Judgements) -> None:
        self._table = table
        relevance = list(judgements.relevance.values())
        width = max((len(table.documents(number)) for number in range(len(relevance))), default=0)
        # One column more, for places in a ranking that no document takes.
        self._grades = np.zeros((len(relevance), width + 1))
        for number, grades in enumerate(relevance):
            found = [max(0, grades.get(name, 0)) for name in table.documents(number)]
            self._grades[number, : len(found)] = found
        self._ideal = np.array(
            [discounted_gain(sorted(each.values(), reverse=True)) for each in relevance]
        )

    def ndcg(self, fusion: Parameters, depth: int) -> NDArray[np.float64]:
        """Return each query's nDCG@10 where only the first ``depth`` documents are returned."""
        order = self._table.order(
            fusion["fusion"], fusion["lexical_weight"], fusion["rrf_k"] or 1, depth
        )
        grades = np.take_along_axis(self._grades, order, axis=1)
        discounts = 1 / np.log2(np.arange(2, grades.shape[1] + 2))
        values: NDArray[np.float64] = grades @ discounts / self._ideal
        return values


def discounted_gain(grades: Sequence[float]) -> float:
    """Return the gain of the first ten grades of a ranking, linear, discounted by log2 of rank."""
    return float(
        sum(max(0, grade) / np.log2(rank + 1) for rank, grade in enumerate(grades[:_DEPTH], 1))
    )


def _answers(
    stage: CandidateStage,
    name: Literal["lexical", "vector"],
    settings: Sequence[dict[str, Any]],
    size: Parameters,
) -> list[tuple[dict[str, Any], StageAnswers]]:
    return [(setting, stage.lists(name, {**setting, **size})) for setting in settings]


def _sizes(grid: Grid) -> list[dict[str, Any]]:
    """Return the sizes that differ: a stage offers at least what is returned."""
    found = {
        (max(offered, returned), returned): {"stage_candidates": offered, "candidates": returned}
        for offered, returned in product(grid["stage_candidates"], grid["candidates"])
    }
    return list(found.values())


def _stage_settings(grid: Grid, changes: str) -> list[dict[str, Any]]:
    names = [tunable.name for tunable in TUNABLES if tunable.changes == changes]
    values = product(*(grid[name] for name in names))
    return [dict(zip(names, each, strict=True)) for each in values]


def _fusions(grid: Grid) -> list[dict[str, Any]]:
    """Return every way to fuse once; only ``rrf`` has a k."""
    found: list[dict[str, Any]] = []
    for fusion, weight in product(grid["fusion"], grid["lexical_weight"]):
        found.extend(
            {"fusion": fusion, "lexical_weight": weight, "rrf_k": k}
            for k in (grid["rrf_k"] if fusion == RRF else [None])
        )
    return found


def pareto_points(
    trials: Trials, folds: int, seed: int, limit_ms: float | None = None
) -> list[FrontPoint]:
    """Return the front of nDCG@10 against time, fastest first, each point cross-validated.

    Args:
        trials: what was tried.
        folds: parts that the queries are dealt to; each is judged by the settings that are best on
            the others.
        seed: of the deal.
        limit_ms: settings with a higher p95 are left out.

    Raises:
        InvalidInputError: nothing is as fast as that, or there are fewer queries than folds.
    """
    deal = deal_queries(trials.gains.shape[1], folds, seed)
    fastest = float(trials.p95_ms.min())
    if limit_ms is not None and fastest > limit_ms:
        raise InvalidInputError(
            f"the fastest settings have a p95 of {fastest:.1f} ms",
            field="latency_limit_ms",
            value=limit_ms,
            mend="raise the limit, or try fewer candidates or a smaller posting_budget",
        )
    means = trials.gains.mean(axis=1, dtype=np.float64)
    points: list[FrontPoint] = []
    for number in np.lexsort((-means, trials.p95_ms)):
        took = float(trials.p95_ms[number])
        if limit_ms is not None and took > limit_ms:
            break
        if points and means[number] <= points[-1].mean + 1e-9:
            continue
        held_out = _held_out(trials, trials.p95_ms <= took, deal)
        point = FrontPoint(trials.settings[number], took, float(means[number]), held_out)
        points.append(point)
    return points


def _held_out(
    trials: Trials, allowed: NDArray[np.bool_], deal: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Return each query's value by the settings that are best on the other folds' queries."""
    # The faster of two that are as good comes first, which is the one that argmax takes.
    order = np.flatnonzero(allowed)[np.argsort(trials.p95_ms[allowed], kind="stable")]
    gains = trials.gains[order]
    values = np.zeros(gains.shape[1])
    for fold in range(int(deal.max()) + 1):
        best = int(gains[:, deal != fold].mean(axis=1, dtype=np.float64).argmax())
        values[deal == fold] = gains[best, deal == fold]
    return values
