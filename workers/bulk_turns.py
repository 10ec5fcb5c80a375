"""Whose turn it is: bulk work of many generations shares a few of a worker's threads."""

import threading
from collections import deque


class BulkTurns:
    """Generations that wait for a turn, and how many threads give turns; safe between threads.

    The threads that are left are there for changes that somebody waits for.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._busy = 0
        self._waiting: deque[int] = deque()
        self._lock = threading.Lock()

    def join(self, generation_id: int) -> bool:
        """Put a generation last, and tell whether this thread is to give turns.

        If not, the threads that do will come to it. A thread that does calls ``leave`` at the end.
        """
        with self._lock:
            # More turns at the same time than threads there cannot be.
            if self._waiting.count(generation_id) < self._threads:
                self._waiting.append(generation_id)
            if self._busy == self._threads:
                return False
            self._busy += 1
            return True

    def next(self) -> int | None:
        """Return the generation that has waited longest, None where none waits."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def leave(self) -> None:
        """Give no more turns in this thread."""
        with self._lock:
            self._busy -= 1
