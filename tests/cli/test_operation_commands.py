"""Commands of operation: help, doctor, migrate, and the settings they read."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.cli.conftest import Run
from tests.support.stack import RealStack

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def scratch(stack: RealStack) -> Iterator[str]:
    """The URL of an empty database beside the stack's own."""
    name = "scratch"
    with psycopg.connect(stack.record.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield stack.record.database_url.replace("/rankgres?", f"/{name}?")
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        connection.execute(drop)


def test_help_tells_where_to_begin(run: Run) -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for command in ("up", "demo", "doctor", "ingest", "search", "eval", "migrate", "collection"):
        assert f" {command} " in shown.stdout
    assert "rankgres up" in shown.stdout
    alone = run()
    assert alone.stdout.strip() == shown.stdout.strip()


@pytest.mark.parametrize(
    ("command", "teaches"),
    [
        ("ingest", "simply run again"),
        ("search", "rotate a key"),
        ("eval", "nDCG@10"),
        ("migrate", "pooler"),
        ("wait", "timeout"),
        ("worker", "any machine"),
        ("up", "RANKGRES_HOME"),
    ],
)
def test_help_of_a_command_teaches_its_use(run: Run, command: str, teaches: str) -> None:
    shown = run(command, "--help")
    assert shown.returncode == 0
    assert teaches in shown.stdout


def test_an_unknown_command_or_option_is_an_error(run: Run) -> None:
    for arguments in (["finde"], ["search", "a", "b", "--kk", "3"], ["search", "a"]):
        failed = run(*arguments)
        assert failed.returncode == 2
        assert failed.stderr


def test_doctor_finds_a_whole_stack_well(run: Run) -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert "wrong" not in done.stdout
    for subject in ("Postgres", "pgvector", "schema", "Redis", "worker embed", "worker rerank"):
        assert subject in done.stdout


def test_doctor_asks_for_one_worker_alone(run: Run) -> None:
    for worker in ("embed", "encode", "rerank", "relay"):
        assert run("doctor", "--worker", worker).returncode == 0
    assert run("doctor", "--worker", "embed", RANKGRES_REDIS_URL=NOWHERE).returncode == 1


@pytest.mark.parametrize(
    ("variable", "value", "subject", "mend"),
    [
        ("RANKGRES_REDIS_URL", NOWHERE, "Redis", "start it, or set RANKGRES_REDIS_URL"),
        ("RANKGRES_REDIS_URL", "nonsense", "Redis", "redis://host:6379/0"),
        (
            "RANKGRES_DATABASE_URL",
            "postgresql://127.0.0.1:1/x",
            "Postgres",
            "check RANKGRES_DATABASE_URL",
        ),
        ("RANKGRES_DATABASE_URL", "nonsense", "Postgres", "postgresql://user"),
    ],
)
def test_doctor_names_what_is_broken_and_the_mend(
    run: Run, variable: str, value: str, subject: str, mend: str
) -> None:
    done = run("doctor", **{variable: value, "COLUMNS": "400"})
    assert done.returncode == 1
    [wrong] = [line for line in done.stdout.splitlines() if line.strip().startswith("wrong")]
    assert subject in wrong
    assert mend in done.stdout


def test_doctor_sees_a_database_that_was_not_migrated(run: Run, scratch: str) -> None:
    done = run("doctor", RANKGRES_DATABASE_URL=scratch)
    assert done.returncode == 1
    assert "revision none" in done.stdout
    assert "run 'rankgres migrate'" in done.stdout


def test_a_database_that_was_not_migrated_is_named_with_the_mend(run: Run, scratch: str) -> None:
    failed = run("collection", "list", RANKGRES_DATABASE_URL=scratch)
    assert failed.returncode == 2
    assert " mend: run 'rankgres migrate'" in failed.stderr


def test_the_schema_goes_up_twice_and_down_again(run: Run, scratch: str) -> None:
    for _ in range(2):
        up = run("migrate", RANKGRES_DATABASE_URL=scratch)
        assert (up.returncode, up.stdout) == (0, "the schema rankgres is at revision head\n")
    created = run("collection", "create", "a", RANKGRES_DATABASE_URL=scratch)
    assert created.returncode == 0, created.stderr
    down = run("migrate", "--down", "--revision", "base", RANKGRES_DATABASE_URL=scratch)
    assert down.returncode == 0, down.stderr
    with psycopg.connect(scratch) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'rankgres'::regnamespace "
            "AND relkind = 'r'"
        )
        assert [row[0] for row in tables] == ["alembic_version"]
    assert run("migrate", RANKGRES_DATABASE_URL=scratch).returncode == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RANKGRES_LEASE_SECONDS", "soon"),
        ("RANKGRES_SERVICE_PORT", "70000"),
        ("RANKGRES_POSTGRES_VERSION", "9"),
    ],
)
def test_a_setting_that_cannot_be_is_named(run: Run, variable: str, value: str) -> None:
    failed = run("collection", "list", **{variable: value})
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"error: {variable} is '{value}'")
    assert f"unset {variable}" in failed.stderr


def test_without_a_stack_every_command_says_how_to_get_one(run: Run) -> None:
    gone = {"RANKGRES_DATABASE_URL": "", "RANKGRES_REDIS_URL": "", "RANKGRES_SERVICE_URL": ""}
    for arguments in (["collection", "list"], ["search", "a", "b"], ["status"]):
        failed = run(*arguments, **gone)
        assert failed.returncode == 2
        assert "rankgres up" in failed.stderr


def test_a_service_that_does_not_answer_is_named(run: Run) -> None:
    failed = run("search", "a", "b", RANKGRES_SERVICE_URL="http://127.0.0.1:1")
    assert failed.returncode == 2
    assert "error: no answer from the service at http://127.0.0.1:1" in failed.stderr
