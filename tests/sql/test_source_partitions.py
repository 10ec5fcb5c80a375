"""Partitions and inheritance: statements on any of the tables, and tables that come later."""

from typing import LiteralString

import pytest
from psycopg import errors

from service.db.connection import Connection, connect
from tests.support.attached import (
    attach,
    backfill,
    compare,
    compare_error,
    documents,
    fold,
    hashes,
    index_all,
    take_changes,
    take_reasons,
)
from tests.support.collections import generation_of, outbox, value

TRIGGERS = (
    "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname LIKE 'rankgres%%'"
)


@pytest.fixture
def parts(connection: Connection) -> Connection:
    """The attached table parts with partitions of partitions, all of whose rows are indexed."""
    connection.execute(
        "CREATE TABLE parts (id integer, body text, note text, PRIMARY KEY (id)) "
        "PARTITION BY RANGE (id)"
    )
    connection.execute("CREATE TABLE part_low PARTITION OF parts FOR VALUES FROM (0) TO (10)")
    # Columns in another order.
    connection.execute(
        "CREATE TABLE part_high (note text, id integer NOT NULL, gone text, body text)"
    )
    connection.execute("ALTER TABLE part_high DROP COLUMN gone")
    connection.execute("ALTER TABLE parts ATTACH PARTITION part_high FOR VALUES FROM (10) TO (20)")
    connection.execute(
        "CREATE TABLE part_deep PARTITION OF parts FOR VALUES FROM (20) TO (40) "
        "PARTITION BY RANGE (id)"
    )
    connection.execute(
        "CREATE TABLE part_deep_1 PARTITION OF part_deep FOR VALUES FROM (20) TO (30)"
    )
    connection.execute("INSERT INTO parts SELECT n, 'x', 'n' FROM generate_series(1, 29) AS n")
    attach(connection, "parts", "parts")
    return connection


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("INSERT INTO parts VALUES (0), (30 - 1 + 0) ON CONFLICT DO NOTHING", {"0"}),
        ("UPDATE parts SET body = 'y' WHERE id IN (1, 11, 21)", {"1", "11", "21"}),
        ("UPDATE parts SET note = 'y'", set()),
        ("UPDATE parts SET id = 0 WHERE id = 15", {"15", "0"}),
        ("DELETE FROM parts WHERE id % 10 = 5", {"5", "15", "25"}),
        ("INSERT INTO part_low VALUES (0, 'x')", {"0"}),
        ("UPDATE part_high SET body = 'y' WHERE id = 12", {"12"}),
        ("UPDATE part_high SET note = 'y'", set()),
        ("DELETE FROM part_high WHERE id > 18", {"19"}),
        ("DELETE FROM ONLY part_deep_1 WHERE id > 28", {"29"}),
        ("UPDATE part_deep SET body = 'y' WHERE id = 22", {"22"}),
        ("DELETE FROM part_deep_1 WHERE id = 22", {"22"}),
    ],
)
def test_statements_on_any_of_the_tables_are_noted_once(
    parts: Connection, statement: LiteralString, changed: set[str]
) -> None:
    parts.execute(statement)
    count = "SELECT coalesce(sum(cardinality(document_ids)), 0) FROM rankgres.source_change"
    assert value(parts, count) == len(changed)
    assert take_changes(parts) == changed


def test_copy_into_a_partition_is_noted(parts: Connection) -> None:
    parts.execute("DELETE FROM parts")
    take_changes(parts)
    for table, ids in (("parts", (1, 12, 23)), ("part_high", (13, 14)), ("part_deep", (24,))):
        with (
            parts.cursor() as cursor,
            cursor.copy(f"COPY {table} (id) FROM STDIN".encode()) as copy,
        ):
            for id_ in ids:
                copy.write_row((id_,))
        assert take_changes(parts) == {str(id_) for id_ in ids}


@pytest.mark.parametrize("table", ["parts", "part_low", "part_deep"])
def test_truncate_of_any_of_the_tables_has_the_source_compared(
    parts: Connection, table: str
) -> None:
    index_all(parts, "parts")
    parts.execute(f"TRUNCATE {table}".encode())
    assert compare(parts, "parts") == {"parts": 29, "part_low": 9, "part_deep": 10}[table]


def test_the_backfill_goes_through_all_partitions_in_order(parts: Connection) -> None:
    generation = generation_of(parts, "parts")
    assert backfill(parts, "parts", rows=12) == 12
    assert set(outbox(parts, generation)) == {str(number) for number in range(1, 13)}
    assert backfill(parts, "parts", rows=100) == 17
    assert len(outbox(parts, generation)) == 29


