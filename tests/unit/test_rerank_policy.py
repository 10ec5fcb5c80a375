"""What is learned of reranking: by lists in which it is known what is to be found."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InvalidInputError
from service.evaluation.folds import deal_queries
from service.evaluation.judgements import Judgements
from service.evaluation.metrics import measure_run
from service.evaluation.rerank_policy import (
    Lesson,
    RerankReport,
    choose_depth,
    choose_policy,
    learn_reranking,
)
from service.evaluation.rerank_table import RerankTable
from service.evaluation.reranked_lists import RerankedHit, RerankedList, RerankedLists
from service.search.blend import Blend
from service.search.candidates import Candidate
from service.search.depth import DepthPolicy, DepthRule, depth
from service.search.feedback import Embeddings, feed_back
from service.search.ranking import RankedDocument, group_documents, rerank_by

QUERIES = 60
MOST = 50
#: Says of a query's number and a place in its fused list what the reranker gives.
Scores = Callable[[int, int], float]
Random = np.random.default_rng
#: Alike in nothing, so that no feedback moves anything.
UNLIKE: list[Embeddings] = [np.zeros((MOST, 1), dtype=np.float32)] * QUERIES


def judged(best: Callable[[int], int]) -> Judgements:
    """Return judgements by which one document is relevant: the one at that place of each list."""
    return relevant(lambda number: [best(number)])


def relevant(places: Callable[[int], Sequence[int]]) -> Judgements:
    """Return judgements by which the documents at those places of each list are relevant."""
    relevance = {
        f"q{number}": {f"d{place}": 1 for place in places(number)} for number in range(QUERIES)
    }
    return Judgements({query: query for query in relevance}, relevance, 0, 0)


def lists(scores: Scores, *, agreed: Callable[[int], bool] = lambda _: False) -> RerankedLists:
    """Return lists whose fused scores fall evenly; where both stages agree, the first is clear."""
    return RerankedLists(
        "a model",
        MOST,
        [
            RerankedList(
                [
                    RerankedHit(
                        f"d{place}",
                        MOST - place + (20 if agreed(number) and place == 0 else 0),
                        place + 1,
                        place + 1 if agreed(number) else MOST - place,
                        scores(number, place),
                    )
                    for place in range(MOST)
                ],
                rerank_ms=100.0,
            )
            for number in range(QUERIES)
        ],
    )


def units(rows: NDArray[np.float64]) -> Embeddings:
    """Return embeddings of length 1, as they are read."""
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / lengths).astype(np.float32)


def alike(grouped: Callable[[int, int], bool]) -> list[Embeddings]:
    """Return embeddings by which the documents of a list's group are alike, and no others."""
    random = Random(7)
    found = []
    for number in range(QUERIES):
        rows = random.normal(size=(MOST, 64))
        group = [place for place in range(MOST) if grouped(number, place)]
        rows[group] = rows[group[0]] + 0.3 * rows[group]
        found.append(units(rows))
    return found


def learn(
    found: RerankedLists,
    judgements: Judgements,
    weight: float = 0.3,
    *,
    feedback: float = 0.0,
    embeddings: Sequence[Embeddings] = UNLIKE,
    keep_depth: bool = False,
) -> RerankReport:
    return learn_reranking(
        found,
        judgements,
        embeddings,
        present=Blend(weight, feedback),
        folds=5,
        seed=1,
        significance=0.05,
        tolerance=0.002,
        keep_depth=keep_depth,
    )


def test_gains_are_those_of_the_order_that_a_search_makes() -> None:
    random = Random(4)
    found = lists(lambda _, __: float(random.normal()))
    relevance = {
        f"q{number}": {f"d{place}": int(random.integers(-1, 4)) for place in range(0, 60, 3)}
        for number in range(QUERIES)
    }
    for number, each in enumerate(found.lists[:8]):
        del each.hits[number:]
    embeddings = [units(random.normal(size=(len(each.hits), 8))) for each in found.lists]
    judgements = Judgements(dict.fromkeys(relevance, ""), relevance, 0, 0)
    table = RerankTable(found, judgements, embeddings)
    for (weight, scored), feedback in product(
        [(0.0, MOST), (0.7, 20), (3.0, 7), (10.0, 200), (1.0, 3), (1.0, 2)], [0.0, 0.8, 50.0]
    ):
        orders = {}
        for query, each, rows in zip(relevance, found.lists, embeddings, strict=True):
            documents = group_documents([candidate(hit) for hit in each.hits])
            scores = [hit.rerank_score for hit in each.hits[:scored]]
            ranked = rerank_by(documents, scores, "a model", weight)
            ranked = feed_back(ranked, partial(stored, rows), feedback)
            orders[query] = [document.best.document_id for document in ranked]
        measured = measure_run(relevance, orders).per_query
        expected = [measured[query]["nDCG@10"] for query in relevance]
        assert table.gains(Blend(weight, feedback), scored) == pytest.approx(expected)


def stored(rows: Embeddings, documents: Sequence[RankedDocument]) -> Embeddings:
    """Return the embeddings of documents by their places in the fused list."""
    return rows[[document.best.rank - 1 for document in documents]]


