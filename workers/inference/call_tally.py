"""What models that are not run by the batcher have done, and how fast, for their worker's pulse."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from workers.inference.load import Load
from workers.inference.model_pace import ModelPace


class CallTally:
    """Counts calls of a model and learns its speed from them; any number of threads may share it.

    ``call_tokens`` is what one call may hold: the measure of how full calls are.
    """

    def __init__(self, call_tokens: int) -> None:
        self._call_tokens = call_tokens
        self._pace = ModelPace()
        self._numbers = count()
        self._lock = threading.Lock()
        self._dropped = 0
        self._refused = 0

    @contextmanager
    def call(self, tokens: int, sequences: int) -> Iterator[None]:
        """Count a call while the block runs; one that raises teaches no speed."""
        with self._lock:
            number = next(self._numbers)
            self._pace.begin(number, max(tokens, 1), sequences, self._call_tokens)
        failed = True
        try:
            yield
            failed = False
        finally:
            with self._lock:
                self._pace.end(number, failed=failed)

    def seconds_for(self, tokens: int) -> float:
        """Return how long a call of so many tokens takes, 0 while nothing is known."""
        with self._lock:
            speed = self._pace.tokens_per_second
            return tokens / speed if speed else 0.0

    def drop(self, passages: int) -> None:
        """Count passages whose deadline came first."""
        with self._lock:
            self._dropped += passages

    def refuse(self, passages: int) -> None:
        """Count passages that the model turned away, because it is busy."""
        with self._lock:
            self._refused += passages

    def load(self) -> Load:
        """Return what the model is doing now."""
        with self._lock:
            return Load(
                tokens_per_second=self._pace.tokens_per_second,
                waiting_tokens=self._pace.running_tokens,
                batch_fill=self._pace.batch_fill,
                runs=self._pace.runs,
                sequences=self._pace.sequences,
                dropped=self._dropped,
                refused=self._refused,
            )
