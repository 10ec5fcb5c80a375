"""Documents of managed collections: written in bulk, read, deleted, waited for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from service.collections.collection import Generation
from service.db.connection import Connection, Pool, transaction
from service.db.statements import load_statements
from service.errors import InvalidInputError, NotFoundError
from service.storable import UnstorableError, check_object, shown, storable_id, storable_text

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Document:
    """One document as the caller gives it."""

    id: str
    text: str
    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Indexed:
    """What became of documents waited for: how many still wait, and which failed for good."""

    waiting: int
    dead: list[str]


def upsert_documents(
    connection: Connection, generation: Generation, documents: Sequence[Document]
) -> int:
    """Insert or update documents in one statement, and return how many changed anything.

    In the same transaction the trigger queues the changed ones; unchanged ones cost no embedding.

    Raises:
        InvalidInputError: an id or a text that cannot be stored; nothing of the batch is written.
    """
    for document in documents:
        _require_storable(document)
    connection.execute(_SQL["make_upload"])
    with connection.cursor() as cursor, cursor.copy(_SQL["copy_upload"]) as copy:
        for place, document in enumerate(documents):
            copy.write_row(
                (place, document.id, document.title, document.text, Jsonb(document.metadata))
            )
    written = connection.execute(_SQL["upsert"], {"collection_id": generation.collection_id})
    count = written.rowcount
    connection.execute("DROP TABLE pg_temp.upload")
    return count


def delete_documents(connection: Connection, generation: Generation, ids: Sequence[str]) -> int:
    """Delete documents by id and return how many there were; their chunks follow by the outbox."""
    values = {"collection_id": generation.collection_id, "ids": list(ids)}
    return connection.execute(_SQL["delete"], values).rowcount


def fetch_documents(
    connection: Connection, generation: Generation, ids: Sequence[str]
) -> dict[str, Document]:
    """Return those of the documents that exist, by id."""
    values = {"collection_id": generation.collection_id, "ids": list(ids)}
    with connection.cursor(row_factory=class_row(Document)) as cursor:
        return {document.id: document for document in cursor.execute(_SQL["fetch"], values)}


def get_document(connection: Connection, generation: Generation, document_id: str) -> Document:
    """Return one document, or raise NotFoundError."""
    found = fetch_documents(connection, generation, [document_id])
    if document_id not in found:
        raise NotFoundError(
            f"collection {generation.collection!r} has no document {document_id!r}",
            field="id",
            value=document_id,
            mend="ids are compared exactly; check case and blanks",
        )
    return found[document_id]


def wait_until_searchable(
    pool: Pool, generation: Generation, ids: Sequence[str], seconds: float
) -> Indexed:
    """Wait until the documents' changes can be searched, at most so many seconds."""
    deadline = time.monotonic() + seconds
    pause = 0.02
    while True:
        with transaction(pool) as connection:
            row = connection.execute(
                _SQL["waiting"], {"generation_id": generation.id, "ids": list(ids)}
            ).fetchone()
        assert row is not None
        state = Indexed(waiting=row[0], dead=row[1])
        if state.waiting == 0 or time.monotonic() >= deadline:
            return state
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(2 * pause, 0.5)


def _require_storable(document: Document) -> None:
    try:
        storable_id("id", document.id)
        storable_text("title", document.title)
        storable_text("text", document.text)
        check_object("metadata", document.metadata)
    except UnstorableError as error:
        raise InvalidInputError(
            f"document {shown(document.id)}: {error.field}: {error.wrong}",
            field=error.field,
            value=shown(document.id),
            mend=f"{error.mend}; nothing of this batch was written",
        ) from None
