"""Relevance: the chance, 0 to 1, that a judge would call a hit relevant, from a score.

A score orders the hits of one query; what it is worth differs from model to model. A calibration
was fitted on judgements (``service/evaluation/calibration.py``) and says for one score of one model
how often documents with it were relevant. ``service/collections/learned.py`` reads a collection's.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Self

from service.errors import InvalidInputError

Method = Literal["platt", "isotonic"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a score becomes a relevance; a higher score never becomes a lower one.

    ``points`` are, by method: "platt": one pair, slope and intercept of the log-odds; "isotonic":
    pairs of score and relevance, both increasing, joined by straight lines, flat beyond the ends.
    ``source`` says where it came from, in words for whoever reads a hit's relevance.
    """

    method: Method
    points: tuple[tuple[float, float], ...]
    source: str

    def __post_init__(self) -> None:
        if wrong := _wrong(self.method, self.points):
            raise InvalidInputError(
                f"no calibration: {wrong}",
                field="calibration",
                value=[self.method, *self.points][:8],
                mend="fit one with 'rankgres calibrate', or take it out",
            )

    def relevance(self, score: float) -> float:
        """Return the relevance of a hit with that score."""
        if self.method == "platt":
            slope, intercept = self.points[0]
            return _logistic(slope * score + intercept)
        place = bisect_right(self.points, score, key=lambda point: point[0])
        if place == 0:
            return self.points[0][1]
        if place == len(self.points):
            return self.points[-1][1]
        (low, below), (high, above) = self.points[place - 1], self.points[place]
        return below + (above - below) * (score - low) / (high - low)

    def as_json(self) -> dict[str, Any]:
        """Return the form that a model's card and ``rankgres calibrate --print`` have."""
        return {
            "method": self.method,
            "points": [list(point) for point in self.points],
            "source": self.source,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``as_json`` wrote.

        Raises:
            InvalidInputError: the values are no calibration.
        """
        try:
            points = tuple((float(x), float(y)) for x, y in values["points"])
            return cls(values["method"], points, str(values["source"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"no calibration: {error!r}",
                field="calibration",
                mend="write method, points and source as 'rankgres calibrate --print' does",
            ) from None


@dataclass(frozen=True, slots=True)
class Judged:
    """A hit's relevance and where it came from; both None where nothing can tell."""

    relevance: float | None = None
    source: str | None = None


#: Of a hit that no calibration was fitted for.
UNJUDGED = Judged()


@dataclass(frozen=True, slots=True)
class Calibrations:
    """What a search's hits are judged by: ``rerank`` those reranked, ``fused`` the others."""

    rerank: Calibration | None = None
    fused: Calibration | None = None

    def judge(self, fused_score: float, rerank_score: float | None) -> Judged:
        """Return the relevance of a hit, from the reranker's raw score where it has one.

        A reranked hit is not judged by its fused score where its model has no calibration: two
        kinds of judging in one list would not compare.
        """
        calibration, score = (
            (self.fused, fused_score) if rerank_score is None else (self.rerank, rerank_score)
        )
        if calibration is None:
            return UNJUDGED
        return Judged(calibration.relevance(score), calibration.source)


def _wrong(method: str, points: tuple[tuple[float, float], ...]) -> str | None:
    """Return what keeps points from being a calibration's; None: nothing."""
    if not points or not all(math.isfinite(value) for point in points for value in point):
        return "it needs points, and finite ones"
    if method == "platt":
        fine = len(points) == 1 and points[0][0] >= 0
        return None if fine else "platt has one point, with a slope of 0 or more"
    if method != "isotonic":
        return f"there is no method {method!r}"
    rising = all(
        after[0] > before[0] and after[1] >= before[1] for before, after in pairwise(points)
    )
    fine = rising and points[0][1] >= 0 and points[-1][1] <= 1
    return None if fine else "isotonic points must increase, and a relevance is between 0 and 1"


def _logistic(value: float) -> float:
    # Either form overflows on the other side.
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    odds = math.exp(value)
    return odds / (1 + odds)
