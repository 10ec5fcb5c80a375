"""The embedding of a query: from Redis where it was asked before, else from a worker.

The cache has a fixed number of places, and each query one of them, by its hash: what is asked later
takes the place of what was there. So it is bounded under any policy of Redis, without any
bookkeeping that several services would have to agree on, and one look finds what there is. What
lies in a place says which query it is of, and that it is whole; anything else is passed over.
"""

import base64
import hashlib
import time
from dataclasses import dataclass

import numpy as np
import redis
from numpy.typing import NDArray

from service.errors import RankgresError
from service.model_cards import encoder_card
from service.search.task_sender import NoAnswerError, TaskSender
from service.settings import Settings
from service.task_names import ENCODE_QUERY, ENCODE_QUEUE, QUERY_CACHE_PREFIX

#: Bytes before an embedding, which prove what it is.
_SEAL_BYTES = 16


@dataclass(frozen=True, slots=True)
class QueryEmbedding:
    """``vector`` has shape (dimension,), float32; ``model_ms`` is 0 where it was remembered."""

    vector: NDArray[np.float32]
    cached: bool
    model_ms: float = 0.0
    truncated: bool = False


def embed_query(
    sender: TaskSender,
    settings: Settings,
    model: str,
    dimension: int,
    query: str,
    *,
    timeout_ms: float | None = None,
) -> QueryEmbedding:
    """Return the query's embedding by the model.

    Args:
        sender: the way to Redis and the workers.
        settings: how long to wait, and how many embeddings are kept for how long.
        model: the bi-encoder.
        dimension: of its embeddings.
        query: as the model shall read it, without its prompt.
        timeout_ms: the longest wait; None: ``encode_timeout_ms``.

    Raises:
        NoAnswerError: no worker gave one in time, or Redis is down.
    """
    if timeout_ms is None:
        timeout_ms = settings.encode_timeout_ms
    deadline = time.time() + timeout_ms / 1000
    place = CachePlace.of(model, query, settings) if settings.query_cache_seconds else None
    remembered = None if place is None else _recall(sender, place)
    # A model of that name with another dimension was another model.
    if remembered is not None and len(remembered) == dimension:
        return QueryEmbedding(remembered, cached=True)
    if timeout_ms < 1:
        raise NoAnswerError("timeout")
    answer = sender.call(ENCODE_QUERY, ENCODE_QUEUE, {"model": model, "text": query}, deadline)
    content = base64.b64decode(answer["embedding"])
    # A query that was cut is not remembered, so that every answer says so.
    if place is not None and not answer["truncated"]:
        _remember(sender, place, content, settings.query_cache_seconds)
    return QueryEmbedding(
        np.frombuffer(content, dtype="<f4"),
        cached=False,
        model_ms=answer["model_ms"],
        truncated=answer["truncated"],
    )


@dataclass(frozen=True, slots=True)
class CachePlace:
    """The place of one query's embedding in Redis: its key, and what seals it as this query's."""

    key: str
    identity: bytes

    @classmethod
    def of(cls, model: str, query: str, settings: Settings) -> "CachePlace":
        """Return the place of a query under a model and the prompt of its card."""
        text = f"{model}\x00{_prompt(model)}\x00{query}"
        identity = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        number = int.from_bytes(identity[:8], "big") % settings.query_cache_entries
        return cls(f"{QUERY_CACHE_PREFIX}{number}", identity)

    def seal(self, content: bytes) -> bytes:
        """Return what is kept of an embedding."""
        return self._digest(content) + content

    def open(self, kept: object) -> NDArray[np.float32] | None:
        """Return the embedding; None for what is not this query's, or not as it was written."""
        if not isinstance(kept, bytes):
            return None
        content = kept[_SEAL_BYTES:]
        if not content or kept[:_SEAL_BYTES] != self._digest(content):
            return None
        return np.frombuffer(content, dtype="<f4")

    def _digest(self, content: bytes) -> bytes:
        return hashlib.blake2b(content, key=self.identity, digest_size=_SEAL_BYTES).digest()


def _prompt(model: str) -> str:
    """Return what the model reads before a query; of a model without a card that is not known."""
    try:
        return encoder_card(model).query_prompt
    except RankgresError:
        return ""


def _recall(sender: TaskSender, place: CachePlace) -> NDArray[np.float32] | None:
    try:
        return place.open(sender.redis.get(place.key))
    except redis.ResponseError:
        # Redis answers, but has something of another kind there.
        return None
    except redis.RedisError:
        raise NoAnswerError("redis_down") from None


def _remember(sender: TaskSender, place: CachePlace, content: bytes, seconds: int) -> None:
    try:
        sender.redis.set(place.key, place.seal(content), ex=seconds)
    except redis.RedisError:
        # Full, or gone: the embedding is here all the same; the next stage meets Redis by itself.
        return
