"""A worker's pulse: tells the service, through Redis, that a queue is served and by what."""

import json
import logging
import os
import socket
import threading
from dataclasses import asdict

import redis

from service.search.task_sender import Pulse, connect_redis
from service.task_names import ALIVE_PREFIX, PULSE_PREFIX, PULSE_SECONDS

log = logging.getLogger(__name__)


class PulseThread(threading.Thread):
    """Beats until stopped; a Redis that is away, or comes back empty, is simply told again."""

    def __init__(self, redis_url: str, queue: str, model: str, backend: str) -> None:
        super().__init__(name="pulse", daemon=True)
        self._redis = connect_redis(redis_url)
        self._pulse = Pulse(queue, socket.gethostname(), os.getpid(), model, backend)
        self._key = f"{PULSE_PREFIX}{queue}:{self._pulse.host}:{self._pulse.pid}"
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Beat three times as often as silence would be noticed."""
        reachable = True
        while not self._stop_asked.wait(PULSE_SECONDS / 3 if reachable else 0.5):
            try:
                self.beat()
                reachable = True
            except redis.RedisError as error:
                if reachable:
                    log.warning("no pulse: Redis cannot be reached (%s)", error)
                reachable = False

    def beat(self) -> None:
        """Say once that this worker lives."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(self._key, json.dumps(asdict(self._pulse)), ex=PULSE_SECONDS)
            pipeline.set(f"{ALIVE_PREFIX}{self._pulse.queue}", b"1", ex=PULSE_SECONDS)
            pipeline.execute()

    def stop(self) -> None:
        """Fall silent and take the pulse back, so that nobody waits for this worker any more.

        Another worker of the queue says within a second that it is still there.
        """
        self._stop_asked.set()
        self.join()
        try:
            self._redis.delete(self._key, f"{ALIVE_PREFIX}{self._pulse.queue}")
        except redis.RedisError as error:
            log.debug("pulse not taken back: %s", error)
