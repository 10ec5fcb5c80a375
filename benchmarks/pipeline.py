"""Documents per second of attaching a table: the pipeline's own limit, and beside a model.

    python -m benchmarks.pipeline --corpus npl/corpus.jsonl

What is measured, first: a table of 200,000 rows is attached, backfilled and verified by servers,
one relay and two embedding workers on this machine. Their encoder is no model, but a hash of the
text: what is left is the pipeline itself. The clock runs from the call of rankgres.attach until
nothing waits any more: backfill, outbox, relay, Celery, leases, reading, chunking with the real
tokenizer, tsvectors, both indexes of the chunks, BM25 statistics. Verification is timed apart, and
has to find nothing. The HNSW index is not built: its time is the same with and without a pipeline.

How to read it: `documents per second` is the figure, 5,000 are wanted. It depends on the length of
the texts, which is printed beside it with characters per second; --characters cuts them. The two
tables name the bottleneck: processor time by process as a share of what the machine has, and where
the workers' threads spend their time, by stage. A stage under "SQL" is waiting for Postgres, so
that its time is Postgres' processor time, a lock or a disk.

Second (--model): the same with the real model and fewer rows, in rounds, each beside a bare loop
over the same encoder, texts and batches in this process, which does nothing else. `product / bare
loop` is the figure, 0.90 is wanted; the median of the rounds, of which the first does not count.
"""

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from benchmarks.filling import read_documents
from benchmarks.indexing_processes import (
    IndexingProcesses,
    attach_articles,
    indexing_processes,
    make_article_table,
    wait_indexed,
)
from benchmarks.ingest_overhead import require_same, split
from benchmarks.machine import machine_line
from service.collections.collection import Generation, active_generation
from service.db.connection import Connection, connect
from service.ingest.documents import Document
from service.settings import get_settings
from workers.chunking import Chunk, Chunker, embedded_text
from workers.inference.encoder import Encoder, load_encoder

#: No index over embeddings is built while the clock runs, nor after it.
_NO_HNSW = {"RANKGRES_HNSW_MIN_CHUNKS": "1000000000"}


def main() -> None:
    """Read the corpus, and measure the one or the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        help="what rankgres ingest reads; unset: the documentation of Python's standard library",
    )
    parser.add_argument("--rows", type=int, help="200,000, with --model 1,500")
    parser.add_argument("--characters", type=int, help="cut longer texts; unset: as they are")
    parser.add_argument("--workers", type=int, help="two, with --model one")
    parser.add_argument("--model", action="store_true", help="the real model and the bare loop")
    parser.add_argument("--rounds", type=int, default=3, help="with --model")
    options = parser.parse_args()

    print(f"{machine_line()}, Postgres 18")
    rows = options.rows or (1_500 if options.model else 200_000)
    documents = [
        replace(document, text=document.text[: options.characters])
        for document in read_documents(options.corpus, rows)
    ]
    length = statistics.mean(len(document.title) + len(document.text) for document in documents)
    print(f"{rows:,} rows of {length:.0f} characters, {len(documents):,} of them different")
    if options.model:
        measure_model(documents, rows, options)
    else:
        measure_pipeline(documents, rows, length, options)


def measure_pipeline(
    documents: Sequence[Document], rows: int, length: float, options: argparse.Namespace
) -> None:
    """Print the rate without a model, and where the time goes."""
    workers = options.workers or 2
    with (
        indexing_processes("benchmarks.timed_worker", workers, _NO_HNSW) as processes,
        connect(processes.database_url, autocommit=True) as connection,
    ):
        make_article_table(connection, documents, rows)
        before, started = processes.processor_seconds(), time.perf_counter()
        attach_articles(connection)
        wait_indexed(connection)
        seconds = time.perf_counter() - started
        after = processes.processor_seconds()
        chunks = _number(connection, "SELECT count(*) FROM rankgres.chunk")
        print(
            f"{rows / seconds:,.0f} documents per second: {seconds:.1f} s, {chunks / rows:.2f} "
            f"chunks a document, {rows * length / seconds / 1e6:.2f} million characters per second"
        )
        started = time.perf_counter()
        found = connection.execute("SELECT * FROM rankgres.verify('articles')").fetchall()
        print(f"verified in {time.perf_counter() - started:.1f} s")
        if found:
            raise RuntimeError(f"verify found differences: {found}")
        taken = {name: after[name] - before[name] for name in after}
        cores = os.cpu_count() or 1
        print(
            f"{rows * cores / sum(taken.values()):,.0f} documents per second and {cores} cores, if "
            "nothing else had run"
        )
        print_processors(taken, seconds)
        print_stages(processes, seconds, workers)


def print_processors(taken: dict[str, float], seconds: float) -> None:
    """Print processor time by process, as shares of all that the machine had."""
    cores = os.cpu_count() or 1
    print(f"{'processor time':28}{'seconds':>10}{'of ' + str(cores) + ' cores':>12}")
    for name, used in sorted(taken.items(), key=lambda item: -item[1]):
        print(f"{name:28}{used:10.1f}{used / seconds / cores:12.0%}")
    print(f"{'all':28}{sum(taken.values()):10.1f}{sum(taken.values()) / seconds / cores:12.0%}")


def print_stages(processes: IndexingProcesses, seconds: float, workers: int) -> None:
    """Print where the workers' threads spent their time."""
    time.sleep(1.5)  # the stopwatches write once a second
    stages: dict[str, float] = defaultdict(float)
    for file in processes.folder.glob("stages-*.json"):
        for stage, taken in json.loads(file.read_text(encoding="ascii")).items():
            stages[stage] += taken
    threads = 2 * workers
    print(f"{f'stage, {threads} threads':28}{'seconds':>10}{'of them':>12}")
    for stage, taken in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"{stage:28}{taken:10.1f}{taken / seconds / threads:12.0%}")


