"""Leases: who may claim what and when, and what becomes of work that fails or is given back."""

from datetime import timedelta
from uuid import uuid4

import pytest

from service.db.connection import Connection, Pool, transaction
from service.ingest.outbox import (
    DueGeneration,
    Lease,
    claim_documents,
    due_generations,
    extend_lease,
    fail_documents,
    finish_documents,
    release_documents,
    sweep_orphans,
)
from service.settings import Settings
from tests.support.collections import make_collection, outbox, put_documents, value

SETTINGS = Settings(lease_seconds=60, max_attempts=3, embed_batch_documents=10)


@pytest.fixture
def generation(connection: Connection) -> int:
    return make_collection(connection)


def claim(connection: Connection, generation: int, batch_size: int | None = None) -> Lease:
    lease = claim_documents(connection, generation, SETTINGS, batch_size)
    assert lease is not None
    return lease


def nothing_due(connection: Connection, generation: int) -> bool:
    return claim_documents(connection, generation, SETTINGS) is None


def make_due(connection: Connection, generation: int) -> None:
    """Let time pass, as far as the outbox knows."""
    connection.execute(
        "UPDATE rankgres.outbox SET due_at = clock_timestamp() WHERE generation_id = %s",
        [generation],
    )


def seconds_until_due(connection: Connection, generation: int, document: str) -> float:
    due = outbox(connection, generation)[document].due_at
    left: timedelta = value(connection, "SELECT %s - clock_timestamp()", [due])
    return left.total_seconds()


def test_the_longest_due_are_claimed_first(connection: Connection, generation: int) -> None:
    for name in ("c", "a", "b"):
        put_documents(connection, generation, [name])
    assert claim(connection, generation, 2).document_ids == ["a", "c"]
    assert claim(connection, generation, 2).document_ids == ["b"]
    assert nothing_due(connection, generation)


def test_a_lease_holds_the_versions_and_ends(connection: Connection, generation: int) -> None:
    put_documents(connection, generation, ["a"])
    lease = claim(connection, generation)
    row = outbox(connection, generation)["a"]
    assert lease == Lease(row.lease or uuid4(), generation, {"a": row.version})
    assert row.attempts == 1
    assert 50 < seconds_until_due(connection, generation, "a") <= 60
    assert nothing_due(connection, generation)
    make_due(connection, generation)
    again = claim(connection, generation)
    assert again.id != lease.id
    assert again.versions == lease.versions


