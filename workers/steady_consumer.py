"""Celery's consumer, but quick to find a Redis that came back, and with a truthful pulse."""

import logging
import os
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from workers.pulse import BEAT_SECONDS, BROKEN, Heart

log = logging.getLogger(__name__)

# Celery explains a setting at length at every loss of the connection, also where it is set.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

#: Celery's own waits grow to half a minute, in which every search would go without this worker.
_RECONNECT_SECONDS = 0.5


class SteadyConsumer(Consumer):  # type: ignore[misc]  # Celery has no annotations
    """Takes messages for as long as the process lives; ``app.heart`` is its pulse.

    The heart beats in the loop that takes the messages: a worker that has lost its queue, or hangs,
    has no pulse, and no search waits for it.
    """

    def start(self) -> None:
        """Take messages until told to stop; an error that ends that ends the process, at once.

        Celery would wait for its threads first, which may wait for what does not come: such an
        error is a lack of memory. Callers' answers are lost with them, and a supervisor starts
        another worker in a moment.
        """
        try:
            super().start()
        except Exception:
            log.critical("the worker cannot go on; ending", exc_info=True)
            os._exit(BROKEN)

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once it stands, however long that takes."""
        lost = False

        def tell_once(error: Exception, _interval: float) -> None:
            nonlocal lost
            if not lost:
                log.warning("Redis cannot be reached (%s); trying again", error)
            lost = True

        return conn.ensure_connection(
            tell_once,
            interval_start=_RECONNECT_SECONDS,
            interval_step=0,
            interval_max=_RECONNECT_SECONDS,
            # Ends the process where it was told to stop meanwhile.
            callback=maybe_shutdown,
        )

    def register_with_event_loop(self, hub: Any) -> None:
        """Begin to beat. Celery ends that when the connection is lost, and begins with the next."""
        super().register_with_event_loop(hub)
        heart: Heart = self.app.heart
        heart.beat()
        hub.call_repeatedly(BEAT_SECONDS, heart.beat)
