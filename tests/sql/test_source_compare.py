"""Comparison: exactly what differs from the index is queued, whatever kind of relation it is."""

import pytest

from service.db.connection import Connection
from service.db.driver_errors import translated
from service.errors import SourceUnreadableError
from tests.support.attached import (
    attach,
    backfill,
    compare,
    compare_error,
    documents,
    hashes,
    index_all,
    make_articles,
    take_reasons,
)
from tests.support.collections import generation_of, outbox, value


@pytest.fixture
def articles(connection: Connection) -> Connection:
    """public.articles with ten rows, attached and indexed."""
    make_articles(connection, rows=10)
    attach(connection, title="title", filters=["tenant"])
    index_all(connection)
    return connection


def queued(connection: Connection, name: str = "articles") -> set[str]:
    return set(outbox(connection, generation_of(connection, name)))


def change_unseen(connection: Connection, statement: str) -> None:
    """Run a statement with the table's triggers off."""
    connection.execute("ALTER TABLE articles DISABLE TRIGGER ALL")
    connection.execute(statement.encode())
    connection.execute("ALTER TABLE articles ENABLE TRIGGER ALL")


def test_an_index_that_equals_its_source_queues_nothing(articles: Connection) -> None:
    assert compare(articles) == 0
    assert compare_error(articles) is None
    assert value(articles, "SELECT compared_at IS NOT NULL FROM rankgres.source")


def test_what_differs_is_queued_behind_changes(articles: Connection) -> None:
    change_unseen(articles, "UPDATE articles SET body = 'x' WHERE id = 1")
    change_unseen(articles, "UPDATE articles SET tenant = NULL WHERE id = 2")
    change_unseen(articles, "UPDATE articles SET title = NULL WHERE id = 3")
    change_unseen(articles, "DELETE FROM articles WHERE id = 4")
    change_unseen(articles, "INSERT INTO articles VALUES (11, 'x')")
    change_unseen(articles, "UPDATE articles SET note = 'x'")
    assert compare(articles) == 5
    assert queued(articles) == {"1", "2", "3", "4", "11"}
    assert value(articles, "SELECT array_agg(DISTINCT priority) FROM rankgres.outbox") == [1]
    assert compare(articles) == 0


def test_what_is_queued_already_is_left_as_it_is(articles: Connection) -> None:
    change_unseen(articles, "UPDATE articles SET body = 'x' WHERE id < 3")
    articles.execute(
        "INSERT INTO rankgres.outbox (generation_id, document_id, attempts, dead_at) "
        "VALUES (%s, '1', 5, now())",
        [generation_of(articles, "articles")],
    )
    assert compare(articles) == 1
    row = outbox(articles, generation_of(articles, "articles"))["1"]
    assert (row.attempts, row.dead_at is not None) == (5, True)


def test_unknown_changes_are_known_after_it(articles: Connection) -> None:
    articles.execute("TRUNCATE articles")
    articles.execute("INSERT INTO articles VALUES (1)")
    assert compare(articles) == 10
    rows = articles.execute("SELECT document_ids FROM rankgres.source_change").fetchall()
    assert rows == [(["1"],)]


def test_a_row_that_cannot_be_read_is_queued_and_holds_no_other_up(articles: Connection) -> None:
    articles.execute("ALTER TABLE articles ADD data json")
    articles.execute("SELECT rankgres.detach('articles')")
    collection = attach(articles, filters=["data"], condition="id < 100 AND 6 / tenant > 0")
    index_all(articles)
    change_unseen(articles, 'UPDATE articles SET data = \'{"a": "\\u0000"}\' WHERE id = 3')
    change_unseen(articles, "UPDATE articles SET tenant = 0 WHERE id = 4")
    change_unseen(articles, "UPDATE articles SET body = 'x' WHERE id = 5")
    change_unseen(articles, "DELETE FROM articles WHERE id = 6")
    change_unseen(articles, "UPDATE articles SET tenant = 7 WHERE id = 8")
    assert compare(articles) == 5
    assert compare_error(articles) is None
    assert queued(articles) == {"3", "4", "5", "6", "8"}
    found = hashes(articles, collection)
    assert {id_ for id_, content in found.items() if content is None} == {"3", "4"}
    assert found.keys() == {"1", "2", "3", "4", "5", "7", "9", "10"}
    assert documents(articles, collection, ["1", "2", "5"]).keys() == {"1", "2", "5"}
    assert compare(articles) == 0


