import threading

import pytest

from service.errors import DatabaseUnavailableError
from service.evaluation.evaluation import Answer, Depth, Reranked, evaluate_runs
from service.evaluation.judgements import Judgements

QUERIES = {f"q{number}": f"text {number}" for number in range(20)}
JUDGEMENTS = Judgements(QUERIES, {query: {"right": 1} for query in QUERIES}, 0, 0)


def found(_text: str, _run: str, _k: int) -> Answer:
    return Answer(["right"], 1.0)


def test_each_run_is_measured_by_its_own_answers() -> None:
    rankings = {"lexical": ["wrong", "right"], "hybrid": ["right"]}
    report = evaluate_runs(
        "books",
        JUDGEMENTS,
        ["lexical", "hybrid"],
        lambda _text, run, _k: Answer(rankings[run], 2.0),
    )
    assert report.as_json() == {
        "collection": "books",
        "queries": 20,
        "runs": {
            "lexical": {
                "nDCG@10": 0.63093,  # 1 / log2(3)
                "MRR@10": 0.5,
                "MAP": 0.5,
                "recall@100": 1.0,
                "p50_ms": 2.0,
                "p95_ms": 2.0,
                "p99_ms": 2.0,
                "degraded": 0,
                "stages": {},
                "depth": None,
                "relevance": None,
            },
            "hybrid": {
                "nDCG@10": 1.0,
                "MRR@10": 1.0,
                "MAP": 1.0,
                "recall@100": 1.0,
                "p50_ms": 2.0,
                "p95_ms": 2.0,
                "p99_ms": 2.0,
                "degraded": 0,
                "stages": {},
                "depth": None,
                "relevance": None,
            },
        },
    }


@pytest.mark.parametrize("threads", [1, 4, 50])
def test_every_query_is_asked_once_a_run_with_its_text_and_k(threads: int) -> None:
    asked: list[tuple[str, str, int]] = []

    def search(text: str, run: str, k: int) -> Answer:
        asked.append((text, run, k))
        return Answer(["right"], 1.0)

    told: list[str] = []
    evaluate_runs(
        "books", JUDGEMENTS, ["vector"], search, k=120, threads=threads, on_answer=told.append
    )
    assert sorted(asked) == sorted((text, "vector", 120) for text in QUERIES.values())
    assert told == ["vector"] * 20


def test_as_many_searches_as_threads_are_under_way_at_once() -> None:
    together = threading.Barrier(4)  # 20 queries: five rounds of exactly four searches at once

    def search(text: str, run: str, k: int) -> Answer:
        together.wait(timeout=60)
        return found(text, run, k)

    report = evaluate_runs("books", JUDGEMENTS, ["lexical"], search, threads=4)
    assert report.runs["lexical"].metrics["MAP"] == 1.0


def test_a_run_named_twice_is_asked_once() -> None:
    told: list[str] = []
    evaluate_runs("books", JUDGEMENTS, ["hybrid", "hybrid"], found, on_answer=told.append)
    assert len(told) == 20


def test_percentiles_are_of_the_times_that_the_search_tells() -> None:
    times = iter(range(1, 21))
    report = evaluate_runs(
        "books", JUDGEMENTS, ["hybrid"], lambda *_: Answer(["right"], float(next(times)))
    )
    taken = report.runs["hybrid"].times
    assert taken is not None
    assert taken.p50 == pytest.approx(10.5)  # between the 10th and the 11th
    assert taken.p95 == pytest.approx(19.05)  # 1 + 0.95 * 19
    assert taken.p99 == pytest.approx(19.81)


def test_each_stage_has_its_percentiles_and_one_that_was_left_out_took_no_time() -> None:
    def search(text: str, _run: str, _k: int) -> Answer:
        number = int(text.removeprefix("text "))
        stages = {"candidates": float(number)} | ({} if number < 19 else {"rerank": 8.0})
        return Answer(["right"], 1.0, stages=stages)

    stages = evaluate_runs("books", JUDGEMENTS, ["reranked"], search).runs["reranked"].stages
    assert stages["candidates"].p50 == pytest.approx(9.5)  # of 0 … 19
    assert stages["rerank"].p95 == pytest.approx(0.4)  # 19 zeros, then 8: 0.05 of the last step
    assert list(stages) == ["candidates", "rerank"]


def test_a_run_that_was_made_elsewhere_is_measured_alike_without_times() -> None:
    rankings = {"q0": [("wrong", 2.0), ("right", 1.0)], "unjudged": [("right", 1.0)]}
    report = evaluate_runs("books", JUDGEMENTS, [], found, given={"other": rankings})
    assert report.runs["other"].as_json() == {
        "nDCG@10": 0.03155,  # 1 / log2(3) of one query, 19 others that are not in it
        "MRR@10": 0.025,
        "MAP": 0.025,
        "recall@100": 0.05,
        "p50_ms": None,
        "p95_ms": None,
        "p99_ms": None,
        "degraded": 0,
        "stages": {},
        "depth": None,
        "relevance": None,
    }


def test_degraded_answers_are_counted_and_their_reasons_told_once() -> None:
    def search(text: str, _run: str, _k: int) -> Answer:
        slow = text in {"text 3", "text 7"}
        return Answer(["right"], 1.0, ["rerank: out of time", "encode: no worker"] if slow else [])

    run = evaluate_runs("books", JUDGEMENTS, ["reranked"], search).runs["reranked"]
    assert run.degraded == 2
    assert run.reasons == ("rerank: out of time", "encode: no worker")


def test_depth_is_a_mean_over_answers_and_those_cut_short_are_counted() -> None:
    def search(text: str, _run: str, _k: int) -> Answer:
        scored = 20 if text == "text 3" else 50
        return Answer(["right"], 1.0, reranked=Reranked(scored, 50))

    run = evaluate_runs("books", JUDGEMENTS, ["reranked"], search).runs["reranked"]
    assert run.depth == Depth((20 + 19 * 50) / 20, 1 / 20)


def test_relevances_are_held_against_the_judgements_and_hits_without_one_do_not_count() -> None:
    def search(_text: str, _run: str, _k: int) -> Answer:
        return Answer(["right", "unjudged", "other"], 1.0, relevances=[0.75, 0.25, None])

    run = evaluate_runs("books", JUDGEMENTS, ["reranked"], search).runs["reranked"]
    assert run.reliability is not None
    assert run.reliability.brier == pytest.approx((0.25**2 + 0.25**2) / 2)
    assert run.reliability.calibration_error == pytest.approx(0.25)
    assert [each.hits for each in run.reliability.bins] == [20, 20]


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_of_the_search_ends_the_evaluation(threads: int) -> None:
    asked: list[str] = []

    def search(text: str, _run: str, _k: int) -> Answer:
        asked.append(text)
        raise DatabaseUnavailableError

    with pytest.raises(DatabaseUnavailableError):
        evaluate_runs("books", JUDGEMENTS, ["lexical"], search, threads=threads)
    assert len(asked) <= threads
