"""Attaching: what is made, what a row becomes as a document, and what is left when detached."""

from typing import Any

import pytest
from psycopg import sql

from service.db.connection import Connection
from service.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from service.sources.source import (
    SourcePlan,
    attach_source,
    detach_source,
    find_source,
    pause_collection,
    register_source,
    resume_collection,
)
from tests.support.attached import (
    SourceDocument,
    attach,
    documents,
    hashes,
    index_all,
    make_articles,
)
from tests.support.collections import (
    generation_of,
    outbox,
    value,
)

TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
#: Everything of a table that its owner would see in a dump, but triggers.
DEFINITION = """
SELECT
    (SELECT array_agg(ROW(attname, atttypid, attnotnull, atthasdef)::text ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = relation),
    (SELECT array_agg(indexrelid ORDER BY indexrelid) FROM pg_index WHERE indrelid = relation),
    (SELECT array_agg(conname ORDER BY conname) FROM pg_constraint WHERE conrelid = relation),
    (SELECT array_agg(rulename) FROM pg_rewrite WHERE ev_class = relation),
    (SELECT relacl::text FROM pg_class WHERE oid = relation)
FROM (SELECT 'public.articles'::regclass AS relation) AS given
"""


def triggers(connection: Connection, relation: str = "public.articles") -> list[str]:
    return sorted(name for (name,) in connection.execute(TRIGGERS, [relation]))


def test_a_table_becomes_a_collection(connection: Connection) -> None:
    make_articles(connection)
    collection = attach(connection, title="title", filters=["tenant"])
    source = find_source(connection, collection)
    assert source is not None
    assert (source.relation, source.key_columns, source.sync) == (
        "public.articles",
        ["id"],
        "triggers",
    )
    assert (source.title_column, source.text_columns, source.filter_columns) == (
        "title",
        ["body"],
        ["tenant"],
    )
    assert documents(connection, collection, ["1", "3", "4", "x", "01", ""]) == {
        "1": SourceDocument("1", "title 1", "body 1", {"tenant": 1}),
        "3": SourceDocument("3", "title 3", "body 3", {"tenant": 1}),
    }
    assert hashes(connection, collection).keys() == {"1", "2", "3"}
    estimate = "SELECT estimated_rows > 0 FROM rankgres.backfill WHERE generation_id = %s"
    assert value(connection, estimate, [generation_of(connection, "articles")])


def test_the_table_gets_triggers_and_nothing_else(connection: Connection) -> None:
    make_articles(connection)
    before = connection.execute(DEFINITION).fetchone()
    collection = attach(connection, title="title", condition="tenant = 1")
    assert connection.execute(DEFINITION).fetchone() == before
    assert triggers(connection) == [
        f"rankgres_{collection}_{operation}"
        for operation in ("delete", "insert", "truncate", "update")
    ]
    detach_source(connection, "articles")
    assert connection.execute(DEFINITION).fetchone() == before
    assert triggers(connection) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"text": ["title", "body"]}, {"1": "title 1\n\nbody 1", "2": "title 2", "3": ""}),
        ({"text": ["id", "tenant"]}, {"1": "1\n\n1", "2": "2\n\n1", "3": "3\n\n1"}),
        (
            {"template": "{title} {{of}} {tenant}: {body}!"},
            {"1": "title 1 {of} 1: body 1!", "2": "title 2 {of} 1: !", "3": " {of} 1: !"},
        ),
        ({"template": "{body}"}, {"1": "body 1", "2": "", "3": ""}),
        ({"template": "it's {id} %s"}, {"1": "it's 1 %s", "2": "it's 2 %s", "3": "it's 3 %s"}),
    ],
)
def test_text_is_made_of_columns_or_by_a_template(
    connection: Connection, options: dict[str, Any], text: dict[str, str]
) -> None:
    make_articles(connection)
    connection.execute("UPDATE articles SET body = NULL WHERE id > 1")
    connection.execute("UPDATE articles SET title = NULL WHERE id = 3")
    collection = attach(connection, **options)
    found = documents(connection, collection, text)
    assert {id_: document.text for id_, document in found.items()} == text


