"""The way to the workers and back: over a real Redis, with the worker's side played by hand."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from service.local.redis import EmbeddedRedis
from service.search.task_sender import COMMAND_SECONDS, NoAnswerError, TaskSender
from service.task_names import ALIVE_PREFIX, ENCODE_QUERY, ENCODE_QUEUE, RESULT_PREFIX
from tests.support.stack import RealStack

#: Far longer than a test takes, where the time must not matter.
LONG = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        client.set(f"{ALIVE_PREFIX}{ENCODE_QUEUE}", b"1")
        yield client


def call(sender: TaskSender, seconds: float = LONG, **values: Any) -> Any:
    return sender.call(ENCODE_QUERY, ENCODE_QUEUE, values, time.time() + seconds)


def take(client: redis.Redis) -> tuple[str, dict[str, Any]]:
    """Take the next task from the queue; return its id and its values."""
    taken = client.blpop([ENCODE_QUEUE], timeout=LONG)
    assert taken is not None, "nothing was sent"
    message = json.loads(taken[1])
    assert message["headers"]["task"] == ENCODE_QUERY
    body = message["body"]
    assert message["properties"]["body_encoding"] == "base64"
    _, values, _ = json.loads(base64.b64decode(body))
    return message["headers"]["id"], values


def answer(client: redis.Redis, task_id: str, result: Any, status: str = "SUCCESS") -> None:
    """Answer as Celery's Redis backend does."""
    key = f"{RESULT_PREFIX}{task_id}"
    value = json.dumps({"task_id": task_id, "status": status, "result": result})
    client.set(key, value, ex=60)
    client.publish(key, value)


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_the_answer_is_what_the_worker_returned(server: EmbeddedRedis, client: redis.Redis) -> None:
    def work() -> None:
        task_id, values = take(client)
        answer(client, task_id, {"got": values["text"]})

    worker = in_background(work)
    assert call(TaskSender(server.url), text="hello") == {"got": "hello"}
    worker.join()


def test_answers_that_come_out_of_order_reach_their_own_callers(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    callers = 12

    def work() -> None:
        tasks = [take(client) for _ in range(callers)]
        for task_id, values in reversed(tasks):
            answer(client, task_id, values["number"])

    sender = TaskSender(server.url)
    with ThreadPoolExecutor(callers) as threads:
        for _ in range(3):
            worker = in_background(work)
            numbers = range(callers)
            assert list(threads.map(lambda n: call(sender, number=n), numbers)) == list(numbers)
            worker.join()


def test_an_answer_that_comes_too_late_is_not_the_next_callers(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    sender = TaskSender(server.url)
    with pytest.raises(NoAnswerError, match="timeout"):
        call(sender, 0.05)
    late, _ = take(client)
    answer(client, late, "late")

    def work() -> None:
        task_id, _ = take(client)
        answer(client, late, "late again")
        answer(client, task_id, "in time")

    worker = in_background(work)
    assert call(sender) == "in time"
    worker.join()


@pytest.mark.parametrize(
    ("status", "reason"), [("FAILURE", "worker_error"), ("REVOKED", "timeout")]
)
def test_what_went_wrong_at_the_worker_has_its_name(
    server: EmbeddedRedis, client: redis.Redis, status: str, reason: str
) -> None:
    worker = in_background(lambda: answer(client, take(client)[0], None, status))
    with pytest.raises(NoAnswerError, match=reason):
        call(TaskSender(server.url))
    worker.join()


def test_without_a_pulse_nothing_is_sent(server: EmbeddedRedis, client: redis.Redis) -> None:
    client.delete(f"{ALIVE_PREFIX}{ENCODE_QUEUE}")
    with pytest.raises(NoAnswerError, match="no_worker"):
        call(TaskSender(server.url))
    assert client.llen(ENCODE_QUEUE) == 0


def test_a_redis_that_dies_while_an_answer_is_awaited_is_named(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    def work() -> None:
        take(client)
        server.stop()

    sender = TaskSender(server.url)
    killer = in_background(work)
    with pytest.raises(NoAnswerError, match="redis_down"):
        call(sender)
    killer.join()
    with pytest.raises(NoAnswerError, match="redis_down"):
        call(sender)


def test_a_redis_that_came_back_is_used_again(server: EmbeddedRedis, client: redis.Redis) -> None:
    sender = TaskSender(server.url)
    # Several callers at once leave several connections behind, all of which are lost.
    with ThreadPoolExecutor(4) as threads:
        for _ in range(2):
            client.set(f"{ALIVE_PREFIX}{ENCODE_QUEUE}", b"1")
            calls = [threads.submit(call, sender, number=number) for number in range(4)]
            for _ in calls:
                task_id, values = take(client)
                answer(client, task_id, values["number"])
            assert [done.result() for done in calls] == [0, 1, 2, 3]
            server.stop()
            server.start()


def test_a_redis_that_hangs_is_waited_for_no_longer_than_one_command(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    sender = TaskSender(server.url)
    assert sender.alive(ENCODE_QUEUE)
    client.client_pause(60_000)
    started = time.monotonic()
    with pytest.raises(NoAnswerError, match="redis_down"):
        call(sender)
    # The rest is what a busy machine may take; the caller would have waited for 20 s.
    assert time.monotonic() - started < COMMAND_SECONDS + 5


def test_a_task_that_fails_in_a_real_worker_is_a_worker_error(stack: RealStack) -> None:
    sender = TaskSender(stack.record.redis_url)
    with pytest.raises(NoAnswerError, match="worker_error"):
        call(sender, model="no such model", text="hello")
    model = "sentence-transformers/all-MiniLM-L6-v2"
    assert set(call(sender, model=model, text="hello")) == {"embedding", "truncated", "model_ms"}
