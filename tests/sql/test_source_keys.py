"""Keys of any type, alone and together: one id each, found again by their index."""

from typing import LiteralString

import pytest
from psycopg import sql

from service.db.connection import Connection
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
)
from tests.support.collections import generation_of, outbox, value

#: A type, values of it as SQL, and the ids that they have under any settings.
KEYS: list[tuple[LiteralString, list[LiteralString], list[str]]] = [
    ("smallint", ["-1", "0"], ["-1", "0"]),
    ("bigint", ["9223372036854775807", "-5"], ["9223372036854775807", "-5"]),
    ("numeric", ["1.50", "'NaN'", "-0.1"], ["1.50", "NaN", "-0.1"]),
    ("numeric(10,2)", ["1.5", "20000000"], ["1.50", "20000000.00"]),
    ("double precision", ["0.1", "1e300", "'-Infinity'"], ["0.1", "1e+300", "-Infinity"]),
    ("real", ["0.1", "'-0'"], ["0.1", "-0"]),
    ("text", ["'it''s'", "''", "'a b'", "'\\x'"], ["it's", "", "a b", "\\x"]),
    ("varchar(5)", ["'abcde'", "'a  '"], ["abcde", "a  "]),
    ("char(5)", ["'ab'", "'c'"], ["ab", "c"]),
    ('"char"', ["'x'", "'y'"], ["x", "y"]),
    ("name", ["'x'"], ["x"]),
    ("boolean", ["true", "false"], ["true", "false"]),
    (
        "uuid",
        ["'AAAAAAAA-0000-0000-0000-000000000001'"],
        ["aaaaaaaa-0000-0000-0000-000000000001"],
    ),
    ("date", ["'2024-02-29'", "'infinity'"], ["2024-02-29", "infinity"]),
    ("time", ["'12:00:00.5'"], ["12:00:00.5"]),
    ("timestamp", ["'2024-02-29 12:00'"], ["2024-02-29 12:00:00"]),
    (
        "timestamptz",
        ["'2024-02-29 12:00+09'", "'0044-03-15 00:00+00 BC'"],
        ["2024-02-29 03:00:00+00", "0044-03-15 00:00:00+00 BC"],
    ),
    ("interval", ["'1 mon 2 days'", "'-3 hours'"], ["1 mon 2 days", "-03:00:00"]),
    ("bytea", ["'\\x00ff'", "''"], ["\\x00ff", "\\x"]),
    ("inet", ["'10.0.0.1'", "'10.0.0.0/8'"], ["10.0.0.1/32", "10.0.0.0/8"]),
    ("bit(3)", ["'101'"], ["101"]),
    ("jsonb", ['\'{"b": 1, "a": [1.0]}\''], ['{"a": [1.0], "b": 1}']),
    ("integer []", ["'{1,2}'", "'{}'"], ["{1,2}", "{}"]),
    ("text []", ["'{a,\"b,c\",NULL}'"], ['{a,"b,c",NULL}']),
    ("int4range", ["'[1,5]'", "'empty'"], ["[1,6)", "empty"]),
    ("tstzrange", ["'[2024-01-01 00:00+00,)'"], ['["2024-01-01 00:00:00+00",)']),
    ("mood", ["'glad'", "'so so'"], ["glad", "so so"]),
    ("code", ["'ab'"], ["ab"]),
    ("pair", ["ROW(1, 'a b')", "ROW(NULL, 'x')"], ['(1,"a b")', "(,x)"]),
    ("caseless", ["'Ab'", "'cd'"], ["Ab", "cd"]),
]


@pytest.fixture
def strange(connection: Connection) -> Connection:
    """A session with types of its own, whose settings write values in its own way."""
    connection.execute("CREATE TYPE mood AS ENUM ('so so', 'glad')")
    connection.execute("CREATE DOMAIN code AS varchar(4) CHECK (length(value) < 4)")
    connection.execute("CREATE TYPE pair AS (x integer, y text)")
    connection.execute("CREATE DOMAIN caseless AS text")
    for setting in (
        "timezone = 'America/New_York'",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -5",
        "bytea_output = 'escape'",
    ):
        connection.execute(f"SET LOCAL {setting}".encode())
    return connection


