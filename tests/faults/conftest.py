"""A stack of its own for what harms processes, with leases and pauses short enough to wait for."""

from collections.abc import Iterator

import pytest

from tests.faults.ingestion import Ingestion
from tests.support.stack import RealStack


@pytest.fixture(scope="session")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    """A running stack whose processes may be killed."""
    stack = RealStack(
        tmp_path_factory.mktemp("fragile"),
        lease_seconds=3,
        embed_batch_documents=16,
        max_attempts=6,
        hnsw_min_chunks=100,
        encode_timeout_ms=1500,
        query_cache_seconds=0,
    )
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture
def ingestion(fragile: RealStack) -> Iterator[Ingestion]:
    """An empty collection of its own, and what is needed to fill and to check it."""
    with Ingestion.begin(fragile) as ingestion:
        yield ingestion
