"""The supervisor: starts processes in order, restarts what dies, stops all in reverse order."""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import psutil

from service.errors import AlreadyExistsError, StackNotRunningError
from service.local.process import ProcessSpec, describe_exit, spawn, stop_together, sweep, tail
from service.local.process_records import (
    Phase,
    ProcessRecord,
    StackProcesses,
    State,
    end_leftovers,
    processes_path,
    write_processes,
)
from service.local.stack_lock import StackLock

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TURN_SECONDS = 0.2
_ROTATE_BYTES = 10 * 1024**2


@dataclass(frozen=True, slots=True)
class Pace:
    """How patiently a process that dies is started again, in seconds.

    The wait doubles from ``first_wait`` to ``longest_wait`` and falls back to the first when the
    process has lived ``settled`` seconds. A process without a ready check is ready once it has
    lived ``proved``. After ``hopeless`` deaths in a row the stack no longer waits for it.
    """

    first_wait: float = 0.5
    longest_wait: float = 30.0
    settled: float = 30.0
    proved: float = 1.0
    hopeless: int = 3

    def wait(self, failures: int) -> float:
        """Return how long to wait after that many deaths in a row."""
        return min(self.first_wait * 2.0 ** min(failures - 1, 30), self.longest_wait)


class _Child:
    """One supervised process, through all its lives."""

    def __init__(self, spec: ProcessSpec, log: Path) -> None:
        self.spec = spec
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.state: State = "waiting"
        self.created = 0.0  # seconds since the epoch, as the system has it
        self.born = 0.0  # on the monotonic clock, as all below
        self.due = 0.0
        self.restarts = 0
        self.failures = 0
        self.last_exit = ""

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = spawn(self.spec, log)
        self.born = time.monotonic()
        with suppress(psutil.NoSuchProcess):  # it may be gone already: the next turn sees it
            self.created = psutil.Process(self.process.pid).create_time()
        self.state = "starting"

    def age(self) -> float:
        return time.monotonic() - self.born

    def is_ready(self, proved: float) -> bool:
        if self.spec.ready and self.process:
            return self.spec.ready(self.process.pid)
        return self.age() >= proved

    def record(self) -> ProcessRecord:
        return ProcessRecord(
            name=self.spec.name,
            pid=self.process.pid if self.process else None,
            started=self.created,
            state=self.state,
            restarts=self.restarts,
            failures=self.failures,
            last_exit=self.last_exit,
            end_signal=int(self.spec.death_signal),
        )


