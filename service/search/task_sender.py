"""Sends tasks to the workers by name and waits for their answers, no longer than a deadline."""

import json
import time
from dataclasses import dataclass
from typing import Any

import celery.exceptions
import kombu.exceptions
import redis
from celery import Celery

from service.celery_settings import common_settings
from service.task_names import ALIVE_PREFIX, PULSE_PREFIX


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
        try:
            self._require_worker(queue)
            result = self.celery.send_task(
                task,
                kwargs={**kwargs, "deadline": worker_deadline or deadline},
                queue=queue,
                # Not computed once nobody waits for it.
                expires=max(0.001, deadline - time.time()),
            )
            try:
                return result.get(timeout=max(0.001, deadline - time.time()), interval=0.005)
            finally:
                # Ends the subscription; the stored result expires by itself.
                self.celery.backend.remove_pending_result(result)
        except celery.exceptions.TimeoutError:
            raise NoAnswerError("timeout") from None
        except (redis.RedisError, kombu.exceptions.OperationalError, OSError):
            raise NoAnswerError("redis_down") from None
        except NoAnswerError:
            raise
        except Exception as error:
            # Whatever the task raised comes back as an exception of its own kind.
            raise NoAnswerError("worker_error") from error

    def _require_worker(self, queue: str) -> None:
        if not self.alive(queue):
            raise NoAnswerError("no_worker")

    def alive(self, queue: str) -> bool:
        """Return whether some worker serves the queue; raises redis.RedisError."""
        return bool(self.redis.exists(f"{ALIVE_PREFIX}{queue}"))


def connect_redis(redis_url: str) -> redis.Redis:
    """Return a client that gives up fast: a search would rather degrade than wait for Redis."""
    return redis.Redis.from_url(
        redis_url, socket_connect_timeout=1.0, socket_timeout=2.0, retry_on_timeout=False
    )


def read_pulses(client: redis.Redis, queue: str) -> list[Pulse]:
    """Return what the living workers of a queue say of themselves; raises redis.RedisError."""
    keys = client.scan_iter(f"{PULSE_PREFIX}{queue}:*", count=1000)
    values = [client.get(key) for key in keys]
    return [Pulse(**json.loads(value)) for value in values if value is not None]
