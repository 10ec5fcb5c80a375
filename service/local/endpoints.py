"""Where the database, Redis and the service are: settings first, else the running stack."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from service.errors import StackNotRunningError
from service.settings import Settings, get_settings


@dataclass(frozen=True, slots=True)
class StackRecord:
    """What ``stack.json`` in RANKGRES_HOME says of a running stack.

    ``pid`` is the supervisor's process; ``started`` its creation time in seconds since the epoch,
    so that a reused process id is not taken for it.
    """

    pid: int
    started: float
    database_url: str
    redis_url: str
    service_url: str


def record_path(home: Path) -> Path:
    """Return where a stack at ``home`` leaves its record."""
    return home / "stack.json"


def write_record(home: Path, record: StackRecord) -> None:
    """Write the record; readers see the old one or the new one, never half of it."""
    path = record_path(home)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def read_record(home: Path) -> StackRecord | None:
    """Return the record at ``home``, or None where there is none that can be read."""
    try:
        return StackRecord(**json.loads(record_path(home).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _stack_record(settings: Settings, variable: str) -> StackRecord:
    record = read_record(settings.home)
    if record is None or not _is_alive(record.pid):
        raise StackNotRunningError(
            f"no stack is running in {settings.home}",
            field=variable,
            mend=f"start one with 'rankgres up', or set {variable}",
        )
    return record


def _is_alive(pid: int) -> bool:
    """Return whether the process lives: a killed supervisor leaves its record behind."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, so it lives
        return True
    return True


def database_url(settings: Settings | None = None) -> str:
    """Return the libpq URL of the database.

    Raises:
        StackNotRunningError: RANKGRES_DATABASE_URL is unset and no stack runs at RANKGRES_HOME.
    """
    settings = settings or get_settings()
    url = settings.database_url
    return url or _stack_record(settings, "RANKGRES_DATABASE_URL").database_url


def redis_url(settings: Settings | None = None) -> str:
    """Return the URL of Redis; raises like ``database_url``."""
    settings = settings or get_settings()
    return settings.redis_url or _stack_record(settings, "RANKGRES_REDIS_URL").redis_url


def service_url(settings: Settings | None = None) -> str:
    """Return the base URL of the service, without a slash at its end; raises alike."""
    settings = settings or get_settings()
    url = settings.service_url or _stack_record(settings, "RANKGRES_SERVICE_URL").service_url
    return url.rstrip("/")


def celery_broker_url(redis_url: str) -> str:
    """Return the URL as Celery wants it, for its broker and its results alike.

    Only a Unix socket is written differently: ``redis+socket`` for ``unix``, and ``virtual_host``
    for the number of the database, ``db``.
    """
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    names = {"db": "virtual_host"}
    query = urlencode([(names.get(name, name), value) for name, value in parse_qsl(parts.query)])
    return f"redis+socket://{parts.netloc}{parts.path}" + (f"?{query}" if query else "")
