"""Triggers on attached tables note what a statement changed, and never make it fail."""

from typing import LiteralString

import pytest

from service.db.connection import Connection, connect
from tests.support.attached import (
    attach,
    compare,
    compare_error,
    fold,
    index_all,
    make_articles,
    take_changes,
    take_reasons,
)
from tests.support.collections import generation_of, outbox, value


@pytest.fixture
def articles(connection: Connection) -> Connection:
    """The attached table public.articles with three rows, all indexed; body is not all it has."""
    make_articles(connection)
    attach(connection, title="title", filters=["tenant"])
    index_all(connection)
    return connection


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("INSERT INTO articles VALUES (7), (8)", {"7", "8"}),
        ("INSERT INTO articles SELECT WHERE false", set()),
        ("UPDATE articles SET title = 'x' WHERE id = 1", {"1"}),
        ("UPDATE articles SET body = 'x' WHERE id < 3", {"1", "2"}),
        ("UPDATE articles SET body = NULL WHERE id = 2", {"2"}),
        ("UPDATE articles SET tenant = tenant + 1", {"1", "2", "3"}),
        ("UPDATE articles SET note = 'x'", set()),
        ("UPDATE articles SET title = title, body = body || ''", set()),
        ("UPDATE articles SET body = 'x' WHERE id = 99", set()),
        ("UPDATE articles SET id = id + 10 WHERE id > 1", {"2", "3", "12", "13"}),
        ("DELETE FROM articles WHERE id <> 2", {"1", "3"}),
        ("DELETE FROM articles WHERE id = 99", set()),
        ("INSERT INTO articles VALUES (1), (9) ON CONFLICT DO NOTHING", {"9"}),
        (
            (
                "INSERT INTO articles VALUES (1, 'x'), (2, 'title 2'), (9, 'y') ON CONFLICT (id) "
                "DO UPDATE SET title = excluded.title"
            ),
            {"1", "9"},
        ),
        (
            (
                "MERGE INTO articles USING (VALUES (1), (2), (3), (9)) AS given (key) ON id = key "
                "WHEN MATCHED AND key = 1 THEN DELETE WHEN MATCHED AND key = 2 THEN DO NOTHING "
                "WHEN MATCHED THEN UPDATE SET body = 'x' WHEN NOT MATCHED THEN INSERT VALUES (key)"
            ),
            {"1", "3", "9"},
        ),
        (
            (
                "WITH gone AS (DELETE FROM articles WHERE id = 1 RETURNING title), "
                "changed AS (UPDATE articles SET body = 'x' WHERE id = 2) "
                "INSERT INTO articles (id, title) SELECT 9, title FROM gone"
            ),
            {"1", "2", "9"},
        ),
    ],
)
def test_exactly_what_a_statement_changed_is_noted(
    articles: Connection, statement: LiteralString, changed: set[str]
) -> None:
    articles.execute(statement)
    assert take_changes(articles) == changed


def test_keys_that_change_places_are_noted_both(articles: Connection) -> None:
    articles.execute("ALTER TABLE articles DROP CONSTRAINT articles_pkey")
    articles.execute("ALTER TABLE articles ADD PRIMARY KEY (id) DEFERRABLE")
    articles.execute("UPDATE articles SET id = 3 - id WHERE id < 3")
    assert take_changes(articles) == {"1", "2"}


def test_copy_is_noted(articles: Connection) -> None:
    with (
        articles.cursor() as cursor,
        cursor.copy("COPY articles (id, body) FROM STDIN") as copy,
    ):
        for number in range(100, 2600):
            copy.write_row((number, "copied"))
    assert take_changes(articles) == {str(number) for number in range(100, 2600)}


