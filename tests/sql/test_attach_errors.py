"""What cannot be attached is refused with the field and the mend, and leaves nothing behind."""

from typing import Any

import psycopg
import pytest
from psycopg import errors

from service.db.connection import Connection, connect
from service.db.driver_errors import translated
from service.errors import AlreadyExistsError, DatabaseUnavailableError, InvalidInputError
from tests.support.attached import attach, make_articles
from tests.support.collections import make_collection, value

SETUP = """
CREATE TABLE keyless (body text, number integer);
CREATE TABLE nullable (number integer UNIQUE, code text NOT NULL, body text);
CREATE UNIQUE INDEX ON nullable (code);
CREATE UNIQUE INDEX ON nullable (number, code) WHERE number > 0;
CREATE UNIQUE INDEX ON nullable (lower(code), body);
CREATE SEQUENCE counter;
CREATE VIEW shown AS SELECT * FROM articles;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM articles;
CREATE TEMPORARY TABLE brief (id integer PRIMARY KEY, body text);
CREATE TYPE pair AS (x integer, y integer);
CREATE TABLE shapes (id point NOT NULL, body text);
CREATE FUNCTION mine(integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql
    AS 'BEGIN RETURN true; END';
CREATE FUNCTION theirs(integer, integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR public.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = theirs)
"""

ERRORS: list[tuple[dict[str, Any], str, str, str]] = [
    # Arguments, the field, what the message says, what the mend says.
    ({"relation": "nowhere"}, "relation", "nowhere does not exist", "schema.table"),
    ({"relation": "a b c"}, "relation", "a b c does not exist", "double quotes"),
    ({"relation": "no.such.db.x"}, "relation", "cannot be looked up", "schema.table"),
    ({"relation": ""}, "relation", "does not exist", "schema.table"),
    ({"relation": "counter"}, "relation", "public.counter is a sequence", "attach a table"),
    ({"relation": "articles_pkey"}, "relation", "is an index", "attach a table"),
    ({"relation": "pair"}, "relation", "is a composite type", "attach a table"),
    ({"relation": "brief"}, "relation", "is temporary", "attach a table"),
    ({"relation": "rankgres.document"}, "relation", "is Rankgres' own", "attach a table"),
    ({"relation": "pg_class"}, "relation", "is the system's own", "attach a table"),
    ({"relation": "information_schema.tables"}, "relation", "the system's own", "attach a table"),
    ({"collection": "Articles"}, "collection", "cannot name a collection", "lower-case letter"),
    ({"collection": None}, "collection", "cannot name a collection", "lower-case letter"),
    ({"relation": "keyless"}, "key", "public.keyless has no primary key", "give it one"),
    ({"relation": "nullable"}, "key", "has no primary key", "key => '{code}' or key => '{number}'"),
    ({"relation": "shown"}, "key", "has no primary key", "name the columns"),
    ({"relation": "stored"}, "key", "has no primary key", "unique index"),
    ({"key": ["ID"]}, "key", 'has no column "ID"', "id, title, body, tenant, note"),
    ({"key": ["title"]}, "key", "no unique index of public.articles", "key => '{id}'"),
    ({"key": ["id", "tenant"]}, "key", "exactly the columns id, tenant", "key => '{id}'"),
    ({"key": []}, "key", "names no columns", "key => '{id}'"),
    ({"key": ["id", "id"]}, "key", "one of them twice", "key => '{id}'"),
    ({"relation": "nullable", "key": ["number"]}, "key", "of the key may be NULL", "SET NOT NULL"),
    ({"relation": "nullable", "key": ["code", "number"]}, "key", "no unique index", "key => "),
    ({"relation": "shown", "key": ["id"], "title": "nope"}, "title", "no column", "columns are"),
    ({"title": "Title"}, "title", 'public.articles has no column "Title"', "id, title, body"),
    ({"text": ["body", "ctid"]}, "text", 'has no column "ctid"', "id, title, body"),
    ({"filters": ["tennant"]}, "filters", 'has no column "tennant"', "id, title, body"),
    ({"text": None}, "text", "no column is named that holds the text", "id, title, body"),
    ({"text": []}, "text", "no column is named that holds the text", "id, title, body"),
    ({"template": "{body}", "text": ["body"]}, "template", "both text and template", "one of them"),
    ({"template": "{body", "text": None}, "template", "a brace that is not", "{title}"),
    ({"template": "body}", "text": None}, "template", "a brace that is not", "{title}"),
    ({"template": "{}", "text": None}, "template", "a brace that is not", "{title}"),
    ({"template": "no columns", "text": None}, "template", "no column is named", "id, title"),
    ({"template": "{bdy}", "text": None}, "template", 'has no column "bdy"', "id, title, body"),
    ({"text_format": "pdf"}, "text_format", 'text_format "pdf" is not known', "plain, html"),
    ({"compare_every": "0 s"}, "compare_every", "compare_every is", "1 hour"),
    ({"backfill_rows_per_second": 0.0}, "backfill_rows_per_second", "is 0", "more than 0"),
    ({"embedding_model": "none"}, "embedding_model", '"none" is not known', "all-MiniLM-L6-v2"),
    ({"chunk_tokens": 300}, "chunk_tokens", "more than", "use at most 256"),
    ({"chunk_tokens": 3}, "chunk_tokens", "out of its range", "use 16 to 32768"),
    ({"overlap_tokens": 200}, "overlap_tokens", "out of its range", "half of chunk_tokens"),
    ({"storage_type": "int8"}, "storage_type", "out of its range", "use halfvec"),
    ({"text_search_config": "klingon"}, "text_search_config", "klingon", "english"),
    ({"condition": ""}, "condition", "syntax error", "write it as after WHERE"),
    ({"condition": "nope = 1"}, "condition", '"nope" does not exist', "columns without"),
    ({"condition": "articles.id = 1"}, "condition", "articles", "columns without"),
    ({"condition": "id"}, "condition", "must be type boolean", "write it as after WHERE"),
    ({"condition": "id > (SELECT 1)"}, "condition", "subquery", "write it as after WHERE"),
    ({"condition": "max(id) > 1"}, "condition", "aggregate", "write it as after WHERE"),
    ({"condition": "random() > id"}, "condition", "IMMUTABLE", "must not hang on time"),
    ({"condition": "now() > '2024-01-01'"}, "condition", "IMMUTABLE", "must not hang on time"),
    ({"condition": "mine(tenant)"}, "condition", "function mine(integer)", "functions and"),
    ({"condition": "tenant === 1"}, "condition", "which is not built in", "functions and"),
    ({"condition": "(1, 2)::pair IS NOT NULL"}, "condition", "type pair", "functions and"),
    ({"condition": "true); DROP TABLE articles; --"}, "condition", "syntax error", "after WHERE"),
    ({"condition": "true); SELECT (true"}, "condition", "cannot open multi-query", "after WHERE"),
    ({"condition": "true) UNION SELECT FROM articles WHERE (true"}, "condition", "syntax", "after"),
]  # fmt: skip