@pytest.mark.parametrize(("type_", "values", "ids"), KEYS, ids=[key[0] for key in KEYS])
def test_a_key_has_one_id_whoever_writes(
    strange: Connection, type_: LiteralString, values: list[LiteralString], ids: list[str]
) -> None:
    strange.execute(
        sql.SQL("CREATE TABLE keyed (k {} PRIMARY KEY, body text)").format(sql.SQL(type_))
    )
    insert = sql.SQL("INSERT INTO keyed VALUES {}").format(
        sql.SQL(", ").join(sql.SQL("({}, 'x')").format(sql.SQL(given)) for given in values)
    )
    strange.execute(insert)
    collection = attach(strange, "keyed", "keyed", filters=["k"])
    everything = set(ids)
    assert hashes(strange, collection).keys() == everything
    assert documents(strange, collection, [*ids, "no key", "[1]", ""]).keys() >= everything
    assert documents(strange, collection, ["no key"]).keys() <= {"no key"} & everything
    while backfill(strange, "keyed", rows=1):
        pass
    queued = strange.execute("SELECT document_id FROM rankgres.outbox").fetchall()
    assert {id_ for (id_,) in queued} == everything

    strange.execute("UPDATE keyed SET body = body")
    assert take_changes(strange) == set()
    strange.execute("UPDATE keyed SET body = 'y'")
    assert take_changes(strange) == everything
    strange.execute("DELETE FROM keyed")
    assert take_changes(strange) == everything
    strange.execute(insert)
    assert take_changes(strange) == everything
    index_all(strange, "keyed")
    strange.execute("UPDATE keyed SET body = 'z'")
    take_changes(strange)
    assert compare(strange, "keyed") == len(ids)
    assert compare_error(strange, "keyed") is None


def test_ids_of_several_columns_are_a_list_of_their_texts(strange: Connection) -> None:
    strange.execute(
        "CREATE TABLE keyed "
        '(body text, "B" timestamptz, a text, n numeric, PRIMARY KEY (a, "B", n))'
    )
    strange.execute(
        """INSERT INTO keyed VALUES ('x', '2024-01-01 00:00+00', 'it''s "1", 2', 1.0)"""
    )
    collection = attach(strange, "keyed", "keyed")
    id_ = '["it\'s \\"1\\", 2", "2024-01-01 00:00:00+00", "1.0"]'
    assert documents(strange, collection, [id_, "x", '["a"]', "[]", '{"a": 1}', "3"]).keys() == {
        id_
    }
    assert hashes(strange, collection).keys() == {id_}
    strange.execute("UPDATE keyed SET n = 1.00")
    other = id_.replace("1.0", "1.00")
    assert take_changes(strange) == {id_, other}
    assert documents(strange, collection, [id_, other]).keys() == {other}
    strange.execute("DELETE FROM keyed")
    assert take_changes(strange) == {other}


def test_the_key_may_be_any_unique_index_in_any_order(connection: Connection) -> None:
    connection.execute("CREATE TABLE keyed (a integer NOT NULL, b integer NOT NULL, body text)")
    connection.execute("CREATE UNIQUE INDEX ON keyed (a, b) INCLUDE (body)")
    connection.execute("INSERT INTO keyed SELECT n % 3, n, 'x' FROM generate_series(1, 20) AS n")
    collection = attach(connection, "keyed", "keyed", key=["b", "a"])
    assert '["5", "2"]' in hashes(connection, collection)
    assert documents(connection, collection, ['["5", "2"]', '["2", "5"]']).keys() == {'["5", "2"]'}
    steps = [backfill(connection, "keyed", rows=7) for _ in range(4)]
    assert steps == [7, 7, 6, 0]
    assert set(outbox(connection, generation_of(connection, "keyed"))) == set(
        hashes(connection, collection)
    )


