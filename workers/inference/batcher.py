"""One model for many threads: what waits is merged into runs, most urgent first."""

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workers.inference.backend import (
    Backend,
    DeadlineExceededError,
    ModelBusyError,
    TokenSequence,
)

Rows = NDArray[np.float32]


@dataclass(eq=False)
class _Request:
    """What one caller waits for; ``waiting`` holds the indexes not yet taken, longest last."""

    sequences: Sequence[TokenSequence]
    deadline: float
    future: Future[Rows] = field(default_factory=Future)
    rows: dict[int, Rows] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        lengths = [len(sequence) for sequence in self.sequences]
        self.waiting = sorted(range(len(lengths)), key=lengths.__getitem__)
        self.future.set_running_or_notify_cancel()  # from here on no caller can cancel it

    def longest(self) -> int:
        return len(self.sequences[self.waiting[-1]])

    def put(self, index: int, row: Rows) -> None:
        self.rows[index] = row
        if len(self.rows) == len(self.sequences) and not self.future.done():
            self.future.set_result(np.stack([self.rows[i] for i in range(len(self.rows))]))

    def fail(self, error: Exception) -> None:
        self.waiting.clear()
        if not self.future.done():
            self.future.set_exception(error)


_Place = tuple[_Request, int]


class Batcher:
    """Runs the sequences of many callers through one backend, on one thread.

    Nothing is held back to wait for company: the thread takes what is there, the request with
    the nearest deadline first (one without a deadline comes last, equals in order of arrival),
    fills the run up from the others, and looks again after every run. A request whose deadline
    passed is dropped, not computed.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._requests: list[_Request] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._serve, name=f"batcher-{backend.name}", daemon=True
        )
        self._thread.start()

    def submit(
        self, sequences: Sequence[TokenSequence], deadline: float | None = None
    ) -> Future[Rows]:
        """Queue at least one sequence; the future gives a row for each, in their order.

        Args:
            sequences: what the model shall read.
            deadline: on the clock of ``time.monotonic``, in seconds.

        The future raises DeadlineExceededError when the deadline passes first, and the
        backend's own error when it cannot run one of these sequences. Other callers' requests
        are not touched by either.
        """
        request = _Request(sequences, math.inf if deadline is None else deadline)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._requests.append(request)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Stop after the run in progress; requests that still wait fail."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests or self._closed)
                if self._closed:
                    break
                places = self._take()
            if places:
                self._run(places)
        for request in self._requests:
            request.fail(RuntimeError("the batcher was closed"))

    def _take(self) -> list[_Place]:
        """Take the sequences of the next run out of the requests."""
        now = time.monotonic()
        for request in self._requests:
            if request.deadline <= now:
                request.fail(DeadlineExceededError())
        self._requests = [request for request in self._requests if request.waiting]
        self._requests.sort(key=lambda request: request.deadline)  # stable: keeps arrival order
        if not self._requests:
            return []
        width = self._requests[0].longest()
        room = min(self._backend.run_sequences, max(1, self._backend.run_tokens // width))
        places: list[_Place] = []
        for request in self._requests:
            while len(places) < room and request.waiting and request.longest() <= width:
                places.append((request, request.waiting.pop()))
        return places

    def _run(self, places: list[_Place]) -> None:
        try:
            rows = self._backend.run([request.sequences[index] for request, index in places])
        except ModelBusyError as error:  # no sequence's fault: asking for each alone makes it worse
            for place in places:
                place[0].fail(error)
            return
        except Exception as error:  # noqa: BLE001  whatever a model raises belongs to its callers
            if len(places) == 1:
                places[0][0].fail(error)
                return
            # One bad sequence spoils a run: alone, each shows whether it is the one.
            for place in places:
                self._run([place])
            return
        for (request, index), row in zip(places, rows, strict=True):
            request.put(index, row)
