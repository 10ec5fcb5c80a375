"""What an attached table's triggers cost the application's own writes.

    python -m benchmarks.write_overhead --corpus scifact/corpus.jsonl

What is measured: pgbench on an embedded Postgres of its own, durable as in production, runs the
same statements on three equal tables (a key, texts, columns to filter by, one more index):

- bare: no trigger;
- attached: by rankgres.attach, which puts statement-level triggers on it;
- row trigger: a row-level trigger that puts the key of each changed row into a queue, as most
  recipes do.

No worker and no relay run: what the application waits for is its own statement and the trigger's.
What follows is done by others, and shows in other benchmarks.

How to read it: every figure is what a transaction takes as a part of what the bare table's takes,
in the same round; 1.15 is an overhead of 15 %, and at most that is wanted for bulk inserts and
bulk updates. Each line is the median of the rounds. `time` is what the application waits, with all
rounds behind it: where they lie far apart, others used the machine. `processor` is the time that
Postgres itself used for it, which others disturb less. A single-row statement is so short that a
trigger's fixed cost shows: its milliseconds stand beside it. "not read" changes a column that is
not part of the documents: it queues nothing, but that has to be found out.
"""

import argparse
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import psutil
from psycopg import sql

from benchmarks.filling import read_documents
from benchmarks.machine import machine_line
from service.db.connection import Connection, connect
from service.db.migration import upgrade
from service.db.statements import load_statements
from service.ingest.documents import Document
from service.local.postgres import EmbeddedPostgres, binary_folder

_SQL = load_statements(__file__)
_VERSION = 18
_CONTENDERS = {"bare": "shop.bare", "attached": "shop.attached", "row trigger": "shop.rows"}
_LATENCY = re.compile(r"latency average = ([\d.]+) ms")

#: What one transaction does; :table, :rows (of a bulk statement) and :size (of the table) are
#: pgbench's variables. Each bulk statement takes the next rows, so that none is hit twice.
_SCRIPTS = {
    "bulk insert": """
        INSERT INTO :table (title, body, tenant_id, tags)
        SELECT title, body, tenant_id, tags FROM shop.pool ORDER BY number LIMIT :rows;
        """,
    "bulk update": r"""
        \set first :turn * :rows
        \set turn :turn + 1
        UPDATE :table SET body = body || ' Revised.' WHERE id > :first AND id <= :first + :rows;
        """,
    "bulk update, not read": r"""
        \set first :turn * :rows
        \set turn :turn + 1
        UPDATE :table SET views = views + 1 WHERE id > :first AND id <= :first + :rows;
        """,
    "bulk delete": r"""
        \set first :turn * :rows
        \set turn :turn + 1
        DELETE FROM :table WHERE id > :first AND id <= :first + :rows;
        """,
    "single insert": """
        INSERT INTO :table (title, body, tenant_id, tags)
        SELECT title, body, tenant_id, tags FROM shop.pool LIMIT 1;
        """,
    "single update": r"""
        \set id random(1, :size)
        UPDATE :table SET body = body || ' Revised.' WHERE id = :id;
        """,
    "single update, not read": r"""
        \set id random(1, :size)
        UPDATE :table SET views = views + 1 WHERE id = :id;
        """,
}


class Taken(NamedTuple):
    """What a transaction takes: milliseconds for the application, processor seconds of Postgres."""

    milliseconds: float
    processor: float


