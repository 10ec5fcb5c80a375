"""Plots: where the marks of the report's drawings stand, in the units of their own SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from service.evaluation.calibration import Reliability, ReliabilityBin
from service.evaluation.comparison import Comparison

#: Size of every drawing, and what its axes and their words take of it.
WIDTH: Final = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 28, 46
_SCATTER_HEIGHT: Final = 380
_BARS_HEIGHT: Final = 190
#: A reliability diagram is as high as wide inside; its discs are no smaller, and no larger.
_RELIABILITY_WIDTH: Final = 420
_DISCS: Final = (3.0, 14.0)
#: Of the words beside a point: a letter's width, a line's height, the gap to the point.
_LETTER, _LINE, _GAP = 7.2, 15.0, 9.0
_STEPS: Final = (1, 2, 5)
#: Where an axis spans less than a power of ten.
_FINE_STEPS: Final = (1, 1.5, 2, 3, 4, 5, 7)
#: How far the axis of the differences may reach.
_BOUNDS: Final = (0.1, 0.2, 0.5, 1.0)


class Tick(NamedTuple):
    """A place on an axis and what is written there."""

    place: float
    text: str


class Outcome(NamedTuple):
    """What a scatter shows of a run: less time and more gain are better."""

    name: str
    milliseconds: float
    gain: float


@dataclass(frozen=True, slots=True)
class Point:
    """A run in the plane: its place, where its name stands, and whether it is on the front."""

    outcome: Outcome
    x: float
    y: float
    text_x: float
    text_y: float
    anchor: str
    on_front: bool


@dataclass(frozen=True, slots=True)
class Scatter:
    """Gain against time, the time's axis by powers of ten."""

    width: int
    height: int
    box: tuple[float, float, float, float]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    points: tuple[Point, ...]
    front: str


class Bar(NamedTuple):
    """One query's difference."""

    x: float
    y: float
    width: float
    height: float
    query: str
    difference: float


@dataclass(frozen=True, slots=True)
class Bars:
    """The differences of all queries, from the greatest gain to the greatest loss."""

    width: int
    height: int
    box: tuple[float, float, float, float]
    zero: float
    y_ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]


class Disc(NamedTuple):
    """A tenth of relevance: its place, its size by how many hits it has, and the hits."""

    x: float
    y: float
    radius: float
    bin: ReliabilityBin


@dataclass(frozen=True, slots=True)
class ReliabilityDiagram:
    """The share of relevant hits against their relevance: on the diagonal where it is true."""

    width: int
    height: int
    box: tuple[float, float, float, float]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    discs: tuple[Disc, ...]


