"""Query embeddings are remembered in Redis; whatever else is found there is passed over."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from service.local.redis import EmbeddedRedis
from service.search.query_embedding import _cache_key, embed_query
from service.search.task_sender import NoAnswerError, TaskSender
from service.settings import Settings
from tests.support.stack import RealStack

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def cache(stack: RealStack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.record.redis_url) as client:
        yield client


def ask(http: httpx.Client, collection: str, query: str) -> tuple[bool | None, Any]:
    body = {"query": query, "mode": "vector", "explain": True}
    answer = http.post(f"/collections/{collection}/search", json=body).json()
    assert answer["degraded"] == []
    scores = [result["score"] for result in answer["results"]]
    return answer["explain"]["query_embedding_cached"], scores


@pytest.fixture
def filled(http: httpx.Client, collection: str) -> str:
    documents = [{"id": "a", "text": "A lantern hangs in the porch."}]
    body = {"documents": documents, "wait": True}
    assert http.post(f"/collections/{collection}/documents", json=body).json()["waiting"] == 0
    return collection


def test_a_query_asked_again_is_not_embedded_again(
    http: httpx.Client, filled: str, cache: redis.Redis
) -> None:
    query = f"light at the door {filled}"
    assert cache.get(_cache_key(MODEL, query)) is None
    cached, scores = ask(http, filled, query)
    assert not cached
    assert 0 < cache.ttl(_cache_key(MODEL, query)) <= 86_400
    assert ask(http, filled, query) == (True, scores)


@pytest.mark.parametrize("garbage", [b"", b"no embedding", b"\x00" * 1532, b"\x00" * 1540])
def test_what_is_no_embedding_is_passed_over_and_replaced(
    http: httpx.Client, filled: str, cache: redis.Redis, garbage: bytes
) -> None:
    query = f"lamp {filled}"
    _, scores = ask(http, filled, query)
    cache.set(_cache_key(MODEL, query), garbage)
    assert ask(http, filled, query) == (False, scores)
    assert ask(http, filled, query) == (True, scores)


def test_a_key_of_another_kind_degrades_nothing(
    http: httpx.Client, filled: str, cache: redis.Redis
) -> None:
    query = f"torch {filled}"
    cache.rpush(_cache_key(MODEL, query), "a list")
    cached, scores = ask(http, filled, query)
    assert (cached, len(scores)) == (False, 1)


def test_a_query_that_was_cut_is_not_remembered(
    http: httpx.Client, filled: str, cache: redis.Redis
) -> None:
    query = "candle " * 400 + filled
    body = {"query": query, "mode": "vector"}
    for _ in range(2):
        answer = http.post(f"/collections/{filled}/search", json=body).json()
        assert answer["degraded"] == [{"stage": "vector", "reason": "query_truncated"}]
    assert cache.get(_cache_key(MODEL, query)) is None


def test_each_model_and_query_has_a_key_of_its_own() -> None:
    keys = {
        _cache_key(model, query) for model in ("a", "b", "ab") for query in ("c", "bc", "C", "")
    }
    assert len(keys) == 12


def test_an_embedding_is_remembered_for_its_own_model_alone(redis_server: EmbeddedRedis) -> None:
    sender = TaskSender(redis_server.url)
    settings = Settings(query_cache_seconds=60)
    vector = np.arange(4, dtype="<f4")
    sender.redis.set(_cache_key("one", "lamp"), vector.tobytes())
    remembered = embed_query(sender, settings, "one", 4, "lamp")
    assert remembered.cached
    assert remembered.vector.tolist() == vector.tolist()
    # No worker serves this Redis: what is not remembered cannot be had.
    with pytest.raises(NoAnswerError, match="no_worker"):
        embed_query(sender, settings, "other", 4, "lamp")
    with pytest.raises(NoAnswerError, match="no_worker"):
        embed_query(sender, settings, "one", 4, "lantern")
    with pytest.raises(NoAnswerError, match="no_worker"):
        embed_query(sender, Settings(query_cache_seconds=0), "one", 4, "lamp")
