"""Updates of filter columns alone: their cost, and what embeddings in a table apart would change.

    python -m benchmarks.filter_updates --corpus docs/corpus.jsonl.gz --queries docs/queries.jsonl

What is measured: SQL alone, on an embedded Postgres of its own, over a corpus recombined from a
real one (see recombined_corpus). The two contenders hold the same chunks, each with its own
indexes:

- now: text, filters and embedding of a chunk in one row;
- apart: a prototype with the embeddings, and the HNSW index over them, in a table of their own,
  one row a chunk, joined by a bigint.

Postgres writes an updated row anew, and every index of its table gets an entry for the new row
where an indexed column changed, as filters are. So an update of filters reaches the HNSW index
now (which finds the embedding there already, and notes one more row for it; the graph gets no new
element), and does not where it is apart. On the other hand a search has to join what is apart.

How to read it: `apart / now` of searches is what the table apart costs each search, and of
updates what it saves each update: milliseconds a chunk, bytes of write-ahead log a chunk, growth
of the HNSW index. The two take turns query by query and batch by batch. Searches are measured
before the updates and, `after`, behind them with nothing vacuumed. Which of both weighs more
depends on how often somebody searches and how often a filter changes; the last line says how many
searches are paid with what one updated chunk saves.
"""

import argparse
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from benchmarks.machine import machine_line
from benchmarks.scale import Question, database, ensure_corpus, read_questions
from service.db.connection import Connection
from service.db.statements import load_statements

_SQL = load_statements(__file__)
_CONTENDERS = ("now", "prototype")
_FILTERS: Mapping[str, dict[str, int]] = {"all": {}, "50 %": {"of2": 1}, "5 %": {"of20": 1}}
#: Where no more than this share qualifies, a search measures every chunk that does.
_EXACT = "5 %"

Figures = dict[str, float]


class Contenders:
    """The two ways to store, behind the same statements."""

    def __init__(self, connection: Connection, generation_id: int) -> None:
        self._connection = connection
        self._generation_id = generation_id
        self._partition = f"chunk_{generation_id}".encode()

    def run(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        text = _SQL[statement].replace(b"{partition}", self._partition)
        given = {"generation_id": self._generation_id, **values} if values else None
        cursor = self._connection.execute(text, given)
        return cursor.fetchall() if cursor.description else []

    def number(self, statement: str) -> int:
        """Return a statement's one number."""
        return int(self.run(statement)[0][0])

    def seconds(self, statement: str, **values: Any) -> float:
        """Return how long a statement takes."""
        started = time.perf_counter()
        self.run(statement, **values)
        return time.perf_counter() - started


def main() -> None:
    """Make the corpus and its twin, measure searches, updates, and searches again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="JSON Lines to recombine")
    parser.add_argument("--queries", type=Path, required=True, help="JSON Lines with a text each")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--encoded", type=int, default=10_000, help="passages with an embedding")
    parser.add_argument("--asked", type=int, default=100, help="queries asked")
    parser.add_argument("--batches", type=int, default=60, help="updates of 64 documents each")
    parser.add_argument("--single", type=int, default=300, help="updates of one document each")
    options = parser.parse_args()

    print(f"{machine_line()}, Postgres 18")
    with database(None) as connection:
        generation = ensure_corpus(connection, options)
        contenders = Contenders(connection, generation.id)
        contenders.run("make_prototype")
        contenders.run("make_prototype_hnsw")
        connection.execute("VACUUM ANALYZE prototype.chunk")
        connection.execute("VACUUM ANALYZE prototype.embedding")
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SET hnsw.iterative_scan = relaxed_order")
        connection.execute("SET hnsw.ef_search = 100")
        questions = read_questions(options.queries, options.asked)

        print(f"{'search, p50 ms':24}{'now':>9}{'apart':>9}{'apart / now':>13}")
        before = measure_searches(contenders, questions)
        saved = measure_updates(contenders, options)
        measure_searches(contenders, questions, " after")
    cost = before["prototype"] - before["now"]
    print(
        f"one updated chunk saves {1000 * saved:.2f} ms; one search over all costs "
        f"{1000 * cost:.2f} ms more apart: {saved / cost:.2f} searches a chunk"
        if cost > 0
        else "a search costs no more apart"
    )


def measure_searches(
    contenders: Contenders, questions: Sequence[Question], when: str = ""
) -> Figures:
    """Print the median of each kind of search, and return that of a search without a filter."""
    unfiltered: Figures = {}
    for name, filter_ in _FILTERS.items():
        kind = "exact" if name == _EXACT else "nearest"
        times: dict[str, list[float]] = {contender: [] for contender in _CONTENDERS}
        for question in questions:
            values = {"embedding": question.embedding, "filter": Jsonb(filter_)}
            for contender in _CONTENDERS:
                contenders.run(f"{kind}_{contender}", **values)
                times[contender].append(contenders.seconds(f"{kind}_{contender}", **values))
        medians = {contender: float(np.median(times[contender])) for contender in _CONTENDERS}
        _print(f"{kind}, {name}{when}", {name: 1000 * value for name, value in medians.items()})
        unfiltered = unfiltered or medians
    return unfiltered


def measure_updates(contenders: Contenders, options: argparse.Namespace) -> float:
    """Print what updates cost, and return the seconds that a chunk of a batch saves apart."""
    chance = random.Random(1)
    documents = [row[0] for row in contenders.run("documents")]
    sizes = {contender: contenders.number(f"size_{contender}") for contender in _CONTENDERS}
    print(f"{'update':24}{'now':>9}{'apart':>9}{'apart / now':>13}")
    saved = 0.0
    for name, count, size in (("batch", options.batches, 64), ("single", options.single, 1)):
        seconds: dict[str, list[float]] = {contender: [] for contender in _CONTENDERS}
        written: dict[str, list[float]] = {contender: [] for contender in _CONTENDERS}
        for turn in range(count):
            chosen = chance.sample(documents, size)
            values = {"documents": chosen, "filter": Jsonb({"turn": turn})}
            for contender in _CONTENDERS:
                log = contenders.number("written")
                # Two chunks a document.
                taken = contenders.seconds(f"update_{contender}", **values) / (2 * size)
                seconds[contender].append(taken)
                written[contender].append((contenders.number("written") - log) / (2 * size))
        medians = {contender: statistics.median(seconds[contender]) for contender in _CONTENDERS}
        _print(f"{name}, ms a chunk", {name: 1000 * value for name, value in medians.items()})
        # The mean: pages are written whole after a checkpoint, and that belongs to it.
        _print(
            f"{name}, log bytes a chunk",
            {name: statistics.mean(written[name]) for name in _CONTENDERS},
        )
        saved = saved or medians["now"] - medians["prototype"]
    grown = {
        contender: (contenders.number(f"size_{contender}") - sizes[contender]) / 1024
        for contender in _CONTENDERS
    }
    _print("HNSW grew by, KB", grown)
    return saved


def _print(name: str, figures: Mapping[str, float]) -> None:
    now, apart = figures["now"], figures["prototype"]
    ratio = f"{apart / now:13.2f}" if now else ""
    print(f"{name:24}{now:9.3f}{apart:9.3f}{ratio}", flush=True)


if __name__ == "__main__":
    main()