class Supervisor:
    """Holds a stack's processes; a context manager, to be used in the main thread.

    On entering it takes the stack's lock and ends what a killed supervisor left. On leaving,
    however that comes, it stops every process. ``tell`` is given each event, one line without a
    time; the same lines, with times, go to ``logs/supervisor.log``.
    """

    def __init__(self, home: Path, tell: Callable[[str], None], pace: Pace | None = None) -> None:
        self.home = home.resolve()
        self.logs = self.home / "logs"
        self._tell = tell
        self._pace = pace or Pace()
        self._lock = StackLock(self.home)
        self._batches: list[list[_Child]] = []
        self._phase: Phase = "starting"
        self._written: StackProcesses | None = None
        self._stop_signals = 0
        self._handlers: dict[int, Any] = {}
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._created = psutil.Process().create_time()

    def __enter__(self) -> Self:
        """Take the lock and the signals.

        Raises:
            AlreadyExistsError: Another supervisor holds the lock.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        if not self._lock.acquire():
            raise AlreadyExistsError(
                f"a stack is already running in {self.home}",
                mend="use it, stop it with 'rankgres down', or choose another RANKGRES_HOME",
            )
        rotate(self.logs / "supervisor.log")
        self._catch_signals()
        left = end_leftovers(self.home)
        if left:
            self.say(f"ended what was left of an earlier stack: {', '.join(left)}")
        self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every process, last batch first, and give back lock and signals."""
        try:
            self._stop()
        finally:
            processes_path(self.home).unlink(missing_ok=True)
            self._return_signals()
            self._lock.release()

    @property
    def asked_to_stop(self) -> bool:
        """Whether SIGINT, SIGTERM or SIGHUP came."""
        return self._stop_signals > 0

    def say(self, text: str) -> None:
        """Tell an event, and write it to the log with the time."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with (self.logs / "supervisor.log").open("a", encoding="utf-8") as log:
            log.write(f"{now} {text}\n")
        self._tell(text)

    def start(self, batch: Sequence[ProcessSpec]) -> None:
        """Start processes that will also be stopped together, after every later batch."""
        children = [_Child(spec, self.logs / f"{spec.name}.log") for spec in batch]
        self._batches.append(children)
        for child in children:
            rotate(child.log)
            child.start()
        self._write()

    def wait_ready(self, timeout: float) -> bool:
        """Wait until every process is ready, restarting those that die; False: asked to stop.

        A process that is not essential and keeps dying is not waited for.

        Raises:
            StackNotRunningError: An essential process keeps dying, or was not ready in time.
        """
        deadline = time.monotonic() + timeout
        while not self.asked_to_stop:
            late = time.monotonic() > deadline
            waiting = [child for child in self._children() if child.state != "ready"]
            for child in waiting:
                if child.spec.essential and (late or self._hopeless(child)):
                    raise StackNotRunningError(
                        f"{child.spec.name} does not start: "
                        f"{child.last_exit or f'not ready after {timeout:.0f} s'}\n"
                        f"{tail(child.log)}",
                        mend=f"read {child.log}",
                    )
            if late or all(self._hopeless(child) for child in waiting):
                return True
            self._turn()
        return False

    def run(self) -> None:
        """Keep every process running until a stop signal comes."""
        self._phase = "up"
        while not self.asked_to_stop:
            self._turn()

    def _children(self) -> list[_Child]:
        return [child for batch in self._batches for child in batch]

    def _hopeless(self, child: _Child) -> bool:
        return child.failures >= self._pace.hopeless

    def _turn(self) -> None:
        """Look after every process once, then sleep until something happens, or a moment."""
        for child in self._children():
            if child.process is None:
                if time.monotonic() >= child.due:
                    child.start()
            elif (status := child.process.poll()) is not None:
                self._bury(child, child.process.pid, status)
            elif child.state == "starting" and child.is_ready(self._pace.proved):
                child.state = "ready"
                self.say(f"{child.spec.name} ready after {child.age():.1f} s")
            elif child.failures and child.age() > self._pace.settled:
                child.failures = 0
        self._write()
        self._sleep()

    def _sleep(self) -> None:
        assert self._sockets, "a supervisor runs inside its with statement"
        bell, _ = self._sockets
        if select.select([bell], [], [], _TURN_SECONDS)[0]:
            bell.recv(4096)

    def _bury(self, child: _Child, pid: int, status: int) -> None:
        """Note how a process ended, kill what it left, and set the time of its next start."""
        sweep(pid)
        if child.age() > self._pace.settled:
            child.failures = 0
        child.failures += 1
        child.restarts += 1
        child.last_exit = describe_exit(status)
        child.process, child.state = None, "waiting"
        wait = self._pace.wait(child.failures)
        child.due = time.monotonic() + wait
        self.say(
            f"{child.spec.name} died after {child.age():.1f} s ({child.last_exit}); "
            f"starting again in {wait:.1f} s; its log: {child.log}"
        )

    def _stop(self) -> None:
        self._phase = "stopping"
        self._write()
        asked = self._stop_signals
        for batch in reversed(self._batches):
            running = [child for child in reversed(batch) if child.process]
            if not running:
                continue
            self.say(f"stopping {', '.join(child.spec.name for child in running)}")
            stop_together(
                [(child.process, child.spec.stop_steps) for child in running if child.process],
                hurry=lambda: self._stop_signals > max(asked, 1),
            )
            for child in running:
                child.process, child.state = None, "stopped"
            self._write()
        self.say("stopped")

    def _write(self) -> None:
        """Write the records if they changed."""
        records = tuple(child.record() for child in self._children())
        now = StackProcesses(os.getpid(), self._created, self._phase, records)
        if now != self._written:
            write_processes(self.home, now)
            self._written = now

    def _catch_signals(self) -> None:
        """Count stop signals instead of dying of them, and wake from sleep at any signal."""
        bell, alarm = self._sockets = socket.socketpair()
        bell.setblocking(False)
        alarm.setblocking(False)
        signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            self._handlers[number] = signal.signal(number, self._on_stop_signal)
        # Only to be woken: a child that ends is found by asking for it.
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_signals += 1

    def _return_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        for end in self._sockets or ():
            end.close()


def rotate(log: Path) -> None:
    """Put a log that has grown large aside, as ``NAME.log.1``, over the one put aside before."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > _ROTATE_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