def candidate(hit: RerankedHit) -> Candidate:
    ranks = hit.lexical_rank, 0.0, hit.vector_rank, 0.0
    place = int(hit.document[1:])
    return Candidate(place + 1, 1, hit.document, 0, "", "", 0, 0, {}, hit.score, *ranks)


def test_depths_are_those_that_a_search_takes() -> None:
    random = Random(5)
    found = lists(lambda _, __: 0.0, agreed=lambda number: number % 3 == 0)
    for each in found.lists:
        for place, hit in enumerate(each.hits):
            each.hits[place] = replace(hit, vector_rank=int(random.integers(1, 12)))
    table = RerankTable(found, judged(lambda _: 0), UNLIKE)
    rules = (DepthRule(0.2, 0.0, 30), DepthRule(0.1, 0.3, 5))
    expected = [depth(each.hits, 40, DepthPolicy(rules)) for each in found.lists]
    assert table.depths(rules, 40).tolist() == expected
    assert {20, 40} < set(expected)


def test_a_reranker_that_knows_gets_a_weight_that_lets_it_decide() -> None:
    found = lists(lambda number, place: 5.0 if place == number % MOST else 0.0)
    report = learn(found, judged(lambda number: number % MOST))
    assert report.weights.objection(0.05) is None
    assert report.blend.weight == report.weights.chosen > 0.3
    assert report.weights.cross_validated == 1.0
    assert report.weights.gain == pytest.approx(1.0 - report.weights.rows[3].mean)
    assert report.weights.p < 0.001
    assert report.fused < 0.3
    # What is relevant lies anywhere: no lesser depth will do, and no rule.
    assert (
        report.depths.objection(MOST, 0.002) == "every lesser depth loses more than the tolerance"
    )
    assert report.depth == MOST
    assert report.policy.objection(0.002) == "no rule saves anything within the tolerance"


def test_a_reranker_that_knows_nothing_gets_no_weight_that_is_written() -> None:
    random = Random(6)
    report = learn(lists(lambda _, __: float(random.normal())), judged(lambda number: number % 12))
    assert report.weights.objection(0.05) is not None
    assert report.blend == Blend(0.3, 0.0)


def test_feedback_is_learned_where_what_is_relevant_resembles_the_best() -> None:
    # The first is relevant, and what resembles it, which no score knows of.
    def places(number: int) -> list[int]:
        return [0, 12 + number % 8, 30 + number % 20]

    embeddings = alike(lambda number, place: place in places(number))
    report = learn(lists(lambda *_: 0.0), relevant(places), embeddings=embeddings)
    assert report.feedbacks.objection(0.05) is None
    assert report.blend == Blend(0.3, report.feedbacks.chosen)
    assert report.feedbacks.chosen > 0
    assert [row.value for row in report.feedbacks.rows] == [0.0, 0.3, 0.5, 0.8, 1.2]
    assert report.feedbacks.gain > 0.1
    assert report.feedbacks.p < 0.001
    assert report.feedbacks.rows[0].mean == report.fused
    # Depth is learned with it: the fused order alone has nothing to find below the first.
    assert report.depth == MOST
    assert report.depths.rows[0].difference < 0
    # Where it is as it should be, it stays.
    again = learn(
        lists(lambda *_: 0.0),
        relevant(places),
        feedback=report.feedbacks.chosen,
        embeddings=embeddings,
    )
    assert again.feedbacks.objection(0.05) == "it is the feedback as it is"
    assert again.blend == report.blend


def test_no_feedback_is_learned_where_what_resembles_the_best_is_not_relevant() -> None:
    embeddings = alike(lambda _, place: place in {0, *range(20, 40)})
    judgements = relevant(lambda _: [5, 6, 7])
    found = lists(lambda *_: 0.0)
    off = learn(found, judgements, feedback=1.2, embeddings=embeddings)
    assert off.feedbacks.objection(0.05) is None
    assert off.blend.feedback == off.feedbacks.chosen == 0.0
    kept = learn(found, judgements, embeddings=embeddings)
    assert kept.feedbacks.objection(0.05) == "it is the feedback as it is"


def test_feedback_by_embeddings_that_say_nothing_is_not_written() -> None:
    random = Random(8)
    embeddings = [units(random.normal(size=(MOST, 64))) for _ in range(QUERIES)]
    report = learn(lists(lambda *_: 0.0), judged(lambda number: number % 15), embeddings=embeddings)
    assert report.feedbacks.objection(0.05) is not None
    assert report.blend.feedback == 0.0