def test_equal_keys_with_other_texts_are_other_documents(connection: Connection) -> None:
    connection.execute("CREATE TABLE keyed (k numeric PRIMARY KEY, body text)")
    connection.execute("INSERT INTO keyed VALUES (1.0, 'x')")
    collection = attach(connection, "keyed", "keyed")
    assert documents(connection, collection, ["1", "1.0", "1.00"]).keys() == {"1.0"}
    connection.execute("UPDATE keyed SET k = 1.00")
    assert take_changes(connection) == {"1.0", "1.00"}
    assert documents(connection, collection, ["1", "1.0", "1.00"]).keys() == {"1.00"}


def explain(connection: Connection, statement: str) -> str:
    return "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement}".encode()))


def test_documents_are_found_by_the_index_of_their_key(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE keyed "
        "(a uuid DEFAULT gen_random_uuid(), b bigint, body text, PRIMARY KEY (a, b))"
    )
    connection.execute(
        "INSERT INTO keyed (b, body) SELECT n, 'x' FROM generate_series(1, 20000) AS n"
    )
    connection.execute("CREATE TABLE single AS SELECT b AS id, body FROM keyed")
    connection.execute("ALTER TABLE single ADD PRIMARY KEY (id)")
    connection.execute("ANALYZE keyed, single")
    nowhere = "00000000-0000-0000-0000-000000000000"
    for table, key, after in (
        ("keyed", f'["{nowhere}", "5"]', f"{{{nowhere},1}}"),
        ("single", "17", "{17}"),
    ):
        collection = attach(connection, table, table, condition="body <> ''")
        statement = value(
            connection, "SELECT rankgres.source_statement_v1(%s, 'documents')", [collection]
        )
        plan = explain(connection, statement.replace("$1", f"ARRAY['{key}']"))
        assert "Seq Scan" not in plan
        assert "_pkey" in plan
        # The next rows of a backfill, too.
        statement = value(
            connection, "SELECT rankgres.backfill_statement_v1(%s, false, true)", [collection]
        )
        statement = statement.replace("$1", f"('{after}'::text [])").replace("$2", "100")
        plan = explain(connection, statement)
        assert "Seq Scan" not in plan
        assert "Sort Key: source_row" not in plan
        assert "Index Cond" in plan


def test_keys_too_long_for_the_index_are_dead_letters(connection: Connection) -> None:
    connection.execute("CREATE TABLE keyed (k text, body text)")
    connection.execute("CREATE UNIQUE INDEX ON keyed (k)")
    connection.execute("ALTER TABLE keyed ALTER k SET NOT NULL")
    attach(connection, "keyed", "keyed", key=["k"])
    generation = generation_of(connection, "keyed")
    backfill(connection, "keyed")
    # Random, since Postgres compresses what it indexes.
    long = (
        "INSERT INTO keyed SELECT left(string_agg(md5(n::text), ''), %s), 'x' "
        "FROM generate_series(1, 1000) AS n"
    )
    for length in (1024, 1025, 2600):
        connection.execute(long, [length])
    fold(connection)
    rows = {len(id_): row for id_, row in outbox(connection, generation).items()}
    assert {length: row.dead_at is not None for length, row in rows.items()} == {
        1024: False,
        1025: True,
        2600: True,
    }
    assert rows[1025].last_error == "its key has more than 1024 bytes"
    assert compare(connection, "keyed") == 0
    connection.execute("DELETE FROM keyed WHERE length(k) > 1025")
    fold(connection)
    compare(connection, "keyed")
    assert {len(id_) for id_ in outbox(connection, generation)} == {1024, 1025}
    # Compressed, it fits the index of the table all the same.
    connection.execute("INSERT INTO keyed VALUES (repeat('x', 5000), 'x')")
    fold(connection)
    assert compare_error(connection, "keyed") == "a key has more than 2600 bytes: " + "x" * 100
    compare(connection, "keyed")
    assert compare_error(connection, "keyed") == "a key has more than 2600 bytes: " + "x" * 100