def test_names_are_looked_up_as_the_caller_does(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TYPE shop.mood AS ENUM ('glad')")
    connection.execute(
        "CREATE TABLE shop.goods (id integer PRIMARY KEY, body text, mood shop.mood)"
    )
    connection.execute("CREATE TABLE goods (id integer PRIMARY KEY)")
    connection.execute("SET LOCAL search_path = shop, public")
    collection = attach(connection, "goods", condition="mood = 'glad'::mood")
    source = find_source(connection, collection)
    assert source is not None
    assert source.relation == "shop.goods"
    connection.execute("SET LOCAL search_path = public")
    connection.execute("INSERT INTO shop.goods VALUES (1, 'x', 'glad')")
    assert documents(connection, collection, ["1"]).keys() == {"1"}


def test_the_models_card_fills_what_is_not_given(connection: Connection) -> None:
    make_articles(connection)
    attach(connection)
    attach(
        connection,
        name="other",
        embedding_model="BAAI/bge-base-en-v1.5",
        chunk_tokens=100,
        overlap_tokens=10,
        storage_type="vector",
        text_search_config="unaccent+german",
    )
    rows = connection.execute(
        "SELECT name, embedding_model, embedding_dimension, chunk_tokens, overlap_tokens, "
        "storage_type, text_search_config, search_profile FROM rankgres.generation "
        "JOIN rankgres.collection ON collection.id = collection_id ORDER BY name"
    ).fetchall()
    default = "sentence-transformers/all-MiniLM-L6-v2"
    assert rows == [
        ("articles", default, 384, 256, 32, "halfvec", "english", {}),
        (
            "other", "BAAI/bge-base-en-v1.5", 768, 100, 10, "vector", "unaccent+german",
            {"lexical_weight": 0.8},
        ),
    ]  # fmt: skip


def test_one_table_may_be_attached_twice(connection: Connection) -> None:
    make_articles(connection)
    first, second = attach(connection), attach(connection, name="other", condition="id > 1")
    connection.execute("UPDATE articles SET body = 'x' WHERE id = 3")
    rows = connection.execute("SELECT collection_id, document_ids FROM rankgres.source_change")
    assert dict(rows.fetchall()) == {first: ["3"], second: ["3"]}
    detach_source(connection, "articles")
    assert len(triggers(connection)) == 4


def test_a_detached_collection_is_gone(connection: Connection) -> None:
    make_articles(connection)
    collection = attach(connection, row_security=True)
    connection.execute("DELETE FROM articles")
    detach_source(connection, "articles")
    for table in ("collection", "source", "source_change", "generation", "backfill", "outbox"):
        count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("rankgres", table))
        assert connection.execute(count).fetchone() == (0,), table
    functions = "SELECT count(*) FROM pg_proc WHERE proname ~ %s"
    assert value(connection, functions, [rf"^source_{collection}_"]) == 0
    with pytest.raises(NotFoundError):
        detach_source(connection, "articles")


def test_a_kept_index_stays_as_it_is(connection: Connection) -> None:
    make_articles(connection)
    attach(connection)
    index_all(connection)
    connection.execute("UPDATE articles SET body = 'x'")
    detach_source(connection, "articles", keep=True)
    assert triggers(connection) == []
    connection.execute("DELETE FROM articles")
    generation = generation_of(connection, "articles")
    assert value(connection, "SELECT count(*) FROM rankgres.indexed_document") == 3
    assert outbox(connection, generation) == {}
    assert value(connection, "SELECT count(*) FROM rankgres.source_change") == 0
    connection.execute("SAVEPOINT before")
    with pytest.raises(InvalidInputError):
        detach_source(connection, "articles")


def test_pausing_and_resuming(connection: Connection) -> None:
    paused = "SELECT paused_at FROM rankgres.collection"
    make_articles(connection)
    attach(connection)
    pause_collection(connection, "articles")
    since = value(connection, paused)
    assert since is not None
    pause_collection(connection, "articles")
    assert value(connection, paused) == since
    resume_collection(connection, "articles")
    assert value(connection, paused) is None
    with pytest.raises(NotFoundError):
        pause_collection(connection, "none")


def test_a_plan_is_attached_as_by_sql(connection: Connection) -> None:
    make_articles(connection)
    plan = SourcePlan(
        "articles",
        "public.articles",
        title="title",
        text=["body"],
        filters=["tenant"],
        condition="id < 3",
        compare_every="2 hours",
        backfill_rows_per_second=10.0,
    )
    collection = attach_source(connection, plan)
    assert hashes(connection, collection).keys() == {"1", "2"}
    assert len(triggers(connection)) == 4
    assert value(connection, "SELECT compare_every = '2 hours' FROM rankgres.source")
    assert value(connection, "SELECT rows_per_second FROM rankgres.backfill") == 10
    with pytest.raises(AlreadyExistsError) as error:
        attach_source(connection, plan)
    assert error.value.field == "collection"


def test_what_is_only_registered_locks_nothing(connection: Connection) -> None:
    make_articles(connection)
    with connection.transaction(force_rollback=True):
        collection = register_source(
            connection, SourcePlan("articles", "articles", text=["body"], condition="id < 3")
        )
        assert hashes(connection, collection).keys() == {"1", "2"}
        assert triggers(connection) == []
    attach(connection)
