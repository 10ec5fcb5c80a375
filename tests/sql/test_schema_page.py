"""What docs/schema.md says: every object is on the page, and its statements run as written."""

import re
from pathlib import Path

import pytest
from psycopg import errors

from service.db.connection import Connection
from tests.support.collections import (
    chunk,
    found,
    make_collection,
    outbox,
    put_documents,
    replace_chunks,
    search,
    value,
)

PAGE = (Path(__file__).parents[2] / "docs" / "schema.md").read_text(encoding="utf-8")
STATEMENTS = [
    statement
    for block in re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for statement in re.findall(r"[^;]+;", block)
]


def statements(first_words: str) -> list[str]:
    """Return the page's statements that start so; there must be some."""
    chosen = [text for text in STATEMENTS if text.strip().startswith(first_words)]
    assert chosen
    return chosen


def test_every_object_is_on_the_page(connection: Connection) -> None:
    names = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'rankgres'::regnamespace "
        "AND relkind IN ('r', 'p', 'v', 'c') "
        "UNION SELECT proname FROM pg_proc WHERE pronamespace = 'rankgres'::regnamespace "
        "UNION SELECT 'outbox_version'"
    ).fetchall()
    missing = [name for (name,) in names if not re.search(rf"`(rankgres\.)?{name}[`(]", PAGE)]
    assert missing == []


def test_every_function_on_the_page_exists(connection: Connection) -> None:
    named = set(re.findall(r"`(\w+_v\d+)`", PAGE))
    installed = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'rankgres'::regnamespace"
    ).fetchall()
    assert named - {name for (name,) in installed} == set()


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("search_candidates", "Searching"),
        ("suggest", "Completing"),
        ("facet_counts", "Counting"),
        ("attach", "Attaching"),
    ],
)
def test_parameters_and_defaults_of_a_public_function_are_on_the_page(
    connection: Connection, name: str, heading: str
) -> None:
    arguments = value(
        connection,
        "SELECT pg_get_function_arguments(oid) FROM pg_proc WHERE proname = %s",
        [name],
    )
    section = PAGE.split(f"### {heading}\n")[1].split("\n### ")[0]
    # The first table of the section.
    rows = re.findall(r"^\| `(\w+)` \| (\S*) ?\|", section.split("|---|---|---|")[1], re.MULTILINE)
    expected = []
    for argument in arguments.split(", "):
        declared, _, default = argument.partition(" DEFAULT ")
        expected.append((declared.split()[0].strip('"'), default.split("::")[0].strip("'")))
    assert [(name, shown.strip("`|")) for name, shown in rows][: len(expected)] == expected


def test_search_suggestions_and_counts_run_as_written(connection: Connection) -> None:
    generation = make_collection(connection, "docs", text_search_config="english")
    texts = {"run": "Runs a command, with a timeout.", "old": "A timeout.", "other": "Nothing."}
    filters = {"run": {"kind": "function", "year": 2021}, "old": {"kind": "class", "year": 2001}}
    replace_chunks(
        connection,
        generation,
        [chunk(name, text, filters=filters.get(name)) for name, text in texts.items()],
    )
    [statement] = statements("SELECT rank, document_id")
    rows = connection.execute(statement.encode()).fetchall()
    assert [row[:2] for row in rows] == [(1, "run")]
    [explain] = statements("SELECT jsonb_pretty")
    assert '"bounded": false' in value(connection, explain)
    [suggest] = statements("SELECT suggestion")
    assert ("run a command", "lexeme", 1) in connection.execute(suggest.encode()).fetchall()
    [count] = statements("SELECT field")
    assert connection.execute(count.encode()).fetchall() == [
        ("kind", "class", 1, True),
        ("kind", "function", 1, True),
    ]


def test_attaching_and_verifying_run_as_written(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE public.articles (id integer PRIMARY KEY, title text, summary text, "
        "body text, tenant_id integer, published_at timestamptz, tags text [])"
    )
    connection.execute("INSERT INTO public.articles VALUES (17, 'Tides'), (42, 'Moons')")
    [attach] = statements("SELECT rankgres.attach")
    connection.execute(attach.encode())
    [verify] = statements("SELECT kind, documents")
    assert connection.execute(verify.encode()).fetchall() == [("pending", 2, ["17", "42"])]
    connection.execute(
        "INSERT INTO rankgres.outbox (generation_id, document_id, last_error, dead_at) "
        "SELECT id, '17', 'broken', now() FROM rankgres.generation"
    )
    [dead] = statements("SELECT document_id, attempts")
    assert [row[0] for row in connection.execute(dead.encode())] == ["17"]
    for call in re.findall(r"`(rankgres\.retry\('[^`]*\))`", PAGE):
        connection.execute(f"SELECT {call}".encode())
    [status] = statements("SELECT collection, source")
    [row] = connection.execute(status.encode()).fetchall()
    assert row[:4] == ("articles", "public.articles", 1, 0)


def test_every_column_of_the_status_is_on_the_page(connection: Connection) -> None:
    section = PAGE.split("### Verifying\n")[1].split("\n### ")[0]
    columns = connection.execute("SELECT * FROM rankgres.collection_status").description
    assert columns is not None
    told = set(re.findall(r"`(\w+)`", section))
    assert [column.name for column in columns if column.name not in told] == []


def test_the_join_runs_as_written(connection: Connection) -> None:
    connection.execute("CREATE TABLE public.product (sku text, name text, price numeric)")
    connection.execute(
        "INSERT INTO public.product VALUES ('a', 'Boots', 99), ('b', 'Better boots', 199)"
    )
    generation = make_collection(connection, "products", text_search_config="english")
    replace_chunks(
        connection, generation, [chunk("a", "waterproof boots"), chunk("b", "waterproof boots")]
    )
    [statement] = statements("SELECT found.rank")
    assert connection.execute(statement.encode()).fetchall() == [(1, "Boots", 99)]


def test_the_rights_of_the_page_suffice(connection: Connection) -> None:
    before = make_collection(connection, "before")
    for words in ("CREATE ROLE", "GRANT", "ALTER DEFAULT"):
        for statement in statements(words):
            connection.execute(statement.encode())
    after = make_collection(connection, "after")
    for generation in (before, after):
        replace_chunks(connection, generation, [chunk("a", "cat")])

    connection.execute("SET LOCAL ROLE analyst")
    for collection in ("before", "after"):
        assert found(search(connection, "cat", [1, 0, 0, 0], collection=collection)) == ["a"]
    with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
        connection.execute("DELETE FROM rankgres.document")

    connection.execute("SET LOCAL ROLE application")
    connection.execute(
        "INSERT INTO rankgres.document (collection_id, id, text) "
        "SELECT id, 'b', 'text' FROM rankgres.collection WHERE name = 'after'"
    )
    connection.execute("UPDATE rankgres.document SET text = 'other'")
    with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
        connection.execute("SELECT * FROM rankgres.outbox")
    connection.execute("RESET ROLE")
    assert set(outbox(connection, after)) == {"b"}
    put_documents(connection, after, ["c"])
    assert set(outbox(connection, after)) == {"b", "c"}
