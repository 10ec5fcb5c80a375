"""Writing chunks: all or nothing against changes and late workers, and never in anybody's way."""

import pytest

from service.db.connection import Pool, transaction
from service.errors import NotFoundError
from service.ingest.chunks import write_chunks
from service.ingest.outbox import Lease, claim_documents, finish_documents, release_documents
from service.settings import Settings
from tests.support.collections import (
    chunk,
    found,
    make_collection,
    outbox,
    put_documents,
    replace_chunks,
    search,
)

SETTINGS = Settings(lease_seconds=60, max_attempts=3)


@pytest.fixture
def generation(pool: Pool) -> int:
    """A collection with the documents a, b and c queued."""
    with transaction(pool) as connection:
        generation = make_collection(connection)
        put_documents(connection, generation, ["a", "b", "c"])
    return generation


def claimed(pool: Pool, generation: int) -> Lease:
    with transaction(pool) as connection:
        lease = claim_documents(connection, generation, SETTINGS)
    assert lease is not None
    return lease


def write(pool: Pool, lease: Lease, word: str) -> None:
    with pool.connection() as connection:
        write_chunks(connection, lease, [chunk(name, word) for name in lease.document_ids])


def holding(pool: Pool, word: str) -> list[str]:
    with transaction(pool) as connection:
        return found(search(connection, word))


def queued(pool: Pool, generation: int) -> set[str]:
    with transaction(pool) as connection:
        return set(outbox(connection, generation))


def expire(pool: Pool) -> None:
    with transaction(pool) as connection:
        connection.execute("UPDATE rankgres.outbox SET due_at = clock_timestamp()")


def test_chunks_and_the_outbox_change_together(pool: Pool, generation: int) -> None:
    write(pool, claimed(pool, generation), "first")
    assert holding(pool, "first") == ["a", "b", "c"]
    assert queued(pool, generation) == set()


def test_a_leased_document_without_chunks_loses_those_it_had(pool: Pool, generation: int) -> None:
    write(pool, claimed(pool, generation), "first")
    with transaction(pool) as connection:
        connection.execute("DELETE FROM rankgres.document WHERE id = 'b'")
    lease = claimed(pool, generation)
    with pool.connection() as connection:
        write_chunks(connection, lease, [])
    assert holding(pool, "first") == ["a", "c"]


def test_a_document_changed_meanwhile_stays_queued_and_keeps_its_chunks(
    pool: Pool, generation: int
) -> None:
    write(pool, claimed(pool, generation), "old")
    with transaction(pool) as connection:
        put_documents(connection, generation, dict.fromkeys("abc", "new"))
    lease = claimed(pool, generation)
    with transaction(pool) as connection:
        put_documents(connection, generation, {"b": "newer"})
    write(pool, lease, "new")
    assert holding(pool, "new") == ["a", "c"]
    assert holding(pool, "old") == ["b"]
    with transaction(pool) as connection:
        [row] = outbox(connection, generation).values()
    assert (row.document_id, row.lease, row.attempts) == ("b", None, 0)
    write(pool, claimed(pool, generation), "newer")
    assert holding(pool, "newer") == ["b"]


def test_a_late_worker_leaves_no_chunks(pool: Pool, generation: int) -> None:
    late = claimed(pool, generation)
    expire(pool)
    lease = claimed(pool, generation)
    write(pool, late, "late")
    assert holding(pool, "late") == []
    write(pool, lease, "right")
    write(pool, late, "late")
    assert holding(pool, "right") == ["a", "b", "c"]
    assert holding(pool, "late") == []


def test_a_late_worker_whose_lease_nobody_took_may_finish(pool: Pool, generation: int) -> None:
    lease = claimed(pool, generation)
    expire(pool)
    write(pool, lease, "slow")
    assert holding(pool, "slow") == ["a", "b", "c"]


def test_an_application_does_not_wait_for_a_worker_that_is_writing(
    pool: Pool, generation: int
) -> None:
    lease = claimed(pool, generation)
    with transaction(pool) as worker, transaction(pool) as application:
        replace_chunks(worker, generation, [chunk(name, "word") for name in "abc"])
        application.execute("SET LOCAL lock_timeout = '2s'")
        put_documents(application, generation, {"a": "changed", "new": "text"})
        application.execute("DELETE FROM rankgres.document WHERE id = 'b'")
        application.commit()
        assert finish_documents(worker, lease) == {"c"}


def test_a_worker_does_not_wait_for_an_application(pool: Pool, generation: int) -> None:
    """Else it would hold what the application may write next, and one of them would have to die."""
    lease = claimed(pool, generation)
    with pool.connection() as worker, transaction(pool) as application:
        worker.execute("SET lock_timeout = '2s'")
        worker.commit()
        put_documents(application, generation, {"b": "being changed"})
        write_chunks(worker, lease, [chunk(name, "word") for name in "abc"])
        assert holding(pool, "word") == ["a", "c"]
        application.execute("SET LOCAL lock_timeout = '2s'")
        put_documents(application, generation, {"a": "and this", "c": "and that"})
    with transaction(pool) as connection:
        rows = outbox(connection, generation)
    assert set(rows) == {"a", "b", "c"}
    # What could not be given back comes due when its lease ends.
    assert rows["b"].lease == lease.id
    expire(pool)
    write(pool, claimed(pool, generation), "after")
    assert holding(pool, "after") == ["a", "b", "c"]


def test_releasing_skips_what_an_application_is_changing(pool: Pool, generation: int) -> None:
    lease = claimed(pool, generation)
    with transaction(pool) as application, transaction(pool) as worker:
        put_documents(application, generation, {"b": "being changed"})
        worker.execute("SET LOCAL lock_timeout = '2s'")
        release_documents(worker, lease)
        rows = outbox(worker, generation)
        assert {name: row.lease is None for name, row in rows.items()} == {
            "a": True,
            "b": False,
            "c": True,
        }


def test_chunks_of_a_dropped_collection_are_refused(pool: Pool, generation: int) -> None:
    lease = claimed(pool, generation)
    with transaction(pool) as connection:
        connection.execute("SELECT rankgres.collection_drop_v2('papers')")
    with pytest.raises(NotFoundError, match="does not exist"), transaction(pool) as connection:
        write_chunks(connection, lease, [chunk("a", "word")])
