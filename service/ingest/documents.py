"""Documents: managed ones written and deleted, those of any source read and waited for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from psycopg.types.json import Jsonb

from service.collections.collection import Generation
from service.db.connection import Connection, Pool, transaction
from service.db.statements import load_statements
from service.errors import InvalidInputError, NotFoundError
from service.storable import UnstorableError, check_object, shown, storable_id, storable_text

_SQL = load_statements(__file__)

TextFormat = Literal["plain", "html", "markdown"]
#: Characters that a worker reads at once; a document that has more is read alone.
_MAX_CHARACTERS: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """One document as the caller gives it."""

    id: str
    text: str
    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One document as it stands in its source; ``content_hash`` is that of all the rest.

    ``metadata`` is JSON text, which goes from one table to the other as it is.
    """

    id: str
    title: str
    text: str
    metadata: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Documents read to be indexed, and the ids of those that were too much to read at once.

    A document that was asked for and is in neither does not exist any more.
    """

    documents: list[SourceDocument]
    left_out: list[str]


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
        InvalidInputError: an id or a text that cannot be stored, nothing of the batch is written;
            or the collection is attached to a table of its own.
    """
    _require_managed(connection, generation)
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
    """Delete documents by id and return how many there were; their chunks follow by the outbox.

    Raises:
        InvalidInputError: the collection is attached to a table of its own.
    """
    _require_managed(connection, generation)
    values = {"collection_id": generation.collection_id, "ids": list(ids)}
    return connection.execute(_SQL["delete"], values).rowcount


def fetch_documents(
    connection: Connection, generation: Generation, ids: Sequence[str]
) -> dict[str, Document]:
    """Return those of the documents that exist, by id."""
    values = {"collection_id": generation.collection_id, "ids": list(ids)}
    return {
        id_: Document(id_, text, title, metadata)
        for id_, title, text, metadata in connection.execute(_SQL["fetch"], values)
    }


def text_format(connection: Connection, collection_id: int) -> TextFormat:
    """Return how the text of the collection's source is written."""
    row = connection.execute(_SQL["source"], {"collection_id": collection_id}).fetchone()
    return row[1] if row else "plain"


def fetch_to_index(
    connection: Connection,
    collection_id: int,
    ids: Sequence[str],
    max_characters: int | None = None,
) -> SourceBatch:
    """Return those of the documents that exist, as many as fit into so many characters.

    There is always one among them, if any exists.
    """
    values = {
        "collection_id": collection_id,
        "ids": list(ids),
        "max_characters": max_characters or _MAX_CHARACTERS,
    }
    rows = connection.execute(_SQL["fetch_to_index"], values).fetchall()
    return SourceBatch(
        documents=[SourceDocument(*row[:5]) for row in rows if row[5]],
        left_out=[row[0] for row in rows if not row[5]],
    )


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
                _SQL["waiting"],
                {
                    "generation_id": generation.id,
                    "collection_id": generation.collection_id,
                    "ids": list(ids),
                },
            ).fetchone()
        assert row is not None
        state = Indexed(waiting=row[0], dead=row[1])
        if state.waiting == 0 or time.monotonic() >= deadline:
            return state
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(2 * pause, 0.5)


def _require_managed(connection: Connection, generation: Generation) -> None:
    values = {"collection_id": generation.collection_id}
    if (row := connection.execute(_SQL["source"], values).fetchone()) is not None:
        raise InvalidInputError(
            f"collection {generation.collection!r} is attached to {row[0]}",
            field="collection",
            value=generation.collection,
            mend=f"write to {row[0]}: what changes there is indexed by itself",
        )


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
