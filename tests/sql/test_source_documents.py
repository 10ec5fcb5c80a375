"""Documents of attached tables: what a row becomes, whatever its columns are of and called."""

from typing import Any

import pytest
from psycopg import sql

from service.db.connection import Connection
from service.sources.source import find_source
from tests.support.attached import (
    SourceDocument,
    attach,
    documents,
    hashes,
    make_articles,
    take_changes,
)
from tests.support.collections import make_collection, put_documents, value


def test_the_hash_changes_with_each_part_of_a_document_and_with_nothing_else(
    connection: Connection,
) -> None:
    make_articles(connection, rows=1)
    collection = attach(connection, title="title", filters=["tenant"])
    seen = [hashes(connection, collection)["1"]]
    for column, new in (("title", "x"), ("body", "x"), ("tenant", "5"), ("title", "title 1x")):
        update = sql.SQL("UPDATE articles SET {} = %s").format(sql.Identifier(column))
        connection.execute(update, [new])
        seen.append(hashes(connection, collection)["1"])
    assert len(set(seen)) == len(seen)
    connection.execute("UPDATE articles SET note = 'x'")
    connection.execute("SET LOCAL timezone = 'Asia/Tokyo'")
    assert hashes(connection, collection)["1"] == seen[-1]
    [read] = connection.execute(
        "SELECT content_hash FROM rankgres.source_documents_v1(%s, '{1}')", [collection]
    )
    assert read == (seen[-1],)


def test_managed_collections_are_read_the_same_way(connection: Connection) -> None:
    generation = make_collection(connection)
    put_documents(connection, generation, {"a": "one", "b": "two"})
    collection = value(connection, "SELECT id FROM rankgres.collection")
    assert documents(connection, collection, ["a", "z"]) == {
        "a": SourceDocument("a", "", "one", {})
    }
    assert hashes(connection, collection).keys() == {"a", "b"}
    assert find_source(connection, collection) is None


def test_filters_are_json_of_their_columns_without_nulls(connection: Connection) -> None:
    connection.execute("CREATE TYPE mood AS ENUM ('glad', 'so so')")
    connection.execute("CREATE TYPE place AS (x integer, y text)")
    connection.execute("CREATE DOMAIN percent AS numeric CHECK (value <= 100)")
    connection.execute(
        "CREATE TABLE things (id serial PRIMARY KEY, body text, number numeric, at timestamptz, "
        "tags text [], moods mood [], feeling mood, spot place, share percent, data jsonb, "
        "raw json, span int4range, nothing text, ok boolean, real float8)"
    )
    connection.execute(
        "INSERT INTO things "
        "(number, at, tags, moods, feeling, spot, share, data, raw, span, ok, real) "
        "VALUES (1.50, '2024-02-29 12:00+09', '{a,\"b,c\",NULL}', '{glad,so so}', 'glad', "
        """(1, 'a"b'), 12.5, '{"a": null}', '[1,2]', '[1,5)', true, 'NaN')"""
    )
    names = [
        "number", "at", "tags", "moods", "feeling", "spot", "share", "data", "raw", "span",
        "nothing", "ok", "real",
    ]  # fmt: skip
    connection.execute("SET LOCAL timezone = 'Asia/Tokyo'")
    connection.execute("SET LOCAL datestyle = 'German'")
    collection = attach(connection, "things", filters=names)
    assert documents(connection, collection, ["1"])["1"].metadata == {
        "number": 1.5,
        "at": "2024-02-29T03:00:00+00:00",
        "tags": ["a", "b,c", None],
        "moods": ["glad", "so so"],
        "feeling": "glad",
        "spot": '(1,"a""b")',
        "share": 12.5,
        "data": {"a": None},
        "raw": [1, 2],
        "span": "[1,5)",
        "ok": True,
        "real": "NaN",
    }


def test_no_cast_of_the_users_own_is_run(connection: Connection) -> None:
    connection.execute("CREATE TYPE pair AS (x integer, y integer)")
    for target in ("text", "json"):
        connection.execute(
            f"CREATE FUNCTION pair_{target}(pair) RETURNS {target} LANGUAGE plpgsql "
            "AS 'BEGIN RAISE ''taken over''; END'".encode()
        )
        connection.execute(
            f"CREATE CAST (pair AS {target}) WITH FUNCTION pair_{target}(pair)".encode()
        )
    connection.execute("CREATE TABLE things (id pair PRIMARY KEY, body pair)")
    connection.execute("INSERT INTO things VALUES ((1, 2), (3, 4))")
    collection = attach(connection, "things", filters=["body"])
    connection.execute("UPDATE things SET body = (5, 6)")
    connection.execute("DELETE FROM things WHERE false")
    assert take_changes(connection) == {"(1,2)"}
    assert documents(connection, collection, ["(1,2)"]) == {
        "(1,2)": SourceDocument("(1,2)", "", "(5,6)", {"body": "(5,6)"})
    }


