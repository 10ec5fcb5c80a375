"""Milliseconds of the lexical stage, beside ts_rank over any of the same words.

    python -m benchmarks.lexical --chunks 100000

What is measured: SQL alone, on an embedded Postgres of its own. The corpus is made up, the same on
every run: words from a Zipf-Mandelbrot vocabulary without its stop words, a quarter of them said
before in the same chunk, as real text repeats itself; 40 to 180 words a chunk, two chunks a
document, an embedding in every row because rows are wider for it. Chunks are written through
rankgres.chunk_replace_v3, then folded, flushed and analysed as the janitors do it. Queries are 3 to
8 different words of one random chunk: some rare, some common.

The baseline is what most recipes do: the chunks with any of the words by the same GIN index,
ordered by ts_rank. It takes turns with our BM25 query by query, in the same run, on the same rows.
A third contender is our BM25 with no bound on its postings, which gives the true order.

How to read it: `BM25 / ts_rank` at p50 is the figure; `overlap@10` says how many of the first ten
of the true order the bounded one has, averaged over the queries; `bounded` counts the queries in
which postings were left unread. Every query is asked once before any counts.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks.filling import make_collection
from benchmarks.machine import machine_line
from service.collections.collection import Generation
from service.db.connection import Connection, connect
from service.db.migration import upgrade
from service.db.statements import load_statements
from service.ingest.chunks import fold_statistics
from service.local.postgres import EmbeddedPostgres

_SQL = load_statements(__file__)

_VOCABULARY = 200_000
#: Rank r has weight 1 / (r + 20) ** 1.07: the commonest word stands in about half of the chunks.
_ZIPF_SHIFT, _ZIPF_EXPONENT = 20, 1.07
_REPEATED = 0.25
_WORDS = (40, 180)
_CHUNKS_AT_ONCE = 5000
_CANDIDATES = 100
_NO_BOUND = 2_000_000_000

#: Word numbers of each chunk.
Corpus = list[NDArray[np.int64]]


def main() -> None:
    """Load a corpus, let the contenders take turns over the queries, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="times every query counts")
    parser.add_argument("--postgres", type=int, choices=(16, 18), default=18)
    options = parser.parse_args()

    print(f"{machine_line()}, Postgres {options.postgres}")
    chance = np.random.default_rng(1)
    with embedded_database(options.postgres) as connection:
        generation = make_collection(connection, "lexical")
        started = time.perf_counter()
        corpus = make_corpus(chance, options.chunks)
        load(connection, generation, corpus, chance)
        print(f"{options.chunks:,} chunks loaded in {time.perf_counter() - started:.0f} s")
        queries = make_queries(chance, corpus, options.queries)
        compare(connection, generation, queries, options.rounds)


