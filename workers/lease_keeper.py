"""A lease is kept while its documents are worked on, but not for ever."""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from service.db.connection import Pool, transaction
from service.errors import DatabaseUnavailableError
from service.ingest.outbox import Lease, extend_lease
from service.settings import Settings

log = logging.getLogger(__name__)

#: Whoever gives no sign for as long as so many leases is taken to hang.
_SILENT_LEASES: Final = 10


def longest_silence(settings: Settings) -> float:
    """Return the seconds without a sign after which a lease is not kept any longer."""
    return _SILENT_LEASES * settings.lease_seconds


class LeaseKeeper:
    """Moves the end of a lease on, in a thread of its own, as long as signs of work come.

    After a silence of ten leases it lets the lease end, so that another worker takes the documents,
    and calls ``on_silence``: a model that hangs hangs the thread that asked it, for good.
    """

    def __init__(
        self, pool: Pool, settings: Settings, lease: Lease, on_silence: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._lease = lease
        self._on_silence = on_silence
        self._last_sign = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def narrow(self, lease: Lease) -> None:
        """Keep only these documents from now on."""
        self._lease = lease

    def sign(self) -> None:
        """Tell that work goes on."""
        self._last_sign = time.monotonic()

    def stop(self) -> None:
        """Keep the lease no longer; when this returns, no extension is under way.

        One that is would hold the outbox' rows, and who finishes waits for nobody.
        """
        self._stopped.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stopped.wait(self._settings.lease_seconds / 3):
            if time.monotonic() - self._last_sign > longest_silence(self._settings):
                log.error(
                    "%d documents of generation %d have not got on for %.0f s: "
                    "the model seems to hang; they are left to another worker",
                    len(self._lease.versions),
                    self._lease.generation_id,
                    time.monotonic() - self._last_sign,
                )
                self._on_silence()
                return
            try:
                with transaction(self._pool) as connection:
                    extend_lease(connection, self._lease, self._settings)
            except DatabaseUnavailableError as error:
                log.warning("%s; the lease is extended when it is back", error.detail)
