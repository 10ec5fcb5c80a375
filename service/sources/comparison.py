"""Comparison: finds what changed in a source where no trigger tells, or where one could not."""

import logging

from service.db.connection import Connection
from service.db.statements import load_statements

log = logging.getLogger(__name__)

_SQL = load_statements(__file__)


def compare_due_sources(connection: Connection) -> int:
    """Compare every source that is due with its index; return how many documents were queued.

    Due is a source whose time has passed, or in which something changed that only comparing finds
    (TRUNCATE, a trigger that failed). One that cannot be compared holds no other up, and is tried
    again half a minute later. Of several processes, one compares a source.

    Args:
        connection: commits at once.
    """
    queued = 0
    for collection_id, collection in connection.execute(_SQL["due"]).fetchall():
        values = {"collection_id": collection_id}
        unknown = connection.execute(_SQL["unknown"], values).fetchone()
        assert unknown is not None
        values["unknown_changes"] = unknown[0]
        row = connection.execute(_SQL["compare"], values).fetchone()
        if row and row[0]:
            log.info("comparing the source of %s queued %s documents", collection, row[0])
            queued += row[0]
        error = connection.execute(_SQL["error"], values).fetchone()
        if error and error[0]:
            log.warning("the source of %s cannot be compared: %s", collection, error[0])
    return queued
