"""The candidate stage at a million chunks: time, overlap, recall, filters.

    python -m benchmarks.scale --corpus docs/corpus.jsonl.gz --queries docs/queries.jsonl

What is measured: SQL alone, on an embedded Postgres of its own, one query at a time. The corpus is
recombined from a real one (see recombined_corpus); queries are real. A million chunks take about
half an hour to make on two cores, most of it the HNSW index; with --folder they stay there, and a
second run starts at once.

- lexical: the lexical stage, top 100, beside ts_rank_cd over the OR of all lexemes, which is what
  most recipes do (fewer queries of it: it takes seconds). `overlap@10` is the share of the first
  ten documents whose score the exact BM25 order has in its first ten too; exact is the same
  function with no bound on the chunks it scores.
- vector: recall@100 of the HNSW search with its default parameters against exact search.
- hybrid: the whole function rankgres.search_candidates with nothing but defaults.
- filters of a half down to a two-thousandth of all chunks: documents returned of those that exist
  (at most 100), recall@100 against exact search, time of the vector stage and of the function.

How to read it: the ratio of the p50s is the figure against the baseline; every other line has the
bar of the issue behind it. Every query is asked once before it counts.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pgvector import Vector
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks.filling import make_collection
from benchmarks.machine import machine_line
from benchmarks.recombined_corpus import copy_chunks, encode, read_passages
from service.collections.collection import Generation, active_generation
from service.collections.hnsw_index import build_hnsw_index
from service.db.connection import Connection, connect
from service.db.migration import upgrade
from service.db.statements import load_statements
from service.errors import NotFoundError
from service.local.postgres import EmbeddedPostgres

_SQL = load_statements(__file__)
_COLLECTION = "scale"
_CANDIDATES = 100
_NO_BOUND = 2_000_000_000
_FILTERS: tuple[tuple[str, dict[str, int] | None], ...] = (
    ("none", None),
    ("50 %", {"of2": 1}),
    ("5 %", {"of20": 1}),
    ("0.5 %", {"of200": 1}),
    ("0.05 %", {"of2000": 1}),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A query with its embedding."""

    text: str
    embedding: Vector


@dataclass(frozen=True, slots=True)
class Stage:
    """The database under measurement."""

    connection: Connection
    generation: Generation

    def ask(self, statement: str, **values: Any) -> tuple[list[tuple[Any, ...]], float]:
        """Return a statement's rows and its milliseconds."""
        given = {
            "generation_id": self.generation.id,
            "collection": self.generation.collection,
            "candidates": _CANDIDATES,
            "posting_budget": None,
            "filter": None,
            **values,
        }
        started = time.perf_counter()
        rows = self.connection.execute(_SQL[statement], given).fetchall()
        return rows, 1000 * (time.perf_counter() - started)

    def explained(self, statement: str) -> dict[str, Any]:
        """Return what a stage says of the last search of this transaction."""
        explained: dict[str, Any] = self.ask(statement)[0][0][0]
        return explained


