import math

import pytest

from tests.training.small_lists import small_lists
from workers.training.held_out import (
    blended,
    difference,
    fused_scores,
    mean_ndcg,
    order_lists,
    reranker_orders,
)
from workers.training.ranking_lists import RankingList

LIST = RankingList("q", ["a", "b", "c"], [0, 2, 1], fused=[3, 2, 1])


def test_ndcg_is_that_of_linear_gains() -> None:
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    found = mean_ndcg([LIST], [[3, 2, 1]])
    assert found == pytest.approx((2 * second + 1 * third) / (2 + 1 * second))
    assert mean_ndcg([LIST], [[1, 3, 2]]) == 1


def test_ties_count_against_an_order() -> None:
    assert mean_ndcg([LIST], [[1, 1, 1]]) < mean_ndcg([LIST], [[1, 3, 2]])
    assert mean_ndcg([LIST], [[1, 1, 1]]) == mean_ndcg([LIST], [[3, 1, 2]])


def test_a_difference_says_who_wins_and_whether_that_is_luck() -> None:
    lists = small_lists(20)
    right = order_lists("right", lists, [[4, 3, 2, 1]] * 20)
    wrong = order_lists("wrong", lists, [[3, 4, 2, 1]] * 20)
    found = difference(right, wrong)
    assert found.gain == pytest.approx(1 - 1 / math.log2(3))
    assert found.p < 0.001
    assert (found.firsts_better, found.firsts_worse) == (20, 0)
    assert difference(wrong, wrong).p == 1


def test_a_blend_is_the_weighted_sum_of_z_scores() -> None:
    [scores] = blended([[1, -1]], [[-5, 5]], 0.5)
    assert scores == pytest.approx([0.5, -0.5])


def test_lists_without_fused_scores_are_ordered_by_the_model_alone() -> None:
    plain = [RankingList("q", ["a", "b"], [1, 0])]
    assert fused_scores(plain) is None
    assert [order.name for order in reranker_orders("m", plain, [[1, 0]], (0.3, 3))] == ["m alone"]
    named = [order.name for order in reranker_orders("m", [LIST], [[1, 0, 2]], (0.3, 3))]
    assert named == ["m alone", "m, weight 0.3", "m, weight 3"]
