"""Sends tasks to the workers by name and waits for their answers, no longer than a deadline."""

import json
import time
from dataclasses import dataclass
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
from service.task_names import ALIVE_PREFIX, PULSE_PREFIX

#: The longest wait for Redis to connect, or to answer one command: it takes a millisecond or two,
#: and a search would rather degrade than wait for one that hangs.
COMMAND_SECONDS = 0.5


class NoAnswerError(Exception):
    """A worker's answer did not come; ``reason`` says why in one stable word."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a living worker says of itself."""

    queue: str
    host: str
    pid: int
    model: str
    backend: str


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
            NoAnswerError: "no_worker" (none is alive), "timeout", "redis_down" or "worker_error".
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
        return answer["result"]

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
    keys = client.scan_iter(f"{PULSE_PREFIX}{queue}:*", count=1000)
    values = [client.get(key) for key in keys]
    return [Pulse(**json.loads(value)) for value in values if value is not None]
