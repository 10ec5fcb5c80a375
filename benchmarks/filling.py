"""Fills a fresh collection of a running stack, and says how long which part of it took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from service.collections.collection import (
    CollectionPlan,
    Generation,
    active_generation,
    create_collection,
    show_collection,
)
from service.db.connection import Connection
from service.demo.standard_library import standard_library_documents
from service.ingest.documents import Document, upsert_documents
from service.ingest.files import RecordReader
from service.ingest.records import Fields, Record
from service.settings import get_settings

#: As `rankgres ingest` does it.
_UPSERT = 1000
#: Short beside what is measured, and rare enough to cost the workers nothing.
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Filling:
    """How a load went: seconds to the empty outbox, seconds more to the finished HNSW index."""

    seconds: float
    index_seconds: float
    chunks: int


def read_documents(corpus: Path | None, limit: int) -> list[Document]:
    """Read the first documents of a corpus, or of the standard library's documentation."""
    found = RecordReader([corpus], Fields()) if corpus else standard_library_documents()
    records = (item for item in found if isinstance(item, Record))
    return [
        Document(record.id, record.text, record.title, record.metadata)
        for record in islice(records, limit)
    ]


def make_collection(connection: Connection, name: str) -> Generation:
    """Create an empty collection with nothing but defaults, and return its generation."""
    with connection.transaction():
        create_collection(connection, CollectionPlan(name))
    return active_generation(connection, name)


def fill(connection: Connection, generation: Generation, documents: Sequence[Document]) -> Filling:
    """Upsert the documents and wait until they are searchable and the index, if due, stands.

    Nothing of the stack is at work any more when it returns. The connection is in autocommit mode.
    """
    started = time.perf_counter()
    for first in range(0, len(documents), _UPSERT):
        with connection.transaction():
            upsert_documents(connection, generation, documents[first : first + _UPSERT])
    status = show_collection(connection, generation.collection)
    while status.waiting:
        time.sleep(_POLL_SECONDS)
        status = show_collection(connection, generation.collection)
    drained = time.perf_counter()
    if status.dead:
        raise RuntimeError(f"{status.dead} documents failed; the figures would be of the rest")
    while status.chunks >= get_settings().hnsw_min_chunks and status.hnsw_state != "ready":
        time.sleep(_POLL_SECONDS)
        status = show_collection(connection, generation.collection)
    return Filling(drained - started, time.perf_counter() - drained, status.chunks)
