"""Dead letters: what failed, why, and when it is tried again; retry starts over."""

from datetime import timedelta
from uuid import uuid4

import pytest
from psycopg import errors

from service.db.connection import Connection
from service.sources.dead_letters import list_dead_letters, retry_documents
from tests.support.collections import make_collection, outbox, put_documents, value


@pytest.fixture
def generation(connection: Connection) -> int:
    """Queued documents: two dead, one put off, one being retried under a lease, one that is new."""
    generation = make_collection(connection)
    put_documents(connection, generation, ["dead1", "dead2", "put-off", "leased", "new"])
    connection.execute(
        "UPDATE rankgres.outbox SET attempts = 5, last_error = 'broken', dead_at = now(), "
        "due_at = now() + interval '1 hour' WHERE document_id LIKE 'dead%'"
    )
    connection.execute(
        "UPDATE rankgres.outbox SET attempts = 2, last_error = 'busy', "
        "due_at = clock_timestamp() + interval '8 s' WHERE document_id = 'put-off'"
    )
    connection.execute(
        "UPDATE rankgres.outbox SET attempts = 1, last_error = 'busy', lease = %s, "
        "due_at = clock_timestamp() + interval '1 min' WHERE document_id = 'leased'",
        [uuid4()],
    )
    return generation


@pytest.mark.usefixtures("generation")
def test_those_that_failed_are_told_with_their_error_and_next_try(connection: Connection) -> None:
    letters = list_dead_letters(connection, "papers")
    told = [(letter.document_id, letter.attempts, letter.last_error) for letter in letters]
    assert told == [
        ("dead1", 5, "broken"),
        ("dead2", 5, "broken"),
        ("put-off", 2, "busy"),
        ("leased", 1, "busy"),
    ]
    assert [letter.dead_at is not None for letter in letters] == [True, True, False, False]
    assert [letter.next_try_at is None for letter in letters] == [True, True, False, False]
    assert len(list_dead_letters(connection, "papers", limit=1)) == 1


def test_every_dead_letter_is_tried_again_behind_what_somebody_waits_for(
    connection: Connection, generation: int
) -> None:
    before = outbox(connection, generation)
    assert retry_documents(connection, "papers") == 2
    after = outbox(connection, generation)
    for name in ("put-off", "leased", "new"):
        assert after[name] == before[name]
    for name in ("dead1", "dead2"):
        assert after[name].version > before[name].version
        assert (after[name].attempts, after[name].last_error, after[name].dead_at) == (
            0,
            None,
            None,
        )
    assert value(
        connection, "SELECT count(*) FROM rankgres.outbox WHERE due_at <= clock_timestamp()"
    ) == len(["dead1", "dead2", "new"])
    assert priorities(connection, "dead%") == {1}
    assert [letter.document_id for letter in list_dead_letters(connection, "papers")] == [
        "put-off",
        "leased",
    ]


def test_named_documents_are_tried_again_at_once(connection: Connection, generation: int) -> None:
    before = outbox(connection, generation)
    # One that a worker holds is left to it; one that has not failed is passed over.
    assert retry_documents(connection, "papers", ["dead1", "put-off", "leased", "new", "?"]) == 2
    after = outbox(connection, generation)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"dead1", "put-off"}
    assert after["put-off"].due_at - before["put-off"].due_at < timedelta(0)
    assert priorities(connection, "dead1") == {0}


@pytest.mark.usefixtures("generation")
def test_other_collections_are_left_alone(connection: Connection) -> None:
    make_collection(connection, "other")
    assert retry_documents(connection, "other") == 0
    assert list_dead_letters(connection, "other") == []


def test_a_collection_that_is_not_there_is_named(connection: Connection) -> None:
    with pytest.raises(errors.UndefinedObject, match='collection "nope" does not exist'):
        connection.execute("SELECT rankgres.retry('nope')")


def priorities(connection: Connection, pattern: str) -> set[int]:
    rows = connection.execute(
        "SELECT priority FROM rankgres.outbox WHERE document_id LIKE %s", [pattern]
    )
    return {row[0] for row in rows}
