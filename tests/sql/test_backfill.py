"""Backfill: rows of before are queued in the order of their keys, step by step, behind changes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from service.db.connection import Connection, Pool, connect, transaction
from service.sources.source import detach_source
from tests.sql.test_collections import wait_for_a_waiting_session
from tests.support.attached import attach, backfill, compare, fold, make_articles, take_changes
from tests.support.collections import generation_of, outbox, value

STATE = (
    "SELECT after_key, queued_rows, finished_at IS NOT NULL FROM rankgres.backfill "
    "WHERE generation_id = %s"
)


def priorities(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT document_id, priority FROM rankgres.outbox")
    return {row[0]: row[1] for row in rows}


def test_it_goes_on_where_it_was_and_ends(connection: Connection) -> None:
    make_articles(connection, rows=25)
    attach(connection)
    generation = generation_of(connection, "articles")
    states = []
    for _ in range(4):
        passed = backfill(connection, rows=10)
        states.append((passed, *(connection.execute(STATE, [generation]).fetchone() or ())))
    assert states == [
        (10, ["10"], 10, False),
        (10, ["20"], 20, False),
        (5, ["25"], 25, True),
        (0, ["25"], 25, True),
    ]
    rows = outbox(connection, generation)
    assert rows.keys() == {str(number) for number in range(1, 26)}
    assert value(connection, "SELECT array_agg(DISTINCT priority) FROM rankgres.outbox") == [1]


def test_an_empty_table_is_done_at_once(connection: Connection) -> None:
    make_articles(connection, rows=0)
    attach(connection)
    assert backfill(connection) == 0
    assert value(connection, "SELECT finished_at IS NOT NULL FROM rankgres.backfill")


def test_only_rows_that_belong_are_queued_and_all_are_passed(connection: Connection) -> None:
    make_articles(connection, rows=30)
    attach(connection, condition="id % 10 = 0")
    assert [backfill(connection, rows=12) for _ in range(4)] == [12, 12, 6, 0]
    assert outbox(connection, generation_of(connection, "articles")).keys() == {"10", "20", "30"}


def test_a_row_whose_condition_fails_is_left_to_the_worker(connection: Connection) -> None:
    make_articles(connection)
    connection.execute("UPDATE articles SET tenant = 0 WHERE id = 2")
    attach(connection, condition="1 / tenant = 1")
    assert backfill(connection) == 3
    assert outbox(connection, generation_of(connection, "articles")).keys() == {"1", "2", "3"}


def test_what_changed_meanwhile_goes_first(connection: Connection) -> None:
    make_articles(connection)
    attach(connection)
    connection.execute("UPDATE articles SET body = 'x' WHERE id = 2")
    fold(connection)
    backfill(connection)
    assert priorities(connection) == {"1": 1, "2": 0, "3": 1}
    connection.execute("UPDATE articles SET body = 'x' WHERE id = 3")
    fold(connection)
    assert priorities(connection) == {"1": 1, "2": 0, "3": 0}


def test_it_waits_while_the_queue_is_full(connection: Connection) -> None:
    make_articles(connection, rows=30)
    attach(connection)
    generation = generation_of(connection, "articles")
    step = "SELECT rankgres.backfill_step_v1(%s, 10, 15)"
    assert [value(connection, step, [generation]) for _ in range(3)] == [10, 5, 0]
    connection.execute("DELETE FROM rankgres.outbox WHERE document_id::integer <= 12")
    assert value(connection, step, [generation]) == 10
    # Dead letters and changes hold nothing up.
    connection.execute("UPDATE rankgres.outbox SET dead_at = now()")
    assert value(connection, step, [generation]) == 5


def test_the_throttle_lets_so_many_a_second_through(connection: Connection) -> None:
    make_articles(connection, rows=1000)
    attach(connection, backfill_rows_per_second=40)
    generation = generation_of(connection, "articles")

    def rest(seconds: float) -> None:
        connection.execute(
            "UPDATE rankgres.backfill SET started_at = started_at - make_interval(secs => %(s)s), "
            "stepped_at = stepped_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )

    first = backfill(connection, rows=500)
    assert first <= 40  # a second's worth, had so much gone by since it was attached
    rest(0.5)
    second = backfill(connection, rows=500)
    assert 19 <= second <= 40
    # After a long rest no more than a second's worth at once.
    rest(3600)
    assert backfill(connection, rows=500) == 40
    connection.execute(
        "UPDATE rankgres.backfill SET rows_per_second = 0.5, stepped_at = clock_timestamp()"
    )
    assert backfill(connection, rows=500) == 0
    rest(2)
    assert backfill(connection, rows=500) == 1
    assert len(outbox(connection, generation)) == first + second + 41


def test_a_paused_collection_is_not_backfilled(connection: Connection) -> None:
    make_articles(connection)
    attach(connection)
    connection.execute("SELECT rankgres.pause('articles')")
    assert backfill(connection) == 0
    connection.execute("SELECT rankgres.resume('articles')")
    assert backfill(connection) == 3


def test_a_doubled_relay_does_not_wait_nor_queue_twice(database_url: str) -> None:
    with connect(database_url) as first, connect(database_url) as second:
        make_articles(first, rows=30)
        attach(first)
        first.commit()
        second.execute("SET lock_timeout = '2s'")
        assert backfill(first, rows=10) == 10
        assert backfill(second, rows=10) == 0
        first.commit()
        assert backfill(second, rows=10) == 10
        assert value(second, "SELECT after_key FROM rankgres.backfill") == ["20"]


def test_rows_written_behind_and_before_it_are_not_lost(connection: Connection) -> None:
    make_articles(connection, rows=20)
    attach(connection)
    backfill(connection, rows=10)
    connection.execute("INSERT INTO articles VALUES (0, 'x', 'x'), (100, 'x', 'x')")
    connection.execute("UPDATE articles SET id = 5000 - id WHERE id IN (3, 15)")
    assert take_changes(connection) == {"0", "100", "3", "4997", "15", "4985"}
    while backfill(connection, rows=10):
        pass
    queued = outbox(connection, generation_of(connection, "articles")).keys()
    assert queued >= {str(number) for number in (*range(1, 15), *range(16, 21), 100, 4997, 4985)}


def test_a_comparison_waits_for_it(connection: Connection) -> None:
    make_articles(connection)
    attach(connection)
    connection.execute("TRUNCATE articles")
    assert compare(connection) == 0
    assert value(connection, "SELECT count(*) FROM rankgres.source_change") == 1
    backfill(connection)
    compare(connection)
    assert value(connection, "SELECT count(*) FROM rankgres.source_change") == 0


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("SELECT FROM rankgres.backfill FOR UPDATE", "SELECT FROM articles"),
        ("SELECT rankgres.source_store_v1(id) FROM rankgres.collection", "SELECT FROM articles"),
        ("SELECT FROM rankgres.collection FOR UPDATE", "SELECT FROM rankgres.source FOR UPDATE"),
    ],
    ids=["step", "comparison", "drop"],
)
def test_detaching_locks_in_the_order_that_all_others_do(
    pool: Pool, first: str, then: str, keep: bool
) -> None:
    with transaction(pool) as connection:
        make_articles(connection, rows=25)
        attach(connection)
    with transaction(pool) as other, ThreadPoolExecutor() as threads:
        other.execute(first)
        detaching = threads.submit(detach_in_own_transaction, pool, keep=keep)
        wait_for_a_waiting_session(pool)
        other.execute(then)
        other.commit()
        detaching.result(timeout=30)
    with transaction(pool) as connection:
        assert value(connection, "SELECT count(*) FROM rankgres.backfill") == 0
        assert value(connection, "SELECT count(*) FROM rankgres.outbox") == 0


def detach_in_own_transaction(pool: Pool, *, keep: bool) -> None:
    with transaction(pool) as connection:
        detach_source(connection, "articles", keep=keep)
