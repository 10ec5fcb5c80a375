"""Task: compare the sentences of passages with a query's embedding for a caller that waits."""

import base64
import time
from typing import Any

import numpy as np
from celery import shared_task

from service.task_names import COMPARE_SENTENCES
from workers.deadline import to_monotonic
from workers.inference.backend import DeadlineExceededError, ModelBusyError
from workers.loaded_models import encoder


@shared_task(name=COMPARE_SENTENCES)  # type: ignore[untyped-decorator]  # Celery has no annotations
def compare_sentences(
    model: str, embedding: str, passages: list[list[str]], deadline: float
) -> dict[str, Any]:
    """Return the cosine similarity of each sentence, by passage, and the model's time in ms.

    ``embedding`` is the query's, base64 of little-endian float32. Passages come most important
    first. At the deadline (seconds since the epoch) it stops, sooner where the next passage would
    hardly be done by then; what was not reached is None.
    """
    started = time.perf_counter()
    query = np.frombuffer(base64.b64decode(embedding), dtype="<f4")
    end = to_monotonic(deadline)
    similarities: list[list[float] | None] = [None] * len(passages)
    seconds_a_character = 0.0
    for place, sentences in enumerate(passages):
        characters = sum(map(len, sentences))
        began = time.monotonic()
        if began + characters * seconds_a_character > end:
            break
        try:
            embeddings = encoder(model).encode(sentences, "document", deadline=end).embeddings
        except (DeadlineExceededError, ModelBusyError):
            break
        similarities[place] = _cosines(embeddings, query).tolist()
        seconds_a_character = (time.monotonic() - began) / max(1, characters)
    return {
        "similarities": similarities,
        "model_ms": 1000 * (time.perf_counter() - started),
    }


def _cosines(embeddings: np.ndarray[Any, Any], query: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(query)
    cosines: np.ndarray[Any, Any] = embeddings @ query / np.maximum(lengths, 1e-12)
    return cosines
