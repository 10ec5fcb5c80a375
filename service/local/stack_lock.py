"""One supervisor per RANKGRES_HOME: a lock that the kernel frees when its holder ends."""

import fcntl
import os
from pathlib import Path


class StackLock:
    """The right to supervise the stack in a folder; ends with the process that holds it."""

    def __init__(self, home: Path) -> None:
        self._path = home / "supervisor.lock"
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock and return True, or return False where another process holds it."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back; a second call does nothing. The file stays, as locks need it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