def main() -> None:
    """Fill the tables, let the contenders take turns, and print what each kind of write costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        help="what rankgres ingest reads; unset: the documentation of Python's standard library",
    )
    parser.add_argument("--size", type=int, default=50_000, help="rows of each table")
    parser.add_argument("--rows", type=int, default=10_000, help="rows of a bulk statement")
    parser.add_argument("--transactions", type=int, default=1000, help="single-row ones in a run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=_SCRIPTS, help="one kind of write alone")
    options = parser.parse_args()

    print(f"{machine_line()}, Postgres {_VERSION}")
    documents = read_documents(options.corpus, options.size)
    length = statistics.mean(len(document.text) for document in documents)
    print(
        f"{options.size:,} rows a table, texts of {length:,.0f} characters, bulk statements of "
        f"{options.rows:,} rows, {options.transactions:,} single-row transactions a run"
    )
    with database() as connection:
        make_tables(connection, documents, options.size)
        print(f"{'':26}{'attached':>20}{'row trigger':>20}{'bare':>9}")
        print(
            f"{'':26}{'time':>10}{'processor':>10}{'time':>10}{'processor':>10}{'ms':>9}"
            "   rounds (attached, time)"
        )
        for kind in [options.only] if options.only else _SCRIPTS:
            measure(connection, kind, options)


@contextmanager
def database() -> Iterator[Connection]:
    """Yield a connection, in autocommit mode, to a migrated database."""
    with tempfile.TemporaryDirectory(prefix="rankgres-benchmark-") as folder:
        postgres = EmbeddedPostgres(Path(folder), _VERSION)
        postgres.start()
        try:
            upgrade(postgres.url)
            with connect(postgres.url, autocommit=True) as connection:
                # Neither may run into one contender's turn and not into another's.
                connection.execute("ALTER SYSTEM SET autovacuum = off")
                connection.execute("SELECT pg_reload_conf()")
                yield connection
        finally:
            postgres.stop()


def make_tables(connection: Connection, documents: Sequence[Document], size: int) -> None:
    """Create the pool of rows and the three tables with their triggers."""
    _run(connection, "make_pool")
    with connection.cursor() as cursor, cursor.copy(_SQL["copy_pool"]) as copy:
        for number, document in enumerate(islice(cycle(documents), size)):
            tags = [f"tag{number % 7}", f"tag{number % 11}"]
            copy.write_row((number, document.title, document.text, number % 100, tags))
    connection.execute("VACUUM ANALYZE shop.pool")
    for table in _CONTENDERS.values():
        _run(connection, "make_table", table)
    _run(connection, "make_row_trigger", _CONTENDERS["row trigger"])
    connection.execute(_SQL["attach"])


def measure(connection: Connection, kind: str, options: argparse.Namespace) -> None:
    """Print one kind of write: medians over the rounds of each round's ratios."""
    bulk = kind.startswith("bulk")
    transactions = options.size // options.rows if bulk else options.transactions
    times: dict[str, list[float]] = {name: [] for name in _CONTENDERS}
    processor: dict[str, list[float]] = {name: [] for name in _CONTENDERS}
    bare = []
    for number in range(options.rounds + 1):
        taken = {}
        # Who comes first pays for what the round before left behind: take turns at that too.
        names = list(_CONTENDERS)
        for name in names[number % 3 :] + names[: number % 3]:
            refill(connection, _CONTENDERS[name])
            taken[name] = run(connection, kind, _CONTENDERS[name], transactions, options)
        if number:  # the first round does not count
            bare.append(taken["bare"].milliseconds)
            for name in _CONTENDERS:
                times[name].append(taken[name].milliseconds / taken["bare"].milliseconds)
                processor[name].append(taken[name].processor / taken["bare"].processor)
    shown = " ".join(f"{ratio:.2f}" for ratio in sorted(times["attached"]))
    figures = "".join(
        f"{statistics.median(ratios[name]):10.2f}"
        for name in ("attached", "row trigger")
        for ratios in (times, processor)
    )
    print(f"{kind:26}{figures}{statistics.median(bare):9.3f}   {shown}", flush=True)


def refill(connection: Connection, table: str) -> None:
    """Bring a table to its first state, with nothing left to be done in the background."""
    for statement in ("empty", "fill", "forget"):
        _run(connection, statement, table)
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(*table.split("."))))
    connection.execute("CHECKPOINT")


def run(
    connection: Connection, kind: str, table: str, transactions: int, options: argparse.Namespace
) -> Taken:
    """Return what a transaction takes, by pgbench."""
    server = psutil.Process(_postmaster(connection))
    before, children = _used(server), set(server.children())
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_SCRIPTS[kind])
        script.flush()
        variables = {"table": table, "rows": options.rows, "size": options.size, "turn": 0}
        defined = [f"--define={name}={value}" for name, value in variables.items()]
        done = subprocess.run(
            [
                str(binary_folder(_VERSION) / "pgbench"),
                "--no-vacuum",
                "--random-seed=1",
                f"--transactions={transactions}",
                f"--file={script.name}",
                *defined,
                connection.info.dsn,
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    found = _LATENCY.search(done.stdout)
    if found is None or f"{transactions}/{transactions}" not in done.stdout:
        raise RuntimeError(f"pgbench did not finish:\n{done.stdout}{done.stderr}")
    # What a session used is its server's once it has ended and was seen to.
    while set(server.children()) - children:
        time.sleep(0.01)
    return Taken(float(found[1]), (_used(server) - before) / transactions)


def _postmaster(connection: Connection) -> int:
    folder = connection.execute("SHOW data_directory").fetchone()
    assert folder is not None
    return int((Path(folder[0]) / "postmaster.pid").read_text(encoding="ascii").split()[0])


def _used(server: psutil.Process) -> float:
    """Return the processor seconds of the sessions that have ended."""
    times = server.cpu_times()
    return float(times.children_user + times.children_system)


def _run(connection: Connection, name: str, table: str = "shop.pool") -> None:
    """Run statements with a table's name in them, in one transaction."""
    connection.execute(_SQL[name].replace(b"{table}", table.encode()))


if __name__ == "__main__":
    main()
