"""Evaluation: asks every query of every run, and measures the answers and their time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from service.evaluation.calibration import Reliability, measure_reliability
from service.evaluation.judgements import Judgements
from service.evaluation.metrics import DEPTH, MEASURES, Quality, measure_run

#: What a run returned: document ids best first, with their scores, by query id.
Rankings = Mapping[str, Sequence[tuple[str, float]]]


class Reranked(NamedTuple):
    """How many of how many candidates a search reranked."""

    scored: int
    of: int


class Answer(NamedTuple):
    """What one search returned: document ids best first, its time, and the stages that gave way.

    ``scores`` and ``relevances`` have one a document, or are empty where there are none; ``stages``
    has the milliseconds that each stage took, by its name. ``reranked`` is None where the search
    asked for no reranking.
    """

    documents: Sequence[str]
    milliseconds: float
    degraded: Sequence[str] = ()
    scores: Sequence[float] = ()
    stages: Mapping[str, float] = MappingProxyType({})
    relevances: Sequence[float | None] = ()
    reranked: Reranked | None = None


#: Called with the query's text, the run's name and the number of documents wanted.
Search = Callable[[str, str, int], Answer]


class Percentiles(NamedTuple):
    """How long something took, in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, times: Sequence[float]) -> "Percentiles":
        """Return the percentiles of some times, interpolated between neighbours."""
        return cls(*(float(value) for value in np.percentile(times, [50, 95, 99])))

    def as_json(self) -> dict[str, float]:
        """Return them by name, rounded to what they can bear."""
        return {f"{name}_ms": round(value, 2) for name, value in self._asdict().items()}


@dataclass(frozen=True, slots=True)
class Depth:
    """How much a run reranked: candidates scored a query, and the share of answers cut short."""

    mean: float
    partial_share: float

    @classmethod
    def of(cls, answers: Sequence[Reranked]) -> "Depth":
        """Return the means over some answers."""
        return cls(
            float(np.mean([answer.scored for answer in answers])),
            float(np.mean([answer.scored < answer.of for answer in answers])),
        )

    def as_json(self) -> dict[str, float]:
        """Return the figures, rounded to what they can bear."""
        return {"mean": round(self.mean, 2), "partial_share": round(self.partial_share, 4)}


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run's figures: metrics, times as the caller waits and by stage, degraded answers.

    A degraded answer is not what the run is named after, so that any above 0 makes the metrics
    untrue; ``reasons`` tells what gave way, without repeats. ``times`` is None where the run was
    read from a file, ``depth`` where nothing was reranked, ``reliability``, which is that of the
    hits' relevances, where they have none.
    """

    quality: Quality
    rankings: Rankings
    times: Percentiles | None = None
    stages: Mapping[str, Percentiles] = field(default_factory=dict)
    degraded: int = 0
    reasons: tuple[str, ...] = ()
    depth: Depth | None = None
    reliability: Reliability | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Return the mean of each metric over all queries."""
        return self.quality.mean

    def as_json(self) -> dict[str, Any]:
        """Return the figures in one object, rounded to what they can bear."""
        blank = dict.fromkeys(f"{name}_ms" for name in Percentiles._fields)
        return {
            **{name: round(self.metrics[name], 5) for name in MEASURES},
            **(self.times.as_json() if self.times else blank),
            "degraded": self.degraded,
            "stages": {name: times.as_json() for name, times in self.stages.items()},
            "depth": self.depth.as_json() if self.depth else None,
            "relevance": self.reliability.as_json() if self.reliability else None,
        }


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What an evaluation found, by the name of each run."""

    collection: str
    judgements: Judgements
    runs: dict[str, RunReport]

    @property
    def queries(self) -> int:
        """Return how many queries every mean is over."""
        return len(self.judgements.queries)

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
    given: Mapping[str, Rankings] = MappingProxyType({}),
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
        given: Runs that were made elsewhere, by name: they are measured alike, without times.
    """
    reports = {}
    for run in dict.fromkeys(runs):
        answers = {}
        for query, answer in _answers(judgements.queries, run, search, k, threads):
            answers[query] = answer
            on_answer(run)
        reports[run] = _report(judgements, answers)
    for run, rankings in given.items():
        reports[run] = RunReport(_measure(judgements, rankings), rankings)
    return EvaluationReport(collection, judgements, reports)


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
    rankings = {query: _ranking(answers[query]) for query in judgements.queries}
    # Every answer has the stages of its run; one that a degraded answer lacks took no time there.
    stages = dict.fromkeys(name for answer in answers.values() for name in answer.stages)
    reranked = [answer.reranked for answer in answers.values() if answer.reranked]
    reasons = [reason for answer in answers.values() for reason in answer.degraded]
    return RunReport(
        quality=_measure(judgements, rankings),
        rankings=rankings,
        times=Percentiles.of([answer.milliseconds for answer in answers.values()]),
        stages={
            name: Percentiles.of([answer.stages.get(name, 0.0) for answer in answers.values()])
            for name in stages
        },
        degraded=sum(bool(answer.degraded) for answer in answers.values()),
        reasons=tuple(dict.fromkeys(reasons)),
        depth=Depth.of(reranked) if reranked else None,
        reliability=_reliability(judgements, answers),
    )


def _reliability(judgements: Judgements, answers: dict[str, Answer]) -> Reliability | None:
    """Return how well relevances agree with judgements; what nobody judged is not relevant."""
    found = [
        (relevance, judgements.relevance[query].get(document, 0) > 0)
        for query, answer in answers.items()
        for document, relevance in zip(answer.documents, answer.relevances, strict=False)
        if relevance is not None
    ]
    if not found:
        return None
    relevances, relevant = zip(*found, strict=True)
    return measure_reliability(np.array(relevances), np.array(relevant))


def _ranking(answer: Answer) -> list[tuple[str, float]]:
    """Return documents with their scores, or with falling numbers where there are none."""
    count = len(answer.documents)
    scores = answer.scores or range(count, 0, -1)
    return [(name, float(score)) for name, score in zip(answer.documents, scores, strict=True)]


def _measure(judgements: Judgements, rankings: Rankings) -> Quality:
    """Measure a run by the order of its documents."""
    orders = {query: [name for name, _ in ranking] for query, ranking in rankings.items()}
    return measure_run(judgements.relevance, orders)
