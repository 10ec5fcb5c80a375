"""Migrating: up, down, again, at once, in each other's way, and where it cannot be done."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from service.collections.collection import drop_collection
from service.collections.hnsw_index import build_hnsw_index
from service.db import migration
from service.db.connection import Connection, connect
from service.db.migration import current_revision, downgrade, newest_revision, upgrade
from service.errors import DatabaseUnavailableError, SchemaMismatchError
from service.local.postgres import binary_folder
from tests.migrations.dump_schema import GOLDEN, dump_schema
from tests.support.collections import (
    chunk,
    explained,
    found,
    generation_of,
    make_collection,
    outbox,
    put_documents,
    replace_chunks,
    search,
    value,
)
from tests.support.databases import DatabaseServer


@pytest.fixture
def empty_url(server: DatabaseServer) -> Iterator[str]:
    with server.empty() as url:
        yield url


def revision(url: str) -> str | None:
    with connect(url) as connection:
        return current_revision(connection)


def left(url: str) -> list[str]:
    """Return everything that lies in our schema, and every trigger of ours."""
    with connect(url) as connection:
        rows = connection.execute(
            """
            SELECT 'relation ' || relname FROM pg_class
            WHERE relnamespace = 'rankgres'::regnamespace
            UNION ALL SELECT 'function ' || proname FROM pg_proc
            WHERE pronamespace = 'rankgres'::regnamespace
            UNION ALL SELECT 'type ' || typname FROM pg_type
            WHERE typnamespace = 'rankgres'::regnamespace AND typrelid = 0 AND typelem = 0
            UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
            ORDER BY 1
            """
        ).fetchall()
    return [name for (name,) in rows]


def test_up_down_to_nothing_and_up_again(server: DatabaseServer, empty_url: str) -> None:
    assert revision(empty_url) is None
    upgrade(empty_url)
    assert revision(empty_url) == newest_revision()
    with connect(empty_url) as connection:
        generation = make_collection(connection)
        put_documents(connection, generation, ["a"])
        replace_chunks(connection, generation, [chunk("a", "cat")])
    downgrade(empty_url, "base")
    assert left(empty_url) == ["relation alembic_version", "relation alembic_version_pkc"]
    assert revision(empty_url) is None
    upgrade(empty_url)
    assert dump_schema(empty_url, server.version) == GOLDEN.read_text(encoding="utf-8")


def test_every_revision_goes_down_and_up(server: DatabaseServer, empty_url: str) -> None:
    upgrade(empty_url)
    for _ in range(int(newest_revision())):
        downgrade(empty_url, "-1")
    assert revision(empty_url) is None
    for _ in range(int(newest_revision())):
        upgrade(empty_url, "+1")
    assert dump_schema(empty_url, server.version) == GOLDEN.read_text(encoding="utf-8")


def test_a_database_with_chunks_goes_up_from_the_first_release_and_down_again(
    empty_url: str,
) -> None:
    upgrade(empty_url, "0002")
    with connect(empty_url) as connection:
        generation = make_old_collection(connection)
        write_old_chunk(connection, generation, "a", "rotate the old key", {"lang": "en"})
        write_old_chunk(connection, generation, "b", "an old door", {"lang": "de", "year": 2024})
        put_documents(connection, generation, ["a"])
        connection.execute("DELETE FROM rankgres.outbox")
        assert search_by_name(connection) == ["a", "b"]
        connection.commit()

    upgrade(empty_url)
    with connect(empty_url) as connection:
        # To be analysed as queries are from now on; until then it is found as it was.
        assert set(outbox(connection, generation)) == {"a"}
        assert search_by_name(connection) == ["a", "b"]
        assert found(search(connection, '"old key"', [1, 0, 0, 0])) == ["a"]
        assert found(search(connection, "old", filter={"lang": "de"})) == ["b"]
        with (
            pytest.raises(psycopg.errors.InvalidParameterValue) as raised,
            connection.transaction(),
        ):
            search(connection, "old", filter={"language": "de"})
        assert raised.value.diag.message_hint == "known fields: lang, year"
        titles = connection.execute(
            "SELECT suggestion FROM rankgres.suggest('papers', 'the H') WHERE kind = 'heading'"
        )
        assert titles.fetchall() == [("The House",)]
        # What is written from now on is beside what was there.
        replace_chunks(connection, generation, [chunk("c", "old news", filters={"kind": 1})])
        assert set(search_by_name(connection)) == {"a", "b", "c"}
        connection.commit()

    downgrade(empty_url, "0002")
    with connect(empty_url) as connection:
        assert set(search_by_name(connection)) == {"a", "b", "c"}
        write_old_chunk(connection, generation, "d", "the old key", {})
        assert set(search_by_name(connection)) == {"a", "b", "c", "d"}


def make_old_collection(connection: Connection) -> int:
    """Create a collection as the first release does."""
    connection.execute(
        "SELECT rankgres.collection_create_v1('papers', 'by hand', 4, 256, 0, "
        "text_search_config => 'simple')"
    )
    return generation_of(connection, "papers")


def write_old_chunk(
    connection: Connection, generation: int, document_id: str, text: str, filters: dict[str, Any]
) -> None:
    """Write a document of one chunk as workers of the first release do."""
    connection.execute(
        "SELECT rankgres.chunk_replace_v1(%s, ARRAY[%s], ARRAY[%s], ARRAY[0], ARRAY[3], ARRAY[0], "
        "ARRAY[18], ARRAY['The House'], ARRAY[%s], ARRAY[%s], ARRAY['[1,0,0,0]'::vector])",
        [generation, document_id, document_id, text, Jsonb(filters)],
    )


def search_by_name(connection: Connection) -> list[str]:
    """Search in both stages by the public function alone, as applications of any release do."""
    rows = connection.execute(
        "SELECT document_id FROM rankgres.search_candidates("
        "'papers', 'old key', '[1,0,0,0]'::vector, candidates => 10)"
    ).fetchall()
    return [name for (name,) in rows]


def test_a_second_run_changes_nothing(database_url: str) -> None:
    with connect(database_url) as connection:
        generation = make_collection(connection)
        replace_chunks(connection, generation, [chunk("a", "cat")])
        connection.commit()
        before = value(connection, "SELECT array_agg(oid ORDER BY oid) FROM pg_class")
        connection.commit()
        upgrade(database_url)
        assert value(connection, "SELECT array_agg(oid ORDER BY oid) FROM pg_class") == before
        assert found(search(connection, "cat")) == ["a"]


def test_ten_runs_at_once_make_one_schema(server: DatabaseServer, empty_url: str) -> None:
    with ThreadPoolExecutor(max_workers=10) as threads:
        runs = [threads.submit(upgrade, empty_url) for _ in range(10)]
        assert [run.exception(timeout=60) for run in runs] == [None] * 10
    assert revision(empty_url) == newest_revision()
    assert dump_schema(empty_url, server.version) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("server", [18], indirect=True)
def test_processes_at_once_make_one_schema(empty_url: str) -> None:
    program = "import sys; from service.db.migration import upgrade; upgrade(sys.argv[1])"
    runs = [
        subprocess.Popen([sys.executable, "-c", program, empty_url], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [(run.communicate(timeout=60)[1], run.returncode) for run in runs] == [(b"", 0)] * 3
    assert revision(empty_url) == newest_revision()


def test_a_table_in_use_fails_the_run_soon_with_nothing_half_done(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "_LOCK_TIMEOUT", "200ms")
    upgrade(empty_url, "0001")
    before = left(empty_url)
    with connect(empty_url) as application:
        application.execute("LOCK TABLE rankgres.document IN ROW EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailableError, match="lock timeout") as raised:
            upgrade(empty_url)
        assert "try again" in (raised.value.mend or "")
        assert left(empty_url) == before
        assert current_revision(application) == "0001"
    upgrade(empty_url)
    assert revision(empty_url) == newest_revision()


def test_a_run_waits_for_another_only_so_long(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "_RUN_LOCK_TIMEOUT", "200ms")
    with connect(empty_url) as other:
        other.execute(migration._RUN_LOCK)
        with pytest.raises(DatabaseUnavailableError, match="lock timeout"):
            upgrade(empty_url)
        assert current_revision(other) is None


def test_limits_of_a_run_end_with_it(empty_url: str) -> None:
    upgrade(empty_url)
    with connect(empty_url) as connection:
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert value(connection, locks) == 0
        assert value(connection, "SHOW lock_timeout") == "0"


def test_a_pgvector_too_old_is_refused_with_the_mend(empty_url: str) -> None:
    with connect(empty_url) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    with pytest.raises(SchemaMismatchError, match=r"pgvector 0\.7\.4") as raised:
        upgrade(empty_url)
    assert "ALTER EXTENSION vector UPDATE" in (raised.value.mend or "")
    assert revision(empty_url) is None


def test_a_server_without_pgvector_is_refused_with_the_mend(empty_url: str) -> None:
    with connect(empty_url) as connection:
        # As where its files are not installed: the view of this database shows none.
        connection.execute("SET allow_system_table_mods = on")
        connection.execute(
            "CREATE OR REPLACE VIEW pg_catalog.pg_available_extensions AS "
            'SELECT name, default_version, NULL::text COLLATE "C" AS installed_version, comment '
            "FROM pg_available_extensions() AS available WHERE name <> 'vector'"
        )
    with pytest.raises(SchemaMismatchError, match="has no pgvector") as raised:
        upgrade(empty_url)
    assert "install pgvector" in (raised.value.mend or "")


def test_a_postgres_too_old_is_refused_with_the_mend(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "MIN_POSTGRES", 99)
    with pytest.raises(SchemaMismatchError, match="this is Postgres 1") as raised:
        upgrade(empty_url)
    assert raised.value.mend == "use Postgres 99 or newer"


@contextmanager
def ordinary_role(url: str, *rights: str) -> Iterator[str]:
    """Yield the URL for a role that is no superuser; it is gone afterwards."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE ordinary LOGIN")
        for right in rights:
            connection.execute(right.encode())
        try:
            yield url.replace("postgres@", "ordinary@")
        finally:
            connection.execute("DROP OWNED BY ordinary CASCADE")
            connection.execute("DROP ROLE ordinary")


