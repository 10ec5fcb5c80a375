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

#: Three times as often as silence would be noticed.
BEAT_SECONDS = PULSE_SECONDS / 3


class Heart:
    """Beats when asked to, until stopped; a Redis that is away is simply told again later."""

    def __init__(self, redis_url: str, queue: str, model: str, backend: str) -> None:
        self._redis = connect_redis(redis_url)
        self._pulse = Pulse(queue, socket.gethostname(), os.getpid(), model, backend)
        self._key = f"{PULSE_PREFIX}{queue}:{self._pulse.host}:{self._pulse.pid}"
        self._stopped = False
        self._reachable = True

    def beat(self) -> None:
        """Say once that this worker lives."""
        if self._stopped:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.set(self._key, json.dumps(asdict(self._pulse)), ex=PULSE_SECONDS)
                pipeline.set(f"{ALIVE_PREFIX}{self._pulse.queue}", b"1", ex=PULSE_SECONDS)
                pipeline.execute()
            self._reachable = True
        except redis.RedisError as error:
            if self._reachable:
                log.warning("no pulse: Redis cannot be reached (%s)", error)
            self._reachable = False

    def stop(self) -> None:
        """Fall silent and take the pulse back, so that nobody waits for this worker any more.

        Another worker of the queue says within a second that it is still there.
        """
        self._stopped = True
        try:
            self._redis.delete(self._key, f"{ALIVE_PREFIX}{self._pulse.queue}")
        except redis.RedisError as error:
            log.debug("pulse not taken back: %s", error)


class PulseThread(threading.Thread):
    """Lets a heart beat where no event loop does; stops it at the end."""

    def __init__(self, heart: Heart) -> None:
        super().__init__(name="pulse", daemon=True)
        self._heart = heart
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Beat until told to stop."""
        self._heart.beat()
        while not self._stop_asked.wait(BEAT_SECONDS):
            self._heart.beat()

    def stop(self) -> None:
        """Return when the last beat is done and the pulse is taken back."""
        self._stop_asked.set()
        self.join()
        self._heart.stop()
