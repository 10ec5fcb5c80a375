"""How fast a model runs, how full its runs are, and what it has done; learnt from its runs."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: Seconds of work that the speed is the mean of; what was before counts ever less.
_SPEED_SECONDS = 1.0
#: Seconds that the fill is the mean of.
_FILL_SECONDS = 60.0
#: A run that took so many times as long as expected was held up by something else, and tells no
#: more about the model than one that took so long: a stall that is over is soon forgotten.
_STALL = 3.0
_STALL_SECONDS = 0.05


@dataclass
class ModelPace:
    """Learns from the beginning and the end of runs, which may overlap; its user holds a lock.

    The speed is that of the model at work: tokens by the time in which at least one run was under
    way. Nothing is learnt from idleness.
    """

    clock: Callable[[], float] = time.monotonic
    runs: int = 0
    sequences: int = 0
    _tokens: float = 0.0
    _seconds: float = 0.0
    _fill: float = 0.0
    _fill_weight: float = 0.0
    _fill_time: float = 0.0
    _busy_since: float = 0.0
    _under_way: dict[int, tuple[float, int]] = field(default_factory=dict)

    @property
    def tokens_per_second(self) -> float:
        """Return the padded tokens that go through the model in a second, 0 if unknown."""
        return self._tokens / self._seconds if self._seconds > 0 else 0.0

    @property
    def batch_fill(self) -> float:
        """Return the mean share of its budget that a run of the last minute filled."""
        return self._fill / self._fill_weight if self._fill_weight > 0 else 0.0

    @property
    def running_tokens(self) -> int:
        """Return the tokens of the runs under way."""
        return sum(tokens for _, tokens in self._under_way.values())

    def silent_seconds(self) -> float:
        """Return for how long the oldest run under way has lasted, 0 where none is."""
        now = self.clock()
        return max((now - began for began, _ in self._under_way.values()), default=0.0)

    def seconds_for(self, tokens: float) -> float:
        """Return how long a run would take beside those under way, 0 if unknown."""
        speed = self.tokens_per_second
        return (tokens + self.running_tokens) / speed if speed else 0.0

    def begin(self, lane: int, tokens: int, sequences: int, run_tokens: int) -> None:
        """Note that a run begins; ``lane`` is its number among those that run at once."""
        now = self.clock()
        if not self._under_way:
            self._busy_since = now
        self._under_way[lane] = now, tokens
        self.runs += 1
        self.sequences += sequences
        kept = math.exp(-(now - self._fill_time) / _FILL_SECONDS)
        self._fill = self._fill * kept + min(1.0, tokens / run_tokens)
        self._fill_weight = self._fill_weight * kept + 1.0
        self._fill_time = now

    def end(self, lane: int, *, failed: bool = False) -> None:
        """Note that the lane's run has ended; of one that failed no speed is learnt."""
        now = self.clock()
        expected = self.seconds_for(0)
        _, tokens = self._under_way.pop(lane)
        seconds, self._busy_since = now - self._busy_since, now
        if failed:
            return
        if expected > 0:
            seconds = min(seconds, max(_STALL * expected, _STALL_SECONDS))
        # A run that was expected to take a second tells as much as one that took it: whoever seems
        # to be slow is asked for little, and would take long to show that it is not.
        kept = math.exp(-max(seconds, expected) / _SPEED_SECONDS)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + seconds
