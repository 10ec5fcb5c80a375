"""How processes write their logs: one line an event, to standard error, kept by the supervisor."""

import logging
import sys

from service.settings import Settings


def set_up_logs(settings: Settings, process: str) -> None:
    """Send this process's log to standard error, each line with time, process and level."""
    logging.basicConfig(
        level=settings.log_level,
        stream=sys.stderr,
        format=f"%(asctime)s {process} %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # These write a line for every request, task or attempt to connect; failures are warnings.
    for chatty in ("httpx", "celery.app.trace", "celery.worker.strategy", "psycopg.pool"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