@contextmanager
def embedded_database(version: int) -> Iterator[Connection]:
    """Yield a connection, in autocommit mode, to a migrated database that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="rankgres-benchmark-") as folder:
        postgres = EmbeddedPostgres(Path(folder), version)
        postgres.start()
        try:
            upgrade(postgres.url)
            with connect(postgres.url, autocommit=True) as connection:
                yield connection
        finally:
            postgres.stop()


def make_corpus(chance: np.random.Generator, chunks: int) -> Corpus:
    """Return the word numbers of each chunk; the smaller a number, the commoner the word."""
    weights = 1 / (np.arange(_VOCABULARY) + 1 + _ZIPF_SHIFT) ** _ZIPF_EXPONENT
    cumulated = np.cumsum(weights / weights.sum())
    lengths = chance.integers(*_WORDS, size=chunks)
    words = np.searchsorted(cumulated, chance.random(lengths.sum()))
    corpus = np.split(np.minimum(words, _VOCABULARY - 1), np.cumsum(lengths)[:-1])
    for chunk in corpus:
        repeated = np.flatnonzero(chance.random(len(chunk)) < _REPEATED)
        chunk[repeated] = chunk[chance.integers(0, np.maximum(repeated, 1))]
    return corpus


def load(
    connection: Connection, generation: Generation, corpus: Corpus, chance: np.random.Generator
) -> None:
    """Write the corpus as workers do, and tend the generation as the janitors do."""
    embeddings = [
        Vector(row / np.linalg.norm(row))
        for row in chance.standard_normal((1000, generation.embedding_dimension), np.float32)
    ]
    for first in range(0, len(corpus), _CHUNKS_AT_ONCE):
        part = corpus[first : first + _CHUNKS_AT_ONCE]
        places = range(first, first + len(part))
        ids = [f"document-{place // 2:08}" for place in places]
        values: dict[str, Any] = {
            "generation_id": generation.id,
            "documents": list(dict.fromkeys(ids)),
            "document_ids": ids,
            "positions": [place % 2 for place in places],
            "token_counts": [len(words) for words in part],
            "zeros": [0] * len(part),
            "headings": [""] * len(part),
            "texts": [" ".join(map(word, words)) for words in part],
            "filters": [Jsonb({})] * len(part),
            "embeddings": [embeddings[place % len(embeddings)] for place in places],
        }
        connection.execute(_SQL["replace"], values)
    fold_statistics(connection)
    connection.execute(_SQL["flush_pending_lexemes"], {"generation_id": generation.id})
    table = sql.Identifier("rankgres", f"chunk_{generation.id}")
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(table))
    connection.execute("VACUUM ANALYZE rankgres.lexeme")


def word(number: int) -> str:
    """Return a word that no text-search configuration stems or leaves out."""
    return f"w{number}"


def make_queries(chance: np.random.Generator, corpus: Corpus, count: int) -> list[list[str]]:
    """Return queries of 3 to 8 different words, each of one chunk."""
    queries = []
    for place in chance.choice(len(corpus), size=count):
        words = chance.permutation(np.unique(corpus[place]))
        queries.append([word(number) for number in words[: chance.integers(3, 9)]])
    return queries


def compare(
    connection: Connection, generation: Generation, queries: Sequence[list[str]], rounds: int
) -> None:
    """Ask every query of every contender, in turns, and print times and overlap."""
    contenders = {
        "ts_rank, any word": ("ts_rank", 0),
        "BM25, bounded": ("bounded_scores", 0),
        "BM25, no bound": ("scores", _NO_BOUND),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    overlaps, bounded = [], 0
    for number in range(rounds + 1):
        for query in queries:
            found: dict[str, list[str]] = {}
            for name, (statement, budget) in contenders.items():
                values = {
                    "generation_id": generation.id,
                    "query": " ".join(query),
                    "any_word": " | ".join(query),
                    "candidates": _CANDIDATES,
                    "posting_budget": budget,
                }
                with connection.transaction():
                    started = time.perf_counter()
                    rows = connection.execute(_SQL[statement], values).fetchall()
                    taken = 1000 * (time.perf_counter() - started)
                    found[name] = [row[0] for row in rows]
                    if number == 0 and statement == "bounded_scores":
                        bounded += connection.execute(_SQL["left_unread"]).fetchone() == (True,)
                if number:
                    times[name].append(taken)
            if number == 0:
                truth = set(found["BM25, no bound"][:10])
                overlaps.append(len(truth & set(found["BM25, bounded"][:10])) / len(truth))
    print_figures(times, overlaps, bounded)


def print_figures(times: dict[str, list[float]], overlaps: Sequence[float], bounded: int) -> None:
    """Print the times of every contender, their ratio, and what the bound costs."""
    print(f"{f'ms, top {_CANDIDATES}':20}{'p50':>8}{'p95':>8}")
    medians = {}
    for name, measured in times.items():
        medians[name], late = np.percentile(measured, (50, 95))
        print(f"{name:20}{medians[name]:8.1f}{late:8.1f}")
    ratio = medians["BM25, bounded"] / medians["ts_rank, any word"]
    print(f"BM25 / ts_rank, p50: {ratio:.2f}")
    print(f"overlap@10 of bounded with unbounded BM25: {np.mean(overlaps):.3f}")
    print(f"bounded: {bounded} of {len(overlaps)} queries")


if __name__ == "__main__":
    main()
