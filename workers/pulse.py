"""A worker's pulse: tells the service, through Redis, that a queue is served, by what and how."""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import psutil
import redis

from service.search.task_sender import Pulse, connect_redis
from service.task_names import ALIVE_PREFIX, PULSE_PREFIX, PULSE_SECONDS, PULSES_PREFIX
from workers.inference.load import Load

log = logging.getLogger(__name__)

#: Three times as often as silence would be noticed.
BEAT_SECONDS = PULSE_SECONDS / 3

#: A run takes milliseconds, and seconds with the largest model on the slowest machine.
HUNG_SECONDS = 60.0
#: Beats that must agree that the model hangs: a process that was stopped for a while, and runs on,
#: has a run behind it that lasted for minutes.
_HUNG_BEATS = 5
#: Runs that fail in a row, each of one sequence: no text makes a model fail so often, but a process
#: without memory, or a device that is lost, does until it is begun anew.
_HOPELESS_FAILURES = 10
#: With which a worker ends that cannot help itself otherwise; its supervisor starts another.
BROKEN = 70


class Heart:
    """Beats when asked to, until stopped; a Redis that is away is simply told again later.

    Each beat looks at the model too. One that hangs, or fails at everything, ends the process:
    callers have long had their answer without it, and the next process loads it anew.
    """

    def __init__(
        self,
        redis_url: str,
        queue: str,
        model: str,
        backend: str,
        look: Callable[[], Load] = Load,
        *,
        warn: Callable[[], Sequence[str]] = tuple,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._redis = connect_redis(redis_url)
        self._pulse = Pulse(queue, socket.gethostname(), os.getpid(), model, backend)
        self._key = f"{PULSE_PREFIX}{queue}:{self._pulse.host}:{self._pulse.pid}"
        self._process = psutil.Process()
        self._look = look
        self._warn = warn
        self._end = end
        self._hung_beats = 0
        self._stopped = False
        self._reachable = True

    def beat(self) -> None:
        """Say once that this worker lives, unless its model does not."""
        if self._stopped:
            return
        load = self._look()
        if self._is_broken(load):
            self.stop()
            self._end(BROKEN)
            return
        self._pulse = replace(
            self._pulse,
            resident_bytes=self._process.memory_info().rss,
            tokens_per_second=load.tokens_per_second,
            overhead_ms=load.overhead_ms,
            waiting_tokens=load.waiting_tokens,
            batch_fill=load.batch_fill,
            runs=load.runs,
            sequences=load.sequences,
            dropped=load.dropped,
            refused=load.refused,
            warnings=self._warn(),
        )
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.set(self._key, json.dumps(asdict(self._pulse)), ex=PULSE_SECONDS)
                pipeline.set(f"{ALIVE_PREFIX}{self._pulse.queue}", b"1", ex=PULSE_SECONDS)
                pipeline.sadd(f"{PULSES_PREFIX}{self._pulse.queue}", self._key)
                pipeline.expire(f"{PULSES_PREFIX}{self._pulse.queue}", PULSE_SECONDS)
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

    def _is_broken(self, load: Load) -> bool:
        self._hung_beats = self._hung_beats + 1 if load.silent_seconds > HUNG_SECONDS else 0
        if self._hung_beats >= _HUNG_BEATS:
            log.critical("the model has not answered for %.0f s; ending", load.silent_seconds)
            return True
        if load.failures >= _HOPELESS_FAILURES:
            log.critical("the model failed %d times in a row; ending", load.failures)
            return True
        return False


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
