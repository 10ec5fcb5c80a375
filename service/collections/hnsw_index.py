"""The HNSW index of a generation: built once, after the first load, without holding up writes."""

import logging
import time
from dataclasses import dataclass

import psycopg.errors
from psycopg import sql
from psycopg.rows import class_row

from service.db.connection import Connection, connect
from service.db.driver_errors import translated
from service.db.statements import load_statements

log = logging.getLogger(__name__)

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a running build is; ``share`` of its current phase is between 0 and 1."""

    phase: str
    share: float


def generations_due(connection: Connection, min_chunks: int) -> list[int]:
    """Return generations that have drained, hold ``min_chunks`` or more, and have no index."""
    return [row[0] for row in connection.execute(_SQL["due"], {"min_chunks": min_chunks})]


def build_hnsw_index(database_url: str, generation_id: int) -> bool:
    """Build the index concurrently, and have searches use it from then on.

    Returns False where another session is building it, or the generation is dropped. An
    interrupted build leaves an invalid index that the next one removes; killing this at any moment
    loses only time.

    Args:
        database_url: straight to Postgres, since the lock lives in the session.
        generation_id: the generation.
    """
    values = {"generation_id": generation_id}
    with translated(), connect(database_url, autocommit=True) as connection:
        if connection.execute(_SQL["lock"], values).fetchone() != (True,):
            return False
        started = time.monotonic()
        for (name,) in connection.execute(_SQL["invalid"], values).fetchall():
            index = sql.Identifier("rankgres", name)
            connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(index))
        definition = connection.execute(_SQL["definition"], values).fetchone()
        if definition is None or definition[0] is None:
            return False  # dropped meanwhile
        try:
            connection.execute(definition[0])
        except psycopg.errors.QueryCanceled:
            return False  # dropping the collection ends a build
        connection.execute(_SQL["flush_pending_lexemes"], values)
        table = sql.Identifier("rankgres", f"chunk_{generation_id}")
        connection.execute(sql.SQL("ANALYZE {}").format(table))
        connection.execute(_SQL["mark_ready"], values)
        log.info(
            "built the HNSW index of generation %s in %.1f s",
            generation_id,
            time.monotonic() - started,
        )
        return True


def build_progress(connection: Connection, generation_id: int) -> BuildProgress | None:
    """Return how far the build is, or None where none is running."""
    with connection.cursor(row_factory=class_row(BuildProgress)) as cursor:
        return cursor.execute(_SQL["progress"], {"generation_id": generation_id}).fetchone()
