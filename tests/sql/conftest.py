"""One database a version for all tests that roll back: what they make is never seen by others."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from service.collections.hnsw_index import build_hnsw_index
from service.db.connection import Connection, connect
from tests.support.collections import chunk, make_collection, replace_chunks
from tests.support.databases import DatabaseServer
from tests.support.vectors import DIMENSION, VECTORS, filters_of, text_of


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


@pytest.fixture(scope="session")
def indexed_urls(_servers: dict[int, DatabaseServer]) -> Iterator[dict[int, str]]:
    """On each version, an indexed collection of each storage type, named after it."""
    with ExitStack() as stack:
        urls = {}
        for version, server in _servers.items():
            url = urls[version] = stack.enter_context(server.clone())
            chunks = [
                chunk(
                    f"doc{number:05}",
                    text_of(number),
                    embedding=vector,
                    filters=filters_of(number),
                )
                for number, vector in enumerate(VECTORS)
            ]
            generations = []
            with connect(url) as connection:
                for storage in ("halfvec", "vector", "bit"):
                    generations.append(
                        make_collection(
                            connection, storage, embedding_dimension=DIMENSION, storage_type=storage
                        )
                    )
                    replace_chunks(connection, generations[-1], chunks)
            # No transaction may be open here: a concurrent build waits for every older one.
            for generation in generations:
                assert build_hnsw_index(url, generation)
        yield urls


@pytest.fixture
def indexed(server: DatabaseServer, indexed_urls: dict[int, str]) -> Iterator[Connection]:
    """A connection to the indexed collections, in one transaction, rolled back at the end."""
    with connect(indexed_urls[server.version]) as connection:
        yield connection
        connection.rollback()
