"""Connections to Postgres: one pool a process, set up alike everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg
from pgvector.psycopg import register_vector
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from service.db.driver_errors import translated
from service.errors import InvalidInputError

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Pool: TypeAlias = ConnectionPool[Connection]

#: Seconds to wait for a connection, new or pooled, before Postgres counts as unreachable.
CONNECT_SECONDS = 5


def connect(url: str, *, autocommit: bool = False) -> Connection:
    """Open one connection outside any pool.

    Raises:
        DatabaseUnavailableError: the server does not answer or refuses.
        InvalidInputError: what is given is no URL of a Postgres.
    """
    require_url(url)
    with translated():
        connection = psycopg.connect(url, autocommit=autocommit, connect_timeout=CONNECT_SECONDS)
        _configure(connection)
        return connection


def open_pool(url: str, *, max_size: int = 8, min_size: int = 1) -> Pool:
    """Open a pool. It connects when first used, and again whenever connections are lost."""
    require_url(url)
    return ConnectionPool(
        url,
        min_size=min_size,
        max_size=max_size,
        timeout=CONNECT_SECONDS,
        # Give up reconnecting soon: the next request asks anew, and is told the truth meanwhile.
        reconnect_timeout=CONNECT_SECONDS,
        configure=_configure,
        # A connection that Postgres closed while it idled is replaced, not handed out.
        check=ConnectionPool.check_connection,
        kwargs={"connect_timeout": CONNECT_SECONDS, "application_name": "rankgres"},
        open=True,
    )


@contextmanager
def transaction(pool: Pool) -> Iterator[Connection]:
    """Borrow a connection for one transaction, committed at the end and rolled back on an error.

    Raises:
        DatabaseUnavailableError: no connection in time, or it broke.
    """
    with translated(), pool.connection() as connection:
        yield connection


def require_url(url: str) -> None:
    """Raise InvalidInputError where libpq could not read the URL."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise InvalidInputError(
            f"RANKGRES_DATABASE_URL cannot be read: {str(error).strip()}",
            field="RANKGRES_DATABASE_URL",
            mend="write it like postgresql://user:password@host:5432/database",
        ) from None


def _configure(connection: Connection) -> None:
    # A transaction-mode pooler gives every transaction another server connection, where a statement
    # prepared earlier may not exist.
    connection.prepare_threshold = None
    if connection.execute("SELECT to_regtype('vector')").fetchone() != (None,):
        register_vector(connection)
    connection.commit()