def main() -> None:
    """Make or open the corpus, measure every part, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="JSON Lines to recombine")
    parser.add_argument("--queries", type=Path, required=True, help="JSON Lines with a text each")
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--encoded", type=int, default=20_000, help="passages with an embedding")
    parser.add_argument("--asked", type=int, default=100, help="queries asked")
    parser.add_argument("--checked", type=int, default=40, help="queries also asked exactly")
    parser.add_argument("--baseline", type=int, default=15, help="queries asked of ts_rank_cd")
    parser.add_argument("--folder", type=Path, help="where the database stays")
    options = parser.parse_args()

    print(f"{machine_line()}, Postgres 18")
    with database(options.folder) as connection:
        generation = ensure_corpus(connection, options)
        questions = read_questions(options.queries, options.asked)
        stage = Stage(connection, generation)
        measure_lexical(stage, questions, options)
        measure_vectors(stage, questions, options.checked)


@contextmanager
def database(folder: Path | None) -> Iterator[Connection]:
    """Yield a connection, in autocommit mode, to a migrated database."""
    with tempfile.TemporaryDirectory(prefix="rankgres-benchmark-") as temporary:
        postgres = EmbeddedPostgres(folder or Path(temporary), 18)
        postgres.start()
        try:
            upgrade(postgres.url)
            with connect(postgres.url, autocommit=True) as connection:
                yield connection
        finally:
            postgres.stop()


def ensure_corpus(connection: Connection, options: argparse.Namespace) -> Generation:
    """Return the generation that holds the corpus; one found complete is not made again."""
    try:
        generation = active_generation(connection, _COLLECTION)
    except NotFoundError:
        generation = make_collection(connection, _COLLECTION)
    held = connection.execute(
        "SELECT sum(chunk_count) FROM rankgres.chunk_total WHERE generation_id = %s",
        [generation.id],
    ).fetchone()
    if held is None or held[0] is None:
        fill_corpus(connection, generation, options)
    build_hnsw_index(connection.info.dsn, generation.id)
    return generation


def fill_corpus(
    connection: Connection, generation: Generation, options: argparse.Namespace
) -> None:
    """Load the chunks, with their statistics and GIN indexes."""
    started = time.perf_counter()
    passages = read_passages(options.corpus)
    encoded = [" ".join(sentences) for _, sentences in passages[:: _step(passages, options)]]
    embeddings = encode(encoded)
    connection.execute(_SQL["make_source"])
    copy_chunks(connection, passages, embeddings, options.chunks)
    values = {"generation_id": generation.id}
    names = [f"chunk_{generation.id}_{column}" for column in ("lexemes", "filters")]
    definitions = [
        connection.execute("SELECT pg_get_indexdef(%s::regclass)", [f"rankgres.{name}"]).fetchone()
        for name in names
    ]
    with connection.transaction():
        for name in names:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier("rankgres", name)))
        connection.execute(_SQL["load"], values)
        for definition in definitions:
            assert definition is not None
            connection.execute(definition[0])
        for statement in ("count_lexemes", "count_chunks", "note_fields"):
            connection.execute(_SQL[statement], values)
    connection.execute("DROP TABLE public.source")
    table = sql.Identifier("rankgres", f"chunk_{generation.id}")
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(table))
    connection.execute("VACUUM ANALYZE rankgres.lexeme")
    print(f"{options.chunks:,} chunks loaded in {time.perf_counter() - started:.0f} s")


def _step(passages: Sequence[Any], options: argparse.Namespace) -> int:
    return max(1, len(passages) // int(options.encoded))


def read_questions(file: Path, count: int) -> list[Question]:
    """Return the first queries of a JSON Lines file with their embeddings."""
    with file.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines][:count]
    return [
        Question(text, Vector(row)) for text, row in zip(texts, encode(texts, "query"), strict=True)
    ]


def measure_lexical(
    stage: Stage, questions: Sequence[Question], options: argparse.Namespace
) -> None:
    """Print time and overlap of the lexical stage beside its baselines."""
    times, overlaps, scored, proven = [], [], [], 0
    for number, question in enumerate(questions):
        stage.ask("lexical", query=question.text)
        with stage.connection.transaction():
            rows, taken = stage.ask("lexical", query=question.text)
            explained = stage.explained("lexical_explain")
        times.append(taken)
        scored.append(explained["scored"])
        proven += explained["exact"]
        if number < options.checked and rows:
            truth, _ = stage.ask("lexical", query=question.text, posting_budget=_NO_BOUND)
            # By score, so that documents that are equal may stand for each other.
            tenth = truth[:10][-1][1] - 1e-9
            overlaps.append(sum(score >= tenth for _, score in rows[:10]) / min(10, len(truth)))
    print(f"\n{f'ms, top {_CANDIDATES}':24}{'p50':>8}{'p95':>8}")
    ours = _line("lexical stage", times)
    slow, same = [], []
    for question, taken in zip(questions[: options.baseline], times, strict=False):
        any_word = stage.ask("any_word", query=question.text)[0][0][0]
        slow.append(_twice(stage, "ts_rank_cd", any_word=any_word))
        same.append(taken)
    theirs = _line(f"ts_rank_cd, {len(slow)} queries", slow)
    print(f"lexical / ts_rank_cd at p50: {ours / theirs:.3f}, over the same queries ", end="")
    print(f"{np.median(same) / theirs:.3f}")
    print(f"overlap@10 with exact BM25: {np.mean(overlaps):.3f}, at worst {min(overlaps):.1f}")
    print(f"chunks scored: {np.mean(scored):.0f}; provably exact: {proven} of {len(questions)}")


def measure_vectors(stage: Stage, questions: Sequence[Question], checked: int) -> None:
    """Print recall, rows and time under every filter."""
    head = ("filter", "exist", "returned", "recall@100", "vector p50", "p95", "hybrid p50", "p95")
    print("\n" + "".join(f"{name:>12}" for name in (*head, "plans")))
    for name, filter_ in _FILTERS:
        given = None if filter_ is None else Jsonb(filter_)
        recalls, returned, exist, vector, hybrid, plans = [], [], [], [], [], set()
        for number, question in enumerate(questions):
            values = {"embedding": question.embedding, "filter": given}
            stage.ask("vector", **values)
            with stage.connection.transaction():
                rows, taken = stage.ask("vector", **values)
                plans.add(stage.explained("vector_explain")["plan"])
            vector.append(taken)
            hybrid.append(_twice(stage, "hybrid", query=question.text, **values))
            if number >= checked:
                continue
            truth = {row[0] for row in stage.ask("exact_vector", **values)[0]}
            exist.append(len(truth))
            returned.append(len(rows))
            if truth:
                recalls.append(len(truth & {row[0] for row in rows}) / len(truth))
        figures = (
            np.mean(exist), np.mean(returned), np.mean(recalls),
            *np.percentile(vector, (50, 95)), *np.percentile(hybrid, (50, 95)),
        )  # fmt: skip
        print(f"{name:>12}" + "".join(f"{value:>12.3f}" for value in figures) + f"  {plans}")


def _twice(stage: Stage, statement: str, **values: Any) -> float:
    """Ask once to warm up, and return the milliseconds of the second time."""
    stage.ask(statement, **values)
    return stage.ask(statement, **values)[1]


def _line(name: str, times: Sequence[float]) -> float:
    """Print median and 95th percentile, and return the median."""
    median, late = np.percentile(times, (50, 95))
    print(f"{name:24}{median:8.1f}{late:8.1f}")
    return float(median)


if __name__ == "__main__":
    main()
