"""Evaluation: asks every query of every run, and measures the answers and their time."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from service.evaluation.judgements import Judgements
from service.evaluation.metrics import DEPTH, MEASURES, measure_run


class RunName(StrEnum):
    """Every run there is, in the order of the tables."""

    LEXICAL = "lexical"
    VECTOR = "vector"
    HYBRID = "hybrid"
    RERANKED = "reranked"


class Answer(NamedTuple):
    """What one search returned: document ids best first, its time, and the stages that gave way."""

    documents: Sequence[str]
    milliseconds: float
    degraded: Sequence[str] = ()


#: Called with the query's text, the run's name and the number of documents wanted.
Search = Callable[[str, str, int], Answer]


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run's figures: metrics by name, milliseconds, and how many answers were degraded.

    A degraded answer is not what the run is named after, so that any above 0 makes the metrics
    untrue; ``reasons`` tells what gave way, without repeats.
    """

    metrics: dict[str, float]
    p50_ms: float
    p95_ms: float
    degraded: int
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures in one flat object, rounded to what they can bear."""
        return {
            **{name: round(self.metrics[name], 5) for name in MEASURES},
            "p50_ms": round(self.p50_ms, 2),
            "p95_ms": round(self.p95_ms, 2),
            "degraded": self.degraded,
        }


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What an evaluation found, by the name of each run."""

    collection: str
    queries: int
    runs: dict[str, RunReport]

    def as_json(self) -> dict[str, Any]:
        """Return the form that ``rankgres eval --json`` writes."""
        return {
            "collection": self.collection,
            "queries": self.queries,
            "runs": {name: report.as_json() for name, report in self.runs.items()},
        }


def evaluate_runs(
    collection: str,
    judgements: Judgements,
    runs: Sequence[str],
    search: Search,
    *,
    k: int = DEPTH,
    threads: int = 1,
    on_answer: Callable[[str], None] = lambda _run: None,
) -> EvaluationReport:
    """Ask every query in every run, one run after the other, and return the figures.

    The first error of a search ends the evaluation: a mean over some of the queries is no figure.

    Args:
        collection: Name for the report.
        judgements: Queries and what is relevant to them.
        runs: Names given to ``search``.
        search: Answers one query; called from several threads where ``threads`` is above 1.
        k: Documents asked for; below 100, recall@100 is understated.
        threads: Searches under way at once; above 1, times include waiting for each other.
        on_answer: Called in this thread with the run's name after each answer.
    """
    reports = {}
    for run in dict.fromkeys(runs):
        answers = {}
        for query, answer in _answers(judgements.queries, run, search, k, threads):
            answers[query] = answer
            on_answer(run)
        reports[run] = _report(judgements, answers)
    return EvaluationReport(collection, len(judgements.queries), reports)


def _answers(
    queries: dict[str, str], run: str, search: Search, k: int, threads: int
) -> Iterator[tuple[str, Answer]]:
    """Yield each query's id and answer as they come, never more than ``threads`` under way."""
    waiting = iter(queries.items())
    pool = ThreadPoolExecutor(threads, thread_name_prefix=f"evaluate-{run}")
    try:
        running: dict[Future[Answer], str] = {}
        while True:
            for query, text in islice(waiting, threads - len(running)):
                running[pool.submit(search, text, run, k)] = query
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _report(judgements: Judgements, answers: dict[str, Answer]) -> RunReport:
    """Return the figures of one run's answers."""
    rankings = {query: answer.documents for query, answer in answers.items()}
    times = [answer.milliseconds for answer in answers.values()]
    p50, p95 = np.percentile(times, [50, 95])
    reasons = [reason for answer in answers.values() for reason in answer.degraded]
    return RunReport(
        metrics=measure_run(judgements.relevance, rankings).mean,
        p50_ms=float(p50),
        p95_ms=float(p95),
        degraded=sum(bool(answer.degraded) for answer in answers.values()),
        reasons=tuple(dict.fromkeys(reasons)),
    )
