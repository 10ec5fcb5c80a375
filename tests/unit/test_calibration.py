"""Calibration: the fits against their definitions, and what is told of them."""

import math
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.calibrate import card_line
from service.errors import InvalidInputError
from service.evaluation.calibration import (
    Sample,
    fit_calibration,
    fit_isotonic,
    fit_platt,
    measure_reliability,
    relevances,
    smoothed_targets,
)
from service.evaluation.judgements import Judgements
from service.evaluation.reranked_lists import (
    RerankedHit,
    RerankedList,
    RerankedLists,
    reranked_samples,
)
from service.model_cards import RerankerCard, read_card
from service.search.relevance import UNJUDGED, Calibration, Calibrations, Judged, Method


def platt(slope: float, intercept: float, source: str = "a test") -> Calibration:
    return Calibration("platt", ((slope, intercept),), source)


def sample(scores: list[float], relevant: list[bool], queries: int) -> Sample:
    """Return a sample whose hits are dealt to queries in turn."""
    count = len(scores)
    return Sample(np.array(scores), np.array(relevant), np.arange(count) % queries)


def drawn(chance: Calibration, count: int = 4000, queries: int = 40) -> Sample:
    """Return hits with random scores, as relevant as a calibration says."""
    random = np.random.default_rng(3)
    scores = random.normal(0, 3, count)
    relevant = random.random(count) < relevances(chance, scores)
    return Sample(scores, relevant, np.arange(count) % queries)


def test_a_logistic_curve_gives_a_relevance_for_any_score() -> None:
    curve = platt(2.0, -1.0)
    assert curve.relevance(0.5) == 0.5
    assert curve.relevance(1.5) == pytest.approx(1 / (1 + math.exp(-2)))
    assert curve.relevance(1e6) == 1.0
    assert curve.relevance(-1e6) == 0.0


def test_isotonic_points_are_joined_by_straight_lines_and_flat_beyond_the_ends() -> None:
    curve = Calibration("isotonic", ((-1.0, 0.1), (1.0, 0.3), (2.0, 0.9)), "a test")
    assert [curve.relevance(score) for score in (-5, -1, 0, 1, 1.5, 2, 9)] == pytest.approx(
        [0.1, 0.1, 0.2, 0.3, 0.6, 0.9, 0.9]
    )


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 100)), min_size=1, max_size=30),
    st.lists(st.floats(-60, 60), min_size=2, max_size=20),
)
def test_a_higher_score_never_has_a_lower_relevance(
    pairs: list[tuple[int, int]], scores: list[float]
) -> None:
    points = fit_isotonic(np.array([float(x) for x, _ in pairs]), np.array([y for _, y in pairs]))
    curve = Calibration("isotonic", tuple((x, y / 100) for x, y in points), "a test")
    found = [curve.relevance(score) for score in sorted(scores)]
    assert found == sorted(found)
    assert all(0 <= value <= 1 for value in found)


