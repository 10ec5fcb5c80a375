"""collection_status: what waits, what is backfilled, how fast it goes, how far it is behind."""

from typing import Any

import pytest
from psycopg import sql

from service.collections.collection import CollectionStatus, show_collection
from service.db.connection import Connection
from tests.support.collections import make_collection, put_documents

#: In the order of the first release: readers may count on it.
OLD_COLUMNS = [
    "collection", "generation_id", "state", "embedding_model", "hnsw_state", "documents", "chunks",
    "pending", "leased", "dead", "oldest_age",
]  # fmt: skip


@pytest.fixture
def generation(connection: Connection) -> int:
    """A collection that looks attached, to a table of this name."""
    generation = make_collection(connection)
    connection.execute('CREATE TABLE public."Odd name" (id integer PRIMARY KEY, body text)')
    connection.execute(
        "INSERT INTO rankgres.source (collection_id, relation, key_columns, text_columns, "
        "read_columns, sync, compare_every, attached_by) "
        "SELECT collection_id, 'public.\"Odd name\"', '{id}', '{body}', '{id,body}', 'triggers', "
        "'1 day', 'me' FROM rankgres.generation WHERE id = %s",
        [generation],
    )
    return generation


def shown(connection: Connection) -> CollectionStatus:
    return show_collection(connection, "papers")


def change(connection: Connection, generation: int, ids: list[str] | None, age: str) -> None:
    connection.execute(
        "INSERT INTO rankgres.source_change (collection_id, document_ids, changed_at) "
        "SELECT collection_id, %s, clock_timestamp() - %s::interval "
        "FROM rankgres.generation WHERE id = %s",
        [ids, age, generation],
    )


def backfill(connection: Connection, generation: int, **columns: Any) -> None:
    columns = {"generation_id": generation, "estimated_rows": 100, **columns}
    statement = sql.SQL("INSERT INTO rankgres.backfill ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(map(sql.Placeholder, columns)),
    )
    connection.execute(statement, columns)


def queue(connection: Connection, generation: int, count: int, priority: int, age: str) -> None:
    connection.execute(
        "INSERT INTO rankgres.outbox (generation_id, document_id, priority, enqueued_at) "
        "SELECT %s, %s || '-' || number, %s, clock_timestamp() - %s::interval "
        "FROM generate_series(1, %s) AS number",
        [generation, priority, priority, age, count],
    )


def test_the_columns_of_the_first_release_come_first(connection: Connection) -> None:
    cursor = connection.execute("SELECT * FROM rankgres.collection_status")
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    assert names[: len(OLD_COLUMNS)] == OLD_COLUMNS
    assert names[len(OLD_COLUMNS) :] == [
        "paused", "source", "backfill_done", "backfill_total", "rate", "seconds_left", "lag",
    ]  # fmt: skip


def test_a_managed_collection_has_no_source_and_no_backfill(connection: Connection) -> None:
    make_collection(connection)
    status = shown(connection)
    assert (status.source, status.backfill_done, status.backfill_total) == (None, None, None)
    assert (status.paused, status.rate, status.seconds_left) == (False, 0, 0)
    assert (status.lag_seconds, status.waiting) == (None, 0)


@pytest.mark.usefixtures("generation")
def test_the_source_is_told_as_sql_writes_it(connection: Connection) -> None:
    assert shown(connection).source == 'public."Odd name"'


def test_what_triggers_wrote_counts_as_pending(connection: Connection, generation: int) -> None:
    change(connection, generation, ["a", "b"], "3 min")
    change(connection, generation, ["c"], "2 min")
    # The source is to be compared: who knows how much that is.
    change(connection, generation, None, "1 min")
    status = shown(connection)
    assert (status.pending, status.waiting) == (4, 4)
    assert status.lag_seconds == pytest.approx(180, abs=30)
    assert status.oldest_seconds == pytest.approx(180, abs=30)


def test_a_lag_is_that_of_changes_somebody_waits_for(
    connection: Connection, generation: int
) -> None:
    queue(connection, generation, 5, 1, "1 hour")
    status = shown(connection)
    assert status.lag_seconds is None
    assert status.oldest_seconds == pytest.approx(3600, abs=5)
    queue(connection, generation, 1, 0, "10 s")
    status = shown(connection)
    assert status.lag_seconds == pytest.approx(10, abs=5)
    assert status.pending == 6


def test_a_backfill_is_done_as_far_as_nothing_of_it_waits(
    connection: Connection, generation: int
) -> None:
    backfill(connection, generation, queued_rows=60)
    queue(connection, generation, 20, 1, "1 s")
    status = shown(connection)
    assert (status.backfill_done, status.backfill_total) == (40, 100)
    assert status.waiting == 60


def test_a_backfill_of_more_rows_than_were_estimated_goes_on(
    connection: Connection, generation: int
) -> None:
    backfill(connection, generation, estimated_rows=0, queued_rows=150)
    status = shown(connection)
    assert (status.backfill_done, status.backfill_total, status.waiting) == (150, 151, 1)
    connection.execute("UPDATE rankgres.backfill SET finished_at = clock_timestamp()")
    status = shown(connection)
    assert (status.backfill_done, status.backfill_total, status.waiting) == (150, 150, 0)


def test_the_rate_is_of_the_last_minute_and_tells_the_time_left(
    connection: Connection, generation: int
) -> None:
    for age, documents in (("2 min", 10_000), ("30 s", 2_000), ("10 s", 1_000)):
        connection.execute(
            "INSERT INTO rankgres.indexing_activity "
            "VALUES (%s, clock_timestamp() - %s::interval, %s, 0, 0)",
            [generation, age, documents],
        )
    backfill(connection, generation, estimated_rows=1_100, queued_rows=1_000)
    queue(connection, generation, 900, 1, "1 s")
    status = shown(connection)
    assert status.rate == pytest.approx(3_000 / 30, rel=0.1)
    assert status.seconds_left == pytest.approx((900 + 100) / 100, rel=0.1)


def test_a_paused_collection_has_no_time_left(connection: Connection, generation: int) -> None:
    connection.execute("UPDATE rankgres.collection SET paused_at = now()")
    put_documents(connection, generation, ["a"])
    status = shown(connection)
    assert status.paused
    assert status.seconds_left is None
