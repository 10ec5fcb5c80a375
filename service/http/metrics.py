"""GET /metrics: what happened, for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from service.search.results import SearchResponse

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
    "rankgres_rerank_candidates_total", "Candidates offered to the reranker.", ["outcome"]
)


def record_search(answer: SearchResponse) -> None:
    """Count one search."""
    for stage, milliseconds in answer.timings.items():
        _STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
    for degradation in answer.degraded:
        _DEGRADED.labels(degradation.stage, degradation.reason).inc()
    if answer.reranked is not None:
        _RERANKED.labels("scored").inc(answer.reranked.scored)
        _RERANKED.labels("not_scored").inc(answer.reranked.of - answer.reranked.scored)


@router.get("/metrics")
def metrics() -> Response:
    """Return the metrics of this process in Prometheus' text form."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