def test_the_weight_is_learned_with_the_feedback_as_it_is_and_that_with_the_weight() -> None:
    # The reranker knows one of the relevant, likeness to that one the others.
    def places(number: int) -> list[int]:
        best = 5 + number % 15
        return [best, (best + 20) % MOST, (best + 25) % MOST]

    embeddings = alike(lambda number, place: place in places(number))
    found = lists(lambda number, place: 5.0 if place == places(number)[0] else 0.0)
    report = learn(found, relevant(places), weight=0.1, feedback=0.5, embeddings=embeddings)
    table = RerankTable(found, relevant(places), embeddings)
    tried = {row.value: row.mean for row in report.weights.rows}
    assert report.weights.objection(0.05) is None
    assert tried[5.0] == table.gains(Blend(5.0, 0.5), MOST).mean()
    assert tried[5.0] != table.gains(Blend(5.0, 0.0), MOST).mean()
    fed = {row.value: row.mean for row in report.feedbacks.rows}
    assert fed[1.2] == table.gains(Blend(report.weights.chosen, 1.2), MOST).mean()
    assert report.depths.rows[-1].mean == table.gains(report.blend, MOST).mean()


def test_the_least_depth_is_taken_that_loses_nothing() -> None:
    # Relevant are places 0 to 24, and the reranker finds them.
    report = learn(
        lists(lambda number, place: 5.0 if place == number % 25 else 0.0),
        judged(lambda number: number % 25),
        weight=10.0,
    )
    assert report.depths.objection(MOST, 0.002) is None
    assert report.depth == report.depths.chosen.depth == 25
    assert report.depths.chosen.pairs_saved == pytest.approx(0.5)
    # 100 ms for 50 pairs.
    assert report.depths.chosen.saved_ms == pytest.approx(50.0)
    assert [row.depth for row in report.depths.rows] == [20, 25, 35, 50]


def test_rules_cut_where_both_stages_agree_if_that_loses_nothing() -> None:
    # Where they agree the first is right; elsewhere only the reranker knows, at any depth.
    def best(number: int) -> int:
        return 0 if number % 2 else number % MOST

    found = lists(
        lambda number, place: 5.0 if place == best(number) else 0.0,
        agreed=lambda number: number % 2 == 1,
    )
    report = learn(found, judged(best))
    assert report.depth == MOST
    assert report.policy.objection(0.002) is None
    (rule,) = report.policy.policy.rules
    assert rule.depth == 20
    assert report.policy.queries_cut == 0.5
    assert report.policy.pairs_saved == pytest.approx(0.5 * 30 / 50)
    assert report.policy.saved_ms == pytest.approx(30.0)
    assert (report.policy.difference, report.policy.p) == (0.0, 1.0)
    cut = [depth(each.hits, MOST, report.policy.policy) for each in found.lists]
    assert cut == [20 if number % 2 else MOST for number in range(QUERIES)]


def test_rules_are_learned_from_all_candidates_where_the_depth_is_to_stay() -> None:
    found = lists(lambda _, place: 5.0 if place == 0 else 0.0, agreed=lambda n: n % 2 == 1)
    lesser = learn(found, judged(lambda _: 0))
    assert (lesser.depth, lesser.policy.policy.rules) == (20, ())
    kept = learn(found, judged(lambda _: 0), keep_depth=True)
    assert (kept.depth, len(kept.policy.policy.rules)) == (MOST, 1)


def test_no_rule_is_kept_where_agreement_says_nothing() -> None:
    found = lists(
        lambda number, place: 5.0 if place == number % MOST else 0.0,
        agreed=lambda number: number % 2 == 1,
    )
    report = learn(found, judged(lambda number: number % MOST))
    assert report.policy.policy.rules == ()
    assert report.policy.pairs_saved == 0


def test_a_loss_on_queries_that_did_not_choose_is_an_objection() -> None:
    table = RerankTable(
        lists(
            lambda number, place: 5.0 if place == number % 30 else 0.0,
            agreed=lambda number: number % 2 == 1,
        ),
        judged(lambda number: number % 30),
        UNLIKE,
    )
    lesson = Lesson(table, deal_queries(QUERIES, 5, 1), tolerance=0.4)
    policy = choose_policy(lesson, Blend(10.0, 0.0), MOST)
    assert 0.1 < -policy.difference < 0.4
    assert policy.p < 0.05
    assert policy.objection(0.4) is None
    assert "it loses 0.1" in (policy.objection(0.1) or "")
    depths = choose_depth(lesson, Blend(10.0, 0.0), MOST)
    assert depths.objection(MOST, 0.4) is None
    assert "it loses 0.2" in (depths.objection(MOST, 0.2) or "")


def test_a_loss_counts_with_a_standard_error_on_top() -> None:
    table = RerankTable(lists(lambda *_: 0.0), judged(lambda _: 0), UNLIKE)
    lesson = Lesson(table, np.arange(2), 0.1)
    # One of a hundred queries loses all: a mean of 0.01 with an error of 0.01.
    lost = np.zeros(100)
    lost[7] = -1.0
    assert lesson.bears(lost)
    assert not replace(lesson, tolerance=0.015).bears(lost)
    assert replace(lesson, tolerance=0.0).bears(np.zeros(100))


def test_fewer_queries_than_folds_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="60 queries cannot be dealt to 61 folds"):
        learn_reranking(
            lists(lambda *_: 0.0),
            judged(lambda _: 0),
            UNLIKE,
            present=Blend(0.3, 0.0),
            folds=61,
            seed=1,
            significance=0.05,
            tolerance=0.002,
        )