@pytest.mark.parametrize(
    ("method", "points"),
    [
        ("platt", ()),
        ("platt", ((-1.0, 0.0),)),
        ("platt", ((1.0, 0.0), (2.0, 0.0))),
        ("platt", ((math.inf, 0.0),)),
        ("isotonic", ((0.0, 0.5), (0.0, 0.6))),
        ("isotonic", ((0.0, 0.5), (1.0, 0.4))),
        ("isotonic", ((0.0, -0.5), (1.0, 0.4))),
        ("isotonic", ((0.0, 0.5), (1.0, 1.4))),
        ("cubic", ((0.0, 0.5),)),
    ],
)
def test_what_is_no_calibration_is_refused(
    method: Method, points: tuple[tuple[float, float], ...]
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Calibration(method, points, "a test")
    assert "rankgres calibrate" in (refused.value.mend or "")


@pytest.mark.parametrize("values", [{}, {"method": "platt", "points": 3, "source": ""}])
def test_values_that_make_no_calibration_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        Calibration.from_json(values)


def test_a_hit_is_judged_by_the_score_that_ordered_it_and_says_by_what() -> None:
    both = Calibrations(platt(1, 0, "of the card"), platt(0, 0, "of fused scores"))
    assert both.judge(9.0, rerank_score=0.0) == Judged(0.5, "of the card")
    assert both.judge(9.0, rerank_score=None) == Judged(0.5, "of fused scores")
    assert Calibrations(None, platt(1, 0)).judge(9.0, rerank_score=0.0) == UNJUDGED
    assert Calibrations(platt(1, 0), None).judge(9.0, rerank_score=None) == UNJUDGED


def test_targets_are_those_of_platt() -> None:
    relevant = np.array([True, True, False, False, False])
    assert smoothed_targets(relevant) == pytest.approx([3 / 4, 3 / 4, 1 / 5, 1 / 5, 1 / 5])


def test_a_logistic_fit_is_where_the_likelihood_is_greatest() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(500, 40, 300)  # far from 0, and wide
    targets = smoothed_targets(random.random(300) < 1 / (1 + np.exp(-(scores - 510) / 20)))
    slope, intercept = fit_platt(scores, targets)
    wrong = 1 / (1 + np.exp(-(slope * scores + intercept))) - targets
    assert [wrong.sum(), wrong @ (scores - 500)] == pytest.approx([0, 0], abs=1e-5)


def test_a_logistic_fit_finds_the_curve_that_made_the_judgements() -> None:
    made = drawn(platt(0.8, -1.5), count=40_000)
    slope, intercept = fit_platt(made.scores, smoothed_targets(made.relevant))
    assert [slope, intercept] == pytest.approx([0.8, -1.5], rel=0.05)


@pytest.mark.parametrize("scores", [[3.0, 3.0, 3.0, 3.0], [1.0, 2.0, 3.0, 4.0]])
def test_a_fit_to_scores_that_tell_nothing_or_the_contrary_is_flat(scores: list[float]) -> None:
    targets = np.array([0.8, 0.8, 0.2, 0.2])
    slope, intercept = fit_platt(np.array(scores), targets)
    assert [slope, intercept] == pytest.approx([0.0, 0.0])
    for _, relevance in fit_isotonic(np.array(scores), targets):
        assert relevance == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.2, 0.7])), min_size=1, max_size=25))
def test_isotonic_points_are_the_greatest_of_least_means(pairs: list[tuple[int, float]]) -> None:
    # Robertson, Wright, Dykstra 1988: at i, the greatest over a <= i of the least mean of a … b.
    scores = np.array([float(score) for score, _ in pairs])
    targets = np.array([target for _, target in pairs])
    fitted = dict(fit_isotonic(scores, targets))
    distinct = sorted(set(scores))

    def mean(first: float, last: float) -> float:
        return float(targets[(scores >= first) & (scores <= last)].mean())

    for score, found in fitted.items():
        least = [min(mean(a, b) for b in distinct if b >= score) for a in distinct if a <= score]
        assert found == pytest.approx(max(least))
    assert {min(distinct), max(distinct)} <= fitted.keys()


def test_the_figures_are_what_their_names_say() -> None:
    found = measure_reliability(
        np.array([0.25, 0.25, 0.25, 0.25, 0.85, 1.0]),
        np.array([True, False, False, False, False, True]),
    )
    assert found.brier == pytest.approx((0.75**2 + 3 * 0.25**2 + 0.85**2 + 0) / 6)
    assert found.calibration_error == pytest.approx((4 * 0 + 1 * 0.85 + 1 * 0) / 6)
    assert found.log_loss == pytest.approx(
        -(4 * math.log(0.75) + math.log(1 / 3) + math.log(0.15)) / 6
    )
    assert [(each.least, each.hits, each.share_relevant) for each in found.bins] == [
        (0.2, 4, 0.25),
        (0.8, 1, 0.0),
        (0.9, 1, 1.0),
    ]


def test_what_is_certain_and_wrong_has_a_great_but_finite_loss() -> None:
    found = measure_reliability(np.array([0.0]), np.array([True]))
    assert found.log_loss == pytest.approx(-math.log(1e-9))


def test_of_both_methods_the_one_is_kept_that_is_better_on_other_queries() -> None:
    logistic = fit_calibration(drawn(platt(1.0, -1.0), 400), "a test", folds=5, seed=1)
    assert logistic.calibration.method == "platt"
    step = Calibration("isotonic", ((-0.01, 0.05), (0.01, 0.5)), "a test")
    stepped = fit_calibration(drawn(step), "a test", folds=5, seed=1)
    assert stepped.calibration.method == "isotonic"
    for fit in (logistic, stepped):
        losses = {method: found.log_loss for method, found in fit.held_out.items()}
        assert fit.reliability.log_loss == min(losses.values()) < fit.uninformed.log_loss
        assert fit.reliability.calibration_error < 0.05
    assert stepped.calibration.relevance(3.0) == pytest.approx(0.5, abs=0.05)
    assert stepped.calibration.relevance(-3.0) == pytest.approx(0.05, abs=0.03)


