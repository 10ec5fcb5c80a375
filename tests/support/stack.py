"""A whole stack as a newcomer starts it, with what tests need to harm its processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from service.local.endpoints import StackRecord, read_record
from service.local.process_records import ProcessRecord, read_processes
from tests.support.waiting import eventually

PROJECT = Path(__file__).resolve().parents[2]


def rankgres(
    *arguments: str,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own, with ``stdin`` on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        env=_whole(environment or {}),
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def _whole(environment: dict[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(PROJECT), *sys.path])
    return dict(os.environ) | {"PYTHONPATH": path} | environment


class RealStack:
    """Every process of Rankgres, supervised, in a home of its own.

    ``settings`` are further RANKGRES_ variables, without their prefix.
    """

    def __init__(self, home: Path, **settings: object) -> None:
        self.home = home
        self._settings = {f"RANKGRES_{name.upper()}": str(v) for name, v in settings.items()}
        self._supervisor: psutil.Process | None = None

    def start(self) -> None:
        started = rankgres("up", "--detach", "--port", "0", environment=self._own_environment())
        assert started.returncode == 0, started.stdout + started.stderr
        self._supervisor = psutil.Process(self.record.pid)

    def stop(self) -> None:
        if self._supervisor is not None and self._supervisor.is_running():
            self._supervisor.resume()
        stopped = rankgres("down", environment=self._own_environment())
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr

    def _own_environment(self) -> dict[str, str]:
        return self._settings | {"RANKGRES_HOME": str(self.home)}

    @property
    def record(self) -> StackRecord:
        record = read_record(self.home)
        assert record is not None, "the stack is not running"
        return record

    @property
    def environment(self) -> dict[str, str]:
        """What lets a command find this stack without its home."""
        return self._settings | {
            "RANKGRES_HOME": str(self.home / "elsewhere"),
            "RANKGRES_DATABASE_URL": self.record.database_url,
            "RANKGRES_REDIS_URL": self.record.redis_url,
            "RANKGRES_SERVICE_URL": self.record.service_url,
        }

    @property
    def whole_environment(self) -> dict[str, str]:
        """The environment of another process of this stack."""
        return _whole(self.environment)

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.record.service_url, timeout=60)

    def process(self, name: str) -> ProcessRecord:
        processes = read_processes(self.home)
        assert processes is not None, "the supervisor keeps no records"
        return next(record for record in processes.processes if record.name == name)

    def send(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a process and return the process's id."""
        pid = self.process(name).pid
        assert pid is not None, f"{name} is not running"
        os.kill(pid, number)
        return pid

    def kill(self, name: str) -> int:
        """Kill a process, which the supervisor then starts again; return the dead one's id."""
        return self.send(name, signal.SIGKILL)

    def wait_back(self, name: str, dead: int) -> None:
        """Wait until another process stands in the dead one's place and is ready."""

        def back() -> bool:
            record = self.process(name)
            return record.pid != dead and record.state == "ready"

        eventually(back, f"{name} is back")

    @contextmanager
    def held_down(self, name: str, number: signal.Signals = signal.SIGKILL) -> Iterator[None]:
        """Kill a process and keep it down; at the end it is started again and ready."""
        assert self._supervisor is not None
        self._supervisor.suspend()
        try:
            dead = self.send(name, number)
            eventually(lambda: not _runs(dead), f"{name} is dead")
            yield
        finally:
            self._supervisor.resume()
        self.wait_back(name, dead)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Keep a process from running: it holds its connections, and answers nothing."""
        self.send(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(name, signal.SIGCONT)


def _runs(pid: int) -> bool:
    """Return whether the process runs; a dead one stays in the list until its parent looks."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
