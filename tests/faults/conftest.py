"""A stack of its own to be harmed, with short leases and small batches: faults show in seconds."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.index_truth import Connection, IndexTruth
from tests.support.stack import RealStack
from tests.support.waiting import eventually

CHUNK_TOKENS, OVERLAP_TOKENS = 64, 8
_WORDS = (
    "amber basin cedar delta ember fjord grove harbour inlet kelp lagoon meadow orchard prairie "
    "quarry ridge summit thicket valley"
)


@pytest.fixture(scope="session")
def fragile(session_folder: Path) -> Iterator[RealStack]:
    stack = RealStack(
        session_folder / "fragile",
        lease_seconds=2,
        embed_batch_documents=16,
        # Reached in the middle of most tests: an index is built beside the faults too.
        hnsw_min_chunks=100,
    )
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture
def http(fragile: RealStack) -> Iterator[httpx.Client]:
    """A client of the fragile stack; every test begins with a whole one."""
    with fragile.http() as client:
        # Workers come back to a Redis that was away a moment later than Redis itself.
        eventually(lambda: client.get("/health/ready").json()["status"] == "ready", "all is ready")
        yield client


@pytest.fixture
def collection(http: httpx.Client) -> Iterator[str]:
    """An empty collection on the fragile stack, cut into small chunks."""
    name = f"fault-{uuid4().hex[:8]}"
    sizes = {"chunk_tokens": CHUNK_TOKENS, "overlap_tokens": OVERLAP_TOKENS}
    assert http.post("/collections", json={"name": name, **sizes}).status_code == 201
    yield name
    http.delete(f"/collections/{name}")


@pytest.fixture
def database(fragile: RealStack) -> Iterator[Connection]:
    with psycopg.connect(fragile.record.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def truth() -> IndexTruth:
    return IndexTruth(CHUNK_TOKENS, OVERLAP_TOKENS)


def make_documents(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Make short documents; every tenth is long enough for several chunks."""
    chance, words = random.Random(seed), _WORDS.split()
    return [
        {
            "id": f"d{number:04}",
            "title": f"Note {number}",
            "text": ". ".join(
                " ".join(chance.choices(words, k=12)).capitalize()
                for _ in range(16 if number % 10 == 0 else 2)
            )
            + ".",
            "metadata": {"number": number, "seed": seed},
        }
        for number in range(count)
    ]


def put(http: httpx.Client, collection: str, documents: list[dict[str, Any]]) -> None:
    """Write documents in one transaction, without waiting for the index."""
    answer = http.post(f"/collections/{collection}/documents", json={"documents": documents})
    assert answer.status_code == 200, answer.text
