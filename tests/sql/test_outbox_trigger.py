"""The trigger queues what changed, in the transaction that changes it, and nothing else."""

from typing import LiteralString

import pytest
from psycopg import sql

from service.db.connection import Connection, connect
from tests.support.collections import (
    chunk,
    make_collection,
    outbox,
    put_documents,
    replace_chunks,
    value,
)


@pytest.fixture
def generation(connection: Connection) -> int:
    """A collection with the documents a, b and c, all indexed."""
    generation = make_collection(connection)
    put_documents(connection, generation, ["a", "b", "c"])
    connection.execute("DELETE FROM rankgres.outbox")
    return generation


def collection_of(connection: Connection, generation: int) -> int:
    collection: int = value(
        connection, "SELECT collection_id FROM rankgres.generation WHERE id = %s", [generation]
    )
    return collection


def like(connection: Connection, generation: int, state: str) -> int:
    """Add a generation to the same collection."""
    names = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'rankgres.generation'::regclass "
        "AND attnum > 0 AND attname NOT IN ('id', 'state')"
    )
    columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in names)
    row = connection.execute(
        sql.SQL(
            "INSERT INTO rankgres.generation ({0}, state) "
            "SELECT {0}, %s FROM rankgres.generation WHERE id = %s RETURNING id"
        ).format(columns),
        [state, generation],
    ).fetchone()
    assert row is not None
    return int(row[0])


def queued(connection: Connection, generation: int) -> set[str]:
    return set(outbox(connection, generation))


def test_an_insert_is_queued_due_at_once(connection: Connection, generation: int) -> None:
    put_documents(connection, generation, ["new", "newer"])
    rows = outbox(connection, generation)
    assert set(rows) == {"new", "newer"}
    row = rows["new"]
    assert (row.lease, row.attempts, row.last_error, row.dead_at) == (None, 0, None, None)
    assert value(connection, "SELECT %s <= clock_timestamp()", [row.due_at])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE rankgres.document SET title = 'x' WHERE id = 'a'",
        "UPDATE rankgres.document SET text = 'x' WHERE id = 'a'",
        "UPDATE rankgres.document SET metadata = '{\"x\": 1}' WHERE id = 'a'",
    ],
)
def test_an_update_of_what_is_indexed_is_queued(
    connection: Connection, generation: int, change: LiteralString
) -> None:
    connection.execute(change)
    assert queued(connection, generation) == {"a"}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE rankgres.document SET updated_at = now()",
        "UPDATE rankgres.document SET title = title",
        "UPDATE rankgres.document SET text = text || ''",
        "UPDATE rankgres.document SET text = 'x' WHERE id = 'none'",
        "DELETE FROM rankgres.document WHERE id = 'none'",
    ],
)
def test_a_statement_that_changes_nothing_indexed_queues_nothing(
    connection: Connection, generation: int, change: LiteralString
) -> None:
    connection.execute(change)
    assert queued(connection, generation) == set()


def test_a_deletion_is_queued(connection: Connection, generation: int) -> None:
    connection.execute("DELETE FROM rankgres.document WHERE id IN ('a', 'c')")
    assert queued(connection, generation) == {"a", "c"}


def test_both_sides_of_a_changed_key_are_queued(connection: Connection, generation: int) -> None:
    connection.execute("UPDATE rankgres.document SET id = 'z' WHERE id = 'a'")
    assert queued(connection, generation) == {"a", "z"}


def test_a_document_moved_to_another_collection_is_queued_in_both(
    connection: Connection, generation: int
) -> None:
    other = make_collection(connection, "other")
    connection.execute(
        "UPDATE rankgres.document SET collection_id = %s WHERE id = 'a'",
        [collection_of(connection, other)],
    )
    assert (queued(connection, generation), queued(connection, other)) == ({"a"}, {"a"})


def test_an_upsert_queues_new_and_changed_documents_alone(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, {"a": "changed", "b": "text", "new": "text"})
    assert queued(connection, generation) == {"a", "new"}


