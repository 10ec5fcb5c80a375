"""Comparison: every run against a baseline, query by query."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from service.evaluation.evaluation import EvaluationReport, RunReport
from service.evaluation.metrics import MEASURES
from service.evaluation.significance import holm, randomisation_test

#: The measure that wins and losses are listed by.
LEADING: Final = "nDCG@10"
#: Two values of one query closer than this are a tie: they differ by rounding alone.
_TIE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """How a run differs from the baseline by one measure.

    ``mean`` is run less baseline; ``p`` by the paired randomisation test, ``p_holm`` the same
    corrected for there being several runs. ``wins`` counts the queries that the run is better at.
    """

    mean: float
    p: float
    p_holm: float
    wins: int
    losses: int
    ties: int

    def as_json(self) -> dict[str, float]:
        """Return the figures, rounded to what they can bear."""
        return {
            "mean": round(self.mean, 5),
            "p": round(self.p, 6),
            "p_holm": round(self.p_holm, 6),
            "wins": self.wins,
            "losses": self.losses,
            "ties": self.ties,
        }


@dataclass(frozen=True, slots=True)
class QueryDifference:
    """One query's values of the leading measure."""

    query: str
    run: float
    baseline: float

    @property
    def difference(self) -> float:
        """Return run less baseline."""
        return self.run - self.baseline

    def as_json(self) -> dict[str, Any]:
        """Return the values, rounded to what they can bear."""
        return {
            "query": self.query,
            "run": round(self.run, 5),
            "baseline": round(self.baseline, 5),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run against the baseline: by measure, and by query from the greatest gain to loss."""

    run: str
    baseline: str
    measures: dict[str, Difference]
    queries: tuple[QueryDifference, ...]

    def largest(self, count: int) -> list[QueryDifference]:
        """Return the queries that differ most, either way, largest first."""
        changed = [query for query in self.queries if abs(query.difference) > _TIE]
        return sorted(changed, key=lambda query: -abs(query.difference))[:count]

    def as_json(self, queries: int) -> dict[str, Any]:
        """Return the figures, with so many of the queries that differ most."""
        return {
            "baseline": self.baseline,
            "measures": {name: value.as_json() for name, value in self.measures.items()},
            "queries": [query.as_json() for query in self.largest(queries)],
        }


def compare_runs(report: EvaluationReport, baseline: str) -> dict[str, Comparison]:
    """Compare every other run of a report with the baseline, over the same queries."""
    others = [name for name in report.runs if name != baseline]
    base = report.runs[baseline]
    found = {name: _differences(report.runs[name], base) for name in others}
    p_values = {name: randomisation_test(found[name]) for name in others}
    corrected = {
        measure: holm([float(p_values[name][number]) for name in others])
        for number, measure in enumerate(MEASURES)
    }
    return {
        name: Comparison(
            run=name,
            baseline=baseline,
            measures={
                measure: Difference(
                    mean=float(column.mean()),
                    p=float(p_values[name][number]),
                    p_holm=corrected[measure][place],
                    wins=int((column > _TIE).sum()),
                    losses=int((column < -_TIE).sum()),
                    ties=int((np.abs(column) <= _TIE).sum()),
                )
                for number, (measure, column) in enumerate(
                    zip(MEASURES, found[name].T, strict=True)
                )
            },
            queries=_queries(report.runs[name], base),
        )
        for place, name in enumerate(others)
    }


def _differences(run: RunReport, base: RunReport) -> np.ndarray[tuple[int, int], np.dtype[Any]]:
    """Return run less baseline, shape (queries, measures)."""
    return np.array(
        [
            [values[measure] - base.quality.per_query[query][measure] for measure in MEASURES]
            for query, values in run.quality.per_query.items()
        ]
    )


def _queries(run: RunReport, base: RunReport) -> tuple[QueryDifference, ...]:
    found: Sequence[QueryDifference] = [
        QueryDifference(query, values[LEADING], base.quality.per_query[query][LEADING])
        for query, values in run.quality.per_query.items()
    ]
    return tuple(sorted(found, key=lambda query: -query.difference))
