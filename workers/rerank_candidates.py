"""Task: score candidates with the cross-encoder for a caller that waits."""

import time
from typing import Any

from celery import shared_task

from service.settings import get_settings
from service.task_names import RERANK_CANDIDATES
from workers.deadline import to_monotonic
from workers.loaded_models import reranker


@shared_task(name=RERANK_CANDIDATES)  # type: ignore[untyped-decorator]  # Celery has no annotations
def rerank_candidates(query: str, passages: list[str], deadline: float) -> dict[str, Any]:
    """Return one raw score a passage, in the order given, and the model's time in milliseconds.

    Passages come best first. At the deadline (seconds since the epoch) scoring stops, and what was
    not reached is None.
    """
    started = time.perf_counter()
    model = reranker(get_settings().reranker_model)
    scores = model.score(query, passages, to_monotonic(deadline))
    return {
        "model": model.card.name,
        "scores": scores,
        "model_ms": 1000 * (time.perf_counter() - started),
    }
