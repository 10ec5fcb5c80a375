"""Attached tables as SQL users have them, and what Rankgres notes of their changes."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from tests.support.collections import DIMENSION, generation_of, value


class SourceDocument(NamedTuple):
    """A document as it is read from its source, without the hash."""

    id: str
    title: str
    text: str
    metadata: dict[str, Any]


def add_hand_model(connection: Connection) -> None:
    """Let collections be attached whose embeddings are made by hand."""
    connection.execute(
        "INSERT INTO rankgres.embedding_model (name, dimension, max_tokens) "
        "VALUES ('by hand', %s, 256) ON CONFLICT DO NOTHING",
        [DIMENSION],
    )


def make_articles(connection: Connection, rows: int = 3) -> None:
    """Create public.articles, with a key and rows numbered from 1."""
    connection.execute(
        "CREATE TABLE public.articles "
        "(id bigint PRIMARY KEY, title text, body text, tenant integer, note text)"
    )
    connection.execute(
        "INSERT INTO public.articles SELECT number, 'title ' || number, 'body ' || number, 1 "
        "FROM generate_series(1, %s) AS number",
        [rows],
    )


def attach(
    connection: Connection,
    relation: str = "public.articles",
    name: str = "articles",
    **options: Any,
) -> int:
    """Attach a relation with its column body as the text, unless told otherwise; return its id."""
    arguments = {"collection": name, "relation": relation, **options}
    if not {"text", "template"} & arguments.keys():
        arguments["text"] = ["body"]
    named = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(key), sql.Placeholder(key)) for key in arguments
    )
    statement = sql.SQL("SELECT rankgres.attach({})").format(named)
    row = connection.execute(statement, arguments).fetchone()
    assert row is not None
    return int(row[0])


def documents(
    connection: Connection, collection: int, ids: Iterable[str]
) -> dict[str, SourceDocument]:
    """Return those of the documents that exist in the source, by id."""
    rows = connection.execute(
        "SELECT document_id, title, text, metadata FROM rankgres.source_documents_v1(%s, %s)",
        [collection, list(ids)],
    )
    return {row[0]: SourceDocument(*row) for row in rows}


def hashes(connection: Connection, collection: int) -> dict[str, bytes | None]:
    """Return the hash of every document in the source."""
    rows = connection.execute(
        "SELECT document_id, content_hash FROM rankgres.source_hashes_v1(%s)", [collection]
    ).fetchall()
    found: dict[str, bytes | None] = dict(rows)
    assert len(found) == len(rows)
    return found


def take_changes(connection: Connection) -> set[str]:
    """Return the ids that triggers noted, and forget them; nothing may have failed."""
    rows = connection.execute(
        "DELETE FROM rankgres.source_change RETURNING document_ids, reason"
    ).fetchall()
    assert [reason for _, reason in rows if reason] == []
    return {document for ids, _ in rows for document in ids}


def take_reasons(connection: Connection) -> list[str]:
    """Return why comparisons are due, and forget all changes."""
    rows = connection.execute("DELETE FROM rankgres.source_change RETURNING reason")
    return sorted({reason for (reason,) in rows if reason})


def fold(connection: Connection, max_rows: int = 1000) -> dict[int, int]:
    """Move changes to the outbox; return how many documents of which generation."""
    rows = connection.execute("SELECT * FROM rankgres.source_change_fold_v1(%s)", [max_rows])
    return dict(rows.fetchall())


def backfill(connection: Connection, name: str = "articles", rows: int = 1000) -> int:
    """Take one step of the backfill; return how many rows it went through."""
    step = "SELECT rankgres.backfill_step_v1(%s, %s, 100000)"
    return int(value(connection, step, [generation_of(connection, name), rows]))


def compare(connection: Connection, name: str = "articles") -> int:
    """Compare a source with its index; return how many documents were queued."""
    statement = (
        "SELECT rankgres.source_compare_v1(id, rankgres.source_changes_unknown_v1(id)) "
        "FROM rankgres.collection WHERE collection.name = %s"
    )
    return int(value(connection, statement, [name]))


def compare_error(connection: Connection, name: str = "articles") -> str | None:
    """Return what was wrong at the last comparison."""
    statement = (
        "SELECT compare_error FROM rankgres.source JOIN rankgres.collection "
        "ON collection.id = collection_id WHERE collection.name = %s"
    )
    error: str | None = value(connection, statement, [name])
    return error


def index_all(connection: Connection, name: str = "articles") -> None:
    """Note everything in the source as indexed and nothing as queued, as workers would."""
    generation = generation_of(connection, name)
    connection.execute(
        "UPDATE rankgres.backfill SET finished_at = now() WHERE generation_id = %s", [generation]
    )
    connection.execute("DELETE FROM rankgres.source_change")
    connection.execute("DELETE FROM rankgres.outbox WHERE generation_id = %s", [generation])
    connection.execute(
        "DELETE FROM rankgres.indexed_document WHERE generation_id = %s", [generation]
    )
    connection.execute(
        "INSERT INTO rankgres.indexed_document "
        "(generation_id, document_id, content_hash, chunk_count) "
        "SELECT generation.id, read.document_id, read.content_hash, 1 FROM rankgres.generation "
        "CROSS JOIN LATERAL rankgres.source_hashes_v1(generation.collection_id) AS read "
        "WHERE generation.id = %s",
        [generation],
    )


def insert_row(connection: Connection, table: str, **values: Any) -> None:
    """Insert one row, its columns by name."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(*table.split(".")),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    connection.execute(
        statement,
        {key: Jsonb(given) if isinstance(given, dict) else given for key, given in values.items()},
    )