def grant_create(url: str) -> str:
    with connect(url) as connection:
        return f'GRANT CREATE ON DATABASE "{connection.info.dbname}" TO ordinary'


def test_a_role_that_may_not_create_pgvector_is_told_who_may(empty_url: str) -> None:
    with (
        ordinary_role(empty_url) as url,
        pytest.raises(SchemaMismatchError, match="pgvector could not be created") as raised,
    ):
        upgrade(url)
    assert "run as a superuser of that database: CREATE EXTENSION vector" in str(raised.value)


def test_a_role_that_may_not_create_the_schema_is_told_what_it_lacks(empty_url: str) -> None:
    with connect(empty_url) as connection:
        connection.execute("CREATE EXTENSION vector")
    with (
        ordinary_role(empty_url) as url,
        pytest.raises(SchemaMismatchError, match="permission denied") as raised,
    ):
        upgrade(url)
    assert "GRANT CREATE ON DATABASE" in (raised.value.mend or "")


def test_beside_pgvector_the_right_to_create_in_the_database_is_enough(empty_url: str) -> None:
    with connect(empty_url) as connection:
        connection.execute("CREATE EXTENSION vector")
    with ordinary_role(empty_url, grant_create(empty_url)) as url:
        upgrade(url)
        with connect(url) as connection:
            use(connection)


