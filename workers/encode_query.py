"""Task: embed one query for a caller that waits."""

import base64
import time
from typing import Any

from celery import shared_task

from service.task_names import ENCODE_QUERY
from workers.deadline import to_monotonic
from workers.inference.backend import ModelBusyError
from workers.loaded_models import encoder


@shared_task(name=ENCODE_QUERY)  # type: ignore[untyped-decorator]  # Celery has no annotations
def encode_query(model: str, text: str, deadline: float) -> dict[str, Any]:
    """Return the query's embedding, base64 of little-endian float32, and the model's time in ms.

    Past its deadline (seconds since the epoch) nothing is computed: the caller has gone. A model
    that has too much to do answers ``busy_ms`` alone: when to ask again.
    """
    started = time.perf_counter()
    try:
        encoding = encoder(model).encode([text], "query", deadline=to_monotonic(deadline))
    except ModelBusyError as busy:
        return {"busy_ms": 1000 * busy.seconds}
    return {
        "embedding": base64.b64encode(encoding.embeddings[0].astype("<f4").tobytes()).decode(),
        "truncated": encoding.truncated[0],
        "model_ms": 1000 * (time.perf_counter() - started),
    }