def test_a_partition_that_comes_later_is_found_and_then_followed(parts: Connection) -> None:
    index_all(parts, "parts")
    parts.execute("CREATE TABLE part_late (id integer NOT NULL, body text, note text)")
    parts.execute("INSERT INTO part_late VALUES (50, 'x'), (51, 'x')")
    parts.execute("ALTER TABLE parts ATTACH PARTITION part_late FOR VALUES FROM (50) TO (60)")
    assert value(parts, TRIGGERS, ["part_late"]) == 0
    # Through the parent it is followed from the beginning.
    parts.execute("INSERT INTO parts VALUES (52, 'x')")
    assert take_changes(parts) == {"52"}
    parts.execute("INSERT INTO part_late VALUES (53, 'x')")
    assert take_changes(parts) == set()
    assert compare(parts, "parts") == 4
    assert compare_error(parts, "parts") is None
    # What was written until the triggers were there is found by one more comparison.
    assert take_reasons(parts) == ["a new partition"]
    assert value(parts, TRIGGERS, ["part_late"]) == 4
    parts.execute("INSERT INTO part_late VALUES (54, 'x')")
    assert take_changes(parts) == {"54"}
    compare(parts, "parts")
    assert take_reasons(parts) == []


def test_a_partition_that_goes_is_found(parts: Connection) -> None:
    index_all(parts, "parts")
    parts.execute("ALTER TABLE parts DETACH PARTITION part_high")
    parts.execute("DROP TABLE part_low")
    assert compare(parts, "parts") == 19
    # Its triggers stay and are harmless: its rows are no documents any more.
    parts.execute("UPDATE part_high SET body = 'y' WHERE id = 12")
    assert take_changes(parts) == {"12"}
    collection = value(parts, "SELECT id FROM rankgres.collection")
    assert documents(parts, collection, ["12"]) == {}


def test_a_partition_that_is_in_use_is_not_waited_for(database_url: str) -> None:
    with connect(database_url) as first, connect(database_url) as second:
        first.execute(
            "CREATE TABLE parts (id integer PRIMARY KEY, body text) PARTITION BY RANGE (id)"
        )
        attach(first, "parts", "parts")
        first.execute("CREATE TABLE part_one PARTITION OF parts FOR VALUES FROM (0) TO (10)")
        index_all(first, "parts")
        first.commit()
        second.execute("INSERT INTO part_one VALUES (1, 'x')")
        compare(first, "parts")
        assert "was locked" in (compare_error(first, "parts") or "")
        first.commit()
        second.commit()
        assert compare(first, "parts") == 1
        assert compare_error(first, "parts") is None
        assert value(first, TRIGGERS, ["part_one"]) == 4


def test_a_foreign_partition_turns_triggers_into_comparison(parts: Connection) -> None:
    parts.execute("CREATE FOREIGN DATA WRAPPER nothing")
    parts.execute("CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing")
    parts.execute("ALTER TABLE parts DROP CONSTRAINT parts_pkey")
    parts.execute(
        "CREATE FOREIGN TABLE part_far PARTITION OF parts FOR VALUES FROM (90) TO (99) "
        "SERVER nowhere"
    )
    parts.execute("UPDATE rankgres.backfill SET finished_at = now()")
    compare(parts, "parts")
    row = parts.execute("SELECT sync, compare_every::text FROM rankgres.source").fetchone()
    assert row == ("comparison", "00:05:00")
    assert value(parts, TRIGGERS, ["parts"]) == 0


def test_a_foreign_partition_leaves_no_unique_index_and_therefore_no_key(
    connection: Connection,
) -> None:
    connection.execute("CREATE FOREIGN DATA WRAPPER nothing")
    connection.execute("CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing")
    connection.execute(
        "CREATE TABLE parts (id integer NOT NULL, body text) PARTITION BY RANGE (id)"
    )
    connection.execute("CREATE TABLE part_near PARTITION OF parts FOR VALUES FROM (0) TO (9)")
    connection.execute(
        "CREATE FOREIGN TABLE part_far PARTITION OF parts FOR VALUES FROM (90) TO (99) "
        "SERVER nowhere"
    )
    with pytest.raises(errors.InvalidParameterValue, match="no unique index"):
        attach(connection, "parts", "parts", key=["id"])


def test_tables_that_inherit_are_followed(connection: Connection) -> None:
    connection.execute("CREATE TABLE parent (id integer PRIMARY KEY, body text)")
    connection.execute("CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent)")
    connection.execute("INSERT INTO parent VALUES (1, 'p')")
    connection.execute("INSERT INTO child VALUES (2, 'c', 'm')")
    collection = attach(connection, "parent", "parent")
    assert hashes(connection, collection).keys() == {"1", "2"}
    connection.execute("UPDATE parent SET body = 'y'")
    assert take_changes(connection) == {"1", "2"}
    connection.execute("UPDATE child SET more = 'y'")
    assert take_changes(connection) == set()
    connection.execute("INSERT INTO child VALUES (3, 'c', 'm')")
    assert take_changes(connection) == {"3"}
    # A key is unique in each of the tables alone: one of two is the document, always the same.
    connection.execute("INSERT INTO child VALUES (1, 'double', 'm')")
    take_changes(connection)
    both = {documents(connection, collection, ["1"])["1"].text for _ in range(3)}
    assert len(both) == 1
    index_all(connection, "parent")
    assert compare(connection, "parent") == 0
    fold(connection)
