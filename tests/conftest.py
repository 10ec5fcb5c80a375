"""What every test may use: migrated databases on Postgres 16 and 18, Redis, exported models.

A server and a migrated template are made once a session, and cloned for each test.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import httpx
import pytest
from hypothesis import settings as hypothesis_settings

from service.db.connection import Connection, Pool, connect, open_pool
from service.local.redis import EmbeddedRedis
from service.settings import Settings, get_settings
from tests.support.databases import DatabaseServer
from tests.support.stack import RealStack

VERSIONS = (16, 18)

# A busy machine may take long for an example that takes a millisecond: no test is one of speed.
hypothesis_settings.register_profile("any machine", deadline=None)
hypothesis_settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def _own_environment() -> Iterator[None]:
    """Run with no setting of the developer's; exported models are shared by the whole session."""
    saved = {name: value for name, value in os.environ.items() if name.startswith("RANKGRES_")}
    models = saved.pop("RANKGRES_MODEL_FOLDER", None)
    for name in saved:
        del os.environ[name]
    if models is None:
        models = str(Path(__file__).parents[1] / ".venv" / "test-models")
        os.environ["RANKGRES_MODEL_FOLDER"] = models
    get_settings.cache_clear()
    yield
    os.environ.update(saved)


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A folder for servers, not below pytest's.

    As root, Postgres is another user, and another run of pytest closes that one to other users.
    """
    with TemporaryDirectory(prefix="rankgres-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def _servers(session_folder: Path) -> Iterator[dict[int, DatabaseServer]]:
    servers = {
        version: DatabaseServer(session_folder / f"postgres{version}", version)
        for version in VERSIONS
    }
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture(params=VERSIONS, ids=lambda version: f"postgres{version}")
def server(request: pytest.FixtureRequest, _servers: dict[int, DatabaseServer]) -> DatabaseServer:
    """A running server of each supported major version that can be had here."""
    return _servers[request.param]


@pytest.fixture
def database_url(server: DatabaseServer) -> Iterator[str]:
    """A database of its own, migrated, on each version."""
    with server.clone() as url:
        yield url


@pytest.fixture
def newest_database_url(_servers: dict[int, DatabaseServer]) -> Iterator[str]:
    """A database of its own on the newest version alone, where the version cannot matter."""
    with _servers[VERSIONS[-1]].clone() as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection in one transaction, rolled back at the end."""
    with connect(database_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    """A pool of connections to a database of its own."""
    with open_pool(database_url) as pool:
        yield pool


@pytest.fixture(scope="session")
def redis_server(session_folder: Path) -> Iterator[EmbeddedRedis]:
    """A running Redis."""
    server = EmbeddedRedis(session_folder / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def stack(session_folder: Path) -> Iterator[RealStack]:
    """Every process of Rankgres, running; whoever harms one waits until it is back.

    No worker that embeds queries is harmed: one that a busy machine holds up is waited for.
    """
    stack = RealStack(session_folder / "stack", encode_timeout_ms=30_000)
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def http(stack: RealStack) -> Iterator[httpx.Client]:
    """A client of the running service."""
    with stack.http() as client:
        yield client


@pytest.fixture
def collection(http: httpx.Client) -> Iterator[str]:
    """An empty collection of its own on the running stack."""
    name = f"test-{uuid4().hex}"
    assert http.post("/collections", json={"name": name}).status_code == 201
    yield name
    http.delete(f"/collections/{name}")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a home of its own."""
    return Settings(home=tmp_path / "home")
