import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import InvalidInputError, StackNotRunningError
from service.local import stack
from service.local.endpoints import StackRecord, database_url, record_path, write_record
from service.local.process_records import processes_path
from service.local.stack_processes import (
    child_environment,
    choose_port,
    own_processes,
    plan_servers,
    service_address,
)
from service.settings import Settings
from tests.stack.processes import SmallStack, wait_gone

SLEEP = "import time; time.sleep(600)"


def test_a_taken_port_is_refused_with_the_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=f"port {port}") as caught:
            choose_port("127.0.0.1", port)
    assert caught.value.field == "RANKGRES_SERVICE_PORT"
    assert "--port" in (caught.value.mend or "")
    assert choose_port("127.0.0.1", port) == port


def test_port_0_becomes_a_free_port() -> None:
    assert choose_port("127.0.0.1", 0) > 0


def test_the_address_is_one_that_this_machine_can_reach() -> None:
    assert service_address("0.0.0.0", 8433) == "http://127.0.0.1:8433"  # noqa: S104  only text
    assert service_address("::", 80) == "http://[::1]:80"


def test_a_server_that_the_settings_name_is_not_embedded(tmp_path: Path) -> None:
    given = Settings(home=tmp_path, database_url="postgresql://elsewhere", redis_url="redis://far")
    servers = plan_servers(given, tmp_path)
    assert (servers.postgres, servers.redis, servers.redis_url) == (None, None, "redis://far")
    assert servers.initialise() == []
    assert servers.ensure_database(given) == "postgresql://elsewhere"


def test_our_processes_are_told_where_everything_is(tmp_path: Path) -> None:
    environment = child_environment(
        Settings(home=tmp_path), tmp_path, "postgresql://there", "redis://here", 8433
    )
    ours = {name: value for name, value in environment.items() if name.startswith("RANKGRES_")}
    assert ours == ours | {
        "RANKGRES_HOME": str(tmp_path),
        "RANKGRES_DATABASE_URL": "postgresql://there",
        "RANKGRES_REDIS_URL": "redis://here",
        "RANKGRES_SERVICE_PORT": "8433",
        "RANKGRES_SERVICE_URL": "http://127.0.0.1:8433",
    }


def test_embedding_gives_way_to_queries() -> None:
    nice = {process.name: process.nice for process in own_processes({}, "redis://here")}
    assert nice == {"relay": 0, "worker-encode": 0, "worker-rerank": 0, "worker-embed": 5}


def test_where_nothing_runs_status_is_none_and_down_does_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    assert stack.status(tmp_path) is None
    assert stack.down(tmp_path, told.append) is False
    assert stack.down(tmp_path / "missing", told.append) is False
    assert told == []


def test_status_shows_every_process_with_its_memory(
    small_stack: Callable[..., SmallStack],
) -> None:
    small = small_stack({"batches": [[{"name": "sleeper", "code": SLEEP}]]})
    small.wait_ready()
    found = stack.status(small.home)
    assert found
    assert [process.name for process in found.processes] == ["supervisor", "sleeper"]
    for process in found.processes:
        assert process.state == "ready"
        assert process.memory_bytes
        assert process.uptime_seconds


def test_down_stops_a_running_stack(small_stack: Callable[..., SmallStack]) -> None:
    small = small_stack({"batches": [[{"name": "sleeper", "code": SLEEP}]]})
    small.wait_ready()
    tree = small.tree()
    assert stack.down(small.home, lambda _: None) is True
    wait_gone(tree)
    assert stack.down(small.home, lambda _: None) is False


def test_down_cleans_up_after_a_killed_supervisor(small_stack: Callable[..., SmallStack]) -> None:
    with_child = f"""
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])
pathlib.Path('parent.ready').touch()
child.wait()
"""
    small = small_stack({"batches": [[{"name": "parent", "code": with_child, "says_ready": True}]]})
    small.wait_ready()
    write_record(small.home, StackRecord(small.process.pid, 0.0, "postgresql://", "redis://", "x"))
    tree = small.tree()
    small.send(signal.SIGKILL)
    small.wait()
    assert stack.down(small.home, lambda _: None) is True
    wait_gone(tree)
    assert not record_path(small.home).exists()
    assert not processes_path(small.home).exists()


def test_the_record_of_a_dead_supervisor_is_no_running_stack(
    tmp_path: Path, small_stack: Callable[..., SmallStack]
) -> None:
    small = small_stack({})
    small.wait_ready()
    small.send(signal.SIGKILL)
    small.wait()
    write_record(tmp_path, StackRecord(small.process.pid, 0.0, "postgresql://", "redis://", "x"))
    with pytest.raises(StackNotRunningError, match="no stack is running"):
        database_url(Settings(home=tmp_path))
    write_record(tmp_path, StackRecord(os.getpid(), 0.0, "postgresql://", "redis://", "x"))
    assert database_url(Settings(home=tmp_path)) == "postgresql://"


def test_a_stack_in_the_background_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        with pytest.raises(StackNotRunningError, match=f"cannot listen on .* port {port}"):
            stack.start_detached(Settings(home=tmp_path), port, lambda _: None)
    assert stack.status(tmp_path) is None