def test_a_large_statement_costs_a_row_a_thousand_documents(articles: Connection) -> None:
    articles.execute("INSERT INTO articles SELECT generate_series(1001, 3500)")
    statement = (
        "SELECT array_agg(cardinality(document_ids) ORDER BY id) FROM rankgres.source_change"
    )
    assert sorted(value(articles, statement)) == [500, 1000, 1000]
    assert len(take_changes(articles)) == 2500
    articles.execute("UPDATE articles SET body = 'x' WHERE id BETWEEN 1001 AND 3400")
    assert len(take_changes(articles)) == 2400
    articles.execute("UPDATE articles SET note = 'x'")
    assert take_changes(articles) == set()
    articles.execute("DELETE FROM articles WHERE id > 1000")
    assert len(take_changes(articles)) == 2500


def test_what_is_rolled_back_is_not_noted(articles: Connection) -> None:
    with articles.transaction(force_rollback=True):
        articles.execute("DELETE FROM articles")
    assert take_changes(articles) == set()


def test_a_value_outside_the_row_is_noted_when_it_changes_alone(articles: Connection) -> None:
    # Random, so that it is not compressed into the row.
    articles.execute(
        "UPDATE articles SET body = (SELECT string_agg(md5(random()::text), '') "
        "FROM generate_series(1, 1000)) WHERE id = 1"
    )
    assert value(articles, "SELECT pg_column_size(body) > 30000 FROM articles WHERE id = 1")
    take_changes(articles)
    articles.execute("UPDATE articles SET note = 'x'")
    assert take_changes(articles) == set()
    articles.execute("UPDATE articles SET body = reverse(body)")
    assert take_changes(articles) == {"1", "2", "3"}
    articles.execute("UPDATE articles SET body = 'short' WHERE id = 1")
    assert take_changes(articles) == {"1"}


def test_truncate_has_the_source_compared(articles: Connection) -> None:
    articles.execute("TRUNCATE articles")
    articles.execute(
        "INSERT INTO articles (id, title, body, tenant) VALUES (1, 'title 1', 'body 1', 1)"
    )
    assert fold(articles) == {generation_of(articles, "articles"): 1}
    assert compare(articles) == 2
    assert set(outbox(articles, generation_of(articles, "articles"))) == {"1", "2", "3"}
    assert take_reasons(articles) == []


def test_deletes_that_cascade_are_noted(connection: Connection) -> None:
    connection.execute("CREATE TABLE authors (id integer PRIMARY KEY)")
    connection.execute(
        "CREATE TABLE books (id integer PRIMARY KEY, body text, "
        "author integer REFERENCES authors ON DELETE CASCADE ON UPDATE CASCADE)"
    )
    connection.execute("INSERT INTO authors VALUES (1), (2), (3)")
    connection.execute("INSERT INTO books SELECT n, 'x', n % 3 + 1 FROM generate_series(1, 9) AS n")
    attach(connection, "books", "books", filters=["author"])
    connection.execute("DELETE FROM authors WHERE id < 3")
    assert take_changes(connection) == {"1", "3", "4", "6", "7", "9"}
    connection.execute("UPDATE authors SET id = 4")
    assert take_changes(connection) == {"2", "5", "8"}


def test_replicated_rows_are_noted_where_the_owner_attached(articles: Connection) -> None:
    articles.execute("SET LOCAL session_replication_role = replica")
    articles.execute("DELETE FROM articles WHERE id = 1")
    assert take_changes(articles) == {"1"}


def test_a_renamed_table_is_followed(articles: Connection) -> None:
    articles.execute("CREATE SCHEMA shop")
    articles.execute("ALTER TABLE articles SET SCHEMA shop")
    articles.execute('ALTER TABLE shop.articles RENAME TO "All Articles"')
    articles.execute("""UPDATE shop."All Articles" SET body = 'x' WHERE id = 2""")
    assert take_changes(articles) == {"2"}
    assert compare(articles) == 1
    assert compare_error(articles) is None


