"""A whole stack: brought up in the foreground or the background, looked at, and stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.errors import RankgresError, StackNotRunningError
from service.local.endpoints import StackRecord, read_record, record_path, write_record
from service.local.process import tail
from service.local.process_records import (
    ProcessRecord,
    end_leftovers,
    find_process,
    read_processes,
    running_supervisor,
)
from service.local.stack_lock import StackLock
from service.local.stack_processes import (
    child_environment,
    choose_port,
    own_processes,
    plan_servers,
    service_address,
    service_process,
)
from service.local.supervisor import Supervisor
from service.settings import Settings

#: Postgres may have to recover after a crash.
_SERVERS_SECONDS = 120.0
#: A worker's first start exports and quantises its model.
_WORKERS_SECONDS = 600.0
#: How long a supervisor may take to stop: asked, then hurried, then killed.
_STOP_PATIENCE = ((signal.SIGTERM, 100.0), (signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0))
_POLL_SECONDS = 0.1

#: Begins the last words of a stack in the background that did not start.
FAILED = "failed: "
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process as ``rankgres status`` shows it; memory in bytes, its children's included."""

    name: str
    pid: int | None
    state: str
    uptime_seconds: float | None
    restarts: int
    memory_bytes: int | None
    last_exit: str


@dataclass(frozen=True, slots=True)
class StackStatus:
    """A running stack; the addresses are None until its servers are up."""

    home: Path
    phase: str
    record: StackRecord | None
    processes: tuple[ProcessStatus, ...]


def up(settings: Settings, *, port: int | None, detach: bool, tell: Tell) -> None:
    """Bring the stack up unless it is; in the foreground, return when it has stopped again.

    ``port`` wins over RANKGRES_SERVICE_PORT; 0 picks a free one. Raises like ``run`` and
    ``start_detached``.
    """
    running = status(settings.home)
    if running:
        address = running.record.service_url if running.record else "an address not yet known"
        tell(f"a stack is already running in {running.home}, at {address}")
    elif detach:
        start_detached(settings, port, tell)
    else:
        run(settings, port, tell)


def run(settings: Settings, port: int | None, tell: Tell) -> None:
    """Bring the stack up and keep it up until SIGINT or SIGTERM comes; then nothing is left.

    Raises:
        AlreadyExistsError: A stack runs at RANKGRES_HOME.
        RankgresError: A server, a migration or the service failed; everything is stopped again.
    """
    home = make_home(settings)
    servers = plan_servers(settings, home)
    with Supervisor(home, tell) as supervisor:
        try:
            port = choose_port(
                settings.service_host, settings.service_port if port is None else port
            )
            supervisor.start(servers.initialise())
            if not supervisor.wait_ready(_SERVERS_SECONDS):
                return
            database_url = servers.ensure_database(settings)
            migrate(database_url, supervisor.say)
            environment = child_environment(settings, home, database_url, servers.redis_url, port)
            address = service_address(settings.service_host, port)
            own = psutil.Process()
            write_record(
                home,
                StackRecord(own.pid, own.create_time(), database_url, servers.redis_url, address),
            )
            supervisor.start(own_processes(environment, servers.redis_url))
            supervisor.start([service_process(environment, settings.service_host, port)])
            if supervisor.wait_ready(_WORKERS_SECONDS):
                supervisor.say(f"up at {address}")
                supervisor.run()
        finally:
            record_path(home).unlink(missing_ok=True)
    servers.clean()


def migrate(database_url: str, tell: Tell) -> None:
    """Bring the schema up to date and say how long that took."""
    from service.db.migration import upgrade

    began = time.monotonic()
    upgrade(database_url)
    tell(f"schema up to date after {time.monotonic() - began:.1f} s")


