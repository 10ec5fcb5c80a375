"""What indexes attached tables, and nothing else: servers, a relay and embedding workers.

Everything lives in a folder of its own and is gone at the end. Workers are the product's, or those
of `benchmarks.timed_worker`, whose encoder is no model.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

import psutil
from psycopg import sql

from service.db.connection import Connection
from service.db.migration import upgrade
from service.ingest.documents import Document
from service.local.postgres import EmbeddedPostgres
from service.local.process import ProcessSpec, spawn, stop
from service.local.redis import EmbeddedRedis

_PROJECT = Path(__file__).resolve().parents[1]
_STOP_STEPS = ((SIGTERM, 20.0),)
#: Short beside what is measured, and rare enough to cost the workers nothing.
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class IndexingProcesses:
    """Where the running servers are; ``processes`` are ours, by name, each with all it started."""

    folder: Path
    database_url: str
    processes: Mapping[str, subprocess.Popen[bytes]]
    postgres: psutil.Process

    def processor_seconds(self) -> dict[str, float]:
        """Return the processor time so far of Postgres and of each kind of process of ours."""
        seconds = {"Postgres": _with_children(self.postgres)}
        for name, process in self.processes.items():
            kind = name.partition("-")[0]
            taken = _with_children(psutil.Process(process.pid))
            seconds[kind] = seconds.get(kind, 0.0) + taken
        return seconds


@contextmanager
def indexing_processes(
    worker_module: str, workers: int, environment: Mapping[str, str]
) -> Iterator[IndexingProcesses]:
    """Yield servers, one relay and so many workers, each with what it needs to find the others."""
    with tempfile.TemporaryDirectory(prefix="rankgres-benchmark-") as name, ExitStack() as ends:
        folder = Path(name)
        postgres, redis = EmbeddedPostgres(folder / "postgres", 18), EmbeddedRedis(folder / "redis")
        postgres.start()
        ends.callback(postgres.stop)
        redis.start()
        ends.callback(redis.stop)
        url = postgres.ensure_database()
        upgrade(url)
        whole = dict(os.environ) | {
            "PYTHONPATH": os.pathsep.join([str(_PROJECT), *filter(None, sys.path)]),
            "RANKGRES_HOME": str(folder),
            "RANKGRES_DATABASE_URL": url,
            "RANKGRES_REDIS_URL": redis.url,
            "BENCHMARK_FOLDER": str(folder),
            **environment,
        }
        started: dict[str, subprocess.Popen[bytes]] = {}
        commands = {"relay": ["workers", "relay"]}
        commands |= {f"worker-{number}": [worker_module, "embed"] for number in range(workers)}
        for process, arguments in commands.items():
            spec = ProcessSpec(process, [sys.executable, "-m", *arguments], whole)
            with (folder / f"{process}.log").open("ab") as log:
                started[process] = spawn(spec, log)
            ends.callback(stop, started[process], _STOP_STEPS)
        for worker in started:
            _wait_ready(folder / f"{worker}.log")
        pid = int((postgres.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        yield IndexingProcesses(folder, url, started, psutil.Process(pid))


def _wait_ready(log: Path) -> None:
    """Return when a process has said that it works; the first export of a model takes a while."""
    deadline = time.monotonic() + 300
    while not any(word in log.read_text(encoding="utf-8") for word in ("ready", "relaying")):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{log.name}: not ready\n{log.read_text(encoding='utf-8')}")
        time.sleep(_POLL_SECONDS)


def _with_children(process: psutil.Process) -> float:
    """Return the processor seconds of a process, its children and those of them that ended."""
    seconds = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system
        if one is process:
            seconds += times.children_user + times.children_system
    return seconds


def make_article_table(connection: Connection, documents: Sequence[Document], rows: int) -> None:
    """Create shop.article and fill it with so many rows, from the documents again and again."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
    connection.execute("DROP TABLE IF EXISTS shop.article")
    connection.execute(
        "CREATE TABLE shop.article (id bigint PRIMARY KEY, title text, body text NOT NULL, "
        "tenant_id integer NOT NULL, views integer NOT NULL DEFAULT 0)"
    )
    copying = sql.SQL("COPY shop.article (id, title, body, tenant_id) FROM STDIN")
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        for number in range(rows):
            document = documents[number % len(documents)]
            copy.write_row((number, document.title, document.text, number % 100))
    connection.execute("VACUUM ANALYZE shop.article")


def attach_articles(connection: Connection) -> None:
    """Attach shop.article as the collection articles."""
    connection.execute(
        "SELECT rankgres.attach('articles', 'shop.article', title => 'title', text => '{body}', "
        "filters => '{tenant_id}')"
    )


def wait_indexed(connection: Connection) -> None:
    """Return when every row and every change is indexed.

    Raises:
        RuntimeError: a document failed; the figures would be of the rest.
    """
    waiting = (
        "SELECT EXISTS (SELECT FROM rankgres.outbox WHERE dead_at IS NULL) "
        "OR EXISTS (SELECT FROM rankgres.source_change) "
        "OR EXISTS (SELECT FROM rankgres.backfill WHERE finished_at IS NULL)"
    )
    while connection.execute(waiting.encode()).fetchone() != (False,):
        time.sleep(_POLL_SECONDS)
    dead = connection.execute(
        "SELECT document_id, last_error FROM rankgres.outbox WHERE dead_at IS NOT NULL LIMIT 1"
    ).fetchone()
    if dead:
        raise RuntimeError(f"document {dead[0]} failed: {dead[1]}")
