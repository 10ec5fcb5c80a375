"""How fast the workers of a queue are, by their pulses, looked at about once a second."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import redis

from service.search.depth import UNKNOWN_PACE, Pace
from service.search.task_sender import Pulse, TaskSender, read_pulses

#: As often as workers beat: in between nothing new can be read.
_SECONDS = 1.0


def pace_of(pulses: Sequence[Pulse]) -> Pace:
    """Return what a call may expect of these workers: which of them takes it, nobody knows."""
    measured = [pulse for pulse in pulses if pulse.tokens_per_second > 0]
    if not measured:
        return UNKNOWN_PACE
    return Pace(
        fmean(pulse.tokens_per_second for pulse in measured),
        fmean(pulse.overhead_ms for pulse in measured),
        fmean(pulse.waiting_tokens for pulse in measured),
    )


@dataclass(slots=True)
class WorkerPace:
    """The pace of one queue, remembered for a second; many threads share it."""

    sender: TaskSender
    queue: str
    _pace: Pace = UNKNOWN_PACE
    _looked: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> Pace:
        """Return the pace; with Redis gone the one last seen, for nothing will be asked anyway."""
        with self._lock:
            if time.monotonic() - self._looked < _SECONDS:
                return self._pace
            # Before the look: others go by the last one meanwhile.
            self._looked = time.monotonic()
        try:
            self._pace = pace_of(read_pulses(self.sender.redis, self.queue))
        except redis.RedisError:
            return self._pace
        return self._pace
