"""How long a single edit takes to be searchable, with a backfill running and without.

    python -m benchmarks.edit_lag --corpus scifact/corpus.jsonl

What is measured: an attached table is backfilled by one embedding worker with the real model.
Meanwhile single rows are updated, one after the other, each in a transaction of its own, and the
clock runs from the commit until the new text stands among the chunks that searches read. Rows that
the backfill has reached and rows that it has not are edited alike. The baseline is the same with
nothing else to do, in the same run, when the backfill is over.

How to read it: p50, p95 and the longest of both. Under a backfill an edit waits for the batch that
is in the model when it comes, which is made to take about a second, never for the queue: the lag
must not grow with what is left to be filled, so the first and the second half of the edits are
shown apart. A run in which the backfill ended before the last edit ends with an error.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.filling import read_documents
from benchmarks.indexing_processes import (
    attach_articles,
    indexing_processes,
    make_article_table,
    wait_indexed,
)
from benchmarks.machine import machine_line
from service.db.connection import Connection, connect

_POLL_SECONDS = 0.005
_GIVE_UP_SECONDS = 300.0


def main() -> None:
    """Edit under a backfill and without one, and print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        help="what rankgres ingest reads; unset: the documentation of Python's standard library",
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--pause", type=float, default=0.3, help="longest pause between edits, s")
    options = parser.parse_args()

    print(f"{machine_line()}, Postgres 18")
    documents = read_documents(options.corpus, options.rows)
    hnsw = {"RANKGRES_HNSW_MIN_CHUNKS": "1000000000"}
    with (
        indexing_processes("workers", 1, hnsw) as processes,
        connect(processes.database_url, autocommit=True) as connection,
    ):
        make_article_table(connection, documents, options.rows)
        attach_articles(connection)
        _wait_for_first(connection)
        began, filled = time.perf_counter(), _indexed(connection)
        under = lags(connection, options)
        rate = (_indexed(connection) - filled) / (time.perf_counter() - began)
        left = options.rows - _indexed(connection)
        if left <= 0:
            raise RuntimeError("the backfill was over before the last edit: use more --rows")
        print(f"backfill: {rate:.0f} documents per second meanwhile, {left:,} rows left at the end")
        connection.execute("SELECT rankgres.detach('articles')")
        make_article_table(connection, documents[:200], 200)
        options.rows = 200
        attach_articles(connection)
        wait_indexed(connection)
        alone = lags(connection, options)
    print(f"{'lag of an edit, s':24}{'p50':>8}{'p95':>8}{'longest':>9}")
    half = len(under) // 2
    for name, times in (
        ("under a backfill", under),
        ("  its first half", under[:half]),
        ("  its second half", under[half:]),
        ("with nothing else", alone),
    ):
        print(
            f"{name:24}{statistics.median(times):8.2f}{np.percentile(times, 95):8.2f}"
            f"{max(times):9.2f}"
        )


def lags(connection: Connection, options: argparse.Namespace) -> list[float]:
    """Edit one row after the other and return how long each took to be searchable."""
    chance = random.Random(1)
    times = []
    for number in range(options.edits):
        time.sleep(chance.uniform(0, options.pause))
        row = chance.randrange(options.rows)
        mark = f"edition{number}"
        connection.execute(
            "UPDATE shop.article SET body = %s || ' ' || body WHERE id = %s", [mark, row]
        )
        started = time.perf_counter()
        while not _searchable(connection, row, mark):
            if time.perf_counter() - started > _GIVE_UP_SECONDS:
                raise RuntimeError(f"edit {number} did not become searchable")
            time.sleep(_POLL_SECONDS)
        times.append(time.perf_counter() - started)
    return times


def _searchable(connection: Connection, row: int, mark: str) -> bool:
    found = _first(
        connection,
        "SELECT count(*) FROM rankgres.chunk "
        "WHERE document_id = %s AND position = 0 AND text LIKE %s",
        [str(row), f"{mark} %"],
    )
    return found > 0


def _wait_for_first(connection: Connection) -> None:
    """Return when the backfill has begun to be indexed."""
    while not _indexed(connection):
        time.sleep(_POLL_SECONDS)


def _indexed(connection: Connection) -> int:
    return _first(connection, "SELECT count(*) FROM rankgres.indexed_document", [])


def _first(connection: Connection, statement: str, values: Sequence[object]) -> int:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    main()
