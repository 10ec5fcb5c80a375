"""Small collections made by hand: chunks without a model, searches as an SQL user writes them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import numpy as np
from pgvector import Vector
from psycopg import sql
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from service.ingest.chunks import EmbeddedChunk, _replace_chunks
from service.ingest.outbox import Lease

DIMENSION = 4


class Row(NamedTuple):
    """A row of search_candidates, in its columns' order."""

    rank: int
    passage: int
    document_id: str
    position: int
    heading: str
    text: str
    start_offset: int
    end_offset: int
    metadata: dict[str, Any]
    score: float
    lexical_rank: int | None
    lexical_score: float | None
    vector_rank: int | None
    vector_score: float | None


class OutboxRow(NamedTuple):
    """A row of the outbox, without its generation."""

    document_id: str
    version: int
    enqueued_at: datetime
    due_at: datetime
    lease: UUID | None
    attempts: int
    last_error: str | None
    dead_at: datetime | None


def make_collection(connection: Connection, name: str = "papers", **options: Any) -> int:
    """Create a collection whose text is split at blanks and never stemmed; return its generation.

    ``options`` are arguments of collection_create_v2.
    """
    arguments = {
        "embedding_model": "by hand",
        "embedding_dimension": DIMENSION,
        "chunk_tokens": 256,
        "overlap_tokens": 0,
        "text_search_config": "simple",
        **options,
    }
    arguments["collection_name"] = name
    connection.execute(
        sql.SQL("SELECT rankgres.collection_create_v2({})").format(_named(arguments)), arguments
    )
    return generation_of(connection, name)


def generation_of(connection: Connection, name: str) -> int:
    """Return the active generation of a collection."""
    return int(
        value(
            connection,
            "SELECT generation.id FROM rankgres.generation JOIN rankgres.collection "
            "ON collection.id = collection_id WHERE name = %s AND state = 'active'",
            [name],
        )
    )


def chunk(
    document_id: str,
    text: str = "",
    *,
    position: int = 0,
    heading: str = "",
    filters: Mapping[str, Any] | None = None,
    embedding: Sequence[float] | np.ndarray[Any, Any] = (1, 0, 0, 0),
) -> EmbeddedChunk:
    """Return a chunk that is a document of its own, unless its position says otherwise."""
    return EmbeddedChunk(
        document_id=document_id,
        position=position,
        token_count=len(text.split()),
        start=0,
        end=len(text),
        heading=heading,
        text=text,
        filters=json.dumps(dict(filters or {})),
        embedding=np.asarray(embedding, dtype=np.float32),
    )


def replace_chunks(
    connection: Connection,
    generation_id: int,
    chunks: Iterable[EmbeddedChunk],
    also: Iterable[str] = (),
) -> None:
    """Replace the chunks of the documents that these chunks, or ``also``, name."""
    chunks = list(chunks)
    ids = {piece.document_id for piece in chunks} | set(also)
    _replace_chunks(connection, Lease(uuid4(), generation_id, dict.fromkeys(ids, 0)), chunks, {})


def put_documents(
    connection: Connection, generation_id: int, texts: Mapping[str, str] | Iterable[str]
) -> None:
    """Insert or update documents of the managed table in one statement."""
    texts = texts if isinstance(texts, Mapping) else dict.fromkeys(texts, "text")
    connection.execute(
        "INSERT INTO rankgres.document (collection_id, id, text) "
        "SELECT collection_id, given.id, given.text "
        "FROM rankgres.generation, unnest(%s::text [], %s::text []) AS given (id, text) "
        "WHERE generation.id = %s "
        "ON CONFLICT (collection_id, id) DO UPDATE SET text = excluded.text",
        [list(texts), list(texts.values()), generation_id],
    )


def search(
    connection: Connection,
    query: str = "",
    embedding: Sequence[float] | np.ndarray[Any, Any] | None = None,
    *,
    collection: str = "papers",
    **options: Any,
) -> list[Row]:
    """Call search_candidates; the mode follows from what is given, unless ``options`` say it."""
    arguments: dict[str, Any] = {"collection": collection, "query": query, **options}
    if embedding is not None:
        arguments["query_embedding"] = Vector(np.asarray(embedding, dtype=np.float32))
    if "mode" not in options:
        arguments["mode"] = "lexical" if embedding is None else "hybrid" if query else "vector"
    for name in ("filter", "recency", "boosts"):
        if isinstance(arguments.get(name), (Mapping, list)):
            arguments[name] = Jsonb(arguments[name])
    statement = sql.SQL("SELECT * FROM rankgres.search_candidates({})").format(_named(arguments))
    rows = connection.execute(statement, arguments)
    return [Row(*row) for row in rows]


def found(rows: Iterable[Row]) -> list[str]:
    """Return the documents of the rows, in order."""
    return [row.document_id for row in rows]


def explained(connection: Connection) -> dict[str, Any]:
    """Return what the last search of the transaction said of itself."""
    answer: dict[str, Any] = value(connection, "SELECT current_setting('rankgres.explain')::jsonb")
    return answer


def outbox(connection: Connection, generation_id: int) -> dict[str, OutboxRow]:
    """Return the outbox rows of a generation by document."""
    rows = connection.execute(
        "SELECT document_id, version, enqueued_at, due_at, lease, attempts, last_error, dead_at "
        "FROM rankgres.outbox WHERE generation_id = %s",
        [generation_id],
    )
    return {row[0]: OutboxRow(*row) for row in rows}


def value(connection: Connection, statement: str, parameters: Any = None) -> Any:
    """Return the first column of a statement's first row."""
    row = connection.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row[0]


def _named(arguments: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in arguments
    )
