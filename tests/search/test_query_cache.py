"""Query embeddings are remembered in Redis; whatever else is found there is passed over."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from service.local.redis import EmbeddedRedis
from service.model_cards import encoder_card
from service.search.query_embedding import CachePlace, embed_query
from service.search.task_sender import NoAnswerError, TaskSender
from service.settings import Settings
from service.task_names import ENCODE_QUEUE, QUERY_CACHE_PREFIX
from tests.support.hand_worker import HandWorker
from tests.support.stack import RealStack

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def cache_key(model: str, query: str) -> str:
    return CachePlace.of(model, query, Settings()).key


@pytest.fixture
def cache(stack: RealStack) -> Iterator[redis.Redis]:
    """The stack's Redis, with no embedding remembered: other tests' have places there too."""
    with redis.Redis.from_url(stack.record.redis_url) as client:
        for key in client.scan_iter(f"{QUERY_CACHE_PREFIX}*"):
            client.delete(key)
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
    assert cache.get(cache_key(MODEL, query)) is None
    cached, scores = ask(http, filled, query)
    assert not cached
    assert 0 < cache.ttl(cache_key(MODEL, query)) <= 86_400
    assert ask(http, filled, query) == (True, scores)


@pytest.mark.parametrize(
    "garbage", [b"", b"no embedding", b"\x00" * 1536, b"\x00" * 1552, b"\xff" * 1553]
)
def test_what_is_no_embedding_is_passed_over_and_replaced(
    http: httpx.Client, filled: str, cache: redis.Redis, garbage: bytes
) -> None:
    query = f"lamp {filled}"
    _, scores = ask(http, filled, query)
    cache.set(cache_key(MODEL, query), garbage)
    assert ask(http, filled, query) == (False, scores)
    assert ask(http, filled, query) == (True, scores)


def test_a_key_of_another_kind_degrades_nothing(
    http: httpx.Client, filled: str, cache: redis.Redis
) -> None:
    query = f"torch {filled}"
    cache.rpush(cache_key(MODEL, query), "a list")
    cached, scores = ask(http, filled, query)
    assert (cached, len(scores)) == (False, 1)


def test_a_query_that_was_cut_is_not_remembered(
    http: httpx.Client, filled: str, cache: redis.Redis
) -> None:
    query = "candle " * 400 + filled
    body = {"query": query, "mode": "vector"}
    for _ in range(2):
        answer = http.post(f"/collections/{filled}/search", json=body).json()
        assert [each["reason"] for each in answer["degraded"]] == ["query_truncated"]
    assert cache.get(cache_key(MODEL, query)) is None


def test_each_model_and_query_has_a_place_and_a_seal_of_its_own() -> None:
    places = [
        CachePlace.of(model, query, Settings())
        for model in ("a", "b", "ab")
        for query in ("c", "bc", "C", "")
    ]
    assert len({place.key for place in places}) == len({place.identity for place in places}) == 12


def test_the_prompt_of_the_model_is_part_of_the_key() -> None:
    model = "intfloat/e5-large-v2"
    prompt = encoder_card(model).query_prompt
    assert prompt
    told = f"{model}\x00{prompt}\x00lamp".encode()
    place = CachePlace.of(model, "lamp", Settings())
    assert place.identity == hashlib.sha256(told).digest()


class Encoder:
    """Embeds each text as three numbers of its own, and may be told what to do first."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}
        self.before: Callable[[], object] = bool

    def __call__(self, values: dict[str, Any]) -> dict[str, Any]:
        self.before()
        number = self.numbers.setdefault(values["text"], float(len(self.numbers)))
        content = np.array([number, 1, 2], dtype="<f4").tobytes()
        embedding = base64.b64encode(content).decode()
        return {"embedding": embedding, "truncated": False, "model_ms": 0.0}


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


def test_an_embedding_is_remembered_for_its_own_model_alone(own_redis: EmbeddedRedis) -> None:
    sender = TaskSender(own_redis.url)
    settings = Settings(query_cache_seconds=60)
    with HandWorker(own_redis.url, ENCODE_QUEUE, Encoder()):
        asked = embed_query(sender, settings, "one", 3, "lamp")
    remembered = embed_query(sender, settings, "one", 3, "lamp")
    assert (asked.cached, remembered.cached) == (False, True)
    assert remembered.vector.tolist() == asked.vector.tolist() == [0, 1, 2]
    # No worker serves this Redis any more: what is not remembered cannot be had.
    for model, dimension, query, seconds in (
        ("other", 3, "lamp", 60),
        ("one", 3, "lantern", 60),
        ("one", 4, "lamp", 60),
        ("one", 3, "lamp", 0),
    ):
        with pytest.raises(NoAnswerError, match="no_worker"):
            embed_query(sender, Settings(query_cache_seconds=seconds), model, dimension, query)


def test_no_more_embeddings_are_kept_than_there_are_places(own_redis: EmbeddedRedis) -> None:
    sender = TaskSender(own_redis.url)
    settings = Settings(query_cache_entries=5)
    queries = [f"query {number}" for number in range(40)]
    with HandWorker(own_redis.url, ENCODE_QUEUE, Encoder()) as worker:
        # In the end, the places hold whichever came last: each is embedded as itself all the same.
        for _ in range(2):
            vectors = [embed_query(sender, settings, "m", 3, query).vector for query in queries]
            assert [vector[0] for vector in vectors] == list(range(40))
    assert len(worker.taken) > 40
    assert len(sender.redis.keys(f"{QUERY_CACHE_PREFIX}*")) == 5


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru", "volatile-ttl"])
def test_a_redis_that_is_full_answers_with_what_it_remembers(
    own_redis: EmbeddedRedis, policy: str
) -> None:
    sender = TaskSender(own_redis.url)
    settings = Settings()
    encoder = Encoder()
    with (
        redis.Redis.from_url(own_redis.url) as admin,
        HandWorker(own_redis.url, ENCODE_QUEUE, encoder),
    ):
        admin.config_set("maxmemory-policy", policy)
        embed_query(sender, settings, "m", 3, "first")
        # Full by the time that the embedding is to be remembered: the caller has it nevertheless.
        encoder.before = lambda: admin.config_set("maxmemory", 1)
        assert not embed_query(sender, settings, "m", 3, "second").cached
        if policy == "noeviction":
            assert embed_query(sender, settings, "m", 3, "first").cached
            # A full Redis takes no task either.
            with pytest.raises(NoAnswerError, match="redis_down"):
                embed_query(sender, settings, "m", 3, "third")
        admin.config_set("maxmemory", 0)


def test_with_no_time_left_what_is_remembered_is_still_had(own_redis: EmbeddedRedis) -> None:
    sender = TaskSender(own_redis.url)
    with HandWorker(own_redis.url, ENCODE_QUEUE, Encoder()) as worker:
        embed_query(sender, Settings(), "m", 3, "first")
        assert embed_query(sender, Settings(), "m", 3, "first", timeout_ms=0).cached
        with pytest.raises(NoAnswerError, match="timeout"):
            embed_query(sender, Settings(), "m", 3, "second", timeout_ms=0)
    assert len(worker.taken) == 1
