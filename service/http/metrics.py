"""GET /metrics: what happened, for Prometheus."""

from collections.abc import Iterable, Sequence

import redis
from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.http.runtime import Runtime
from service.search.results import SearchResponse
from service.search.task_sender import Pulse, TaskSender, read_pulses
from service.task_names import QUEUES

router = APIRouter(tags=["operation"])

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

_STAGE_SECONDS = Histogram(
    "rankgres_search_stage_seconds", "Time of each stage of searches.", ["stage"], buckets=_BUCKETS
)
_DEGRADED = Counter(
    "rankgres_search_degraded_total",
    "Searches that went without a stage, by stage and reason.",
    ["stage", "reason"],
)
_RERANKED = Counter(
    "rankgres_rerank_candidates_total", "Candidates offered to the rerankers.", ["outcome"]
)
_DEPTH = Histogram(
    "rankgres_rerank_depth",
    "Candidates that a search offered to the first reranker.",
    buckets=(0, 10, 20, 30, 40, 50, 75, 100, 200, 500, 1000),
)
_CUT = Counter("rankgres_search_cut_total", "Documents that did not reach min_relevance.")
_QUERY_CACHE = Counter(
    "rankgres_query_cache_total", "Query embeddings looked for in Redis, by outcome.", ["outcome"]
)

#: What each worker says of itself, by the fields of its pulse.
_GAUGES = {
    "waiting_tokens": "Tokens that wait for a worker's model.",
    "batch_fill": "Mean share of a run's tokens that the last minute's runs filled.",
    "tokens_per_second": "Padded tokens that a worker's model reads in a second, alone.",
    "overhead_ms": "Milliseconds that a call of a worker's model costs beside its tokens.",
    "resident_bytes": "Memory of a worker's process.",
}
_COUNTERS = {
    "runs": "Runs of a worker's model.",
    "sequences": "Texts that a worker's model read.",
    "dropped": "Texts dropped because their deadline came first.",
    "refused": "Texts refused at once because too much waited.",
}
_WORKER = ("queue", "worker", "model", "backend")


def record_search(answer: SearchResponse) -> None:
    """Count one search."""
    for stage, milliseconds in answer.timings.items():
        _STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
    for degradation in answer.degraded:
        _DEGRADED.labels(degradation.stage, degradation.reason).inc()
    if answer.reranked is not None:
        _DEPTH.observe(answer.reranked.of)
        for model in answer.reranked.models:
            _RERANKED.labels("scored").inc(model.scored)
            _RERANKED.labels("not_scored").inc(model.of - model.scored)
    _CUT.inc(answer.cut)
    if answer.query_embedding_cached is not None:
        _QUERY_CACHE.labels("hit" if answer.query_embedding_cached else "miss").inc()


class _Workers(Collector):
    """What the living workers say of themselves, each with labels of its own."""

    def __init__(self, pulses: Sequence[Pulse]) -> None:
        self._pulses = pulses

    def collect(self) -> Iterable[Metric]:
        """Return every figure of every worker."""
        for name, text in _GAUGES.items():
            gauge = GaugeMetricFamily(f"rankgres_worker_{name}", text, labels=_WORKER)
            for pulse in self._pulses:
                gauge.add_metric(_labels(pulse), getattr(pulse, name))
            yield gauge
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"rankgres_worker_{name}", text, labels=_WORKER)
            for pulse in self._pulses:
                counter.add_metric(_labels(pulse), getattr(pulse, name))
            yield counter


def _labels(pulse: Pulse) -> list[str]:
    return [pulse.queue, f"{pulse.host}:{pulse.pid}", pulse.model, pulse.backend]


def _pulses(sender: TaskSender) -> list[Pulse]:
    """Return what every worker says of itself; nothing while Redis is gone."""
    try:
        return [pulse for queue in QUEUES for pulse in read_pulses(sender.redis, queue)]
    except redis.RedisError:
        return []


@router.get("/metrics")
def metrics(runtime: Runtime) -> Response:
    """Return the metrics of this process, and what the workers say, in Prometheus' text form."""
    workers = CollectorRegistry()
    workers.register(_Workers(_pulses(runtime.sender)))
    return Response(generate_latest() + generate_latest(workers), media_type=CONTENT_TYPE_LATEST)