def measure_model(documents: Sequence[Document], rows: int, options: argparse.Namespace) -> None:
    """Print the rates of the bare loop and of the product in turns, and their ratio."""
    settings = get_settings()
    workers = options.workers or 1
    ratios = []
    with (
        indexing_processes("workers", workers, _NO_HNSW) as processes,
        connect(processes.database_url, autocommit=True) as connection,
    ):
        encoder = load_encoder(settings.embedding_model, settings)
        print(
            f"{encoder.backend_name}, {workers} worker; {'':4}bare loop, /s   product, /s   ratio"
        )
        for number in range(options.rounds + 1):
            make_article_table(connection, documents, rows)
            attached = time.perf_counter()
            attach_articles(connection)
            wait_indexed(connection)
            product = time.perf_counter() - attached
            generation = active_generation(connection, "articles")
            batches = chunk_batches(encoder, generation, documents, rows)
            require_same(connection, generation, chain.from_iterable(batches))
            texts = [[embedded_text(chunk) for chunk in batch] for batch in batches]
            started = time.perf_counter()
            for batch in texts:
                encoder.encode(batch, "document")
            bare = time.perf_counter() - started
            print(
                f"{f'round {number}' if number else 'warm-up':24}"
                f"{rows / bare:13.1f}{rows / product:14.1f}{bare / product:8.2f}",
                flush=True,
            )
            if number:
                ratios.append(bare / product)
            connection.execute("SELECT rankgres.detach('articles')")
    print(f"product / bare loop, median of {len(ratios)} rounds: {statistics.median(ratios):.2f}")


def chunk_batches(
    encoder: Encoder, generation: Generation, documents: Sequence[Document], rows: int
) -> list[list[Chunk]]:
    """Return the chunks of each batch of documents."""
    chunker = Chunker(
        encoder.tokenizer,
        max_tokens=generation.chunk_tokens,
        overlap_tokens=generation.overlap_tokens,
        prompt=encoder.card.document_prompt,
    )
    size = get_settings().embed_batch_documents
    ordered = [documents[place % len(documents)] for place in range(rows)]
    batches = [ordered[first : first + size] for first in range(0, rows, size)]
    return [split(chunker, batch) for batch in batches]


def _number(connection: Connection, statement: str) -> int:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    main()
