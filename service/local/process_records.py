"""What a stack's processes are, kept in a file: for ``rankgres status``, and to clean up by.

A process id alone is not enough, because the system uses it again: every id stands beside the
time its process began.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from service.local.process import sweep

State = Literal["starting", "ready", "waiting", "stopped"]
Phase = Literal["starting", "up", "stopping"]

#: Two readings of one start differ by less, two processes of one id by more.
_SAME_START_SECONDS = 1.0
#: For a Postgres that was told to end and has much to write.
_LEFTOVER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One supervised process as it stands.

    ``started`` is its creation time in seconds since the epoch. ``restarts`` counts its deaths,
    ``failures`` those in a row, ``last_exit`` says how the last one came. ``end_signal`` ends it
    where its supervisor is gone.
    """

    name: str
    pid: int | None = None
    started: float = 0.0
    state: State = "starting"
    restarts: int = 0
    failures: int = 0
    last_exit: str = ""
    end_signal: int = signal.SIGKILL


@dataclass(frozen=True, slots=True)
class StackProcesses:
    """A supervisor and its processes, in the order they were started."""

    pid: int
    started: float
    phase: Phase = "starting"
    processes: tuple[ProcessRecord, ...] = field(default=())


def processes_path(home: Path) -> Path:
    """Return where the supervisor at ``home`` keeps its records."""
    return home / "processes.json"


def write_processes(home: Path, processes: StackProcesses) -> None:
    """Write the records; readers see the old ones or the new ones, never half of them."""
    path = processes_path(home)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(processes), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def read_processes(home: Path) -> StackProcesses | None:
    """Return the records at ``home``, or None where there are none that can be read."""
    try:
        fields = json.loads(processes_path(home).read_text(encoding="utf-8"))
        records = tuple(ProcessRecord(**record) for record in fields.pop("processes"))
        return StackProcesses(**fields, processes=records)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def running_supervisor(home: Path) -> StackProcesses | None:
    """Return the records of a supervisor that lives, or None."""
    processes = read_processes(home)
    if processes and find_process(processes.pid, processes.started):
        return processes
    return None


def find_process(pid: int, started: float) -> psutil.Process | None:
    """Return the living process of that id if it began at that time."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        same = abs(process.create_time() - started) < _SAME_START_SECONDS
    except psutil.Error:
        return None
    return process if same else None


def end_leftovers(home: Path) -> list[str]:
    """End what a supervisor that was killed left behind; return the names of what was found.

    Only for the holder of the stack's lock, and for ``down`` where nobody holds it.
    """
    left = read_processes(home)
    found = []
    for record in left.processes if left else ():
        if record.pid is None:
            continue
        process = find_process(record.pid, record.started)
        if process is not None:
            found.append(record.name)
            _end(process, record.end_signal)
        for straggler in _stragglers(record.pid, home):
            found.append(f"{record.name} (child process)")
            straggler.kill()
    processes_path(home).unlink(missing_ok=True)
    return found


def _end(process: psutil.Process, end_signal: int) -> None:
    process.send_signal(end_signal)
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.02)
    sweep(process.pid)


def _stragglers(session: int, home: Path) -> Iterator[psutil.Process]:
    """Yield processes of the session of a process that is gone, if they are this stack's."""
    for process in psutil.process_iter():
        try:
            ours = (
                os.getsid(process.pid) == session
                and process.environ().get("RANKGRES_HOME") == str(home)
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.Error, OSError):
            continue
        if ours:
            yield process
