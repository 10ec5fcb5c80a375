"""What searches share that ask workers through Redis."""

from collections.abc import Iterator

import pytest

from service.local.redis import EmbeddedRedis
from service.search.task_sender import TaskSender


@pytest.fixture
def sender(redis_server: EmbeddedRedis) -> Iterator[TaskSender]:
    """The way to workers that a test stands in for; nothing of it is left behind."""
    sender = TaskSender(redis_server.url)
    yield sender
    sender.redis.flushdb()