@pytest.fixture
def articles(connection: Connection) -> Connection:
    """public.articles and relations with something wrong about them."""
    make_articles(connection)
    for statement in SETUP.split(";\n"):
        connection.execute(statement.encode())
    return connection


@pytest.mark.parametrize(("arguments", "field", "message", "mend"), ERRORS)
def test_a_mistake_is_named_with_its_mend(
    articles: Connection, arguments: dict[str, Any], field: str, message: str, mend: str
) -> None:
    given = {"relation": "articles", "collection": "articles", "text": ["body"], **arguments}
    with pytest.raises(InvalidInputError) as error, translated(), articles.transaction():
        attach(articles, name=given.pop("collection"), **given)
    assert message in error.value.detail
    assert mend in (error.value.mend or "")
    assert error.value.field == field
    assert value(articles, "SELECT count(*) FROM rankgres.collection") == 0
    assert value(articles, "SELECT to_regclass('articles') IS NOT NULL")
    assert value(articles, "SELECT to_regclass('pg_temp.rankgres_condition') IS NULL")


def test_a_name_is_taken(articles: Connection) -> None:
    make_collection(articles, "articles")
    with pytest.raises(AlreadyExistsError) as error, translated():
        attach(articles)
    assert error.value.field == "collection"
    assert "choose another name" in (error.value.mend or "")


def test_a_type_without_order_cannot_be_a_key_of_a_view(articles: Connection) -> None:
    articles.execute("CREATE VIEW seen AS SELECT * FROM shapes")
    with pytest.raises(InvalidInputError, match="cannot be compared") as error, translated():
        attach(articles, "seen", key=["id"])
    assert error.value.field == "key"


def test_nothing_the_caller_wrote_is_run_with_our_rights(articles: Connection) -> None:
    # An index of the caller's own stands for a condition; it is made for another table.
    articles.execute("CREATE TEMPORARY TABLE other (id text, body text)")
    articles.execute("CREATE INDEX other_index ON other ((1)) WHERE id = 'x'")
    with pytest.raises(psycopg.Error, match="made for another relation"):
        articles.execute(
            "SELECT rankgres.source_register_v1('articles', 'articles'::regclass, NULL, NULL, "
            "'{body}', NULL, 'plain', '{}', 'other_index'::regclass, NULL, false, NULL, NULL, "
            "NULL, 32, 'halfvec', 'english')"
        )


def test_a_lock_that_somebody_holds_is_not_waited_for_long(database_url: str) -> None:
    with connect(database_url) as writer, connect(database_url) as other:
        make_articles(writer)
        writer.commit()
        writer.execute("INSERT INTO articles VALUES (9)")
        other.execute("SET lock_timeout = '100ms'")
        other.commit()
        with pytest.raises(DatabaseUnavailableError, match=r"public\.articles"), translated():
            attach(other)
        other.rollback()
        assert value(other, "SELECT count(*) FROM rankgres.collection") == 0
        writer.commit()
        attach(other)
        assert value(other, "SHOW lock_timeout") == "100ms"
        other.rollback()
        with pytest.raises(errors.UndefinedTable):
            other.execute("SELECT FROM pg_temp.rankgres_condition")
