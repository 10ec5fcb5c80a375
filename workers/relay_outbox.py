"""Relay: wakes embedding workers when the outbox has due documents.

Wake-ups may be lost, doubled or late without harm: what counts stands in the outbox. Any number of
relays may run.
"""

import logging
import threading

import kombu.exceptions
import redis
from celery import Celery

from service.db.connection import Connection, connect
from service.errors import DatabaseUnavailableError
from service.ingest.outbox import due_generations
from service.settings import Settings
from service.task_names import EMBED_DOCUMENTS, EMBED_QUEUE

log = logging.getLogger(__name__)

#: The longest time a due document waits for a wake-up that no notification announced: leases that
#: ended, pauses that are over, messages that Redis lost.
_POLL_SECONDS = 0.25
#: Wake-ups of one generation at a time; more workers than that wake up poll after poll.
_MAX_WAKE_UPS = 4


def relay_outbox(
    database_url: str,
    sender: Celery,
    broker: redis.Redis,
    settings: Settings,
    stop: threading.Event,
) -> None:
    """Relay until told to stop, through losses of Postgres and Redis."""
    while not stop.is_set():
        try:
            with connect(database_url, autocommit=True) as connection:
                connection.execute("LISTEN rankgres_outbox")
                log.info("relaying")
                while not stop.is_set():
                    _wake_workers(connection, sender, broker, settings)
                    # Returns early at a notification.
                    list(connection.notifies(timeout=_POLL_SECONDS, stop_after=1))
        except DatabaseUnavailableError as error:
            log.warning("%s; trying again", error.detail)
            stop.wait(1.0)


def _wake_workers(
    connection: Connection, sender: Celery, broker: redis.Redis, settings: Settings
) -> None:
    batch = settings.embed_batch_documents
    try:
        # Wake-ups nobody has taken yet are enough.
        if broker.llen(EMBED_QUEUE) > 0:
            return
        for due in due_generations(connection, count_limit=_MAX_WAKE_UPS * batch):
            for _ in range(min(_MAX_WAKE_UPS, -(-due.documents // batch))):
                sender.send_task(EMBED_DOCUMENTS, args=[due.generation_id], queue=EMBED_QUEUE)
    except (redis.RedisError, kombu.exceptions.OperationalError) as error:
        log.warning("Redis cannot be reached (%s); trying again", error)
