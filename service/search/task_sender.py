"""Sends tasks to the workers by name and waits for their answers, no longer than a deadline."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import celery.states
import kombu.exceptions
import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.celery_settings import common_settings
from service.errors import InvalidInputError
from service.search.answer_inbox import InboxPool
from service.task_names import ALIVE_PREFIX, PULSES_PREFIX

#: The longest wait for Redis to connect, or to answer one command: it takes a millisecond or two,
#: and a search would rather degrade than wait for one that hangs.
COMMAND_SECONDS = 0.5


class NoAnswerError(Exception):
    """A worker's answer did not come; ``reason`` says why in one stable word.

    ``retry_after_ms`` says when to ask again, where the worker knows.
    """

    def __init__(self, reason: str, retry_after_ms: float | None = None) -> None:
        self.reason = reason
        self.retry_after_ms = retry_after_ms
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a living worker says of itself; from ``tokens_per_second`` on, of its model.

    Those are 0 while nothing is known. ``tokens_per_second`` counts padded tokens while the model
    runs alone, ``overhead_ms`` is what a call costs beside them. ``waiting_tokens`` is the depth of
    its queue, ``batch_fill`` the mean share of a run's budget that the last minute's runs filled.
    ``dropped`` counts sequences whose deadline came first, ``refused`` those turned away at once.
    ``warnings`` say where the cards of its models contradict their own files; each begins with the
    model's name.
    """

    queue: str
    host: str
    pid: int
    model: str
    backend: str
    resident_bytes: int = 0
    tokens_per_second: float = 0.0
    overhead_ms: float = 0.0
    waiting_tokens: int = 0
    batch_fill: float = 0.0
    runs: int = 0
    sequences: int = 0
    dropped: int = 0
    refused: int = 0
    warnings: Sequence[str] = ()


class TaskSender:
    """One process's way to the workers; used by many threads."""

    def __init__(self, redis_url: str) -> None:
        self.redis: redis.Redis = connect_redis(redis_url)
        self.celery = Celery("rankgres", set_as_current=False)
        self.celery.conf.update(common_settings(redis_url))
        # One connection a caller; no more are kept than callers came at once.
        self.celery.conf.broker_pool_limit = 100
        self.celery.conf.broker_transport_options = {
            **self.celery.conf.broker_transport_options,
            "socket_timeout": COMMAND_SECONDS,
        }
        self._inboxes = InboxPool(self.redis, COMMAND_SECONDS)

    def call(
        self,
        task: str,
        queue: str,
        kwargs: dict[str, Any],
        deadline: float,
        worker_deadline: float | None = None,
    ) -> Any:
        """Send a task and return its result.

        Args:
            task: a name of ``service.task_names``.
            queue: the queue that carries it.
            kwargs: JSON values; ``deadline`` is added, in seconds since the epoch.
            deadline: seconds since the epoch; not waited for any longer.
            worker_deadline: where the worker is to stop earlier than that.

        Raises:
            NoAnswerError: "no_worker" (none is alive), "timeout", "overloaded" (the worker has too
                much to do), "redis_down" or "worker_error".
        """
        kwargs = {**kwargs, "deadline": worker_deadline or deadline}
        try:
            if not self.alive(queue):
                raise NoAnswerError("no_worker")
            with self._inboxes.task() as (inbox, task_id):
                self._send(task, queue, kwargs, task_id, deadline)
                answer = inbox.wait(task_id, deadline)
        except (redis.RedisError, kombu.exceptions.OperationalError, OSError):
            raise NoAnswerError("redis_down") from None
        # A worker does not begin what has expired, and says so.
        if answer is None or answer["status"] == celery.states.REVOKED:
            raise NoAnswerError("timeout")
        if answer["status"] != celery.states.SUCCESS:
            raise NoAnswerError("worker_error")
        result = answer["result"]
        if isinstance(result, dict) and "busy_ms" in result:
            raise NoAnswerError("overloaded", result["busy_ms"])
        return result

    def _send(
        self, task: str, queue: str, kwargs: dict[str, Any], task_id: str, deadline: float
    ) -> None:
        self.celery.send_task(
            task,
            kwargs=kwargs,
            queue=queue,
            task_id=task_id,
            # For logs, which must not show what is searched; to make them took 0.4 ms a call.
            argsrepr="()",
            kwargsrepr="{}",
            # Not computed once nobody waits for it.
            expires=max(0.001, deadline - time.time()),
        )

    def alive(self, queue: str) -> bool:
        """Return whether some worker serves the queue; raises redis.RedisError."""
        return bool(self.redis.exists(f"{ALIVE_PREFIX}{queue}"))


def connect_redis(redis_url: str) -> redis.Redis:
    """Return a client that gives up fast, and tries nothing twice; it connects when first used.

    Raises:
        InvalidInputError: what is given is no URL of a Redis.
    """
    try:
        return redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=COMMAND_SECONDS,
            socket_timeout=COMMAND_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise InvalidInputError(
            f"RANKGRES_REDIS_URL cannot be read: {error}",
            field="RANKGRES_REDIS_URL",
            mend="write it like redis://host:6379/0 or unix:///path/to/redis.sock",
        ) from None


def read_pulses(client: redis.Redis, queue: str) -> list[Pulse]:
    """Return what the living workers of a queue say of themselves; raises redis.RedisError."""
    name = f"{PULSES_PREFIX}{queue}"
    keys = sorted(client.smembers(name))
    values = dict(zip(keys, client.mget(keys), strict=True)) if keys else {}
    if ended := [key for key, value in values.items() if value is None]:
        client.srem(name, *ended)
    pulses = (_read_pulse(value) for value in values.values() if value is not None)
    return [pulse for pulse in pulses if pulse is not None]


def _read_pulse(value: bytes | str) -> Pulse | None:
    """Return a pulse, None for what is none; what another version says besides is passed over."""
    try:
        said = json.loads(value)
        known = {field.name: said[field.name] for field in fields(Pulse) if field.name in said}
        return Pulse(**known)
    except (TypeError, ValueError):
        return None
