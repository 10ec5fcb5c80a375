"""Postgres, Redis, relays and embedding workers as real processes, to be harmed one by one.

What a test ends is started again by the test, at once or later; what ends by itself is a failure,
except for a worker whose model hangs, which is started again as the supervisor would.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import redis

from service.db.migration import upgrade
from service.local.postgres import EmbeddedPostgres
from service.local.process import ProcessSpec, spawn, stop
from service.local.redis import EmbeddedRedis
from tests.faults.encoding_log import EncodingLog
from tests.support.stack import PROJECT

Connection = psycopg.Connection[tuple[Any, ...]]

WORKERS = 2
#: Short: what a killed worker held comes due soon, and a model that hangs is found out.
LEASE_SECONDS = 1.5
#: With which a worker ends that cannot be freed from its model otherwise.
_HUNG = 70
#: Small: many batches are under way at once, and one that fails has to be split.
BATCH_DOCUMENTS = 8
_MEMORY = 1024**3


class Fleet:
    """Every process that indexing needs, in a folder; started and stopped by one thread."""

    def __init__(self, folder: Path, postgres_version: int = 18) -> None:
        self.folder = folder
        self.log = EncodingLog(folder / "encoded")
        self._postgres = EmbeddedPostgres(
            folder / "postgres", postgres_version, memory_bytes=_MEMORY, durable=False
        )
        self._redis = EmbeddedRedis(folder / "redis")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._spare_names = count(1)
        self.database_url = ""

    def start(self) -> None:
        """Start everything on a migrated database."""
        (self.folder / "orders").mkdir(parents=True, exist_ok=True)
        self._postgres.start()
        self.database_url = self._postgres.ensure_database()
        upgrade(self.database_url)
        self._redis.start()
        for number in range(WORKERS):
            self.start_process(f"worker-{number}")
        self.start_process("relay")

    def stop(self) -> None:
        """Stop everything."""
        for name in list(self._processes):
            self.end_process(name, signal.SIGTERM)
        self._redis.stop()
        self._postgres.stop()

    @contextmanager
    def running(self) -> Iterator["Fleet"]:
        """Start, and stop at the end whatever happens."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def connect(self, name: str = "faults") -> Connection:
        """Return a connection in autocommit mode; ``name`` is how the server sees it."""
        return psycopg.connect(
            self.database_url, autocommit=True, connect_timeout=5, application_name=name
        )

    # Processes of ours

    @property
    def names(self) -> list[str]:
        """The processes that should be running now."""
        return list(self._processes)

    def start_process(self, name: str) -> None:
        """Start a worker or a relay; the name's first part says which."""
        role = name.partition("-")[0]
        module = ["tests.faults.fault_worker", "embed"] if role == "worker" else ["workers", role]
        spec = ProcessSpec(
            name=name,
            argv=[sys.executable, "-m", *module],
            environment=self._environment(),
            folder=PROJECT,
            stop_steps=((signal.SIGTERM, 20.0),),
        )
        with self._log_file(name).open("ab") as log:
            self._processes[name] = spawn(spec, log)

    def start_spare(self, role: str) -> str:
        """Start one more worker or relay and return its name."""
        name = f"{role}-spare-{next(self._spare_names)}"
        self.start_process(name)
        return name

    def end_process(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a process for good: killed, or asked to stop, however long that takes."""
        process = self._processes.pop(name)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        stop(process, ((number, 30.0),))

    def freeze(self, name: str) -> None:
        """Keep a process from running: it holds what it holds, and answers nothing."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process run on, as if nothing had been; one that was ended stays so."""
        if name in self._processes:
            self._processes[name].send_signal(signal.SIGCONT)

    def revive(self) -> list[str]:
        """Start workers again whose model hung; fail where anything else ended by itself."""
        ended = {
            name: status
            for name, process in self._processes.items()
            if (status := process.poll()) is not None
        }
        for name, status in ended.items():
            assert name.startswith("worker"), f"{name} ended with {status}"
            assert status == _HUNG, f"{name} ended with {status}"
            self.end_process(name)
            self.start_process(name)
        return list(ended)

    def _log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("RANKGRES_")
        }
        return kept | {
            "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path]),
            "FAULT_FOLDER": str(self.folder),
            "RANKGRES_HOME": str(self.folder / "home"),
            "RANKGRES_DATABASE_URL": self.database_url,
            "RANKGRES_REDIS_URL": self._redis.url,
            "RANKGRES_LEASE_SECONDS": str(LEASE_SECONDS),
            "RANKGRES_EMBED_BATCH_DOCUMENTS": str(BATCH_DOCUMENTS),
            # Reached in the middle: an index is built and used beside the faults.
            "RANKGRES_HNSW_MIN_CHUNKS": "400",
        }

    # Servers

    def crash_postgres(self) -> None:
        """Stop Postgres in immediate mode; nothing is written on the way."""
        self._postgres.stop("immediate")

    def start_postgres(self) -> None:
        """Start Postgres again; returns when it has recovered."""
        self._postgres.start()

    def kill_redis(self) -> None:
        """End Redis with all it held."""
        self._redis.stop()

    def start_redis(self) -> None:
        """Start an empty Redis."""
        self._redis.start()

    def flush_redis(self) -> None:
        """Have Redis forget everything."""
        with redis.Redis.from_url(self._redis.url) as client:
            client.flushall()

    def cut_connections(self, share: float) -> int:
        """End a share of all connections but this one, and return how many that were."""
        with self.connect() as connection:
            return connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND random() < %s",
                [share],
            ).rowcount
