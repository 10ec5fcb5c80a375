"""Brings the schema ``rankgres`` of a database to a revision, safely beside live traffic."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

import migrations
from service.db.connection import require_url
from service.db.driver_errors import translated
from service.errors import SchemaMismatchError
from service.model_cards import DEFAULT_ENCODER, encoder_cards
from service.settings import get_settings

MIN_POSTGRES = 16
MIN_PGVECTOR = (0, 8)

# Another run may be building something: wait for it this long.
_RUN_LOCK_TIMEOUT = "10min"
# A lock on a table in use is waited for briefly: whoever queues behind us waits as well.
_LOCK_TIMEOUT = "5s"
# No single statement of a revision should take longer; one that must says so itself.
_STATEMENT_TIMEOUT = "15min"
_RUN_LOCK = "SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('rankgres.migrate', 0))"


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the database to a revision; it is all there or, revision by revision, untouched.

    Runs of several processes wait for each other. Creates the schema, and the extension pgvector
    where it is missing; writes down the model cards for those who attach with SQL alone.

    Args:
        url: libpq URL, straight to Postgres: a transaction-mode pooler cannot hold the run's lock.
        revision: an Alembic revision, "head" for the newest.

    Raises:
        SchemaMismatchError: Postgres or pgvector is too old or absent, or the role may not.
        DatabaseUnavailableError: no connection.
    """
    with _guarded(url) as connection:
        _require_versions(connection)
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS rankgres"))
        connection.commit()
        command.upgrade(_config(connection), revision)
        _write_model_cards(connection)


def downgrade(url: str, revision: str) -> None:
    """Downgrade the database to a revision, "base" for none; what the revisions hold is lost."""
    with _guarded(url) as connection:
        command.downgrade(_config(connection), revision)


def newest_revision() -> str:
    """Return the revision this version of Rankgres works with."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert head is not None
    return head


def current_revision(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
    """Return the database's revision, or None where there is no schema yet."""
    if connection.execute("SELECT to_regclass('rankgres.alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM rankgres.alembic_version").fetchone()
    return str(row[0]) if row else None


@contextmanager
def _guarded(url: str) -> Iterator[Connection]:
    require_url(url)
    # SQLAlchemy reads fewer forms of a URL than libpq does.
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )
    with translated(), _unwrapped(), engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{_RUN_LOCK_TIMEOUT}'"))
        connection.execute(text(_RUN_LOCK))
        connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
        connection.execute(text(f"SET statement_timeout = '{_STATEMENT_TIMEOUT}'"))
        connection.commit()
        # The lock goes with the session, also when this process is killed.
        yield connection


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Let the driver's own error through in place of SQLAlchemy's, so code catches one kind."""
    try:
        yield
    except DBAPIError as error:
        if error.orig is None:
            raise
        raise error.orig from None


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def _write_model_cards(connection: Connection) -> None:
    if connection.execute(text("SELECT to_regclass('rankgres.embedding_model')")).scalar() is None:
        # A revision of before attached tables.
        return
    cards = encoder_cards()
    chosen = get_settings().embedding_model
    default = chosen if chosen in {card.name for card in cards} else DEFAULT_ENCODER
    connection.execute(text("DELETE FROM rankgres.embedding_model"))
    connection.execute(
        text(
            "INSERT INTO rankgres.embedding_model "
            "VALUES (:name, :dimension, :max, :foreign, :chosen)"
        ),
        [
            {
                "name": card.name,
                "dimension": card.dimension,
                "max": card.max_tokens,
                "foreign": card.foreign_configs,
                "chosen": card.name == default,
            }
            for card in cards
        ],
    )
    connection.commit()


def _require_versions(connection: Connection) -> None:
    server = int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10000
    if server < MIN_POSTGRES:
        raise SchemaMismatchError(
            f"this is Postgres {server}",
            field="database_url",
            mend=f"use Postgres {MIN_POSTGRES} or newer",
        )
    installed = "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'vector'"
    version = connection.execute(text(installed)).scalar()
    if version is None:
        _create_extension(connection)
        version = connection.execute(text(installed)).scalar_one()
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_PGVECTOR:
        raise SchemaMismatchError(
            f"this database has pgvector {version}",
            field="database_url",
            mend="install pgvector 0.8 or newer, then run: ALTER EXTENSION vector UPDATE",
        )


def _create_extension(connection: Connection) -> None:
    available = "SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'vector'"
    if connection.execute(text(available)).first() is None:
        raise SchemaMismatchError(
            "this Postgres server has no pgvector",
            field="database_url",
            mend="install pgvector 0.8 on the server (most managed Postgres services offer it)",
        )
    try:
        connection.execute(text("CREATE EXTENSION vector"))
    except DBAPIError as error:
        raise SchemaMismatchError(
            f"pgvector could not be created: {error.orig}",
            field="database_url",
            mend="run as a superuser of that database: CREATE EXTENSION vector",
        ) from None
