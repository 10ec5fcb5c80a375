"""A worker played by hand over a real Redis, for answers that no model gives at will."""

import base64
import json
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import redis

from service.task_names import ALIVE_PREFIX, RESULT_PREFIX


class HandWorker:
    """Serves one queue in a thread; ``taken`` are the values of each task, in their order."""

    def __init__(self, redis_url: str, queue: str, answer: Callable[[dict[str, Any]], Any]) -> None:
        self._redis_url = redis_url
        self._queue = queue
        self._answer = answer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="hand-worker", daemon=True)
        self.taken: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        with redis.Redis.from_url(self._redis_url) as client:
            client.delete(self._queue)
            client.set(f"{ALIVE_PREFIX}{self._queue}", b"1")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        with redis.Redis.from_url(self._redis_url) as client:
            client.delete(f"{ALIVE_PREFIX}{self._queue}", self._queue)

    def _serve(self) -> None:
        with redis.Redis.from_url(self._redis_url) as client:
            while not self._stop.is_set():
                taken = client.blpop([self._queue], timeout=0.05)
                if taken is None:
                    continue
                message = json.loads(taken[1])
                _, values, _ = json.loads(base64.b64decode(message["body"]))
                self.taken.append(values)
                task_id = message["headers"]["id"]
                told = {"task_id": task_id, "status": "SUCCESS", "result": self._answer(values)}
                client.publish(f"{RESULT_PREFIX}{task_id}", json.dumps(told))