@pytest.mark.parametrize(
    "condition",
    [
        "tenant = 1 AND note IS NULL",
        "title LIKE 'title%' -- to the end",
        "lower(title) IN ('title 1', 'title 2') OR id = 3",
        "NOT coalesce(tenant > 1, true) /* ; */",
        "mood = 'glad'",
        "mood = ANY ('{glad}')",
        "mood IN ('glad', 'sad')",
        "at < '2030-01-01'",
        "body COLLATE \"C\" > 'a'",
        "'{\"a\": 1}'::jsonb ->> 'a' = '1' AND id < 10",
    ],
)
def test_only_rows_that_satisfy_the_condition_are_documents(
    connection: Connection, condition: str
) -> None:
    make_articles(connection)
    connection.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
    connection.execute(
        "ALTER TABLE articles ADD mood mood DEFAULT 'glad', ADD at date DEFAULT '2024-01-01'"
    )
    connection.execute(
        "INSERT INTO articles VALUES (10, NULL, NULL, NULL, 'x', NULL, '2035-01-01')"
    )
    collection = attach(connection, condition=condition)
    assert documents(connection, collection, ["1", "2", "3", "10"]).keys() == {"1", "2", "3"}
    assert hashes(connection, collection).keys() == {"1", "2", "3"}
    connection.execute(
        "UPDATE articles SET tenant = 5, title = '', mood = NULL, at = NULL, body = NULL"
    )
    assert take_changes(connection) >= {"1", "2", "3"}


STRANGE = [
    "Order", "select", "a b", 'quo"te', "per%s", "%1$s", "{brace}", "semi;colon", "back\\slash",
    "ü", "changed", "id", "document_id", "source_row", "read", "given", "new_rows", "text",
    "metadata", "is_many", "content", "is_there", "belongs", "$1", "key_1",
]  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_strange_names_are_as_good_as_others(connection: Connection, name: str) -> None:
    quoted, table = sql.Identifier(name), sql.Identifier(name, name)
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(quoted))
    connection.execute(
        sql.SQL("CREATE TABLE {} ({} integer PRIMARY KEY, other text, {} text)").format(
            table, quoted, sql.Identifier(name + "2")
        )
    )
    connection.execute(sql.SQL("INSERT INTO {} VALUES (1, 'o', 't')").format(table))
    body: dict[str, Any] = (
        {"text": [name, "other"]} if "{" in name else {"template": f"{{{name}}} {{other}}"}
    )
    collection = attach(
        connection,
        table.as_string(connection),
        title=name + "2",
        filters=[name],
        condition=sql.SQL("{} > 0").format(quoted).as_string(connection),
        **body,
    )
    text = "1\n\no" if "{" in name else "1 o"
    assert documents(connection, collection, ["1"]) == {
        "1": SourceDocument("1", "t", text, {name: 1})
    }
    assert value(
        connection, "SELECT rankgres.backfill_step_v1(max(id), 10, 10) FROM rankgres.generation"
    )
    connection.execute(sql.SQL("UPDATE {} SET {} = 2").format(table, quoted))
    connection.execute(sql.SQL("INSERT INTO {} SELECT generate_series(1001, 2100)").format(table))
    assert len(take_changes(connection)) == 1102
    assert len(hashes(connection, collection)) == 1101


def test_a_document_may_have_more_columns_than_a_function_has_arguments(
    connection: Connection,
) -> None:
    names = [f"column_{number}" for number in range(150)]
    columns = sql.SQL(", ").join(
        sql.SQL("{} integer DEFAULT 7").format(sql.Identifier(name)) for name in names
    )
    connection.execute(sql.SQL("CREATE TABLE wide (id integer PRIMARY KEY, {})").format(columns))
    connection.execute("INSERT INTO wide VALUES (1)")
    template = " ".join(f"{{{name}}}" for name in names)
    collection = attach(connection, "wide", "wide", filters=names, template=template)
    found = documents(connection, collection, ["1"])["1"]
    assert found.text == " ".join(["7"] * 150)
    assert found.metadata == dict.fromkeys(names, 7)
    connection.execute("UPDATE wide SET column_149 = 8")
    assert take_changes(connection) == {"1"}
