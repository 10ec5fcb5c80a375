"""verify: every kind of difference is found, exactly the differing documents are queued."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from psycopg import errors, sql

from service.collections.collection import drop_collection
from service.db.connection import Connection, connect
from service.sources.verification import KINDS, verify_collection, verify_due_collections
from tests.support.collections import (
    chunk,
    generation_of,
    make_collection,
    outbox,
    put_documents,
    replace_chunks,
    value,
)
from tests.support.waiting import eventually

TEXTS = {f"d{number}": f"document number {number}" for number in range(6)}


@pytest.fixture
def generation(connection: Connection) -> int:
    """A managed collection of six documents whose index equals its source."""
    generation = make_collection(connection)
    put_documents(connection, generation, TEXTS)
    index(connection, generation, TEXTS)
    assert verified(connection) == {}
    return generation


def index(connection: Connection, generation: int, ids: Iterable[str]) -> None:
    """Index the documents as they are now, as a worker does, and take them off the queue."""
    ids = list(ids)
    replace_chunks(connection, generation, [chunk(name, TEXTS[name]) for name in ids])
    connection.execute(
        "INSERT INTO rankgres.indexed_document AS written "
        "(generation_id, document_id, content_hash, chunk_count) "
        "SELECT generation.id, document_id, content_hash, 1 FROM rankgres.generation "
        "CROSS JOIN LATERAL rankgres.source_hashes_v1(collection_id) "
        "WHERE generation.id = %s AND document_id = ANY (%s) "
        "ON CONFLICT (generation_id, document_id) DO UPDATE SET "
        "content_hash = excluded.content_hash, chunk_count = 1",
        [generation, ids],
    )
    connection.execute("DELETE FROM rankgres.outbox WHERE document_id = ANY (%s)", [ids])


def unqueue(connection: Connection) -> None:
    """Lose what is queued, which no fault may do: verify is to find what follows from it."""
    connection.execute("DELETE FROM rankgres.outbox")


def verified(
    connection: Connection, *, repair: bool = False, name: str = "papers"
) -> dict[str, tuple[int, list[str]]]:
    """Return what verify finds, by kind."""
    rows = connection.execute(
        "SELECT kind, documents, examples FROM rankgres.verify(%s, repair => %s)", [name, repair]
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def test_an_index_that_equals_its_source_has_no_finding(
    connection: Connection, generation: int
) -> None:
    assert verified(connection, repair=True) == {}
    assert outbox(connection, generation) == {}


def test_a_document_that_was_never_indexed_is_missing(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, {"new": "text"})
    assert verified(connection) == {"pending": (1, ["new"])}
    unqueue(connection)
    assert verified(connection) == {"missing": (1, ["new"])}


@pytest.mark.usefixtures("generation")
def test_a_document_that_is_not_in_the_source_any_more_is_gone(connection: Connection) -> None:
    connection.execute("DELETE FROM rankgres.document WHERE id = 'd1'")
    unqueue(connection)
    assert verified(connection) == {"gone": (1, ["d1"])}
    connection.execute("DELETE FROM rankgres.indexed_document WHERE document_id = 'd1'")
    # Its chunks can still be found.
    assert verified(connection) == {"gone": (1, ["d1"])}


@pytest.mark.parametrize(
    ("column", "value"), [("text", "other"), ("title", "other"), ("metadata", '{"year": 2024}')]
)
@pytest.mark.usefixtures("generation")
def test_a_document_indexed_with_other_content_is_stale(
    connection: Connection, column: str, value: str
) -> None:
    update = sql.SQL("UPDATE rankgres.document SET {} = %s WHERE id = 'd2'")
    connection.execute(update.format(sql.Identifier(column)), [value])
    unqueue(connection)
    assert verified(connection) == {"stale": (1, ["d2"])}


@pytest.mark.usefixtures("generation")
def test_a_document_indexed_before_hashes_were_kept_is_unhashed(connection: Connection) -> None:
    connection.execute(
        "UPDATE rankgres.indexed_document SET content_hash = NULL WHERE document_id = 'd3'"
    )
    assert verified(connection) == {"unhashed": (1, ["d3"])}


@pytest.mark.usefixtures("generation")
def test_lost_and_doubled_chunks_are_found(connection: Connection) -> None:
    connection.execute("DELETE FROM rankgres.chunk WHERE document_id = 'd0'")
    connection.execute("UPDATE rankgres.chunk SET position = 1 WHERE document_id = 'd1'")
    connection.execute(
        "UPDATE rankgres.indexed_document SET chunk_count = 2 WHERE document_id = 'd2'"
    )
    assert verified(connection)["chunks"] == (3, ["d0", "d1", "d2"])


@pytest.mark.usefixtures("generation")
def test_a_chunk_without_an_embedding_is_found(connection: Connection) -> None:
    connection.execute("UPDATE rankgres.chunk SET embedding = NULL WHERE document_id = 'd4'")
    assert verified(connection) == {"embedding": (1, ["d4"])}


@pytest.mark.parametrize("storage_type", ["halfvec", "vector", "bit"])
def test_embeddings_of_every_storage_type_are_seen(
    connection: Connection, storage_type: str
) -> None:
    generation = make_collection(connection, storage_type=storage_type)
    put_documents(connection, generation, TEXTS)
    index(connection, generation, TEXTS)
    assert verified(connection) == {}


def test_wrong_statistics_are_found_and_put_right(connection: Connection, generation: int) -> None:
    connection.execute("SELECT rankgres.statistics_fold_v1(%s)", [generation])
    connection.execute("UPDATE rankgres.lexeme SET chunk_count = 9 WHERE lexeme = 'number'")
    connection.execute("DELETE FROM rankgres.lexeme WHERE lexeme = '3'")
    connection.execute("INSERT INTO rankgres.lexeme VALUES (%s, 'never', 1)", [generation])
    connection.execute("UPDATE rankgres.chunk_total SET lexical_length = lexical_length + 1")
    assert verified(connection, repair=True) == {"statistics": (4, ["", "3", "never", "number"])}
    assert verified(connection) == {}
    connection.execute("SELECT rankgres.statistics_fold_v1(%s)", [generation])
    assert verified(connection) == {}
    assert outbox(connection, generation) == {}


def test_a_dead_letter_is_a_difference_that_repair_leaves(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, {"d1": "poison", "bad": "poison"})
    connection.execute("UPDATE rankgres.outbox SET dead_at = now(), last_error = 'broken'")
    before = outbox(connection, generation)
    assert verified(connection, repair=True) == {"dead": (2, ["bad", "d1"])}
    assert outbox(connection, generation) == before


def test_what_triggers_wrote_and_nobody_queued_yet_is_pending(
    connection: Connection, generation: int
) -> None:
    connection.execute("UPDATE rankgres.document SET text = 'other' WHERE id IN ('d1', 'd2')")
    unqueue(connection)
    connection.execute(
        "INSERT INTO rankgres.source_change (collection_id, document_ids) "
        "SELECT collection_id, '{d1}' FROM rankgres.generation WHERE id = %s",
        [generation],
    )
    assert verified(connection) == {"pending": (1, ["d1"]), "stale": (1, ["d2"])}


def test_the_rest_of_a_backfill_is_pending(connection: Connection, generation: int) -> None:
    put_documents(connection, generation, {"e1": "text", "d1": "changed"})
    unqueue(connection)
    connection.execute(
        "INSERT INTO rankgres.backfill (generation_id, estimated_rows) VALUES (%s, 7)",
        [generation],
    )
    assert verified(connection) == {"pending": (1, ["e1"]), "stale": (1, ["d1"])}
    connection.execute("UPDATE rankgres.backfill SET finished_at = now()")
    assert verified(connection) == {"missing": (1, ["e1"]), "stale": (1, ["d1"])}


def test_repair_queues_exactly_what_differs_behind_what_somebody_waits_for(
    connection: Connection, generation: int
) -> None:
    connection.execute("DELETE FROM rankgres.document WHERE id = 'd1'")
    put_documents(connection, generation, {"d2": "changed", "new": "text"})
    unqueue(connection)
    connection.execute("UPDATE rankgres.chunk SET embedding = NULL WHERE document_id = 'd4'")
    put_documents(connection, generation, {"d5": "queued already"})
    before = outbox(connection, generation)["d5"]
    found = verified(connection, repair=True)
    assert found == {
        "pending": (1, ["d5"]),
        "gone": (1, ["d1"]),
        "stale": (1, ["d2"]),
        "missing": (1, ["new"]),
        "embedding": (1, ["d4"]),
    }
    queued = outbox(connection, generation)
    assert set(queued) == {"d1", "d2", "d4", "d5", "new"}
    assert queued["d5"] == before
    assert dict(
        connection.execute("SELECT document_id, priority FROM rankgres.outbox").fetchall()
    ) == {"d1": 1, "d2": 1, "d4": 1, "d5": 0, "new": 1}
    # Nothing is queued twice.
    assert set(verified(connection, repair=True)) == {"pending"}
    assert outbox(connection, generation) == queued


def test_no_more_than_ten_examples_are_told_of_any_number(connection: Connection) -> None:
    generation = make_collection(connection)
    put_documents(connection, generation, [f"{number:03}" for number in range(200)])
    unqueue(connection)
    assert verified(connection) == {"missing": (200, [f"{number:03}" for number in range(10)])}


@pytest.mark.usefixtures("generation")
def test_other_collections_are_left_alone(connection: Connection) -> None:
    other = make_collection(connection, "other")
    put_documents(connection, other, ["x"])
    unqueue(connection)
    assert verified(connection, repair=True) == {}
    assert outbox(connection, other) == {}
    assert verified(connection, name="other") == {"missing": (1, ["x"])}


def test_a_collection_that_is_not_there_is_named(connection: Connection) -> None:
    with pytest.raises(errors.UndefinedObject, match='collection "nope" does not exist'):
        verified(connection, name="nope")


@pytest.mark.usefixtures("generation")
def test_every_kind_has_a_meaning(connection: Connection) -> None:
    heading = value(
        connection,
        "SELECT prosrc FROM pg_proc WHERE proname = 'generation_verify_v1'",
    )
    assert set(re.findall(r"(?:THEN|ELSE|SELECT) '(\w+)'", heading)) == set(KINDS)


def test_a_verification_tells_what_was_queued_and_what_remains(
    connection: Connection, generation: int
) -> None:
    put_documents(connection, generation, {"bad": "poison", "new": "text"})
    connection.execute("UPDATE rankgres.outbox SET dead_at = now() WHERE document_id = 'bad'")
    connection.execute("DELETE FROM rankgres.outbox WHERE document_id = 'new'")
    connection.execute("UPDATE rankgres.chunk_total_change SET lexical_length = 0")
    put_documents(connection, generation, {"d1": "changed"})
    seen = verify_collection(connection, "papers")
    assert [each.kind for each in seen.findings] == ["pending", "missing", "statistics", "dead"]
    assert (seen.differences, seen.queued, seen.remaining) == (3, 0, 3)
    mended = verify_collection(connection, "papers", repair=True)
    assert (mended.differences, mended.queued, mended.remaining) == (3, 1, 1)


def test_what_was_not_verified_for_longest_is_repaired_first(newest_database_url: str) -> None:
    with connect(newest_database_url) as connection:
        for name, age in (("old", "50 hours"), ("older", "60 hours"), ("new", "1 hour")):
            make_collection(connection, name)
            connection.execute(
                "UPDATE rankgres.collection SET created_at = now() - %s::interval WHERE name = %s",
                [age, name],
            )
        put_documents(connection, generation_of(connection, "older"), ["x"])
        unqueue(connection)
        connection.commit()
        first, then = verify_due_collections(connection, 24)
        assert (first.collection, then.collection) == ("older", "old")
        assert (first.queued, first.remaining) == (1, 0)
        assert set(outbox(connection, generation_of(connection, "older"))) == {"x"}
        assert verify_due_collections(connection, 24) == []


def test_one_that_cannot_be_verified_holds_no_other_up(
    newest_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(newest_database_url) as connection:
        broken = make_collection(connection, "broken")
        make_collection(connection, "sound")
        connection.execute(f"DROP TABLE rankgres.chunk_{broken}".encode())
        connection.execute("UPDATE rankgres.collection SET created_at = now() - interval '9 days'")
        connection.commit()
        assert [each.collection for each in verify_due_collections(connection, 24)] == ["sound"]
        assert "broken cannot be verified" in caplog.text
        assert verify_due_collections(connection, 24) == []


def test_a_paused_collection_is_not_verified_on_the_schedule(newest_database_url: str) -> None:
    with connect(newest_database_url) as connection:
        make_collection(connection)
        connection.execute(
            "UPDATE rankgres.collection "
            "SET paused_at = now(), created_at = now() - interval '9 days'"
        )
        connection.commit()
        assert verify_due_collections(connection, 24) == []
        connection.execute("UPDATE rankgres.collection SET paused_at = NULL")
        assert len(verify_due_collections(connection, 24)) == 1


def test_a_drop_that_waits_for_a_verification_holds_no_search_up(newest_database_url: str) -> None:
    url = newest_database_url
    with connect(url) as verifying, connect(url) as dropping, connect(url) as searching:
        make_collection(verifying)
        verifying.commit()
        assert verified(verifying) == {}
        searching.autocommit = True
        with ThreadPoolExecutor(1) as thread:
            dropped = thread.submit(drop_collection, dropping, "papers")
            try:
                eventually(
                    lambda: value(
                        searching,
                        "SELECT count(*) FROM pg_stat_activity WHERE pid = %s "
                        "AND state = 'active' AND wait_event_type IN ('Timeout', 'Lock')",
                        [dropping.info.backend_pid],
                    ),
                    "the drop waits",
                )
                # What every search of any collection locks.
                with searching.transaction():
                    searching.execute("LOCK TABLE rankgres.chunk IN ACCESS SHARE MODE NOWAIT")
                assert not dropped.done()
            finally:
                # The drop cancels whoever verifies, every 20 ms: that may meet this very statement.
                with suppress(errors.QueryCanceled):
                    verifying.commit()
            dropped.result()
        dropping.commit()
        assert value(searching, "SELECT count(*) FROM rankgres.collection") == 0
