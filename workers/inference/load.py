"""What a model is doing and how fast it is, as its worker publishes it with its pulse."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Load:
    """One look at a model; speeds are 0 while nothing is known, counters only grow.

    ``tokens_per_second`` counts padded tokens, while the model runs alone; ``overhead_ms`` is what
    a call costs beside them. ``waiting_tokens`` is the depth of its queue; ``batch_fill`` the mean
    share of a run's budget that the runs of the last minute filled. ``dropped`` counts sequences
    whose deadline came first, ``refused`` those that were turned away at once. ``silent_seconds``
    is how long the run under way has lasted, 0 where none is; ``failures`` counts the runs that
    failed since one did not.
    """

    tokens_per_second: float = 0.0
    overhead_ms: float = 0.0
    waiting_tokens: int = 0
    batch_fill: float = 0.0
    runs: int = 0
    sequences: int = 0
    dropped: int = 0
    refused: int = 0
    silent_seconds: float = 0.0
    failures: int = 0

    def beside(self, other: Self) -> Self:
        """Return this load, with what the other model of the process makes wait or holds up."""
        return replace(
            self,
            waiting_tokens=self.waiting_tokens + other.waiting_tokens,
            dropped=self.dropped + other.dropped,
            refused=self.refused + other.refused,
            silent_seconds=max(self.silent_seconds, other.silent_seconds),
            failures=max(self.failures, other.failures),
        )