def test_pgvector_may_live_in_a_schema_of_its_own(empty_url: str) -> None:
    with connect(empty_url) as connection:
        connection.execute("CREATE SCHEMA extensions")
        connection.execute("CREATE EXTENSION vector SCHEMA extensions")
    upgrade(empty_url)
    with connect(f"{empty_url}&options=-csearch_path%3Dpublic,extensions") as connection:
        use(connection)
        definition = value(
            connection,
            "SELECT rankgres.generation_hnsw_definition_v1(%s)",
            [generation_of(connection, "papers")],
        )
        assert "extensions.halfvec_cosine_ops" in definition


def test_a_dump_of_everything_can_be_restored_by_an_ordinary_role(
    server: DatabaseServer, database_url: str, empty_url: str
) -> None:
    with connect(database_url) as connection:
        use(connection)
        connection.commit()
        generation = generation_of(connection, "papers")
    assert build_hnsw_index(database_url, generation)
    programs = binary_folder(server.version)
    dump = subprocess.run(
        [programs / "pg_dump", "--schema=rankgres", "--no-owner", f"--dbname={database_url}"],
        check=True,
        capture_output=True,
    ).stdout
    with connect(empty_url) as connection:
        connection.execute("CREATE EXTENSION vector")
    with ordinary_role(empty_url, grant_create(empty_url)) as url:
        subprocess.run(
            [programs / "psql", "--set=ON_ERROR_STOP=1", "--quiet", f"--dbname={url}"],
            input=dump,
            check=True,
            capture_output=True,
        )
        with connect(url) as connection:
            assert current_revision(connection) == newest_revision()
            assert found(search(connection, "cat", [1, 0, 0, 0])) == ["a"]
            # One chunk is searched without the index that was restored.
            assert explained(connection)["vector"]["expected_hnsw_ms"] is not None
            assert set(outbox(connection, generation)) == {"a"}
            put_documents(connection, generation, ["b"])
            assert set(outbox(connection, generation)) == {"a", "b"}
            drop_collection(connection, "papers")
            use(connection)
            assert generation_of(connection, "papers") > generation


def use(connection: Connection) -> None:
    """Create a collection, write, search."""
    generation = make_collection(connection)
    put_documents(connection, generation, ["a"])
    replace_chunks(connection, generation, [chunk("a", "cat")])
    assert found(search(connection, "cat", [1, 0, 0, 0])) == ["a"]
