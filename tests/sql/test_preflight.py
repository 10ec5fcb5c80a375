"""Preflight: what is found in a relation, what it will cost, and that nothing of it stays."""

from collections.abc import Callable
from typing import Any

import pytest

from service.db.connection import Connection
from service.errors import InvalidInputError
from service.sources.preflight import Inspection, Preflight, inspect_source, measure_sample
from service.sources.source import SourcePlan, attach_source, register_source
from tests.support.collections import value


@pytest.fixture(autouse=True)
def _table(connection: Connection) -> None:
    """A table of 3,000 rows, a third of them drafts, each tenth without text."""
    connection.execute("CREATE SCHEMA odd")
    connection.execute('CREATE TABLE odd."A table" (a integer, b text, body text, draft boolean)')
    connection.execute(
        'INSERT INTO odd."A table" '
        "SELECT number, number || ' 100%', "
        "CASE number % 10 WHEN 0 THEN NULL WHEN 1 THEN repeat('word ', 1000) "
        "ELSE repeat('word ', 20) END, number % 3 = 0 "
        "FROM generate_series(1, 3000) AS number"
    )
    connection.execute('ALTER TABLE odd."A table" ADD PRIMARY KEY (a, b)')
    connection.execute('ANALYZE odd."A table"')


def inspected(connection: Connection, **options: Any) -> Inspection:
    given: dict[str, Any] = {"relation": 'odd."A table"', "text": ["body"], **options}
    return inspect_source(connection, SourcePlan("papers", **given))


def estimated(connection: Connection, **options: Any) -> Preflight:
    return measure_sample(inspected(connection, **options), None)


def test_what_is_found_is_told_and_nothing_stays(connection: Connection) -> None:
    found = inspected(connection, title="b", filters=["draft"], condition="b LIKE '%0%'").found
    assert found.relation == 'odd."A table"'
    assert found.key_columns == ["a", "b"]
    assert (found.title_column, found.text_columns) == ("b", ["body"])
    assert (found.filter_columns, found.sync) == (["draft"], "triggers")
    assert (found.chunk_tokens, found.embedding_dimension) == (256, 384)
    assert value(connection, "SELECT count(*) FROM rankgres.collection") == 0
    assert value(connection, "SELECT count(*) FROM rankgres.source_change") == 0
    assert value(connection, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 4


@pytest.mark.parametrize("make", [register_source, attach_source])
def test_only_attaching_itself_locks_the_relation_against_writes(
    connection: Connection, make: Callable[[Connection, SourcePlan], int]
) -> None:
    make(connection, SourcePlan("papers", 'odd."A table"', text=["body"], condition="NOT draft"))
    # The lock of CREATE TRIGGER; creating the table here took a stronger one.
    locks = value(
        connection,
        "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() "
        "AND relation = 'odd.\"A table\"'::regclass AND mode = 'ShareRowExclusiveLock'",
    )
    assert locks == (1 if make is attach_source else 0)


@pytest.mark.parametrize(
    ("condition", "rows"), [(None, 3000), ("NOT draft", 2000), ("a % 7 = 0 AND b <> '%'", 428)]
)
def test_rows_that_belong_are_counted(
    connection: Connection, condition: str | None, rows: int
) -> None:
    inspection = inspected(connection, condition=condition)
    assert (inspection.rows, inspection.counted) == (rows, True)
    assert len(inspection.sample) == 400


def test_a_sample_is_from_all_over_the_table(connection: Connection) -> None:
    sample = inspected(connection, title="b").sample
    numbers = sorted(int(title.split()[0]) for title, _ in sample)
    assert numbers[0] < 300
    assert numbers[-1] > 2500
    assert len(set(numbers)) == 400


def test_shares_are_estimated_from_characters_where_no_worker_answers(
    connection: Connection,
) -> None:
    flight = estimated(connection)
    assert not flight.measured
    assert (flight.seconds, flight.chunks_per_second, flight.workers) == (None, None, 0)
    assert flight.empty_share == pytest.approx(0.1, abs=0.04)
    assert flight.split_share == pytest.approx(0.1, abs=0.04)
    # 5,000 characters are some 1,140 tokens, in chunks of 256 with an overlap of 32.
    assert flight.chunks == pytest.approx(3000 * (0.8 + 0.1 * 6), rel=0.25)
    assert flight.disk_bytes > flight.memory_bytes > flight.chunks * 776


def test_an_empty_table_costs_nothing(connection: Connection) -> None:
    connection.execute('TRUNCATE odd."A table"')
    flight = estimated(connection)
    assert (flight.rows, flight.sampled, flight.chunks) == (0, 0, 0)
    assert (flight.split_share, flight.disk_bytes) == (0, 0)


@pytest.mark.parametrize(
    "made",
    [
        'CREATE VIEW odd.other AS SELECT * FROM odd."A table"',
        'CREATE MATERIALIZED VIEW odd.other AS SELECT * FROM odd."A table"',
        """CREATE TABLE odd.other (LIKE odd."A table") PARTITION BY LIST (draft);
        CREATE TABLE odd.one PARTITION OF odd.other DEFAULT;
        INSERT INTO odd.other SELECT * FROM odd."A table\"""",
    ],
    ids=["view", "materialised", "partitioned"],
)
def test_relations_of_every_kind_are_sampled(connection: Connection, made: str) -> None:
    connection.execute(made.encode())
    if "VIEW" not in made:
        connection.execute("ALTER TABLE odd.other ADD PRIMARY KEY (a, b, draft)")
    elif "MATERIALIZED" in made:
        connection.execute("CREATE UNIQUE INDEX ON odd.other (a, b)")
    key = None if "VIEW" not in made else ["a", "b"]
    inspection = inspected(connection, relation="odd.other", key=key)
    assert inspection.rows == pytest.approx(3000, rel=0.1)
    assert len(inspection.sample) == 400


def test_what_attaching_refuses_is_refused(connection: Connection) -> None:
    with pytest.raises(InvalidInputError, match="boddy"):
        inspected(connection, text=["boddy"])
