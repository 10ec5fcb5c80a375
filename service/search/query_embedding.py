"""The embedding of a query: from Redis where it was asked before, else from a worker."""

import base64
import hashlib
import time
from dataclasses import dataclass

import numpy as np
import redis
from numpy.typing import NDArray

from service.search.task_sender import NoAnswerError, TaskSender
from service.settings import Settings
from service.task_names import ENCODE_QUERY, ENCODE_QUEUE, QUERY_CACHE_PREFIX


@dataclass(frozen=True, slots=True)
class QueryEmbedding:
    """``vector`` has shape (dimension,), float32; ``model_ms`` is 0 where it was remembered."""

    vector: NDArray[np.float32]
    cached: bool
    model_ms: float = 0.0
    truncated: bool = False


def embed_query(
    sender: TaskSender, settings: Settings, model: str, dimension: int, query: str
) -> QueryEmbedding:
    """Return the query's embedding by the model.

    Raises:
        NoAnswerError: no worker gave one in ``encode_timeout_ms``, or Redis is down.
    """
    deadline = time.time() + settings.encode_timeout_ms / 1000
    key = _cache_key(model, query)
    try:
        remembered = sender.redis.get(key) if settings.query_cache_seconds else None
    except redis.ResponseError:
        # Redis answers, but has something of another kind there.
        remembered = None
    except redis.RedisError:
        raise NoAnswerError("redis_down") from None
    # Anything but an embedding of this length was not written by us.
    if isinstance(remembered, bytes) and len(remembered) == 4 * dimension:
        return QueryEmbedding(np.frombuffer(remembered, dtype="<f4"), cached=True)
    answer = sender.call(ENCODE_QUERY, ENCODE_QUEUE, {"model": model, "text": query}, deadline)
    content = base64.b64decode(answer["embedding"])
    # A query that was cut is not remembered, so that every answer says so.
    if settings.query_cache_seconds and not answer["truncated"]:
        _remember(sender, key, content, settings.query_cache_seconds)
    return QueryEmbedding(
        np.frombuffer(content, dtype="<f4"),
        cached=False,
        model_ms=answer["model_ms"],
        truncated=answer["truncated"],
    )


def _cache_key(model: str, query: str) -> str:
    digest = hashlib.sha256(f"{model}\x00{query}".encode(errors="surrogatepass")).hexdigest()
    return f"{QUERY_CACHE_PREFIX}{digest}"


def _remember(sender: TaskSender, key: str, content: bytes, seconds: int) -> None:
    try:
        sender.redis.set(key, content, ex=seconds)
    except redis.RedisError:
        # The embedding is here all the same; the next stage meets Redis by itself.
        return
