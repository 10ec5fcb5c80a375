"""Relay: queues what triggers noted, and wakes embedding workers when the outbox has due documents.

Wake-ups may be lost, doubled or late without harm: what counts stands in the outbox. Any number of
relays may run.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence

import kombu.exceptions
import psycopg
import redis
from celery import Celery

from service.db.connection import Connection, connect
from service.db.driver_errors import translated
from service.errors import DatabaseUnavailableError, RankgresError
from service.ingest.outbox import DueGeneration, due_generations, fold_source_changes
from service.task_names import EMBED_DOCUMENTS, EMBED_QUEUE
from workers.queue_backfills import queue_backfills

log = logging.getLogger(__name__)

#: The longest time a due document waits for a wake-up that no notification announced: changes of
#: attached tables, leases that ended, pauses that are over, messages that Redis lost.
_POLL_SECONDS = 0.25
#: Wake-ups of one generation at a time; more workers than that wake up poll after poll.
_MAX_WAKE_UPS = 4
#: So many due documents are worth a worker more.
_DOCUMENTS_A_WAKE_UP = 64
#: Rows of source_change moved in one statement, with up to a thousand documents each.
_FOLDED_ROWS = 16
#: After so long workers are woken for what was moved so far.
_FOLD_SECONDS = 1.0


def relay_outbox(
    database_url: str,
    sender: Celery,
    broker: redis.Redis,
    stop: threading.Event,
) -> None:
    """Relay until told to stop, through losses of Postgres and Redis."""
    # Apart: it reads the application's tables, which others may have locked.
    backfills = threading.Thread(
        target=queue_backfills, args=(database_url, stop), name="backfills"
    )
    backfills.start()
    while not stop.is_set():
        try:
            with connect(database_url, autocommit=True) as connection, translated():
                connection.execute("LISTEN rankgres_outbox")
                log.info("relaying")
                while not stop.is_set():
                    _fold_changes(connection)
                    _wake_workers(connection, sender, broker)
                    # Returns early at a notification.
                    list(connection.notifies(timeout=_POLL_SECONDS, stop_after=1))
        except DatabaseUnavailableError as error:
            log.warning("%s; trying again", error.detail)
            stop.wait(1.0)
        except (RankgresError, psycopg.Error) as error:
            # A relay that ends would stop all indexing.
            log.exception("the relay failed; trying again", exc_info=error)
            stop.wait(1.0)
    backfills.join()


def _fold_changes(connection: Connection) -> None:
    """Move what triggers noted into the outbox, until there is no more or it takes too long."""
    began = time.monotonic()
    while fold_source_changes(connection, _FOLDED_ROWS):
        if time.monotonic() - began > _FOLD_SECONDS:
            return


def _wake_workers(connection: Connection, sender: Celery, broker: redis.Redis) -> None:
    try:
        # Wake-ups nobody has taken yet are enough.
        if broker.llen(EMBED_QUEUE) > 0:
            return
        due = due_generations(connection, count_limit=_MAX_WAKE_UPS * _DOCUMENTS_A_WAKE_UP)
        for generation_id, bulk in wake_ups(due):
            sender.send_task(EMBED_DOCUMENTS, args=[generation_id, bulk], queue=EMBED_QUEUE)
    except (redis.RedisError, kombu.exceptions.OperationalError) as error:
        log.warning("Redis cannot be reached (%s); trying again", error)


def wake_ups(due: Sequence[DueGeneration]) -> Iterator[tuple[int, bool]]:
    """Yield generations to be woken for, in rounds of one each, and whether for bulk work.

    Changes that somebody waits for come first. Bulk work is woken for once a poll: a worker that
    has taken it up goes on with it.
    """
    for wake_up in range(_MAX_WAKE_UPS):
        for each in due:
            if each.edits > wake_up * _DOCUMENTS_A_WAKE_UP:
                yield each.generation_id, False
        if wake_up == 0:
            for each in due:
                if each.others:
                    yield each.generation_id, True
