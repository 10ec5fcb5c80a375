import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from service.local.postgres import EmbeddedPostgres
from service.local.process import ProcessSpec, spawn
from service.local.process_records import (
    ProcessRecord,
    StackProcesses,
    end_leftovers,
    processes_path,
    write_processes,
)
from service.local.redis import EmbeddedRedis
from service.local.supervisor import Pace, rotate
from tests.stack.processes import SmallStack, wait_gone
from tests.support.waiting import eventually

Start = Callable[..., SmallStack]

SLEEP = "import time; time.sleep(600)"
CRASH = "import sys; print('out of tune', flush=True); sys.exit(3)"
#: Without a ready check it were ready where Python itself takes longer to start than is proof.
BROKEN = {"name": "broken", "code": CRASH, "says_ready": True}
WITH_CHILD = f"""
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])
pathlib.Path('parent.ready').touch()
child.wait()
"""
STUBBORN = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path('stubborn.ready').touch()
time.sleep(600)
"""


def notes_its_end(name: str) -> dict[str, Any]:
    code = f"""
import pathlib, signal, sys, time
def end(*_):
    with open('ends', 'a') as file:
        file.write('{name}\\n')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path('{name}.ready').touch()
time.sleep(600)
"""
    return {"name": name, "code": code, "says_ready": True}


def test_a_process_that_dies_is_started_again_and_named_with_its_end(small_stack: Start) -> None:
    stack = small_stack({"batches": [[{"name": "sleeper", "code": SLEEP}]]})
    stack.wait_ready()
    first = stack.record("sleeper")
    assert first.pid
    psutil.Process(first.pid).kill()
    stack.wait_said("killed by SIGKILL")
    eventually(lambda: stack.record("sleeper").state == "ready", "ready again")
    second = stack.record("sleeper")
    assert second.pid != first.pid
    assert (second.restarts, second.last_exit) == (1, "killed by SIGKILL")
    log = (stack.home / "logs" / "supervisor.log").read_text()
    assert "sleeper died after" in log
    assert str(stack.home / "logs" / "sleeper.log") in log


def test_a_process_that_keeps_dying_is_started_with_longer_and_longer_waits(
    small_stack: Start,
) -> None:
    stack = small_stack({"batches": [[{"name": "broken", "code": CRASH}]]})
    eventually(lambda: stack.said().count("exit status 3") >= 5, "five deaths")
    said = [line for line in stack.said().splitlines() if "exit status 3" in line]
    waits = [line.partition("starting again in ")[2].partition(";")[0] for line in said]
    assert waits[:5] == ["0.1 s", "0.2 s", "0.4 s", "0.4 s", "0.4 s"]


def test_the_wait_doubles_from_half_a_second_to_half_a_minute() -> None:
    assert [Pace().wait(failures) for failures in (1, 2, 3, 7, 1000)] == [0.5, 1, 2, 30, 30]


def test_a_hopeless_process_does_not_keep_the_others_from_being_ready(small_stack: Start) -> None:
    plan = [BROKEN, {"name": "sleeper", "code": SLEEP}]
    stack = small_stack({"batches": [plan]})
    stack.wait_ready()
    assert stack.record("sleeper").state == "ready"
    assert stack.record("broken").failures >= Pace().hopeless


def test_an_essential_process_that_keeps_dying_stops_the_stack_and_shows_its_log(
    small_stack: Start,
) -> None:
    plan = [{"name": "sleeper", "code": SLEEP}]
    stack = small_stack({"batches": [plan, [BROKEN | {"essential": True}]]})
    assert stack.wait() == 1
    assert "broken does not start: exit status 3" in stack.said()
    assert "out of tune" in stack.said()
    assert "stopping sleeper" in stack.said()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_everything_and_leaves_nothing(
    small_stack: Start, number: signal.Signals
) -> None:
    parent = {"name": "parent", "code": WITH_CHILD, "says_ready": True}
    stack = small_stack({"batches": [[parent, {"name": "sleeper", "code": SLEEP}]]})
    stack.wait_ready()
    tree = stack.tree()
    assert len(tree) == 4
    stack.send(number)
    assert stack.wait() == 0
    wait_gone(tree)
    assert not processes_path(stack.home).exists()


def test_batches_stop_in_reverse_order(small_stack: Start) -> None:
    names = ("server", "worker", "service")
    stack = small_stack({"batches": [[notes_its_end(name)] for name in names]})
    stack.wait_ready()
    stack.send(signal.SIGINT)
    assert stack.wait() == 0
    assert (stack.home / "ends").read_text().split() == ["service", "worker", "server"]


def test_a_second_signal_hurries_a_process_that_does_not_end(small_stack: Start) -> None:
    stubborn = {"name": "stubborn", "code": STUBBORN, "says_ready": True, "stop_seconds": 1e6}
    stack = small_stack({"batches": [[stubborn]]})
    stack.wait_ready()
    stack.send(signal.SIGINT)
    stack.wait_said("stopping stubborn")
    stack.send(signal.SIGINT)
    assert stack.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's end")
def test_a_killed_supervisor_takes_its_servers_and_processes_along(small_stack: Start) -> None:
    stack = small_stack({"servers": True, "batches": [[{"name": "sleeper", "code": SLEEP}]]})
    stack.wait_ready()
    tree = stack.tree()
    assert {"postgres", "redis-server"} <= {process.name() for process in tree}
    stack.send(signal.SIGKILL)
    stack.wait()
    wait_gone(tree)


def test_the_next_supervisor_ends_what_a_killed_one_left(small_stack: Start) -> None:
    parent = {"name": "parent", "code": WITH_CHILD, "says_ready": True}
    stack = small_stack({"batches": [[parent]]})
    stack.wait_ready()
    tree = stack.tree()
    stack.send(signal.SIGKILL)
    stack.wait()
    wait_gone(tree[:2])  # the supervisor and the parent; the parent's child knows of nothing
    assert tree[2].is_running()
    second = small_stack({"batches": [[{"name": "sleeper", "code": SLEEP}]]})
    second.wait_said("ended what was left of an earlier stack: parent (child process)")
    wait_gone(tree)


def test_leftovers_are_known_by_id_and_start(tmp_path: Path) -> None:
    spec = ProcessSpec("sleeper", [sys.executable, "-c", SLEEP], environment={})
    with (tmp_path / "log").open("wb") as log:
        mine, other = spawn(spec, log), spawn(spec, log)
    began = psutil.Process(mine.pid).create_time()
    records = (
        ProcessRecord("mine", mine.pid, began),
        ProcessRecord("other", other.pid, psutil.Process(other.pid).create_time() - 3600),
    )
    write_processes(tmp_path, StackProcesses(pid=1, started=0, processes=records))
    try:
        assert end_leftovers(tmp_path) == ["mine"]
        assert mine.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        assert end_leftovers(tmp_path) == []
    finally:
        other.kill()
        other.wait()


def test_a_second_supervisor_of_one_home_is_refused(small_stack: Start) -> None:
    first = small_stack({})
    first.wait_ready()
    second = small_stack({})
    assert second.wait() == 1
    assert "AlreadyExistsError: a stack is already running" in second.said()
    assert first.process.poll() is None


def test_two_stacks_run_side_by_side_on_servers_of_their_own(small_stack: Start) -> None:
    stacks = [small_stack({"servers": True}, name) for name in ("one", "two")]
    for number, stack in enumerate(stacks):
        stack.wait_ready()
        with psycopg.connect(EmbeddedPostgres(stack.home / "postgres").url) as connection:
            connection.execute("CREATE TABLE held AS SELECT %s::int AS number", [number])
        with redis.Redis.from_url(EmbeddedRedis(stack.home / "redis").url) as client:
            client.set("number", number)
    stacks[0].send(signal.SIGTERM)
    assert stacks[0].wait() == 0
    with psycopg.connect(EmbeddedPostgres(stacks[1].home / "postgres").url) as connection:
        assert connection.execute("SELECT number FROM held").fetchone() == (1,)
    with redis.Redis.from_url(EmbeddedRedis(stacks[1].home / "redis").url) as client:
        assert client.get("number") == b"1"


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    large, small = tmp_path / "large.log", tmp_path / "small.log"
    large.write_bytes(b"x" * (10 * 1024**2 + 1))
    small.write_bytes(b"x")
    for log in (large, small, tmp_path / "missing.log"):
        rotate(log)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"large.log.1", "small.log"}
