"""One child process: how it is described, started so that it cannot outlive us, and stopped."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

#: Signals with the seconds that each is given.
StopSteps = Sequence[tuple[signal.Signals, float]]

_STOP_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec a child must not load libraries.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group a process runs as."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to start, how to know that it works, and how to end it.

    ``argv`` names the executable by its whole path. ``environment`` is the whole environment.
    ``ready`` is asked, with the process id, until it is true; None: ready once it has lived a bit.
    ``stop_steps`` are signals with the seconds that each is given; SIGKILL follows the last.
    ``essential``: a stack that cannot start this one does not start at all.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[int], bool] | None = None
    nice: int = 0
    account: Account | None = None
    folder: Path | None = None
    stop_steps: StopSteps = ((signal.SIGTERM, 20.0),)
    #: Sent by the kernel when the thread that started the process ends, however it ends (Linux).
    death_signal: signal.Signals = field(default=signal.SIGKILL)
    essential: bool = False


def spawn(spec: ProcessSpec, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own, writing to ``log``.

    A terminal's Ctrl-C therefore reaches only us, and we end the process in our own order.
    On Linux it ends with the calling thread: call this from a thread that outlives it.
    """
    account = spec.account
    return subprocess.Popen(
        list(spec.argv),
        env=dict(spec.environment),
        cwd=spec.folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        # A change of user clears the death signal, and only preexec_fn runs after that change.
        preexec_fn=_prepare(spec.nice, spec.death_signal),  # noqa: PLW1509  two system calls, no lock
    )


def _prepare(nice: int, death_signal: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def prepare() -> None:
        if nice:
            os.nice(nice)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # it died between fork and prctl: no signal would come
                os._exit(1)

    return prepare


def stop(process: subprocess.Popen[bytes], steps: StopSteps) -> int:
    """End the process, politely first, and return its exit status.

    After the return nothing of its process group is left.
    """
    stop_together([(process, steps)])
    return process.wait()


def stop_together(
    running: Sequence[tuple[subprocess.Popen[bytes], StopSteps]],
    hurry: Callable[[], bool] = lambda: False,
) -> None:
    """End the processes at the same time, each by its own steps; the first gets its signal first.

    Each step's signal is sent when the step before it took too long, or once ``hurry`` is true.
    After the return nothing of their process groups is left.
    """
    waiting = [(process, iter([*steps, (signal.SIGKILL, math.inf)])) for process, steps in running]
    deadlines = {process.pid: _next_step(process, steps) for process, steps in waiting}
    hurried = False
    while waiting := [pair for pair in waiting if pair[0].poll() is None]:
        hurry_now, hurried = hurry() and not hurried, hurried or hurry()
        for process, steps in waiting:
            if hurry_now or time.monotonic() > deadlines[process.pid]:
                deadlines[process.pid] = _next_step(process, steps)
        time.sleep(_STOP_POLL_SECONDS)
    for process, _ in running:
        sweep(process.pid)


def _next_step(
    process: subprocess.Popen[bytes], steps: Iterator[tuple[signal.Signals, float]]
) -> float:
    """Send the next signal and return when the one after it is due."""
    number, seconds = next(steps)
    process.send_signal(number)  # of a process that ended, nothing is sent
    return time.monotonic() + seconds


def sweep(group: int) -> None:
    """Kill whatever is left of a process group; nothing happens where nothing is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def describe_exit(status: int) -> str:
    """Return 'exit status 3' or 'killed by SIGKILL'."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log, or nothing where there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
