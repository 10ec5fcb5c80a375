"""How many candidates are scored: what a budget has time for, and what a clear list needs."""

from typing import NamedTuple

import pytest

from service.errors import InvalidInputError
from service.search.depth import (
    UNKNOWN_PACE,
    DepthPolicy,
    DepthRule,
    Pace,
    affordable,
    clarity,
    depth,
    pair_tokens,
)


class Place(NamedTuple):
    score: float
    lexical_rank: int | None
    vector_rank: int | None


def alike(count: int = 50) -> list[Place]:
    """Both lists have the same order; the first stands a third of the way above the second."""
    scores = [1.0, *(0.7 - 0.05 * place for place in range(count - 1))]
    return [Place(score, place, place) for place, score in enumerate(scores, start=1)]


def apart(count: int = 50) -> list[Place]:
    """No document is in both lists, and the scores fall evenly."""
    return [
        Place(1 - place / count, place if place % 2 else None, None if place % 2 else place)
        for place in range(1, count + 1)
    ]


def test_lists_that_say_the_same_agree_wholly() -> None:
    seen = clarity(alike())
    assert seen.agreement == pytest.approx(1)
    # From 1 to the tenth's 0.7 - 8 * 0.05 = 0.3; to the second it is 0.3.
    assert seen.margin == pytest.approx(0.3 / 0.7)


def test_lists_that_share_nothing_do_not_agree() -> None:
    seen = clarity(apart())
    assert seen.agreement == 0
    assert seen.margin == pytest.approx(1 / 9)


def test_agreement_weighs_the_first_places_most() -> None:
    first = [Place(1, 1, 1), *(Place(0, None, place) for place in range(2, 11))]
    last = [Place(1, 10, 10), *(Place(0, None, place) for place in range(1, 10))]
    # Shared by the first n of both: 1 of each n from 1 on; only of n = 10.
    assert clarity(first).agreement == pytest.approx(sum(1 / n for n in range(1, 11)) / 10)
    assert clarity(last).agreement == pytest.approx(1 / 10 / 10)


@pytest.mark.parametrize(
    "candidates",
    [[], [Place(1, 1, 1)], [Place(1, None, 1), Place(1, None, 2)]],
    ids=["none", "one", "equals"],
)
def test_where_there_is_nothing_to_compare_nothing_stands_clear(candidates: list[Place]) -> None:
    assert clarity(candidates).margin == 0


def test_without_a_policy_as_many_are_scored_as_the_budget_allows() -> None:
    assert depth(alike(), 40, None) == 40
    assert depth(alike(), 40, DepthPolicy()) == 40
    assert depth(alike(12), 40, None) == 12


def test_a_clear_list_is_scored_less_deep() -> None:
    policy = DepthPolicy((DepthRule(agreement=0.8, margin=0.3, depth=25),))
    assert depth(alike(), 50, policy) == 25
    assert depth(apart(), 50, policy) == 50
    # Never deeper than the budget allows.
    assert depth(alike(), 15, policy) == 15


@pytest.mark.parametrize(
    ("agreement", "margin"), [(1.1, 0), (0, 0.5), (1.1, 0.5)], ids=["agreement", "margin", "both"]
)
def test_a_rule_needs_both_agreement_and_margin(agreement: float, margin: float) -> None:
    policy = DepthPolicy((DepthRule(agreement, margin, 25),))
    assert depth(alike(), 50, policy) == 50


def test_of_several_rules_that_hold_the_least_depth_counts() -> None:
    rules = (DepthRule(0.5, 0.1, 40), DepthRule(0.9, 0.3, 24), DepthRule(1.5, 0, 20))
    assert depth(alike(), 50, DepthPolicy(rules)) == 24


def test_twice_as_many_are_scored_as_are_asked_for() -> None:
    policy = DepthPolicy((DepthRule(0, 0, 1),))
    assert depth(alike(), 50, policy, k=10) == 20
    assert depth(alike(), 50, policy, k=3) == 6
    assert depth(alike(), 5, policy, k=3) == 5


def test_a_policy_is_read_as_it_was_written() -> None:
    policy = DepthPolicy((DepthRule(0.5, 0.1, 40), DepthRule(0.9, 0.3, 24)))
    assert DepthPolicy.from_json(policy.as_json()) == policy


@pytest.mark.parametrize("values", [{}, {"rules": [{}]}, {"rules": 3}, {"rules": [{"depth": []}]}])
def test_what_is_no_policy_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="no depth policy"):
        DepthPolicy.from_json(values)


def test_a_budget_allows_what_the_pace_has_time_for() -> None:
    pace = Pace(tokens_per_second=10_000, overhead_ms=20)
    # 80 ms at 10 tokens a millisecond are 800 tokens.
    assert affordable([100] * 20, 100, pace) == 8
    assert affordable([500, 200, 200, 1], 100, pace) == 2
    assert affordable([100] * 3, 100, pace) == 3
    assert affordable([100] * 3, 10, pace) == 0


def test_what_waits_before_it_takes_its_time_too() -> None:
    assert affordable([100] * 20, 100, Pace(10_000, 20, waiting_tokens=500)) == 3
    assert affordable([100] * 20, 100, Pace(10_000, 20, waiting_tokens=9000)) == 0


def test_of_an_unknown_pace_nothing_can_be_said() -> None:
    assert affordable([100] * 20, 100, UNKNOWN_PACE) is None


def test_tokens_are_estimated_by_bytes() -> None:
    assert pair_tokens("", "a" * 470) == 103
    # A script of three bytes a character has more tokens a character.
    assert pair_tokens("", "\u7a97" * 470) == 303
    assert pair_tokens("a" * 47, "a" * 470) == 113
