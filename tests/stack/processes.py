"""Small supervisors as processes of their own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from service.local.process_records import ProcessRecord, read_processes
from tests.support.waiting import eventually

SMALL_STACK = Path(__file__).with_name("small_stack.py")
PROJECT = Path(__file__).resolve().parents[2]


class SmallStack:
    """A running small_stack.py."""

    def __init__(self, home: Path, plan: dict[str, Any]) -> None:
        self.home = home
        self.output = home / "output.txt"
        home.mkdir(exist_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(SMALL_STACK), str(home), json.dumps(plan)],
                env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_said(self, text: str) -> None:
        def said_or_ended() -> bool:
            ended = self.process.poll() is not None  # asked first: its last words count
            return text in self.said() or ended

        eventually(said_or_ended, f"{text!r} said")
        assert text in self.said(), self.said()

    def wait_ready(self) -> None:
        self.wait_said("everything is ready")

    def record(self, name: str) -> ProcessRecord:
        processes = read_processes(self.home)
        assert processes, "the supervisor keeps no records"
        return next(record for record in processes.processes if record.name == name)

    def tree(self) -> list[psutil.Process]:
        """Return the supervisor and everything below it."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(60)


def wait_gone(processes: list[psutil.Process]) -> None:
    """Wait until none of the processes lives; one that only awaits its parent's wait is gone."""

    def living() -> list[psutil.Process]:
        return [process for process in processes if _lives(process)]

    eventually(lambda: not living(), f"gone: {living()}")


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
