"""What one caller asks of a model: sequences, a deadline, and the rows that are there so far."""

import math
import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.inference.backend import DeadlineExceededError, TokenSequence

Rows = NDArray[np.float32]


class ModelRequest:
    """Sequences that wait for a model; the batcher takes them, the caller waits for their rows.

    ``partly`` says that some rows are better than none: the sequences come best first, and the
    deadline ends the request with what there is. Else it is all of them or an error.
    """

    def __init__(
        self, sequences: Sequence[TokenSequence], deadline: float, *, partly: bool = False
    ) -> None:
        self.sequences = sequences
        self.lengths = [len(sequence) for sequence in sequences]
        self.deadline = deadline
        self.partly = partly
        order = list(range(len(sequences)))
        if not partly:
            # Who wants all of them gets them by length: equal lengths waste nothing on padding.
            order.sort(key=self.lengths.__getitem__, reverse=True)
        #: Indexes not yet taken, in the order in which they shall be.
        self.waiting: dict[int, None] = dict.fromkeys(order)
        self.waiting_tokens = sum(self.lengths)
        #: Tokens taken so far, counted from what the others had when this request came.
        self.served = 0
        self._running = 0
        self._rows: dict[int, Rows] = {}
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._done = threading.Event()
        if not sequences:
            self._done.set()

    @property
    def urgent(self) -> bool:
        """Return whether somebody waits until a deadline; bulk work has none."""
        return self.deadline < math.inf

    @property
    def begun(self) -> bool:
        """Return whether any of it is in the model or has been."""
        return self._running > 0 or bool(self._rows)

    def take(self, index: int) -> None:
        """Give a sequence to the model, whose ``put`` or ``fail`` follows."""
        with self._lock:
            del self.waiting[index]
            self._running += 1
        self.waiting_tokens -= self.lengths[index]
        self.served += self.lengths[index]

    def put(self, index: int, row: Rows) -> None:
        """Hand in the row of a sequence that was taken."""
        with self._lock:
            self._rows[index] = row
            self._running -= 1
            if not self.waiting and not self._running:
                self._done.set()

    def fail(self, error: Exception) -> None:
        """End the request with an error, unless it has ended already."""
        with self._lock:
            self._clear()
            if not self._done.is_set():
                self._error = error
                self._done.set()

    def cut(self, kept: int) -> int:
        """Let only so many of the first sequences wait on; return how many were cut off."""
        cut_off = list(self.waiting)[kept:]
        with self._lock:
            for index in cut_off:
                del self.waiting[index]
                self.waiting_tokens -= self.lengths[index]
        return len(cut_off)

    def drop(self) -> int:
        """End at the deadline, with what there is or as exceeded; return how many had waited."""
        dropped = len(self.waiting)
        with self._lock:
            self._clear()
            if self.partly and not self._running:
                self._done.set()
        if not self.partly:
            self.fail(DeadlineExceededError())
        return dropped

    def result(self) -> Rows:
        """Wait, and return a row for each sequence.

        Raises:
            DeadlineExceededError: the deadline passed first.
            Exception: whatever the model raised at one of these sequences.
        """
        self._wait()
        with self._lock:
            if self._error is not None:
                raise self._error
            if len(self._rows) < len(self.sequences):
                raise DeadlineExceededError
            return np.stack([self._rows[index] for index in range(len(self.sequences))])

    def reached(self) -> list[Rows | None]:
        """Wait, at most until the deadline, and return the rows that are there by then.

        Raises:
            Exception: what the model raised at one of these sequences; where some rows are better
                than none, only if there are none.
        """
        self._wait()
        with self._lock:
            if self._error is not None and not (self.partly and self._rows):
                raise self._error
            return [self._rows.get(index) for index in range(len(self.sequences))]

    def _clear(self) -> None:
        self.waiting.clear()
        self.waiting_tokens = 0

    def _wait(self) -> None:
        # Not for the batcher to say that the deadline has passed: its model may hang.
        if self.urgent:
            self._done.wait(max(0.0, self.deadline - time.monotonic()))
        else:
            self._done.wait()