def test_other_columns_may_come_go_and_change(articles: Connection) -> None:
    articles.execute("UPDATE articles SET body = 'planned' WHERE id = 3")
    articles.execute("ALTER TABLE articles DROP COLUMN note")
    articles.execute("ALTER TABLE articles ADD COLUMN extra integer DEFAULT 3")
    articles.execute("UPDATE articles SET body = 'x' WHERE id = 2")
    articles.execute("ALTER TABLE articles ALTER COLUMN tenant TYPE bigint")
    articles.execute("ALTER TABLE articles ALTER COLUMN id TYPE integer")
    articles.execute("UPDATE articles SET tenant = 5 WHERE id = 1")
    articles.execute("UPDATE articles SET extra = 5")
    assert take_changes(articles) == {"1", "2", "3"}


@pytest.mark.parametrize("column", ["id", "title", "body", "tenant"])
def test_a_renamed_column_never_fails_the_application(articles: Connection, column: str) -> None:
    articles.execute(f"ALTER TABLE articles RENAME COLUMN {column} TO renamed".encode())
    articles.execute("UPDATE articles SET renamed = NULL WHERE note IS NULL AND false")
    articles.execute("INSERT INTO articles VALUES (9, 'x', 'x', 3)")
    articles.execute("DELETE FROM articles WHERE note IS NOT NULL")
    assert compare(articles) == 0
    assert compare_error(articles) == f"public.articles has no column {column} any more"
    articles.execute(f"ALTER TABLE articles RENAME COLUMN renamed TO {column}".encode())
    fold(articles)
    compare(articles)
    assert compare_error(articles) is None
    assert set(outbox(articles, generation_of(articles, "articles"))) == {"9"}


def test_an_error_in_a_trigger_has_the_source_compared(articles: Connection) -> None:
    articles.execute("ALTER TABLE articles RENAME COLUMN id TO number")
    articles.execute("INSERT INTO articles VALUES (9)")
    articles.execute("INSERT INTO articles SELECT generate_series(1001, 3000)")
    assert take_reasons(articles) == ['insert of public.articles: column "id" does not exist']


def test_a_dropped_table_leaves_the_index_as_it_was(articles: Connection) -> None:
    articles.execute("DROP TABLE articles")
    assert compare(articles) == 0
    assert compare_error(articles) == "the relation that the collection is attached to was dropped"
    articles.execute("SELECT rankgres.detach('articles')")


def test_triggers_take_no_transaction_id_more(database_url: str) -> None:
    with connect(database_url) as connection:
        make_articles(connection)
        attach(connection)
        connection.commit()
        for number in range(5):
            connection.execute("UPDATE articles SET body = body || 'x' WHERE id = %s", [number])
            connection.execute("UPDATE articles SET note = 'x' WHERE id = %s", [number])
        before = int(value(connection, "SELECT pg_current_xact_id()::text"))
        connection.commit()
        assert int(value(connection, "SELECT pg_current_xact_id()::text")) == before + 1


def test_triggers_see_the_systems_functions_alone(articles: Connection) -> None:
    articles.execute(
        "CREATE FUNCTION public.count(bigint) RETURNS bigint LANGUAGE plpgsql "
        "AS 'BEGIN RAISE ''taken over''; END'"
    )
    articles.execute(
        "CREATE FUNCTION public.format(text, regclass, text) RETURNS text LANGUAGE plpgsql "
        "AS 'BEGIN RAISE ''taken over''; END'"
    )
    articles.execute("CREATE TEMPORARY TABLE new_rows (id bigint)")
    articles.execute("INSERT INTO articles VALUES (9)")
    assert take_changes(articles) == {"9"}


def test_two_who_write_do_not_wait_for_each_other(database_url: str) -> None:
    with connect(database_url) as first, connect(database_url) as second:
        make_articles(first)
        attach(first)
        first.commit()
        second.execute("SET lock_timeout = '2s'")
        first.execute("UPDATE articles SET body = 'first' WHERE id = 1")
        second.execute("UPDATE articles SET body = 'second' WHERE id = 2")
        second.execute("INSERT INTO articles (id) VALUES (9)")
        second.commit()
        assert sum(fold(second).values()) == 2
        second.commit()
        first.commit()
        assert take_changes(first) == {"1"}
