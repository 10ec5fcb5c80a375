"""A bulk load holds up neither single changes nor other collections, with real processes."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.faults.conftest import CHUNK_TOKENS, OVERLAP_TOKENS, make_documents, put
from tests.support.index_truth import Connection, progress, wait_drained
from tests.support.stack import RealStack
from tests.support.waiting import eventually


@pytest.fixture
def other(http: httpx.Client) -> Iterator[str]:
    """Another collection beside the one that is loaded."""
    name = f"other-{uuid4().hex[:8]}"
    sizes = {"chunk_tokens": CHUNK_TOKENS, "overlap_tokens": OVERLAP_TOKENS}
    assert http.post("/collections", json={"name": name, **sizes}).status_code == 201
    yield name
    http.delete(f"/collections/{name}")


def load(fragile: RealStack, http: httpx.Client, database: Connection, *collections: str) -> None:
    """Queue many documents of each collection as a backfill does, before a worker sees them."""
    with fragile.held_down("relay"):
        for collection in collections:
            for part in range(3):
                documents = make_documents(1000, seed=part)
                put(http, collection, [d | {"id": f"{part}-{d['id']}"} for d in documents])
        database.execute("UPDATE rankgres.outbox SET priority = 1")


def test_a_single_change_is_searchable_in_the_middle_of_a_bulk_load(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    other: str,
) -> None:
    load(fragile, http, database, collection)
    eventually(lambda: progress(database, collection)[0] > 0, "the load has begun")
    for place, changed in enumerate((other, collection, other)):
        before = progress(database, collection)[1]
        answer = http.post(
            f"/collections/{changed}/documents",
            json={"documents": [{"id": f"edit {place}", "text": "An edit."}], "wait": True},
        ).json()
        assert answer["waiting"] == 0
        left = progress(database, collection)[1]
        assert left > 0, f"edit {place} waited for the whole load"
        # Nor did it stop the load: the rest is bulk, and goes on.
        assert left <= before
    wait_drained(database, collection)
    assert progress(database, collection) == (3001, 0)


def test_two_loads_share_the_workers(
    fragile: RealStack, http: httpx.Client, database: Connection, collection: str, other: str
) -> None:
    load(fragile, http, database, collection, other)
    eventually(
        lambda: progress(database, collection)[0] > 0 and progress(database, other)[0] > 0,
        "both are under way",
    )
    assert progress(database, collection)[1] > 0
    assert progress(database, other)[1] > 0
    http.delete(f"/collections/{other}")
    wait_drained(database, collection)
