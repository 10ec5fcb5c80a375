from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from service.evaluation.significance import holm, randomisation_test


def enumerated(differences: NDArray[np.float64]) -> float:
    """Return p by looking at every way to give the two runs' values back, one by one."""
    observed = abs(float(differences.sum()))
    ways = [
        abs(float(np.dot(signs, differences)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(way >= observed - 1e-9 for way in ways) / len(ways)


def values(count: int, shift: float, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(shift, 1, count).round(1)


@pytest.mark.parametrize("count", [1, 2, 5, 10, 13])
def test_with_few_queries_p_is_what_enumeration_gives(count: int) -> None:
    both = np.stack([values(count, 0.0, 1), values(count, 0.8, 2)], axis=1)
    expected = [enumerated(both[:, 0]), enumerated(both[:, 1])]
    assert randomisation_test(both) == pytest.approx(expected)


def test_with_more_queries_drawing_comes_near_to_enumeration() -> None:
    differences = values(14, 0.5, 3)
    p = float(randomisation_test(differences[:, None], permutations=10_000)[0])
    exact = enumerated(differences)
    assert 0.02 < exact < 0.5
    # 10,000 draws: a standard error of at most 0.005.
    assert p == pytest.approx(exact, abs=0.02)


def test_the_same_differences_have_the_same_p_in_every_call() -> None:
    differences = values(300, 0.1, 4)[:, None]
    assert randomisation_test(differences) == randomisation_test(differences)


def test_p_does_not_say_which_of_the_two_is_better() -> None:
    differences = values(200, 0.1, 5)[:, None]
    assert randomisation_test(differences) == randomisation_test(-differences)


def test_runs_that_never_differ_have_a_p_of_one() -> None:
    assert randomisation_test(np.zeros((5, 1))) == [1.0]
    assert randomisation_test(np.zeros((300, 1)), permutations=10_000) == [1.0]


def test_a_difference_at_every_query_has_the_least_p_that_drawing_can_give() -> None:
    p = randomisation_test(np.ones((300, 1)), permutations=9_999)
    assert p == [1 / 10_000]


def test_runs_that_do_not_differ_are_called_different_as_rarely_as_p_says() -> None:
    nothing = np.random.default_rng(6).normal(0, 1, (40, 1000))
    below = float((randomisation_test(nothing, permutations=2_000) < 0.05).mean())
    assert below == pytest.approx(0.05, abs=0.025)


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.04 * 1; none below the one before it.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_leaves_one_alone_and_stops_at_one() -> None:
    assert holm([0.2]) == [0.2]
    assert holm([0.7, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