def test_merge_queues_what_it_did(connection: Connection, generation: int) -> None:
    connection.execute(
        """
        MERGE INTO rankgres.document USING (VALUES ('a'), ('b'), ('new')) AS given (id)
            ON document.id = given.id
        WHEN MATCHED AND given.id = 'a' THEN DELETE
        WHEN MATCHED THEN UPDATE SET text = 'merged'
        WHEN NOT MATCHED THEN INSERT (collection_id, id, text) VALUES (%s, given.id, 'text')
        """,
        [collection_of(connection, generation)],
    )
    assert queued(connection, generation) == {"a", "b", "new"}


def test_copy_is_queued(connection: Connection, generation: int) -> None:
    statement = "COPY rankgres.document (collection_id, id, text) FROM STDIN"
    collection = collection_of(connection, generation)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number in range(100):
            copy.write_row((collection, f"copied{number}", "text"))
    assert len(queued(connection, generation)) == 100


def test_truncate_queues_every_document_that_has_chunks_or_is_queued(
    connection: Connection, generation: int
) -> None:
    replace_chunks(connection, generation, [chunk("indexed")])
    put_documents(connection, generation, ["waiting"])
    connection.execute("TRUNCATE rankgres.document")
    assert queued(connection, generation) == {"indexed", "waiting"}


def test_what_is_rolled_back_is_not_queued(connection: Connection, generation: int) -> None:
    with connection.transaction(force_rollback=True):
        put_documents(connection, generation, ["new"])
        assert queued(connection, generation) == {"new"}
    assert queued(connection, generation) == set()


def test_versions_never_repeat(connection: Connection, generation: int) -> None:
    seen = []
    for text in ("one", "two", "three"):
        put_documents(connection, generation, {"a": text})
        seen.append(outbox(connection, generation)["a"].version)
    connection.execute("DELETE FROM rankgres.outbox")  # as when it was indexed
    connection.execute("DELETE FROM rankgres.document WHERE id = 'a'")
    seen.append(outbox(connection, generation)["a"].version)
    connection.execute("DELETE FROM rankgres.outbox")
    put_documents(connection, generation, ["a"])
    seen.append(outbox(connection, generation)["a"].version)
    assert seen == sorted(set(seen))


def test_every_live_generation_has_a_queue_of_its_own(
    connection: Connection, generation: int
) -> None:
    building = like(connection, generation, "building")
    retired = like(connection, generation, "retired")
    put_documents(connection, generation, ["new"])
    assert queued(connection, generation) == {"new"}
    assert queued(connection, building) == {"new"}
    assert queued(connection, retired) == set()
    assert (
        outbox(connection, generation)["new"].version != outbox(connection, building)["new"].version
    )


def test_listeners_are_told_at_commit(database_url: str) -> None:
    with connect(database_url) as writer, connect(database_url, autocommit=True) as listener:
        generation = make_collection(writer)
        writer.commit()
        listener.execute("LISTEN rankgres_outbox")
        put_documents(writer, generation, ["a"])
        put_documents(writer, generation, ["b"])
        assert list(listener.notifies(timeout=0.1)) == []
        writer.commit()
        [notification] = listener.notifies(timeout=10, stop_after=1)
        assert notification.payload == str(generation)
        assert list(listener.notifies(timeout=0.1)) == []


def test_what_runs_with_our_rights_finds_the_systems_functions_alone(
    connection: Connection,
) -> None:
    generation = make_collection(connection)
    put_documents(connection, generation, ["a"])
    # Better matches for the arguments than the system's own, where others may create.
    for function in ("nextval(text)", "format(text, text)", "pg_notify(text, text)"):
        arguments = function.split("(", 1)[1][:-1]
        connection.execute(
            sql.SQL(
                "CREATE FUNCTION public.{}({}) RETURNS {} LANGUAGE plpgsql "
                "AS 'BEGIN RAISE ''taken over''; END'"
            ).format(
                sql.Identifier(function.split("(", 1)[0]),
                sql.SQL(arguments),
                sql.SQL("bigint" if "nextval" in function else "text"),
            )
        )
    put_documents(connection, generation, {"a": "changed"})
    connection.execute("TRUNCATE rankgres.document")
    assert queued(connection, generation) == {"a"}
