"""Documents per second of a whole ingest, beside a bare loop over the same model and batches.

    python -m benchmarks.ingest_overhead --corpus scifact/corpus.jsonl

What is measured: documents are upserted into a fresh collection of a whole stack (as `rankgres
ingest` does it), and the clock runs from the first until the outbox is empty (as `rankgres wait`
sees it): trigger, outbox, relay, Celery, leases, chunking, embedding, tsvectors, both indexes of
the chunks, BM25 statistics. The HNSW index is built after that, and its time is given apart.

The baseline is this very process: the same Encoder with the same settings embeds the same texts,
in batches of as many documents, and does nothing else. Its texts were chunked before the clock
started; a second baseline chunks with the clock running, as a script without a database would. That
the texts are the same ones is checked against the chunks in the database, in every round.

How to read it: `product / bare loop` of the last line is the figure, 0.8 or more is wanted. In
every round the contenders run one after the other, each alone, and the ratio is taken within the
round; the figure is the median of the rounds, and every round is printed, so that their spread can
be seen. A first round does not count.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from benchmarks.filling import fill, make_collection, read_documents
from benchmarks.machine import machine_line
from benchmarks.temporary_stack import temporary_stack
from service.collections.collection import Generation, drop_collection
from service.db.connection import Connection, connect
from service.ingest.documents import Document
from service.settings import get_settings
from workers.chunking import Chunk, Chunker, embedded_text
from workers.inference.encoder import Encoder, load_encoder

Batches = Sequence[Sequence[Document]]


def main() -> None:
    """Bring a stack up, let the contenders take turns, and print rates and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        help="what rankgres ingest reads; unset: the documentation of Python's standard library",
    )
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    print(machine_line())
    documents = read_documents(options.corpus, options.documents)
    with (
        temporary_stack() as stack,
        connect(stack.database_url, autocommit=True) as connection,
    ):
        compare(connection, documents, options.rounds)


def compare(connection: Connection, documents: Sequence[Document], rounds: int) -> None:
    """Run one round that does not count and the rounds that do, and print each."""
    settings = get_settings()
    generation = make_collection(connection, "round_0")
    encoder = load_encoder(generation.embedding_model, settings)
    chunker = Chunker(
        encoder.tokenizer,
        max_tokens=generation.chunk_tokens,
        overlap_tokens=generation.overlap_tokens,
        prompt=encoder.card.document_prompt,
    )
    # The order in which workers lease them.
    ordered = sorted(documents, key=lambda document: document.id)
    size = settings.embed_batch_documents
    batches = [ordered[first : first + size] for first in range(0, len(ordered), size)]
    chunks = [split(chunker, batch) for batch in batches]
    texts = [[embedded_text(chunk) for chunk in batch] for batch in chunks]
    print(
        f"{len(documents):,} documents, {sum(map(len, texts)):,} chunks, {encoder.backend_name}, "
        f"batches of {size} documents"
    )
    print(
        f"{'':10}{'bare loop, /s':>14}{'and chunking':>16}{'product':>12}"
        f"{'product / loop':>18}{'/ and chunking':>16}{'then HNSW':>12}"
    )
    ratios = []
    for number in range(rounds + 1):
        bare = seconds(lambda: embed(encoder, texts))
        chunking = seconds(lambda: chunk_and_embed(encoder, chunker, batches))
        filling = fill(connection, generation, documents)
        require_same(connection, generation, chain.from_iterable(chunks))
        ratio = bare / filling.seconds
        rates = [len(documents) / taken for taken in (bare, chunking, filling.seconds)]
        print(
            f"{f'round {number}' if number else 'warm-up':10}"
            f"{rates[0]:14.1f}{rates[1]:16.1f}{rates[2]:12.1f}{ratio:18.2f}"
            f"{chunking / filling.seconds:16.2f}{filling.index_seconds:10.1f} s",
            flush=True,
        )
        if number:
            ratios.append(ratio)
        drop_collection(connection, generation.collection)
        generation = make_collection(connection, f"round_{number + 1}")
    print(f"product / bare loop, median of {rounds} rounds: {statistics.median(ratios):.2f}")


def seconds(work: Callable[[], None]) -> float:
    """Return how long the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def embed(encoder: Encoder, texts: Sequence[Sequence[str]]) -> None:
    """Embed batch after batch."""
    for batch in texts:
        encoder.encode(batch, "document")


def chunk_and_embed(encoder: Encoder, chunker: Chunker, batches: Batches) -> None:
    """Chunk and embed batch after batch."""
    for batch in batches:
        encoder.encode([embedded_text(chunk) for chunk in split(chunker, batch)], "document")


def split(chunker: Chunker, batch: Sequence[Document]) -> list[Chunk]:
    """Return the chunks of a batch of documents."""
    parts = chunker.split_batch([(document.title, document.text) for document in batch])
    return list(chain.from_iterable(parts))


def require_same(connection: Connection, generation: Generation, chunks: chain[Chunk]) -> None:
    """Raise RuntimeError unless the database holds these very chunks, each with its embedding."""
    found = connection.execute(
        "SELECT heading, text FROM rankgres.chunk "
        "WHERE generation_id = %s AND embedding IS NOT NULL",
        (generation.id,),
    )
    if Counter(found.fetchall()) != Counter((chunk.heading, chunk.text) for chunk in chunks):
        raise RuntimeError("the product embedded other texts than the bare loop")


if __name__ == "__main__":
    main()
