"""What a stack is made of: its servers and our own processes, each with its ready check."""

import http.client
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

from service.errors import InvalidInputError
from service.local.postgres import DATABASE, EmbeddedPostgres
from service.local.process import ProcessSpec
from service.local.redis import EmbeddedRedis
from service.settings import Settings
from service.task_names import EMBED_QUEUE, ENCODE_QUEUE, PULSE_PREFIX, RERANK_QUEUE

_PROJECT = Path(__file__).resolve().parents[2]
_ALIVE_STATUS = 200
#: Embedding takes every core it gets; a waiting query must not stand behind it.
_EMBED_NICE = 5


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of one stack: embedded ones, or None where the settings name a real one."""

    postgres: EmbeddedPostgres | None
    redis: EmbeddedRedis | None
    redis_url: str

    def initialise(self) -> list[ProcessSpec]:
        """Make the folders and configurations; return the processes to start."""
        servers = [server for server in (self.redis, self.postgres) if server]
        for server in servers:
            server.initialise()
        # Stopped in reverse: Redis, then Postgres.
        return [server.process() for server in reversed(servers)]

    def ensure_database(self, settings: Settings) -> str:
        """Return the database's URL, having made the database in an embedded Postgres."""
        if self.postgres:
            return self.postgres.ensure_database(DATABASE)
        assert settings.database_url, "without an embedded Postgres there is a given one"
        return settings.database_url

    def clean(self) -> None:
        """Remove what stopped servers leave outside RANKGRES_HOME."""
        for server in (self.postgres, self.redis):
            if server:
                server.clean()


def plan_servers(settings: Settings, home: Path) -> Servers:
    """Choose, for Postgres and Redis, between the one the settings name and an embedded one."""
    embedded_redis = None if settings.redis_url else EmbeddedRedis(home / "redis")
    return Servers(
        postgres=None
        if settings.database_url
        else EmbeddedPostgres(home / "postgres", settings.postgres_version),
        redis=embedded_redis,
        redis_url=settings.redis_url or (embedded_redis.url if embedded_redis else ""),
    )


def own_processes(environment: Mapping[str, str], redis_url: str) -> list[ProcessSpec]:
    """Return the relay and the three workers."""
    return [
        _command("relay", ["relay"], environment),
        _worker(ENCODE_QUEUE, environment, redis_url),
        _worker(RERANK_QUEUE, environment, redis_url),
        _worker(EMBED_QUEUE, environment, redis_url, nice=_EMBED_NICE),
    ]


def service_process(environment: Mapping[str, str], host: str, port: int) -> ProcessSpec:
    """Return the HTTP service, ready when it answers."""
    return _command(
        "service",
        ["serve"],
        environment,
        ready=lambda _pid: _answers(reachable_host(host), port),
        essential=True,
    )


def child_environment(
    settings: Settings, home: Path, database_url: str, redis_url: str, port: int
) -> dict[str, str]:
    """Return the environment of our own processes: ours, and where everything is."""
    search_path = [str(_PROJECT), os.environ.get("PYTHONPATH", "")]
    return dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join(path for path in search_path if path),
        "RANKGRES_HOME": str(home),
        "RANKGRES_DATABASE_URL": database_url,
        "RANKGRES_REDIS_URL": redis_url,
        "RANKGRES_SERVICE_PORT": str(port),
        "RANKGRES_SERVICE_URL": service_address(settings.service_host, port),
    }


def service_address(host: str, port: int) -> str:
    """Return the base URL under which this machine reaches the service."""
    host = reachable_host(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reachable_host(host: str) -> str:
    """Return an address to connect to where ``host`` means every interface."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  compared, not bound


def choose_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0.

    Raises:
        InvalidInputError: Something listens there already, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the service will do it: a port whose last connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InvalidInputError(
                f"the service cannot listen on {host} port {port}: {error.strerror}",
                field="RANKGRES_SERVICE_PORT",
                value=port,
                mend="choose another with --port; 0 picks a free one",
            ) from error
        chosen: int = probe.getsockname()[1]
        return chosen


def _worker(
    queue: str, environment: Mapping[str, str], redis_url: str, nice: int = 0
) -> ProcessSpec:
    return _command(
        f"worker-{queue}",
        ["worker", queue],
        environment,
        nice=nice,
        ready=lambda pid: _has_pulse(redis_url, queue, pid),
    )


def _command(
    name: str,
    arguments: list[str],
    environment: Mapping[str, str],
    *,
    ready: Callable[[int], bool] | None = None,
    nice: int = 0,
    essential: bool = False,
) -> ProcessSpec:
    """Return a process of ours: a command of ``rankgres`` in this interpreter.

    -P keeps the working directory off the import path, where a user may have a ``service`` too.
    """
    return ProcessSpec(
        name=name,
        argv=[sys.executable, "-P", "-m", "service.cli", *arguments],
        environment=environment,
        ready=ready,
        nice=nice,
        essential=essential,
    )


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == _ALIVE_STATUS
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _has_pulse(redis_url: str, queue: str, pid: int) -> bool:
    """Return whether this very worker keeps a pulse; one that died may leave its own a while."""
    pattern = f"{PULSE_PREFIX}{queue}:*:{pid}"
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=1) as client:
            return any(True for _ in client.scan_iter(match=pattern, count=1000))
    except redis.RedisError:
        return False
