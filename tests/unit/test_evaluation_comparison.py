import pytest

from service.evaluation.comparison import Comparison, compare_runs
from service.evaluation.evaluation import EvaluationReport, evaluate_runs
from service.evaluation.judgements import Judgements

QUERIES = {name: f"text of {name}" for name in ("q1", "q2", "q3", "q4")}
JUDGEMENTS = Judgements(QUERIES, {query: {"right": 1} for query in QUERIES}, 0, 0)
FIRST, SECOND, NONE = ["right"], ["wrong", "right"], ["wrong"]


def report(**runs: list[list[str]]) -> EvaluationReport:
    given = {
        name: {
            query: [(document, 1.0) for document in ranking]
            for query, ranking in zip(QUERIES, rankings, strict=True)
        }
        for name, rankings in runs.items()
    }
    return evaluate_runs("books", JUDGEMENTS, [], lambda *_: pytest.fail("asked"), given=given)


@pytest.fixture
def comparisons() -> dict[str, Comparison]:
    return compare_runs(
        report(
            old=[FIRST, SECOND, NONE, FIRST],
            new=[FIRST, FIRST, FIRST, NONE],
            same=[FIRST, SECOND, NONE, FIRST],
        ),
        "old",
    )


def test_wins_losses_and_ties_are_counted_by_query(comparisons: dict[str, Comparison]) -> None:
    assert list(comparisons) == ["new", "same"]
    new = comparisons["new"].measures["nDCG@10"]
    assert (new.wins, new.losses, new.ties) == (2, 1, 1)
    # 1 - 1 / log2(3) won, 1 won, 1 lost, over four queries.
    assert new.mean == pytest.approx((1 - 0.63093) / 4, abs=1e-5)
    same = comparisons["same"].measures["nDCG@10"]
    assert (same.mean, same.wins, same.losses, same.ties) == (0, 0, 0, 4)


def test_p_is_exact_for_few_queries_and_corrected_for_the_runs(
    comparisons: dict[str, Comparison],
) -> None:
    # Differences 0, 0.369, 1, -1 have the sum 0.369, and no way to sign them has a smaller one.
    assert comparisons["new"].measures["nDCG@10"].p == 1
    recall = comparisons["new"].measures["recall@100"]
    assert (recall.mean, recall.wins, recall.losses) == (0, 1, 1)
    assert comparisons["same"].measures["nDCG@10"].p_holm == 1


def test_p_of_several_runs_is_corrected_by_their_number() -> None:
    won = compare_runs(report(old=[NONE] * 4, new=[FIRST] * 4, other=[FIRST] * 4), "old")
    for comparison in won.values():
        assert comparison.measures["MAP"].p == pytest.approx(2 / 2**4)
        assert comparison.measures["MAP"].p_holm == pytest.approx(2 * 2 / 2**4)


def test_queries_run_from_the_greatest_gain_to_the_greatest_loss(
    comparisons: dict[str, Comparison],
) -> None:
    new = comparisons["new"]
    assert [query.query for query in new.queries] == ["q3", "q2", "q1", "q4"]
    assert [query.query for query in new.largest(2)] == ["q3", "q4"]
    assert [query.query for query in new.largest(9)] == ["q3", "q4", "q2"]
    assert comparisons["same"].largest(9) == []


def test_the_json_has_every_measure_and_the_queries_that_differ_most(
    comparisons: dict[str, Comparison],
) -> None:
    written = comparisons["new"].as_json(1)
    assert written["baseline"] == "old"
    assert set(written["measures"]) == {"nDCG@10", "MRR@10", "MAP", "recall@100"}
    assert set(written["measures"]["MAP"]) == {"mean", "p", "p_holm", "wins", "losses", "ties"}
    assert written["queries"] == [{"query": "q3", "run": 1.0, "baseline": 0.0}]


def test_one_run_alone_has_nothing_to_be_compared_with() -> None:
    assert compare_runs(report(only=[FIRST] * 4), "only") == {}
