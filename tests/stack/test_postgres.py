import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
import pytest

from service.errors import DatabaseUnavailableError
from service.local.postgres import EmbeddedPostgres
from service.local.system_user import USER_NAME

SMALL_MACHINE = 2 * 1024**3


def make(folder: Path, version: int = 18, **settings: str) -> EmbeddedPostgres:
    return EmbeddedPostgres(
        folder, version, memory_bytes=SMALL_MACHINE, durable=False, extra_settings=settings
    )


@pytest.fixture(scope="module", params=[16, 18])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedPostgres]:
    """One running server of each major version."""
    postgres = make(tmp_path_factory.mktemp("postgres"), request.param)
    postgres.start()
    yield postgres
    postgres.stop()


def ask(url: str, question: LiteralString, *values: object) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(question, values).fetchone()
    assert row
    return row[0]


def setting(postgres: EmbeddedPostgres, name: str) -> str:
    return str(ask(postgres.url, "SELECT current_setting(%s)", name))


def test_it_is_the_version_asked_for_and_carries_pgvector(server: EmbeddedPostgres) -> None:
    assert setting(server, "server_version").split(".")[0] == str(server.version)
    available = "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
    assert ask(server.url, available).startswith("0.8")


def test_settings_follow_from_the_machine(server: EmbeddedPostgres) -> None:
    expected = {
        "shared_buffers": "512MB",
        "maintenance_work_mem": "256MB",
        "jit": "off",
        "fsync": "off",
        "max_wal_size": "4GB",
    }
    assert {name: setting(server, name) for name in expected} == expected


def test_every_setting_of_ours_is_taken(server: EmbeddedPostgres) -> None:
    ours = "SELECT count(*), count(error) FROM pg_file_settings WHERE sourcefile LIKE %s"
    with psycopg.connect(server.url) as connection:
        assert connection.execute(ours, ["%/rankgres.conf"]).fetchone() == (
            (server.data / "rankgres.conf").read_text().count(" = "),
            0,
        )


def test_it_listens_on_its_socket_only(server: EmbeddedPostgres) -> None:
    assert server._process
    postmaster = psutil.Process(server._process.pid)
    assert postmaster.net_connections("tcp") == []
    assert setting(server, "listen_addresses") == ""


def test_only_its_user_can_reach_data_and_socket(server: EmbeddedPostgres) -> None:
    for folder in (server.data, server.sockets):
        found = folder.stat()
        assert stat.S_IMODE(found.st_mode) == 0o700
        expected = pwd.getpwnam(USER_NAME).pw_uid if os.geteuid() == 0 else os.geteuid()
        assert found.st_uid == expected


def test_letters_are_unicode_and_order_is_by_bytes(server: EmbeddedPostgres) -> None:
    assert ask(server.url, "SELECT lower('ÄÉ')") == "äé"
    assert ask(server.url, "SELECT 'Z' < 'a'") is True


def test_a_database_is_made_once(server: EmbeddedPostgres) -> None:
    first = server.ensure_database("it's new")
    assert server.ensure_database("it's new") == first
    assert ask(first, "SELECT current_database()") == "it's new"


def test_an_index_is_built_in_parallel_where_shared_memory_is_small(tmp_path: Path) -> None:
    postgres = make(
        tmp_path,
        dynamic_shared_memory_type="mmap",
        min_parallel_table_scan_size="0",
        max_parallel_maintenance_workers="2",
    )
    postgres.start()
    try:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            said: list[str] = []
            connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
            connection.execute("CREATE EXTENSION vector")
            connection.execute(
                "CREATE TABLE point AS SELECT ARRAY[random(), random(), random()]::vector(3)"
                " AS place FROM generate_series(1, 2000)"
            )
            connection.execute("SET client_min_messages = debug1")
            connection.execute("CREATE INDEX ON point USING hnsw (place vector_l2_ops)")
        assert any("parallel" in line for line in said), said
    finally:
        postgres.stop()


def test_data_survive_a_restart_and_a_crash(tmp_path: Path) -> None:
    postgres = make(tmp_path)
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    postgres.stop()
    assert not postgres.ready()
    postgres.start()
    assert ask(postgres.url, "SELECT number FROM kept") == 42
    assert "automatic recovery" not in postgres.log.read_text()
    with psycopg.connect(postgres.url) as connection:
        connection.execute("UPDATE kept SET number = 43")
    postgres.stop("immediate")
    postgres.start()
    assert ask(postgres.url, "SELECT number FROM kept") == 43
    assert "automatic recovery" in postgres.log.read_text()
    postgres.stop()


def test_a_path_too_long_for_a_socket_gets_a_short_one_that_goes_at_stop(tmp_path: Path) -> None:
    postgres = make(tmp_path / ("long" * 30))
    postgres.start()
    try:
        assert not postgres.sockets.is_relative_to(tmp_path)
        assert ask(postgres.url, "SELECT 1") == 1
        assert stat.S_IMODE(postgres.sockets.stat().st_mode) == 0o700
    finally:
        postgres.stop()
    assert not postgres.sockets.exists()


def test_a_folder_of_another_major_version_is_refused_with_the_mend(tmp_path: Path) -> None:
    make(tmp_path, 16).initialise()
    with pytest.raises(DatabaseUnavailableError, match="made by Postgres 16, not by 18") as caught:
        make(tmp_path, 18).initialise()
    assert "RANKGRES_POSTGRES_VERSION=16" in (caught.value.mend or "")


def test_a_version_that_is_not_carried_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="no embedded Postgres 15"):
        make(tmp_path, 15).initialise()


def test_a_half_made_data_folder_is_made_anew(tmp_path: Path) -> None:
    postgres = make(tmp_path)
    (postgres.data / "base").mkdir(parents=True)
    postgres.initialise()
    assert (postgres.data / "PG_VERSION").read_text() == "18\n"


def test_your_own_lines_below_the_include_win(tmp_path: Path) -> None:
    postgres = make(tmp_path)
    postgres.initialise()
    with (postgres.data / "postgresql.conf").open("a") as file:
        file.write("work_mem = '5MB'\n")
    postgres.start()
    try:
        assert setting(postgres, "work_mem") == "5MB"
    finally:
        postgres.stop()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    postgres = make(tmp_path, shared_buffers="nonsense")
    with pytest.raises(DatabaseUnavailableError, match="invalid value for parameter"):
        postgres.start()
    assert postgres._process is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends Postgres a user")
def test_root_lets_postgres_pass_through_closed_folders_and_list_none(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = make(closed / "postgres")
    postgres.start()
    postgres.stop()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
