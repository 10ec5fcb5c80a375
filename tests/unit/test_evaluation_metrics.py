import sys
from math import log2

import pytest

from service.errors import InvalidInputError, RankgresError
from service.evaluation.metrics import measure_run


def test_every_metric_equals_its_definition() -> None:
    relevance = {"q": {"great": 2, "good": 1, "unfound": 1, "bad": 0}}
    values = measure_run(relevance, {"q": ["unjudged", "good", "bad", "great"]}).per_query["q"]
    gained = 1 / log2(3) + 2 / log2(5)  # good at rank 2, great at rank 4
    ideal = 2 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert values["nDCG@10"] == pytest.approx(gained / ideal)
    assert values["MRR@10"] == pytest.approx(1 / 2)
    assert values["MAP"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert values["recall@100"] == pytest.approx(2 / 3)


def test_a_relevant_document_at_rank_eleven_counts_for_map_and_recall_alone() -> None:
    ranking = [f"other {rank}" for rank in range(1, 11)] + ["relevant"]
    assert measure_run({"q": {"relevant": 1}}, {"q": ranking}).mean == {
        "nDCG@10": 0.0,
        "MRR@10": 0.0,
        "MAP": pytest.approx(1 / 11),
        "recall@100": 1.0,
    }


def test_recall_ends_at_rank_one_hundred() -> None:
    ranking = [f"other {rank}" for rank in range(1, 101)] + ["relevant"]
    assert measure_run({"q": {"relevant": 1}}, {"q": ranking}).mean["recall@100"] == 0.0


@pytest.mark.parametrize("rankings", [{"found": ["d"]}, {"found": ["d"], "empty": []}])
def test_a_query_that_returned_nothing_counts_as_zero(rankings: dict[str, list[str]]) -> None:
    quality = measure_run({"found": {"d": 1}, "empty": {"e": 1}}, rankings)
    assert quality.mean == dict.fromkeys(("nDCG@10", "MRR@10", "MAP", "recall@100"), 0.5)
    assert set(quality.per_query["empty"].values()) == {0.0}


def test_a_run_that_found_nothing_at_all_is_measured() -> None:
    assert set(measure_run({"q": {"d": 1}}, {}).mean.values()) == {0.0}


def test_rankings_of_queries_without_judgements_are_ignored() -> None:
    quality = measure_run({"q": {"d": 1}}, {"q": ["d"], "other": ["d"]})
    assert list(quality.per_query) == ["q"]
    assert quality.mean["MAP"] == 1.0


@pytest.mark.parametrize(("ranking", "expected"), [(["a", "z"], 1.0), (["z", "a"], 1 / 2)])
def test_the_order_given_decides_whatever_the_ids_sort_like(
    ranking: list[str], expected: float
) -> None:
    assert measure_run({"q": {"a": 1}}, {"q": ranking}).mean["MRR@10"] == expected


def test_a_document_named_twice_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'q' names a document twice"):
        measure_run({"q": {"d": 1}}, {"q": ["d", "d"]})


def test_a_missing_package_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)  # what Python calls not importable
    with pytest.raises(RankgresError) as caught:
        measure_run({"q": {"d": 1}}, {"q": ["d"]})
    assert caught.value.mend == "pip install 'rankgres[evaluate]'"
