"""One database a version for all tests that roll back: what they make is never seen by others."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from service.db.connection import Connection, connect
from tests.support.databases import DatabaseServer


@pytest.fixture(scope="session")
def _shared_urls(_servers: dict[int, DatabaseServer]) -> Iterator[dict[int, str]]:
    with ExitStack() as stack:
        yield {version: stack.enter_context(server.clone()) for version, server in _servers.items()}


@pytest.fixture
def connection(server: DatabaseServer, _shared_urls: dict[int, str]) -> Iterator[Connection]:
    """A connection in one transaction, rolled back at the end; no database of its own to make."""
    with connect(_shared_urls[server.version]) as connection:
        yield connection
        connection.rollback()