def start_detached(settings: Settings, port: int | None, tell: Tell) -> StackStatus:
    """Bring the stack up in the background and return when everything in it is ready.

    Raises:
        StackNotRunningError: It failed, with the reason and the end of the log that tells it; or
            a worker keeps dying: then the rest runs on.
    """
    home = make_home(settings)
    log = home / "logs" / "supervisor.log"
    log.parent.mkdir(exist_ok=True)
    began = told = log.stat().st_size if log.exists() else 0
    command = [sys.executable, "-P", "-m", "service.local"]
    if port is not None:
        command.append(str(port))
    path = f"{Path(__file__).resolve().parents[2]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            command,
            env=dict(os.environ) | {"RANKGRES_HOME": str(home), "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while _phase(home, supervisor.pid) != "up":
            if supervisor.poll() is not None:
                said = _read_from(log, began).decode("utf-8", errors="replace").strip()
                reason = said.rpartition(FAILED)[2]
                raise StackNotRunningError(f"the stack did not start: {reason}", mend=f"read {log}")
            told += _tell_lines(log, told, tell)
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:  # the stack has a session of its own: Ctrl-C did not reach it
        supervisor.terminate()
        supervisor.wait()
        raise
    _tell_lines(log, told, tell)
    supervisor.returncode = 0  # it is on its own now: Popen need not warn that it still runs
    return _expect_all_ready(home)


def _phase(home: Path, pid: int) -> str | None:
    processes = read_processes(home)
    return processes.phase if processes and processes.pid == pid else None


def _expect_all_ready(home: Path) -> StackStatus:
    processes = read_processes(home)
    for record in processes.processes if processes else ():
        if record.failures and record.state != "ready":
            log = home / "logs" / f"{record.name}.log"
            raise StackNotRunningError(
                f"{record.name} keeps dying ({record.last_exit}); the rest of the stack runs\n"
                f"{tail(log)}",
                mend=f"read {log}; 'rankgres down' stops the stack",
            )
    found = status(home)
    if found is None:
        raise StackNotRunningError(f"the stack in {home} stopped again")
    return found


def _tell_lines(log: Path, start: int, tell: Tell) -> int:
    """Tell the whole lines from byte ``start`` on, without their times; return their bytes.

    The reason of a failure is left for the error that will carry it.
    """
    new = _read_from(log, start).partition(FAILED.encode())[0]
    whole = new[: new.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", errors="replace").splitlines():
        tell(_TIME.sub("", line))
    return len(whole)


def _read_from(log: Path, start: int) -> bytes:
    """Return the log from byte ``start`` on; from its beginning if it was put aside meanwhile."""
    with log.open("rb") as file:
        file.seek(start if log.stat().st_size >= start else 0)
        return file.read()


def down(home: Path, tell: Tell) -> bool:
    """Stop the stack, or what a killed one left; return whether there was anything to stop.

    After the return no process of the stack is left. A second call does nothing.

    Raises:
        RankgresError: The supervisor does not end even when killed.
    """
    home = home.resolve()
    running = running_supervisor(home)
    if running:
        _stop_supervisor(running.pid, running.started, tell)
    if not home.exists():
        return False
    lock = StackLock(home)
    if not lock.acquire():  # a supervisor began just now
        return down(home, tell)
    try:
        left = end_leftovers(home)
        record_path(home).unlink(missing_ok=True)
    finally:
        lock.release()
    if left:
        tell(f"ended what was left: {', '.join(left)}")
    return bool(running or left)


def _stop_supervisor(pid: int, started: float, tell: Tell) -> None:
    for number, seconds in _STOP_PATIENCE:
        process = find_process(pid, started)
        if process is None:
            return
        tell(f"asking the stack to stop ({number.name} to {pid})")
        process.send_signal(number)
        deadline = time.monotonic() + seconds
        while find_process(pid, started):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise RankgresError(f"the supervisor, process {pid}, does not end")


def status(home: Path) -> StackStatus | None:
    """Return how the stack's processes are, or None where no stack runs."""
    home = home.resolve()
    running = running_supervisor(home)
    if running is None:
        return None
    own = ProcessRecord("supervisor", running.pid, running.started, "ready")
    return StackStatus(
        home=home,
        phase=running.phase,
        record=read_record(home),
        processes=tuple(_process_status(record) for record in (own, *running.processes)),
    )


def _process_status(record: ProcessRecord) -> ProcessStatus:
    process = find_process(record.pid, record.started) if record.pid else None
    # The supervisor is the parent of all: only its own memory counts as its own.
    with_children = record.name != "supervisor"
    return ProcessStatus(
        name=record.name,
        pid=record.pid,
        state=record.state,
        uptime_seconds=time.time() - record.started if process else None,
        restarts=record.restarts,
        memory_bytes=_memory(process, with_children=with_children) if process else None,
        last_exit=record.last_exit,
    )


def _memory(process: psutil.Process, *, with_children: bool) -> int:
    """Return the memory of the process and its children, shared pages counted once (on Linux)."""
    total = 0
    with suppress(psutil.Error):
        for member in [process, *(process.children(recursive=True) if with_children else [])]:
            with suppress(psutil.Error):
                full = member.memory_full_info()
                total += getattr(full, "pss", full.rss)
    return total


def make_home(settings: Settings) -> Path:
    """Make RANKGRES_HOME, open to its owner only, and return its whole path."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.home.resolve()
