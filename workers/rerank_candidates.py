"""Task: score candidates with a reranker for a caller that waits."""

import time
from typing import Any

from celery import shared_task

from service.settings import get_settings
from service.task_names import FIRST_STAGE, RERANK_CANDIDATES, SECOND_STAGE
from workers.deadline import to_monotonic
from workers.inference.backend import ModelBusyError
from workers.loaded_models import reranker


@shared_task(name=RERANK_CANDIDATES)  # type: ignore[untyped-decorator]  # Celery has no annotations
def rerank_candidates(
    query: str, passages: list[str], deadline: float, stage: int = FIRST_STAGE
) -> dict[str, Any]:
    """Return one raw score a passage, in the order given, and the model's time in milliseconds.

    Passages come best first. At the deadline (seconds since the epoch) scoring stops, and what was
    not reached is None. ``windows`` says of a passage longer than the model reads where its best
    part stands, in characters. The second ``stage`` is the second model of a cascade. A model that
    has too much to do answers ``busy_ms`` alone: when to ask again.
    """
    started = time.perf_counter()
    settings = get_settings()
    second = settings.rerank_second_model if stage == SECOND_STAGE else None
    model = reranker(second or settings.reranker_model)
    try:
        scoring = model.score(query, passages, to_monotonic(deadline))
    except ModelBusyError as busy:
        return {"busy_ms": 1000 * busy.seconds}
    return {
        "model": model.card.name,
        "scores": scoring.scores,
        "windows": scoring.windows,
        "model_ms": 1000 * (time.perf_counter() - started),
    }