def test_a_lease_can_be_extended_by_its_holder_alone(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a"])
    lease = claim(connection, generation)
    longer = SETTINGS.model_copy(update={"lease_seconds": 1000.0})
    extend_lease(connection, Lease(uuid4(), generation, lease.versions), longer)
    assert seconds_until_due(connection, generation, "a") <= 60
    extend_lease(connection, lease, longer)
    assert seconds_until_due(connection, generation, "a") > 900


def test_finishing_removes_what_is_unchanged(connection: Connection, generation: int) -> None:
    put_documents(connection, generation, ["a", "b"])
    lease = claim(connection, generation)
    put_documents(connection, generation, {"b": "changed meanwhile"})
    assert finish_documents(connection, lease) == {"a"}
    row = outbox(connection, generation)["b"]
    assert (row.lease, row.attempts) == (lease.id, 0)
    assert finish_documents(connection, lease) == set()


def test_a_document_deleted_and_made_anew_with_the_same_text_is_changed(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a"])
    lease = claim(connection, generation)
    connection.execute("DELETE FROM rankgres.document WHERE id = 'a'")
    put_documents(connection, generation, ["a"])
    assert finish_documents(connection, lease) == set()


def test_who_lost_the_lease_cannot_finish_fail_release_or_extend(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a"])
    late = claim(connection, generation)
    make_due(connection, generation)
    lease = claim(connection, generation)
    before = outbox(connection, generation)
    assert finish_documents(connection, late) == set()
    fail_documents(connection, late, {"a": "too late"}, SETTINGS)
    release_documents(connection, late)
    extend_lease(connection, late, SETTINGS)
    assert outbox(connection, generation) == before
    assert finish_documents(connection, lease) == {"a"}


def test_released_documents_are_due_at_once_and_no_attempt_counts(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a"])
    for _ in range(10):
        release_documents(connection, claim(connection, generation))
    row = outbox(connection, generation)["a"]
    assert (row.lease, row.attempts, row.dead_at) == (None, 0, None)


def test_a_failure_is_put_off_ever_longer_and_is_dead_at_last(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a"])
    for attempt in (1, 2, 3):
        lease = claim(connection, generation)
        fail_documents(connection, lease, {"a": f"failure {attempt}"}, SETTINGS)
        row = outbox(connection, generation)["a"]
        assert (row.lease, row.last_error) == (None, f"failure {attempt}")
        pause = seconds_until_due(connection, generation, "a")
        assert 2**attempt * 0.5 - 1 < pause <= 2**attempt * 1.5
        assert nothing_due(connection, generation)
        make_due(connection, generation)
    assert row.dead_at is not None
    assert nothing_due(connection, generation)
    assert due_generations(connection, 10) == []


def test_one_failure_holds_up_nobody_else(connection: Connection, generation: int) -> None:
    put_documents(connection, generation, ["a", "b", "c"])
    lease = claim(connection, generation)
    fail_documents(connection, lease, {"b": "x" * 5000}, SETTINGS)
    assert finish_documents(connection, lease) == {"a", "c"}
    assert len(outbox(connection, generation)["b"].last_error or "") == 2000


def test_leases_that_end_without_a_word_make_a_dead_letter(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a", "b"])
    # Twice together, then each alone.
    for _ in range(4):
        claim(connection, generation)
        make_due(connection, generation)
    put_documents(connection, generation, ["fresh"])
    assert claim(connection, generation).document_ids == ["fresh"]
    rows = outbox(connection, generation)
    assert rows["a"].dead_at is not None
    assert rows["a"].last_error == "no worker finished it in 3 leases"
    assert rows["a"].lease is None


def test_a_new_change_revives_a_dead_letter(connection: Connection, generation: int) -> None:
    put_documents(connection, generation, ["a"])
    for _ in range(3):
        fail_documents(connection, claim(connection, generation), {"a": "no"}, SETTINGS)
        make_due(connection, generation)
    assert nothing_due(connection, generation)
    put_documents(connection, generation, {"a": "mended"})
    row = outbox(connection, generation)["a"]
    assert (row.attempts, row.last_error, row.dead_at) == (0, None, None)
    assert claim(connection, generation).document_ids == ["a"]


def test_generations_are_claimed_apart(connection: Connection, generation: int) -> None:
    other = make_collection(connection, "other")
    put_documents(connection, generation, ["a", "b"])
    put_documents(connection, other, ["a"])
    assert due_generations(connection, 10) == [
        DueGeneration(generation, edits=2, others=0),
        DueGeneration(other, edits=1, others=0),
    ]
    assert claim(connection, other).document_ids == ["a"]
    assert nothing_due(connection, other)
    assert claim(connection, generation).document_ids == ["a", "b"]


def test_two_workers_never_claim_the_same_document(pool: Pool) -> None:
    with transaction(pool) as connection:
        generation = make_collection(connection)
        put_documents(connection, generation, [f"doc{number:02}" for number in range(20)])
    with transaction(pool) as first, transaction(pool) as second:
        second.execute("SET LOCAL lock_timeout = '2s'")
        one = claim(first, generation, 10)
        two = claim(second, generation, 10)
        assert len(set(one.document_ids) | set(two.document_ids)) == 20
        assert nothing_due(second, generation)


def test_orphans_of_a_dropped_generation_are_swept(connection: Connection) -> None:
    generation = make_collection(connection)
    put_documents(connection, generation, ["kept"])
    connection.execute("INSERT INTO rankgres.outbox VALUES (%s, 'orphan')", [10**9])
    assert sweep_orphans(connection) == 1
    assert set(outbox(connection, generation)) == {"kept"}


def make_bulk(connection: Connection, generation: int, *documents: str) -> None:
    """Have these documents come from a backfill."""
    connection.execute(
        "UPDATE rankgres.outbox SET priority = 1 "
        "WHERE generation_id = %s AND document_id = ANY (%s)",
        [generation, list(documents)],
    )


def test_changes_that_somebody_waits_for_are_claimed_first_and_alone(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a", "b", "c"])
    make_bulk(connection, generation, "a", "c")
    put_documents(connection, generation, ["edit"])
    assert due_generations(connection, 10) == [DueGeneration(generation, edits=2, others=2)]
    assert claim(connection, generation).document_ids == ["b", "edit"]
    assert claim_documents(connection, generation, SETTINGS, bulk=False) is None
    assert claim(connection, generation).document_ids == ["a", "c"]


def test_nothing_of_a_paused_collection_is_claimed_or_due(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a"])
    connection.execute("UPDATE rankgres.collection SET paused_at = now()")
    assert nothing_due(connection, generation)
    assert due_generations(connection, 10) == []
    put_documents(connection, generation, ["queued all the same"])
    connection.execute("UPDATE rankgres.collection SET paused_at = NULL")
    assert claim(connection, generation).document_ids == ["a", "queued all the same"]


def test_what_killed_two_workers_is_claimed_alone(connection: Connection, generation: int) -> None:
    put_documents(connection, generation, ["a", "b", "c"])
    for _ in range(2):
        assert claim(connection, generation).document_ids == ["a", "b", "c"]
        make_due(connection, generation)
    put_documents(connection, generation, ["new"])
    suspects = [claim(connection, generation).document_ids for _ in range(4)]
    assert sorted(suspects) == [["a"], ["b"], ["c"], ["new"]]


def test_suspects_hold_up_nothing_that_came_before_them(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a", "b", "suspect", "z"])
    connection.execute(
        "UPDATE rankgres.outbox SET attempts = 2, due_at = due_at + interval '1 microsecond' "
        "WHERE document_id = 'suspect'"
    )
    assert claim(connection, generation).document_ids == ["a", "b", "z"]
    assert claim(connection, generation).document_ids == ["suspect"]


def test_documents_given_back_for_a_time_keep_the_reason_and_count_no_attempt(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, ["a"])
    lease = claim(connection, generation)
    release_documents(connection, lease, pause_seconds=30, reason="the model is busy")
    row = outbox(connection, generation)["a"]
    assert (row.lease, row.attempts, row.last_error) == (None, 0, "the model is busy")
    assert 20 < seconds_until_due(connection, generation, "a") <= 30
    assert nothing_due(connection, generation)


def test_a_long_queue_is_claimed_by_its_index(connection: Connection, generation: int) -> None:
    connection.execute(
        "INSERT INTO rankgres.outbox (generation_id, document_id, priority) "
        "SELECT %s, number::text, 1 FROM generate_series(1, 20000) AS number",
        [generation],
    )
    connection.execute("ANALYZE rankgres.outbox")

    def table_scans() -> int:
        scans: int = value(
            connection,
            "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'outbox'",
        )
        return scans

    before = table_scans()
    # More often than the planner makes a plan for the values at hand.
    for _ in range(8):
        lease = claim(connection, generation, 100)
        release_documents(connection, lease.only(lease.document_ids[:50]))
        assert finish_documents(connection, lease.only(lease.document_ids[50:]))
    due_generations(connection, 1000)
    assert table_scans() == before