def test_materialised_views_are_compared_from_the_beginning(connection: Connection) -> None:
    make_articles(connection)
    connection.execute("CREATE MATERIALIZED VIEW stored AS SELECT id, body FROM articles")
    connection.execute("CREATE UNIQUE INDEX ON stored (id)")
    collection = attach(connection, "stored", "stored")
    row = connection.execute("SELECT sync, compare_every::text FROM rankgres.source").fetchone()
    assert row == ("comparison", "00:05:00")
    assert backfill(connection, "stored") == 0
    assert compare(connection, "stored") == 3
    assert take_reasons(connection) == []
    index_all(connection, "stored")
    connection.execute("UPDATE articles SET body = 'x' WHERE id = 2")
    connection.execute("DELETE FROM articles WHERE id = 1")
    assert compare(connection, "stored") == 0
    connection.execute("REFRESH MATERIALIZED VIEW stored")
    assert compare(connection, "stored") == 2
    assert documents(connection, collection, ["1", "2"]).keys() == {"2"}
    connection.execute("SELECT rankgres.detach('stored')")


def test_views_are_compared_and_a_repeated_key_is_one_document(connection: Connection) -> None:
    make_articles(connection)
    connection.execute(
        "CREATE VIEW shown AS SELECT tenant + id / 3 AS id, body FROM articles WHERE id > 0"
    )
    collection = attach(connection, "shown", "shown", key=["id"])
    assert hashes(connection, collection).keys() == {"1", "2"}
    assert compare(connection, "shown") == 2
    index_all(connection, "shown")
    assert compare(connection, "shown") == 0
    found = {documents(connection, collection, ["1"])["1"].text for _ in range(3)}
    assert len(found) == 1


def test_rows_without_a_key_are_no_documents(connection: Connection) -> None:
    make_articles(connection)
    connection.execute("CREATE VIEW shown AS SELECT nullif(id, 2) AS id, body FROM articles")
    collection = attach(connection, "shown", "shown", key=["id"])
    assert hashes(connection, collection).keys() == {"1", "3"}


def test_a_foreign_table_that_cannot_be_reached_says_so(connection: Connection) -> None:
    connection.execute("CREATE FOREIGN DATA WRAPPER nothing")
    connection.execute("CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing")
    connection.execute("CREATE FOREIGN TABLE far (id integer, body text) SERVER nowhere")
    connection.execute("SAVEPOINT before")
    with pytest.raises(SourceUnreadableError, match="no handler"), translated():
        attach(connection, "far", "far", key=["id"])


def test_a_comparison_that_fails_keeps_what_is_to_be_compared(articles: Connection) -> None:
    articles.execute("TRUNCATE articles")
    articles.execute("ALTER TABLE articles RENAME title TO heading")
    assert compare(articles) == 0
    assert compare_error(articles) == "public.articles has no column title any more"
    assert queued(articles) == set()
    articles.execute("ALTER TABLE articles RENAME heading TO title")
    assert compare(articles) == 10
    assert compare_error(articles) is None


def test_a_source_that_is_not_as_it_was_is_no_documents_fault(articles: Connection) -> None:
    collection = value(articles, "SELECT id FROM rankgres.collection")
    articles.execute("ALTER TABLE articles RENAME title TO heading")
    with pytest.raises(SourceUnreadableError), translated(), articles.transaction():
        documents(articles, collection, ["1"])
    with pytest.raises(SourceUnreadableError), translated(), articles.transaction():
        hashes(articles, collection)
    articles.execute("DROP TABLE articles")
    with pytest.raises(SourceUnreadableError, match="was dropped"), translated():
        documents(articles, collection, ["1"])


def test_triggers_that_were_dropped_come_back(articles: Connection) -> None:
    collection = value(articles, "SELECT id FROM rankgres.collection")
    articles.execute(f"DROP TRIGGER rankgres_{collection}_update ON articles".encode())
    articles.execute("UPDATE articles SET body = 'x' WHERE id = 1")
    assert compare(articles) == 1
    articles.execute("UPDATE articles SET body = 'x' WHERE id = 2")
    assert take_reasons(articles) == ["a new partition"]


def test_unlogged_tables_are_compared_often(connection: Connection) -> None:
    connection.execute("CREATE UNLOGGED TABLE quick (id integer PRIMARY KEY, body text)")
    attach(connection, "quick", "quick")
    row = connection.execute("SELECT sync, compare_every::text FROM rankgres.source").fetchone()
    assert row == ("triggers", "00:05:00")
