"""Dead letters: documents that could not be indexed, why, and when they are tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from service.collections.collection import active_generation
from service.db.connection import Connection
from service.db.statements import load_statements

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A document that failed: for good since ``dead_at``, or until ``next_try_at``."""

    document_id: str
    attempts: int
    last_error: str | None
    enqueued_at: datetime
    dead_at: datetime | None
    next_try_at: datetime | None


def list_dead_letters(
    connection: Connection, collection: str, limit: int = 100
) -> list[DeadLetter]:
    """Return documents that failed, the dead first, then those that are tried again soonest.

    Raises:
        NotFoundError: there is no collection of that name.
    """
    active_generation(connection, collection)
    values = {"collection": collection, "limit": limit}
    with connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute(_SQL["list"], values).fetchall()


def retry_documents(
    connection: Connection, collection: str, document_ids: Sequence[str] | None = None
) -> int:
    """Try documents that failed again, from the first attempt; return how many there were.

    Args:
        connection: a connection.
        collection: a name.
        document_ids: which, those among them that have not failed are passed over; None for every
            dead letter of the collection.

    Raises:
        NotFoundError: there is no collection of that name.
    """
    active_generation(connection, collection)
    ids = None if document_ids is None else list(document_ids)
    values = {"collection": collection, "document_ids": ids}
    row = connection.execute(_SQL["retry"], values).fetchone()
    return int(row[0]) if row else 0
