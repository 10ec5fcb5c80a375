"""Chunks as they are written: a whole document's at a time, with their statistics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from service.db.statements import load_statements
from service.ingest.outbox import Lease, finish_documents, release_documents

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """One chunk ready to be written; ``embedding`` has shape (dimension,), float32.

    ``language`` is its document's, where the generation has no configuration for all.
    """

    document_id: str
    position: int
    token_count: int
    start: int
    end: int
    heading: str
    text: str
    filters: dict[str, Any]
    embedding: NDArray[np.float32]
    language: str | None = None


def write_chunks(connection: Connection, lease: Lease, chunks: Sequence[EmbeddedChunk]) -> None:
    """Replace the leased documents' chunks and finish them, all or nothing, in one transaction.

    A document that changed since it was leased is left out: it is given back and stays queued. A
    leased document with no chunk loses those it had. The outbox comes last in the transaction, so
    that an application writing the same documents waits for a commit, not for our index.
    """
    while lease.versions:
        with connection.transaction() as attempt:
            held = set(lease.versions)
            _replace_chunks(connection, lease, [c for c in chunks if c.document_id in held])
            finished = finish_documents(connection, lease)
            if finished != held:
                attempt.force_rollback = True
        if finished == held:
            return
        with connection.transaction():
            release_documents(connection, lease.only(sorted(held - finished)))
        lease = lease.only(sorted(finished))


def fold_statistics(connection: Connection) -> int:
    """Fold the statistics of every generation that has changes; return how many rows moved."""
    moved = 0
    for (generation_id,) in connection.execute(_SQL["unfolded"]).fetchall():
        values = {"generation_id": generation_id}
        row = connection.execute(_SQL["fold_statistics"], values).fetchone()
        moved += row[0] if row else 0
    return moved


def _replace_chunks(connection: Connection, lease: Lease, chunks: Sequence[EmbeddedChunk]) -> None:
    languages = [chunk.language for chunk in chunks]
    connection.execute(
        _SQL["replace"],
        {
            "generation_id": lease.generation_id,
            "documents": lease.document_ids,
            "document_ids": [chunk.document_id for chunk in chunks],
            "positions": [chunk.position for chunk in chunks],
            "token_counts": [chunk.token_count for chunk in chunks],
            "start_offsets": [chunk.start for chunk in chunks],
            "end_offsets": [chunk.end for chunk in chunks],
            "headings": [chunk.heading for chunk in chunks],
            "texts": [chunk.text for chunk in chunks],
            "filters": [Jsonb(chunk.filters) for chunk in chunks],
            "embeddings": [Vector(chunk.embedding) for chunk in chunks],
            "languages": languages if any(languages) else None,
        },
    )
