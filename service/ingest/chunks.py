"""Chunks as they are written: a whole document's at a time, with their statistics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.db.binary_arrays import (
    BinaryArray,
    BinaryArrayDumper,
    bytea_array,
    integer_array,
    jsonb_array,
    text_array,
    vector_array,
)
from service.db.connection import Connection
from service.db.statements import load_statements
from service.errors import SchemaMismatchError
from service.ingest.outbox import Lease, finish_documents, release_documents

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """One chunk ready to be written; ``embedding`` has shape (dimension,), float32.

    An embedding of None is kept: a chunk of the same document with the same embedded text has it.
    ``filters`` is its document's metadata, as JSON text; ``language`` is its document's too, where
    the generation has no configuration for all.
    """

    document_id: str
    position: int
    token_count: int
    start: int
    end: int
    heading: str
    text: str
    filters: str
    embedding: NDArray[np.float32] | None
    language: str | None = None


def kept_embeddings(
    connection: Connection, generation_id: int, document_ids: Sequence[str]
) -> set[tuple[str, bytes]]:
    """Return what is embedded already: document and SHA-256 of a text that was embedded of it."""
    values = {"generation_id": generation_id, "ids": list(document_ids)}
    return set(connection.execute(_SQL["kept"], values))


def write_chunks(
    connection: Connection,
    lease: Lease,
    chunks: Sequence[EmbeddedChunk],
    content_hashes: Mapping[str, bytes] | None = None,
    before_finish: Callable[[], None] = lambda: None,
) -> None:
    """Replace the leased documents' chunks and finish them, all or nothing, in one transaction.

    A document that changed since it was leased is left out: it is given back and stays queued. A
    leased document with no chunk loses those it had; with no content hash either, it is gone. The
    outbox comes last in the transaction, so that an application writing the same documents waits
    for a commit, not for our index; ``before_finish`` is called right before.
    """
    while lease.versions:
        with connection.transaction() as attempt:
            held = set(lease.versions)
            part = [chunk for chunk in chunks if chunk.document_id in held]
            _replace_chunks(connection, lease, part, content_hashes or {})
            before_finish()
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


def _replace_chunks(
    connection: Connection,
    lease: Lease,
    chunks: Sequence[EmbeddedChunk],
    content_hashes: Mapping[str, bytes],
) -> None:
    documents = lease.document_ids
    languages = [chunk.language for chunk in chunks]
    vector = connection.adapters.types.get("vector")
    if vector is None:
        raise SchemaMismatchError("pgvector is not installed", mend="run 'rankgres migrate'")
    cursor = connection.cursor()
    cursor.adapters.register_dumper(BinaryArray, BinaryArrayDumper)
    cursor.execute(
        _SQL["replace"],
        {
            "generation_id": lease.generation_id,
            "documents": text_array(documents),
            "content_hashes": bytea_array(map(content_hashes.get, documents)),
            "document_ids": text_array(chunk.document_id for chunk in chunks),
            "positions": integer_array([chunk.position for chunk in chunks]),
            "token_counts": integer_array([chunk.token_count for chunk in chunks]),
            "start_offsets": integer_array([chunk.start for chunk in chunks]),
            "end_offsets": integer_array([chunk.end for chunk in chunks]),
            "headings": text_array(chunk.heading for chunk in chunks),
            "texts": text_array(chunk.text for chunk in chunks),
            "filters": jsonb_array(chunk.filters for chunk in chunks),
            "embeddings": vector_array([chunk.embedding for chunk in chunks], vector.oid),
            "languages": languages if any(languages) else None,
        },
    )
