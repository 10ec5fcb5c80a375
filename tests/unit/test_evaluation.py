import threading

import pytest

from service.errors import DatabaseUnavailableError
from service.evaluation.evaluation import Answer, evaluate_runs
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
                "degraded": 0,
            },
            "hybrid": {
                "nDCG@10": 1.0,
                "MRR@10": 1.0,
                "MAP": 1.0,
                "recall@100": 1.0,
                "p50_ms": 2.0,
                "p95_ms": 2.0,
                "degraded": 0,
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
    assert report.runs["hybrid"].p50_ms == pytest.approx(10.5)  # between the 10th and the 11th
    assert report.runs["hybrid"].p95_ms == pytest.approx(19.05)  # 1 + 0.95 * 19


def test_degraded_answers_are_counted_and_their_reasons_told_once() -> None:
    def search(text: str, _run: str, _k: int) -> Answer:
        slow = text in {"text 3", "text 7"}
        return Answer(["right"], 1.0, ["rerank: out of time", "encode: no worker"] if slow else [])

    run = evaluate_runs("books", JUDGEMENTS, ["reranked"], search).runs["reranked"]
    assert run.degraded == 2
    assert run.reasons == ("rerank: out of time", "encode: no worker")


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_of_the_search_ends_the_evaluation(threads: int) -> None:
    asked: list[str] = []

    def search(text: str, _run: str, _k: int) -> Answer:
        asked.append(text)
        raise DatabaseUnavailableError

    with pytest.raises(DatabaseUnavailableError):
        evaluate_runs("books", JUDGEMENTS, ["lexical"], search, threads=threads)
    assert len(asked) <= threads