def pareto_front(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes that no other beats in time and gain at once, fastest first."""
    front: list[Outcome] = []
    for outcome in sorted(outcomes, key=lambda each: (each.milliseconds, -each.gain, each.name)):
        if not front or outcome.gain > front[-1].gain:
            front.append(outcome)
    return front


def draw_scatter(outcomes: Sequence[Outcome]) -> Scatter:
    """Return the drawing of at least one outcome, the Pareto front among them as a line."""
    left, right, top, bottom = _box(_SCATTER_HEIGHT)
    times = [max(outcome.milliseconds, 0.01) for outcome in outcomes]
    low, high = math.log10(min(times)) - 0.12, math.log10(max(times)) + 0.12
    least, most = _spread([outcome.gain for outcome in outcomes])

    def x(outcome: Outcome) -> float:
        place = math.log10(max(outcome.milliseconds, 0.01))
        return left + (right - left) * (place - low) / (high - low)

    def y(gain: float) -> float:
        return bottom - (bottom - top) * (gain - least) / (most - least)

    front = pareto_front(outcomes)
    places = [(outcome, x(outcome), y(outcome.gain)) for outcome in outcomes]
    names = _place_names(places, right)
    return Scatter(
        width=WIDTH,
        height=_SCATTER_HEIGHT,
        box=(left, right, top, bottom),
        x_ticks=tuple(
            Tick(left + (right - left) * (math.log10(value) - low) / (high - low), f"{value:g}")
            for value in _powers(low, high)
        ),
        y_ticks=tuple(Tick(y(value), f"{value:.3f}") for value in _rounds(least, most)),
        points=tuple(
            Point(outcome, across, down, *name, on_front=outcome in front)
            for (outcome, across, down), name in zip(places, names, strict=True)
        ),
        front=" ".join(f"{x(outcome):.1f},{y(outcome.gain):.1f}" for outcome in front),
    )


def draw_bars(comparison: Comparison) -> Bars:
    """Return the drawing of a comparison's differences, a bar for every query that has one."""
    left, right, top, bottom = _box(_BARS_HEIGHT)
    differences = [query.difference for query in comparison.queries]
    widest = max(abs(value) for value in differences)
    bound = next((bound for bound in _BOUNDS if bound >= widest), widest)
    zero, scale = (top + bottom) / 2, (bottom - top) / 2 / bound
    width = (right - left) / len(differences)
    return Bars(
        width=WIDTH,
        height=_BARS_HEIGHT,
        box=(left, right, top, bottom),
        zero=zero,
        y_ticks=tuple(
            Tick(zero - scale * value, f"{value:+.2f}" if value else "0")
            for value in (-bound, -bound / 2, 0.0, bound / 2, bound)
        ),
        bars=tuple(
            Bar(
                x=left + place * width,
                y=min(zero, zero - scale * query.difference),
                # Where they are many, bars touch; where they are few, they stand apart.
                width=max(width * 0.85, width - 1.5),
                height=abs(scale * query.difference),
                query=query.query,
                difference=query.difference,
            )
            for place, query in enumerate(comparison.queries)
            if query.difference
        ),
    )


def draw_reliability(reliability: Reliability) -> ReliabilityDiagram:
    """Return the drawing of a table of reliability; a disc's area goes by the logarithm of hits."""
    height = _RELIABILITY_WIDTH - _LEFT - _RIGHT + _TOP + _BOTTOM
    left, right, top, bottom = _box(height, _RELIABILITY_WIDTH)
    most = max(math.log1p(each.hits) for each in reliability.bins)
    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

    def x(value: float) -> float:
        return left + (right - left) * value

    def y(value: float) -> float:
        return bottom - (bottom - top) * value

    return ReliabilityDiagram(
        width=_RELIABILITY_WIDTH,
        height=height,
        box=(left, right, top, bottom),
        x_ticks=tuple(Tick(x(value), f"{value:g}") for value in ticks),
        y_ticks=tuple(Tick(y(value), f"{value:g}") for value in ticks),
        discs=tuple(
            Disc(
                x(each.mean_relevance),
                y(each.share_relevant),
                max(_DISCS[0], _DISCS[1] * math.sqrt(math.log1p(each.hits) / most)),
                each,
            )
            for each in reliability.bins
        ),
    )


def _box(height: int, width: int = WIDTH) -> tuple[float, float, float, float]:
    return float(_LEFT), float(width - _RIGHT), float(_TOP), float(height - _BOTTOM)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis with some air around all values."""
    air = max(0.01, 0.15 * (max(values) - min(values)))
    return max(0.0, min(values) - air), max(values) + air


def _powers(low: float, high: float) -> list[float]:
    """Return round numbers between two logarithms; the middle where there is none."""
    found = [
        step * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for step in (_STEPS if high - low > 1 else _FINE_STEPS)
        if low <= math.log10(step * 10.0**power) <= high
    ]
    return found or [float(f"{10 ** ((low + high) / 2):.1g}")]


def _rounds(least: float, most: float) -> list[float]:
    """Return about five round numbers between two."""
    rough = (most - least) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (*_STEPS, 10) if step * power >= rough)
    first = math.ceil(least / step)
    return [number * step for number in range(first, math.floor(most / step) + 1)]


def _place_names(
    places: Sequence[tuple[Outcome, float, float]], right: float
) -> list[tuple[float, float, str]]:
    """Return where each name stands: beside its point, and over no other name or point."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for _, x, y in places]
    names = []
    for outcome, x, y in places:
        width = _LETTER * len(outcome.name)
        choices = [
            (x + _GAP, y + 4, "start"),
            (x - _GAP, y + 4, "end"),
            (x, y - _GAP - 2, "middle"),
            (x, y + _GAP + 10, "middle"),
        ]
        boxes = [_text_box(choice, width) for choice in choices]
        free = [
            number
            for number, box in enumerate(boxes)
            if box[0] >= 0 and box[2] <= right + _RIGHT and not any(_meet(box, t) for t in taken)
        ]
        chosen = free[0] if free else 0
        taken.append(boxes[chosen])
        names.append(choices[chosen])
    return names


def _text_box(choice: tuple[float, float, str], width: float) -> tuple[float, float, float, float]:
    x, y, anchor = choice
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return left, y - _LINE + 3, left + width, y + 3


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
