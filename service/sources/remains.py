"""Remains: what indexing wrote down for a while, removed once nobody reads it."""

from service.db.connection import Connection
from service.db.statements import load_statements

_SQL = load_statements(__file__)


def sweep_remains(connection: Connection) -> None:
    """Remove old activity, finished backfills and changes of sources that are detached."""
    for name in ("sweep_activity", "sweep_backfills", "sweep_changes"):
        connection.execute(_SQL[name])