def test_figures_are_of_queries_that_were_not_fitted_on() -> None:
    # Every query has its own score, relevant or not at random: what is learned is worth nothing.
    random = np.random.default_rng(2)
    scores = [float(number) for number in random.permutation(200)]
    relevant = [bool(value) for value in random.random(200) < 0.5]
    fit = fit_calibration(sample(scores, relevant, 200), "a test", folds=10, seed=1)
    # On its own queries, isotonic regression would beat the share alone.
    assert fit.held_out["isotonic"].log_loss > fit.uninformed.log_loss
    assert fit.uninformed.log_loss == pytest.approx(math.log(2), abs=0.02)


@pytest.mark.parametrize("relevant", [[True] * 8, [False] * 8])
def test_hits_that_are_all_alike_calibrate_nothing(relevant: list[bool]) -> None:
    with pytest.raises(InvalidInputError, match="nothing can be told apart"):
        fit_calibration(sample([1.0] * 8, relevant, 8), "a test", folds=2, seed=1)


def test_fewer_queries_than_folds_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="3 queries cannot be dealt to 5 folds"):
        fit_calibration(sample([1.0, 2.0, 3.0], [True, False, True], 3), "", folds=5, seed=1)


def hit(document: str, score: float, rank: int, second: float | None = None) -> RerankedHit:
    return RerankedHit(document, 10 + score, 1, 1, score, second, rank)


JUDGED = Judgements(
    {"a": "one", "b": "two"}, {"a": {"best": 2, "good": 1, "bad": 0}, "b": {"best": 1}}, 0, 0
)
LISTS = RerankedLists(
    "a model",
    10,
    [
        RerankedList(
            [hit("best", 3.0, 2, 7.0), hit("good", 2.0, 3), hit("bad", 1.0, 1), hit("new", 0.0, 4)],
            rerank_ms=1,
        ),
        RerankedList([hit("new", 0.5, 1), hit("best", 0.25, 2)], rerank_ms=1),
    ],
    "a second model",
)


def test_what_nobody_judged_is_not_relevant_or_left_out_and_the_grade_decides() -> None:
    samples = reranked_samples(
        LISTS, JUDGED, "a bi-encoder", shown=9, relevant_from=1, left_out=False
    )
    raw = samples["rerank", "a model"]
    assert raw.scores.tolist() == [3.0, 2.0, 1.0, 0.0, 0.5, 0.25]
    assert raw.relevant.tolist() == [True, True, False, False, False, True]
    assert raw.queries.tolist() == [0, 0, 0, 0, 1, 1]
    fused = samples["fused", "a bi-encoder"]
    assert fused.scores.tolist() == [13.0, 12.0, 11.0, 10.0, 10.5, 10.25]
    assert fused.relevant.tolist() == raw.relevant.tolist()
    assert samples["rerank", "a second model"].scores.tolist() == [7.0]

    judged = reranked_samples(
        LISTS, JUDGED, "a bi-encoder", shown=9, relevant_from=2, left_out=True
    )
    raw = judged["rerank", "a model"]
    assert raw.scores.tolist() == [3.0, 2.0, 1.0, 0.25]
    assert raw.relevant.tolist() == [True, False, False, False]


def test_the_hits_that_are_shown_are_learned_from_in_the_order_that_each_score_makes() -> None:
    samples = reranked_samples(
        LISTS, JUDGED, "a bi-encoder", shown=2, relevant_from=1, left_out=False
    )
    assert samples["rerank", "a model"].scores.tolist() == [3.0, 1.0, 0.5, 0.25]
    assert samples["fused", "a bi-encoder"].scores.tolist() == [13.0, 12.0, 10.5, 10.25]


@pytest.mark.parametrize(
    "calibration",
    [platt(1.25, -3e-05), Calibration("isotonic", ((-1.5, 0.01), (2e20, 0.9)), 'a "test"')],
)
def test_a_printed_line_is_read_by_a_model_card(calibration: Calibration) -> None:
    text = f'role = "reranker"\nname = "x/y"\nmax_tokens = 512\n{card_line(calibration)}\n'
    card = read_card(tomllib.loads(text), "a test")
    assert isinstance(card, RerankerCard)
    assert card.calibration is not None
    assert Calibration(*card.calibration) == calibration
