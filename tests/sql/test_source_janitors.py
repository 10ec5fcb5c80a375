"""Janitors of attached tables: comparison when it is due, and what is swept."""

from collections.abc import Iterator

import pytest

from service.db.connection import Connection, connect
from service.sources.comparison import compare_due_sources
from service.sources.remains import sweep_remains
from service.sources.source import SourcePlan, attach_source, detach_source
from tests.support.collections import generation_of, make_collection, value


@pytest.fixture
def database(database_url: str) -> Iterator[Connection]:
    """A database of its own with a table of five rows and a materialised view of it."""
    with connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.note (id integer PRIMARY KEY, body text)")
        connection.execute("INSERT INTO public.note SELECT n, 'x' FROM generate_series(1, 5) AS n")
        connection.execute("CREATE MATERIALIZED VIEW public.shown AS SELECT * FROM public.note")
        connection.execute("CREATE UNIQUE INDEX ON public.shown (id)")
        yield connection


def attach(connection: Connection, relation: str, name: str = "notes") -> int:
    attach_source(connection, SourcePlan(name, relation, text=["body"], compare_every="1 hour"))
    connection.execute("UPDATE rankgres.backfill SET finished_at = now()")
    return generation_of(connection, name)


def later(connection: Connection) -> None:
    """Let two hours go by."""
    connection.execute(
        "UPDATE rankgres.source SET attached_at = attached_at - interval '2 hours', "
        "compared_at = compared_at - interval '2 hours'"
    )


def test_a_view_is_compared_at_once_and_then_on_its_schedule(database: Connection) -> None:
    generation = attach(database, "public.shown")
    assert compare_due_sources(database) == 5
    connection = database
    connection.execute("DELETE FROM rankgres.outbox WHERE generation_id = %s", [generation])
    assert compare_due_sources(connection) == 0
    later(connection)
    assert compare_due_sources(connection) == 5


def test_a_table_with_triggers_is_compared_on_its_schedule_alone(database: Connection) -> None:
    attach(database, "public.note")
    assert compare_due_sources(database) == 0
    later(database)
    assert compare_due_sources(database) == 5


def test_a_truncate_is_compared_at_once(database: Connection) -> None:
    generation = attach(database, "public.note")
    database.execute(
        "INSERT INTO rankgres.indexed_document (generation_id, document_id, chunk_count) "
        "SELECT %s, n::text, 1 FROM generate_series(1, 5) AS n",
        [generation],
    )
    database.execute("TRUNCATE public.note CASCADE")
    assert compare_due_sources(database) == 5
    assert value(database, "SELECT count(*) FROM rankgres.source_change") == 0


def test_a_backfill_goes_before_a_comparison(database: Connection) -> None:
    attach(database, "public.note")
    database.execute("UPDATE rankgres.backfill SET finished_at = NULL")
    later(database)
    assert compare_due_sources(database) == 0
    assert value(database, "SELECT compared_at FROM rankgres.source") is None


def test_one_that_cannot_be_compared_holds_no_other_up_and_pauses(
    database: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    attach(database, "public.note", "broken")
    attach(database, "public.shown", "sound")
    database.execute("ALTER TABLE public.note RENAME COLUMN body TO text")
    later(database)
    assert compare_due_sources(database) == 5
    assert "the source of broken cannot be compared" in caplog.text
    caplog.clear()
    database.execute("UPDATE rankgres.source SET attached_at = attached_at - interval '2 hours'")
    assert compare_due_sources(database) == 0
    assert caplog.text == ""
    # Half a minute later it is tried again.
    later(database)
    compare_due_sources(database)
    assert "the source of broken cannot be compared" in caplog.text


def test_what_nobody_reads_any_more_is_swept(database: Connection) -> None:
    generation = attach(database, "public.note")
    for age in ("2 hours", "1 min"):
        database.execute(
            "INSERT INTO rankgres.indexing_activity "
            "VALUES (%s, clock_timestamp() - %s::interval, 1, 1, 0)",
            [generation, age],
        )
    other = make_collection(database, "other")
    database.execute(
        "INSERT INTO rankgres.backfill (generation_id, estimated_rows, finished_at) "
        "VALUES (%s, 1, now() - interval '2 days')",
        [other],
    )
    database.execute("UPDATE public.note SET body = 'y'")
    database.execute(
        "INSERT INTO rankgres.source_change (collection_id, document_ids) VALUES (0, '{gone}')"
    )
    sweep_remains(database)
    assert value(database, "SELECT count(*) FROM rankgres.indexing_activity") == 1
    assert value(database, "SELECT array_agg(generation_id) FROM rankgres.backfill") == [generation]
    # What the relay has not moved yet stays.
    assert value(database, "SELECT count(*) FROM rankgres.source_change") == 1


def test_a_dropped_collection_leaves_nothing_behind(database: Connection) -> None:
    generation = attach(database, "public.note")
    database.execute(
        "INSERT INTO rankgres.indexed_document (generation_id, document_id, chunk_count) "
        "VALUES (%s, 'x', 0)",
        [generation],
    )
    database.execute(
        "INSERT INTO rankgres.indexing_activity VALUES (%s, now(), 1, 1, 0)", [generation]
    )
    database.execute("UPDATE public.note SET body = 'y'")
    detach_source(database, "notes")
    left = value(
        database,
        "SELECT (SELECT count(*) FROM rankgres.indexed_document) "
        "+ (SELECT count(*) FROM rankgres.indexing_activity) "
        "+ (SELECT count(*) FROM rankgres.source_change) "
        "+ (SELECT count(*) FROM rankgres.backfill) + (SELECT count(*) FROM rankgres.source) "
        "+ (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.note'::regclass "
        "AND NOT tgisinternal)",
    )
    assert left == 0
    database.execute("UPDATE public.note SET body = 'z'")
