"""Turns on a device that several processes share: bulk work waits while somebody's caller does."""

import fcntl
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: How long bulk work yields before a run, in runs of its own: it keeps a fifth of the device, also
#: where the others never pause, or hold their lock while they hang.
_YIELDED_RUNS = 4
_LOOK_SECONDS = 0.0005


class DeviceTurns:
    """Lets urgent runs of all processes on a device go first; threads may share it.

    A lock on a file, held shared by the processes with an urgent run under way. Bulk work looks
    before each of its runs whether anybody holds it. The kernel takes the lock from a process that
    dies, and no urgent run ever waits for it.
    """

    def __init__(self, device: str, folder: Path | None = None) -> None:
        folder = folder or Path(tempfile.gettempdir())
        name = re.sub(r"\W+", "-", device)
        path = folder / f"rankgres-{os.getuid()}-device-{name}.lock"
        # Two descriptions of the file, so that bulk and urgent work of one process see each other.
        self._held = path.open("ab")
        self._looked_at = path.open("ab")
        self._urgent_runs = 0
        self._lock = threading.Lock()
        self._bulk_seconds = 0.0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Have bulk work of all processes wait meanwhile, from its next run on."""
        with self._lock:
            self._urgent_runs += 1
            if self._urgent_runs == 1:
                # Somebody looks at this very moment: bulk work then does not see this run.
                with suppress(BlockingIOError):
                    fcntl.flock(self._held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        try:
            yield
        finally:
            with self._lock:
                self._urgent_runs -= 1
                if self._urgent_runs == 0:
                    fcntl.flock(self._held, fcntl.LOCK_UN)

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Wait until no urgent run is under way, or long enough; then count as nothing."""
        patience = time.monotonic() + _YIELDED_RUNS * self._bulk_seconds
        while self._urgent_elsewhere() and time.monotonic() < patience:
            time.sleep(_LOOK_SECONDS)
        began = time.monotonic()
        yield
        self._bulk_seconds = time.monotonic() - began

    def close(self) -> None:
        """Let the lock go for good."""
        self._held.close()
        self._looked_at.close()

    def _urgent_elsewhere(self) -> bool:
        with self._lock:
            try:
                fcntl.flock(self._looked_at, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            fcntl.flock(self._looked_at, fcntl.LOCK_UN)
            return False
