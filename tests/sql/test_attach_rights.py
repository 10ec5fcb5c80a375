"""Real roles, no superusers: what each needs to attach, and what it is told where it lacks."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from service.db.connection import Connection, connect
from service.db.driver_errors import translated
from service.db.migration import upgrade
from service.errors import InvalidInputError, NotAllowedError
from service.sources.source import detach_source, pause_collection, resume_collection
from tests.support.attached import (
    attach,
    backfill,
    compare,
    compare_error,
    documents,
    fold,
    hashes,
    take_changes,
)
from tests.support.collections import generation_of, outbox, value
from tests.support.databases import DatabaseServer

ROLES = ("keeper", "app", "other")


@contextmanager
def as_role(url: str, role: str) -> Iterator[Connection]:
    """Connect as a role of its own."""
    with connect(url.replace("postgres@", f"{role}@")) as connection:
        yield connection


@pytest.fixture
def url(server: DatabaseServer) -> Iterator[str]:
    """A database that keeper migrated, who owns the schema; app owns public.articles.

    app may use the schema and attach; keeper may read the table. other may use the schema.
    """
    with server.empty() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            name = sql.Identifier(connection.info.dbname)
            connection.execute("CREATE EXTENSION vector")
            for role in ROLES:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO keeper").format(name))
            connection.execute("CREATE SCHEMA shop AUTHORIZATION app")
        try:
            upgrade(url.replace("postgres@", "keeper@"))
            with as_role(url, "keeper") as connection:
                connection.execute("GRANT USAGE ON SCHEMA rankgres TO app, other")
                connection.execute("GRANT EXECUTE ON FUNCTION rankgres.attach TO app")
            with as_role(url, "app") as connection:
                connection.execute("CREATE TABLE shop.articles (id bigint PRIMARY KEY, body text)")
                connection.execute("INSERT INTO shop.articles VALUES (1, 'one'), (2, 'two')")
                connection.execute("GRANT USAGE ON SCHEMA shop TO keeper")
                connection.execute("GRANT SELECT ON shop.articles TO keeper")
            yield url
        finally:
            with psycopg.connect(url, autocommit=True) as connection:
                for role in ROLES:
                    identifier = sql.Identifier(role)
                    connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(identifier))
                    connection.execute(sql.SQL("DROP ROLE {}").format(identifier))


def test_an_application_attaches_and_the_workers_role_does_the_rest(url: str) -> None:
    with as_role(url, "app") as app:
        collection = attach(app, "shop.articles", condition="body <> ''")
        app.commit()
        app.execute("INSERT INTO shop.articles VALUES (3, 'three')")
        app.execute("UPDATE shop.articles SET body = 'x' WHERE id = 1")
        app.execute("TRUNCATE shop.articles")
        app.execute("INSERT INTO shop.articles VALUES (4, 'four')")
        app.commit()
        for table in ("source", "source_change", "outbox", "document", "chunk"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), app.transaction():
                app.execute(f"SELECT FROM rankgres.{table}".encode())
    with as_role(url, "keeper") as keeper:
        assert backfill(keeper) == 1
        fold(keeper)
        assert outbox(keeper, generation_of(keeper, "articles")).keys() == {"1", "3", "4"}
        assert compare(keeper) == 0
        assert compare_error(keeper) is None
        assert hashes(keeper, collection).keys() == {"4"}
        assert documents(keeper, collection, ["4"])["4"].text == "four"
        assert value(keeper, "SELECT attached_by FROM rankgres.source") == "app"


def test_whoever_attached_steers(url: str) -> None:
    with as_role(url, "app") as app:
        attach(app, "shop.articles")
        app.commit()
        pause_collection(app, "articles")
        resume_collection(app, "articles")
        app.commit()
    with as_role(url, "other") as other:
        for steer in (pause_collection, resume_collection, detach_source):
            with (
                pytest.raises(NotAllowedError, match="other may not") as error,
                other.transaction(),
            ):
                steer(other, "articles")
            assert error.value.field == "collection"
    with as_role(url, "app") as app:
        detach_source(app, "articles")
        assert (
            value(app, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shop.articles'::regclass")
            == 0
        )


def test_replicated_rows_are_followed_where_the_caller_owns_the_table(url: str) -> None:
    enabled = (
        "SELECT array_agg(DISTINCT tgenabled::text) FROM pg_trigger WHERE tgname LIKE 'rankgres%'"
    )
    with as_role(url, "app") as app:
        attach(app, "shop.articles")
        assert value(app, enabled) == ["A"]
        app.rollback()
        app.execute("GRANT USAGE ON SCHEMA shop TO other")
        app.execute("GRANT SELECT, TRIGGER ON shop.articles TO other")
        app.commit()
    with as_role(url, "keeper") as keeper:
        keeper.execute("GRANT EXECUTE ON FUNCTION rankgres.attach TO other")
    with as_role(url, "other") as other:
        attach(other, "shop.articles")
        assert value(other, enabled) == ["O"]
        other.commit()
    with as_role(url, "app") as app:
        app.execute("UPDATE shop.articles SET body = 'x'")
        app.commit()
        # Whoever owns the relation may detach what others attached.
        detach_source(app, "articles")


MISSING = [
    # Taken away by whom, what, what the message says, the mend.
    (
        "keeper",
        "REVOKE EXECUTE ON FUNCTION rankgres.attach FROM app",
        "permission denied for function attach",
        "",
    ),
    (
        "app",
        "REVOKE SELECT ON shop.articles FROM keeper",
        "the workers' role keeper may not read shop.articles",
        "GRANT SELECT ON shop.articles TO keeper",
    ),
    (
        "app",
        "REVOKE USAGE ON SCHEMA shop FROM keeper",
        "the workers' role keeper may not use schema shop",
        "GRANT USAGE ON SCHEMA shop TO keeper",
    ),
    (
        "app",
        "ALTER TABLE shop.articles ENABLE ROW LEVEL SECURITY",
        "row security hides rows of shop.articles from the workers' role keeper",
        "ALTER ROLE keeper BYPASSRLS, or GRANT app TO keeper",
    ),
    (
        "app",
        (
            "ALTER TABLE shop.articles ENABLE ROW LEVEL SECURITY; "
            "ALTER TABLE shop.articles FORCE ROW LEVEL SECURITY"
        ),
        "row security hides rows of shop.articles from the workers' role keeper",
        "ALTER ROLE keeper BYPASSRLS",
    ),
]


@pytest.mark.parametrize(("role", "statement", "message", "mend"), MISSING)
def test_a_right_that_is_missing_is_named(
    url: str, role: str, statement: str, message: str, mend: str
) -> None:
    with as_role(url, role) as connection:
        connection.execute(statement.encode())
    with (
        as_role(url, "app") as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege) as error,
    ):
        attach(app, "shop.articles")
    assert message in str(error.value)
    assert (error.value.diag.message_hint or "") == mend


@pytest.mark.parametrize(
    ("right", "message", "mend"),
    [
        (
            "TRIGGER",
            "role other may not read shop.articles",
            "GRANT SELECT ON shop.articles TO other",
        ),
        (
            "SELECT",
            "role other may not make triggers on shop.articles",
            "GRANT TRIGGER ON shop.articles TO other",
        ),
    ],
)
def test_who_does_not_own_the_table_needs_two_rights(
    url: str, right: str, message: str, mend: str
) -> None:
    with as_role(url, "app") as app:
        app.execute("GRANT USAGE ON SCHEMA shop TO other")
        app.execute(f"GRANT {right} ON shop.articles TO other".encode())
    with as_role(url, "keeper") as keeper:
        keeper.execute("GRANT EXECUTE ON FUNCTION rankgres.attach TO other")
    with (
        as_role(url, "other") as other,
        pytest.raises(NotAllowedError) as error,
        translated(),
    ):
        attach(other, "shop.articles")
    assert (error.value.detail, error.value.mend) == (message, mend)


def test_a_schema_that_the_caller_may_not_use_is_named(url: str) -> None:
    with as_role(url, "keeper") as keeper:
        keeper.execute("GRANT EXECUTE ON FUNCTION rankgres.attach TO other")
    with as_role(url, "other") as other:
        with pytest.raises(NotAllowedError, match="shop") as error, translated():
            attach(other, "shop.articles")
        assert "GRANT USAGE" in (error.value.mend or "")


def test_partitions_need_the_right_too(url: str) -> None:
    with as_role(url, "app") as app:
        app.execute(
            "CREATE TABLE shop.parts (id integer PRIMARY KEY, body text) PARTITION BY RANGE (id)"
        )
        app.execute("CREATE TABLE shop.part PARTITION OF shop.parts FOR VALUES FROM (0) TO (9)")
        app.execute("GRANT USAGE ON SCHEMA shop TO other")
        app.execute("GRANT SELECT, TRIGGER ON shop.parts TO other")
        app.execute("GRANT SELECT ON shop.parts TO keeper")
    with as_role(url, "keeper") as keeper:
        keeper.execute("GRANT EXECUTE ON FUNCTION rankgres.attach TO other")
    with as_role(url, "other") as other:
        with (
            pytest.raises(NotAllowedError, match=r"make triggers on shop\.part\n") as error,
            translated(),
        ):
            attach(other, "shop.parts", "parts")
        assert error.value.mend == "GRANT TRIGGER ON shop.part TO other"
    with as_role(url, "app") as app:
        attach(app, "shop.parts", "parts")
        app.execute("CREATE TABLE shop.later PARTITION OF shop.parts FOR VALUES FROM (10) TO (19)")
        app.commit()
    with as_role(url, "keeper") as keeper:
        keeper.execute("UPDATE rankgres.backfill SET finished_at = now()")
        compare(keeper, "parts")
        assert "GRANT TRIGGER on it TO keeper" in (compare_error(keeper, "parts") or "")
        keeper.commit()
    with as_role(url, "app") as app:
        app.execute("GRANT TRIGGER ON shop.later TO keeper")
    with as_role(url, "keeper") as keeper:
        compare(keeper, "parts")
        assert compare_error(keeper, "parts") is None
    with as_role(url, "app") as app:
        app.execute("INSERT INTO shop.later VALUES (11, 'x')")
        app.commit()
    with as_role(url, "keeper") as keeper:
        assert take_changes_known(keeper) == {"11"}


def take_changes_known(connection: Connection) -> set[str]:
    connection.execute("DELETE FROM rankgres.source_change WHERE document_ids IS NULL")
    return take_changes(connection)


def test_a_view_is_attached_by_the_workers_role_alone(url: str) -> None:
    with as_role(url, "app") as app:
        app.execute("CREATE VIEW shop.shown AS SELECT * FROM shop.articles")
        app.execute("GRANT SELECT ON shop.shown TO keeper")
        app.commit()
        with (
            pytest.raises(NotAllowedError, match="a view") as error,
            translated(),
            app.transaction(),
        ):
            attach(app, "shop.shown", "shown", key=["id"])
        assert "materialised view" in (error.value.mend or "")
    with as_role(url, "keeper") as keeper:
        collection = attach(keeper, "shop.shown", "shown", key=["id"])
        assert hashes(keeper, collection).keys() == {"1", "2"}


def test_a_condition_needs_a_temporary_table(url: str) -> None:
    with psycopg.connect(url) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(name))
    with as_role(url, "app") as app:
        with pytest.raises(InvalidInputError) as error, translated(), app.transaction():
            attach(app, "shop.articles", condition="id > 1")
        assert "TEMPORARY on the database" in (error.value.mend or "")
        attach(app, "shop.articles")


def test_row_security_that_comes_later_hides_no_document(url: str) -> None:
    with as_role(url, "app") as app:
        attach(app, "shop.articles")
        app.execute("ALTER TABLE shop.articles ENABLE ROW LEVEL SECURITY")
        app.commit()
    with as_role(url, "keeper") as keeper:
        keeper.execute("UPDATE rankgres.backfill SET finished_at = now()")
        assert compare(keeper) == 0
        assert "row-level security" in (compare_error(keeper) or "")


def test_a_function_of_the_callers_is_not_run_with_our_rights(url: str) -> None:
    with as_role(url, "app") as app:
        app.execute(
            "CREATE FUNCTION shop.spy(bigint) RETURNS boolean IMMUTABLE LANGUAGE plpgsql "
            "AS 'BEGIN RAISE ''run as %'', current_user; END'"
        )
        with pytest.raises(InvalidInputError) as error, translated(), app.transaction():
            attach(app, "shop.articles", condition="shop.spy(1)")
        assert "run as keeper" not in error.value.detail
        with (
            pytest.raises(InvalidInputError, match="not built in"),
            translated(),
            app.transaction(),
        ):
            attach(app, "shop.articles", condition="shop.spy(id)")


def test_who_may_not_attach_cannot_register_either(url: str) -> None:
    with (
        as_role(url, "other") as other,
        pytest.raises(NotAllowedError, match="role other may not attach") as error,
        translated(),
    ):
        other.execute(
            "SELECT rankgres.source_register_v1('articles', (SELECT oid FROM pg_class "
            "WHERE relname = 'articles'), NULL, NULL, '{body}', NULL, 'plain', '{}', NULL, "
            "NULL, false, NULL, NULL, NULL, 32, 'halfvec', 'english')"
        )
    assert (error.value.mend or "").startswith("GRANT EXECUTE ON FUNCTION rankgres.attach(")
