"""Queues the rows that tables had before they were attached, little by little, in key order."""

import logging
import threading
import time
from typing import Final

import psycopg

from service.db.connection import Connection, connect
from service.db.driver_errors import translated
from service.errors import DatabaseUnavailableError, RankgresError
from service.ingest.outbox import step_backfill, unfinished_backfills

log = logging.getLogger(__name__)

#: Between two looks where nothing was to be queued.
_PAUSE_SECONDS: Final = 0.25
#: Rows queued at once, and documents of a backfill that may be due: enough for a few seconds of the
#: fastest workers; a longer queue costs room and no worker is faster for it.
_STEP_ROWS: Final = 5_000
_QUEUE_LIMIT: Final = 20_000
#: Until a source is tried again that could not be read.
_FAILED_SECONDS: Final = 10.0


def queue_backfills(database_url: str, stop: threading.Event) -> None:
    """Step every unfinished backfill in turn, until told to stop, through losses of Postgres."""
    failed: dict[int, float] = {}
    while not stop.is_set():
        try:
            with connect(database_url, autocommit=True) as connection, translated():
                # Whoever alters a table may lock it for long: others have their turn meanwhile.
                connection.execute("SET lock_timeout = '1s'")
                while not stop.is_set():
                    if not _step_all(connection, failed):
                        stop.wait(_PAUSE_SECONDS)
        except DatabaseUnavailableError as error:
            log.warning("%s; trying again", error.detail)
            stop.wait(1.0)


def _step_all(connection: Connection, failed: dict[int, float]) -> bool:
    """Step every backfill once; return whether there is more to do at once."""
    more = False
    for generation_id in unfinished_backfills(connection):
        if failed.get(generation_id, 0.0) > time.monotonic():
            continue
        try:
            with translated():
                queued = step_backfill(connection, generation_id, _STEP_ROWS, _QUEUE_LIMIT)
            more = more or queued > 0
        except (RankgresError, psycopg.Error) as error:
            # Of a lost connection the next statement tells.
            failed[generation_id] = time.monotonic() + _FAILED_SECONDS
            log.warning(
                "the backfill of generation %d waits %.0f s: %s",
                generation_id,
                _FAILED_SECONDS,
                error,
            )
    return more
