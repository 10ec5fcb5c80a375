"""Answers of workers: read from Redis as they are published, no longer than a deadline.

Celery's own reader shares one subscription among all threads, and one that loses Redis while it
waits calls itself broken for good. An inbox belongs to one caller at a time, and one that fails is
thrown away.
"""

import json
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import redis
from redis.client import PubSub

from service.task_names import RESULT_PREFIX


class AnswerInbox:
    """A subscription to the answers of tasks whose ids it has made.

    Raises:
        redis.RedisError: from every method, when Redis is lost; the inbox is then of no more use.
    """

    def __init__(self, client: redis.Redis, connect_seconds: float) -> None:
        name = uuid4().hex
        self._ids = (f"{name}.{number}" for number in count())
        self._subscription: PubSub = client.pubsub()  # type: ignore[no-untyped-call]  # has no hints
        self._subscription.psubscribe(f"{RESULT_PREFIX}{name}.*")
        # Wait for the confirmation: what is published before it would be missed.
        if self._subscription.get_message(timeout=connect_seconds) is None:
            raise redis.TimeoutError("no confirmation of a subscription")

    def new_task_id(self) -> str:
        """Return the id of a task to be sent now; answers that came too late are dropped first."""
        while self._subscription.get_message(timeout=0.0) is not None:
            pass
        return next(self._ids)

    def wait(self, task_id: str, deadline: float) -> dict[str, Any] | None:
        """Return what Celery says of the finished task, or None at the deadline.

        Args:
            task_id: one of this inbox.
            deadline: seconds since the epoch.
        """
        channel = f"{RESULT_PREFIX}{task_id}".encode()
        while (remaining := deadline - time.time()) > 0:
            message = self._subscription.get_message(timeout=remaining)
            if message is not None and message["channel"] == channel:
                answer: dict[str, Any] = json.loads(message["data"])
                return answer
        return None

    def close(self) -> None:
        """End the subscription."""
        self._subscription.close()


class InboxPool:
    """Inboxes that wait for their next caller; there are as many as callers at once."""

    def __init__(self, client: redis.Redis, connect_seconds: float) -> None:
        self._client = client
        self._connect_seconds = connect_seconds
        self._idle: deque[AnswerInbox] = deque()

    @contextmanager
    def task(self) -> Iterator[tuple[AnswerInbox, str]]:
        """Lend an inbox with the id of the task that it is for; raises redis.RedisError."""
        inbox, task_id = self._take()
        try:
            yield inbox, task_id
        except BaseException:
            inbox.close()
            raise
        self._idle.append(inbox)

    def _take(self) -> tuple[AnswerInbox, str]:
        while True:
            try:
                inbox = self._idle.pop()
            except IndexError:
                inbox = AnswerInbox(self._client, self._connect_seconds)
                return inbox, inbox.new_task_id()
            try:
                return inbox, inbox.new_task_id()
            except redis.RedisError:
                # It lost Redis while it was idle: so have the others, perhaps, one by one.
                inbox.close()
