import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from workers.inference.device_turns import DeviceTurns

_PROJECT = Path(__file__).parents[2]

#: A process whose urgent run never ends.
_URGENT = """
import sys, time
from pathlib import Path
from workers.inference.device_turns import DeviceTurns
with DeviceTurns("test", Path(sys.argv[1])).urgent():
    print("urgent", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[DeviceTurns]:
    made = DeviceTurns("test", tmp_path)
    yield made
    made.close()


@contextmanager
def urgent_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another process of the device, and yield it once its urgent run is under way."""
    process = subprocess.Popen(
        [sys.executable, "-c", _URGENT, str(folder)],
        cwd=_PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "urgent\n"
        yield process
        process.kill()
        process.wait()


def bulk(turns: DeviceTurns, last_seconds: float) -> threading.Event:
    """Begin a bulk run after one that took so long; the event tells that it runs."""
    turns._bulk_seconds = last_seconds
    began = threading.Event()

    def run() -> None:
        with turns.bulk():
            began.set()

    threading.Thread(target=run, daemon=True).start()
    return began


def test_bulk_work_waits_for_another_process_and_runs_when_that_is_killed(
    turns: DeviceTurns, tmp_path: Path
) -> None:
    with urgent_process(tmp_path) as process:
        began = bulk(turns, last_seconds=100)
        assert not began.wait(0.3)
        process.send_signal(signal.SIGKILL)
        assert began.wait(60)


def test_a_process_that_hangs_keeps_nobody_waiting_for_ever(
    turns: DeviceTurns, tmp_path: Path
) -> None:
    with urgent_process(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        assert bulk(turns, last_seconds=0.01).wait(60)


def test_urgent_work_never_waits(turns: DeviceTurns, tmp_path: Path) -> None:
    with urgent_process(tmp_path), turns.urgent(), turns.urgent():
        pass
    with turns.bulk(), turns.urgent():
        pass


def test_bulk_work_waits_until_the_last_urgent_run_of_a_process_ends(turns: DeviceTurns) -> None:
    first, second = turns.urgent(), turns.urgent()
    first.__enter__()
    second.__enter__()
    began = bulk(turns, last_seconds=100)
    first.__exit__(None, None, None)
    assert not began.wait(0.2)
    second.__exit__(None, None, None)
    eventually(began.is_set, "bulk work runs")


def test_a_free_device_is_taken_at_once(turns: DeviceTurns) -> None:
    began = time.monotonic()
    for _ in range(1000):
        with turns.urgent():
            pass
        with turns.bulk():
            pass
    assert time.monotonic() - began < 30
