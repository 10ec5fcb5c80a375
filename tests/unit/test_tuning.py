from typing import Any

import numpy as np
import pytest

from service.errors import InvalidInputError
from service.evaluation.fusion import FusionTable, StageList
from service.evaluation.judgements import Judgements
from service.evaluation.metrics import measure_run
from service.evaluation.tuned_profile import tuned_values
from service.evaluation.tuning import (
    JudgedTable,
    Trials,
    make_grid,
    pareto_points,
    passes,
    searched,
)

USUAL = make_grid({}, {})


def random_lists(queries: int) -> list[StageList]:
    chance = np.random.default_rng(queries)
    found: list[StageList] = []
    for _ in range(queries):
        names = chance.permutation(40)[: chance.integers(0, 30)]
        found.append({f"d{name}": float(len(names) - rank) for rank, name in enumerate(names)})
    return found


@pytest.mark.parametrize("depth", [3, 10])
def test_ndcg_of_a_table_is_that_of_the_metrics(depth: int) -> None:
    words, near = random_lists(30), random_lists(31)[:30]
    chance = np.random.default_rng(1)
    relevance = {
        f"q{number}": {"d1": 1} | {f"d{name}": int(chance.integers(-1, 4)) for name in range(2, 9)}
        for number in range(30)
    }
    judgements = Judgements(dict.fromkeys(relevance, "text"), relevance, 0, 0)
    table = FusionTable(words, near)
    fusion = {"fusion": "convex", "lexical_weight": 0.4, "rrf_k": None}
    ours = JudgedTable(table, judgements).ndcg(fusion, depth)
    order = table.order("convex", 0.4, 1, depth)
    rankings = {
        query: [names[place] for place in order[number] if place < len(names)]
        for number, query in enumerate(relevance)
        for names in [table.documents(number)]
    }
    expected = measure_run(relevance, rankings).per_query
    assert ours == pytest.approx([expected[query]["nDCG@10"] for query in relevance], abs=1e-9)


def test_the_usual_grid_asks_every_stage_setting_at_every_size_once() -> None:
    lexical = len(USUAL["heading_weight"]) * len(USUAL["posting_budget"])
    assert passes(USUAL) == len(USUAL["stage_candidates"]) * (lexical + len(USUAL["ef_search"]))


def test_the_profile_as_it_is_stands_in_the_grid() -> None:
    grid = make_grid({}, {"lexical_weight": 0.37, "ef_search": 80, "candidates": 50, "rrf_k": 60})
    assert grid["lexical_weight"][0] == 0.37
    assert set(USUAL["lexical_weight"]) < set(grid["lexical_weight"])
    assert grid["ef_search"] == [80, 100, 200]  # None would leave it at 80
    assert grid["candidates"] == [50]  # what callers get does not change unless it is asked for
    assert grid["rrf_k"] == [60, 10]


def test_given_values_take_the_place_of_the_usual_ones() -> None:
    grid = make_grid({"candidates": [10, 50], "fusion": ["rrf"]}, {"fusion": "convex"})
    assert (grid["candidates"], grid["fusion"]) == ([10, 50], ["rrf"])
    with pytest.raises(InvalidInputError, match="'autocut' is not searched"):
        make_grid({"autocut": [1]}, {})


def test_what_was_not_searched_is_left_as_it_is() -> None:
    setting = {"candidates": 100, "fusion": "convex", "rrf_k": None, "ef_search": None}
    grid = {name: [value] for name, value in setting.items()} | {"fusion": ["convex", "rrf"]}
    assert searched(setting, grid, {}) == {"fusion": "convex"}
    assert searched(setting, grid, {"candidates": [100]}) == {
        "candidates": 100,
        "fusion": "convex",
    }


def test_a_tuned_profile_keeps_what_was_not_tuned_and_no_k_that_nothing_reads() -> None:
    old = {"autocut": 2, "fusion": "rrf", "rrf_k": 10}
    assert tuned_values(old, {"fusion": "convex"}) == {"autocut": 2, "fusion": "convex"}
    assert tuned_values(old, {"lexical_weight": 0.2}) == {**old, "lexical_weight": 0.2}


def trials(gains: list[list[float]], p95: list[float]) -> Trials:
    settings: list[dict[str, Any]] = [{"name": number} for number in range(len(gains))]
    return Trials(settings, np.array(gains), np.array(p95))


def test_the_front_holds_what_nothing_beats_in_gain_and_time() -> None:
    tried = trials([[0.5] * 4, [0.4] * 4, [0.7] * 4, [0.7] * 4, [0.6] * 4], [2, 1, 5, 4, 9])
    points = pareto_points(tried, folds=2, seed=1)
    assert [point.setting["name"] for point in points] == [1, 0, 3]
    assert [point.p95_ms for point in points] == [1, 2, 4]
    assert [point.mean for point in points] == pytest.approx([0.4, 0.5, 0.7])


def test_what_takes_longer_than_the_limit_is_left_out() -> None:
    tried = trials([[0.5] * 4, [0.9] * 4], [2, 5])
    assert [point.p95_ms for point in pareto_points(tried, 2, 1, limit_ms=4.9)] == [2]
    with pytest.raises(InvalidInputError, match=r"fastest settings have a p95 of 2\.0 ms"):
        pareto_points(tried, 2, 1, limit_ms=1.9)


def test_a_choice_that_is_luck_gains_nothing_on_the_queries_that_did_not_choose_it() -> None:
    chance = np.random.default_rng(7)
    noise = trials(chance.random((2000, 40)).tolist(), [1.0] * 2000)
    (point,) = (pareto_points(noise, 5, 1)[-1],)
    assert point.mean > 0.6  # the best of 2,000 settings by those queries
    assert point.cross_validated == pytest.approx(0.5, abs=0.1)
    assert point.standard_error == pytest.approx(0.29 / 40**0.5, abs=0.015)


def test_a_setting_that_is_better_is_found_and_keeps_its_gain_when_held_out() -> None:
    chance = np.random.default_rng(8)
    gains = chance.normal(0.5, 0.1, (200, 60))
    gains[123] += 0.2
    point = pareto_points(trials(gains.tolist(), [1.0] * 200), 5, 1)[-1]
    assert point.setting == {"name": 123}
    assert point.held_out == pytest.approx(gains[123])


def test_the_same_seed_deals_the_queries_alike() -> None:
    gains = np.random.default_rng(9).random((50, 30)).tolist()
    once, again, other = (
        pareto_points(trials(gains, [1.0] * 50), 5, seed)[-1].held_out for seed in (1, 1, 2)
    )
    assert (once == again).all()
    assert (once != other).any()


def test_there_are_at_least_as_many_queries_as_folds() -> None:
    with pytest.raises(InvalidInputError, match="4 queries cannot be dealt to 5 folds"):
        pareto_points(trials([[0.5] * 4], [1.0]), folds=5, seed=1)
