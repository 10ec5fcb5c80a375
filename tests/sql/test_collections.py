"""Collections: made, refused with field and mend, dropped without a trace beside live searches."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg import sql

from service.collections.collection import (
    CollectionPlan,
    active_generation,
    create_collection,
    drop_collection,
    list_collections,
    show_collection,
)
from service.db.connection import Connection, Pool, transaction
from service.db.driver_errors import translated
from service.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from service.ingest.chunks import fold_statistics
from service.ingest.documents import Document, upsert_documents
from tests.support.collections import (
    chunk,
    found,
    make_collection,
    put_documents,
    replace_chunks,
    search,
    value,
)


def objects(connection: Connection) -> list[tuple[str, ...]]:
    """Return every relation and constraint of the schema."""
    return connection.execute(
        "SELECT relname, relkind::text FROM pg_class "
        "WHERE relnamespace = 'rankgres'::regnamespace "
        "UNION ALL SELECT conname, contype::text FROM pg_constraint "
        "WHERE connamespace = 'rankgres'::regnamespace ORDER BY 1, 2"
    ).fetchall()


def rows_of_every_table(connection: Connection) -> dict[str, int]:
    """Count what collections leave: model cards and the revision come with the schema."""
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'rankgres'::regnamespace "
        "AND relkind IN ('r', 'p') AND relname NOT IN ('alembic_version', 'embedding_model')"
    ).fetchall()
    return {
        name: value(
            connection,
            sql.SQL("SELECT count(*) FROM {}")
            .format(sql.Identifier("rankgres", name))
            .as_string(connection),
        )
        for (name,) in tables
    }


def test_a_new_collection_is_empty_active_and_searchable(connection: Connection) -> None:
    create_collection(connection, CollectionPlan("docs"))
    generation = active_generation(connection, "docs")
    assert (generation.embedding_dimension, generation.chunk_tokens) == (384, 256)
    status = show_collection(connection, "docs")
    assert (status.documents, status.chunks, status.waiting, status.dead) == (0, 0, 0, 0)
    assert [status.collection for status in list_collections(connection)] == ["docs"]
    assert search(connection, "anything", collection="docs") == []


def test_the_status_counts_what_is_searchable_and_what_waits(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("a"), chunk("a", position=1), chunk("b")])
    put_documents(connection, generation, ["a", "b", "c"])
    connection.execute("UPDATE rankgres.outbox SET dead_at = now() WHERE document_id = 'c'")
    connection.execute(
        "UPDATE rankgres.outbox SET lease = gen_random_uuid(), due_at = 'infinity' "
        "WHERE document_id = 'b'"
    )
    status = show_collection(connection, "papers")
    assert (status.documents, status.chunks) == (2, 3)
    assert (status.pending, status.leased, status.dead) == (1, 1, 1)
    assert status.oldest_seconds is not None


@pytest.mark.parametrize(
    ("changes", "field", "mend"),
    [
        ({"name": "Upper"}, "name", "use a lower-case letter"),
        ({"name": ""}, "name", "use a lower-case letter"),
        ({"name": "x" * 64}, "name", "use a lower-case letter"),
        ({"name": 'a"; DROP'}, "name", "use a lower-case letter"),
        ({"embedding_model": "no/such"}, "embedding_model", "'rankgres model probe NAME --save'"),
        ({"chunk_tokens": 257}, "chunk_tokens", "use at most 256"),
        ({"chunk_tokens": 8, "overlap_tokens": 0}, "chunk_tokens", "use 16 to"),
        ({"overlap_tokens": 129}, "overlap_tokens", "use 0 to half of chunk_tokens"),
        ({"overlap_tokens": -1}, "overlap_tokens", "use 0 to half of chunk_tokens"),
        ({"storage_type": "float"}, "storage_type", "use halfvec, vector or bit"),
        ({"distance": "dot"}, "distance", "use cosine, inner_product or l2"),
        ({"text_search_config": "klingon"}, "text_search_config", "use one of: "),
        ({"text_search_config": "a b c"}, "text_search_config", "use one of: "),
        ({"text_search_config": ""}, "text_search_config", "use one of: "),
        ({"bm25_k1": -0.1}, "bm25_k1", "use 0 or more"),
        ({"bm25_b": 1.1}, "bm25_b", "use 0 to 1"),
    ],
)
def test_a_wrong_plan_is_refused_naming_field_and_mend(
    connection: Connection, changes: dict[str, Any], field: str, mend: str
) -> None:
    plan = CollectionPlan(**{"name": "docs", **changes})
    with pytest.raises(InvalidInputError) as raised, translated():
        create_collection(connection, plan)
    assert raised.value.field == field
    assert (raised.value.mend or "").startswith(mend)


def test_a_dimension_that_no_index_can_hold_is_refused(connection: Connection) -> None:
    with pytest.raises(InvalidInputError) as raised, translated():
        make_collection(connection, storage_type="vector", embedding_dimension=2001)
    assert raised.value.field == "embedding_dimension"
    assert raised.value.mend == "use 1 to 4000, for storage_type vector at most 2000"


def test_an_embedding_of_another_dimension_is_refused(connection: Connection) -> None:
    generation = make_collection(connection)
    with pytest.raises(InvalidInputError, match="dimension"), translated():
        replace_chunks(connection, generation, [chunk("a", embedding=[1, 2])])


def test_a_name_that_is_taken_is_refused(connection: Connection) -> None:
    create_collection(connection, CollectionPlan("docs"))
    with pytest.raises(AlreadyExistsError) as raised, translated():
        create_collection(connection, CollectionPlan("docs"))
    assert (raised.value.field, bool(raised.value.mend)) == ("name", True)


def test_what_is_not_there_is_named_with_what_to_do(connection: Connection) -> None:
    for ask in (drop_collection, show_collection, active_generation):
        with pytest.raises(NotFoundError, match="'absent'") as raised:
            ask(connection, "absent")
        assert (raised.value.field, raised.value.value) == ("collection", "absent")
        assert "rankgres collection list" in (raised.value.mend or "")
    with pytest.raises(NotFoundError, match='"absent"') as raised, translated():
        search(connection, "cat", collection="absent")
    assert (raised.value.field, bool(raised.value.mend)) == ("collection", True)


def test_a_drop_leaves_nothing_and_touches_nobody_else(connection: Connection) -> None:
    before = objects(connection)
    kept = make_collection(connection, "kept")
    with_kept = objects(connection)
    put_documents(connection, kept, ["a"])
    replace_chunks(connection, kept, [chunk("a", "cat")])
    rows = rows_of_every_table(connection)

    dropped = make_collection(connection, "dropped")
    replace_chunks(connection, dropped, [chunk("a", "cat dog")])
    fold_statistics(connection)
    replace_chunks(connection, dropped, [chunk("b", "cat dog")])
    put_documents(connection, dropped, ["a", "b"])
    drop_collection(connection, "dropped")

    assert objects(connection) == with_kept
    fold_statistics(connection)
    after = rows_of_every_table(connection)
    moved = {"lexeme": 1, "lexeme_change": 0, "chunk_total": 1, "chunk_total_change": 0}
    assert after == rows | moved
    assert found(search(connection, "cat", collection="kept")) == ["a"]
    drop_collection(connection, "kept")
    assert objects(connection) == before
    assert sum(rows_of_every_table(connection).values()) == 0


def test_a_name_can_be_used_again_after_a_drop(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("a", "cat")])
    drop_collection(connection, "papers")
    assert make_collection(connection) > generation
    assert search(connection, "cat") == []


def test_a_drop_waits_for_a_fold_and_leaves_none_of_its_rows(pool: Pool) -> None:
    with transaction(pool) as connection:
        generation = make_collection(connection)
        replace_chunks(connection, generation, [chunk("a", "cat dog")])
    with transaction(pool) as folder, ThreadPoolExecutor() as threads:
        assert fold_statistics(folder) > 0
        dropping = threads.submit(drop, pool)
        wait_for_a_waiting_session(pool)
        folder.commit()
        dropping.result(timeout=30)
    with transaction(pool) as connection:
        assert sum(rows_of_every_table(connection).values()) == 0


def test_a_search_beside_a_drop_sees_all_or_no_collection(pool: Pool) -> None:
    with transaction(pool) as connection:
        generation = make_collection(connection)
        replace_chunks(connection, generation, [chunk("a", "cat")])
    with ThreadPoolExecutor() as threads:
        with transaction(pool) as searching:
            assert found(search(searching, "cat", [1, 0, 0, 0])) == ["a"]
            dropping = threads.submit(drop, pool)
            wait_for_a_waiting_session(pool)
            # The drop waits for this transaction; one that starts now waits for the drop.
            assert found(search(searching, "cat", [1, 0, 0, 0])) == ["a"]
            late = threads.submit(search_in_own_transaction, pool)
            wait_for_a_waiting_session(pool, sessions=2)
        dropping.result(timeout=30)
        with pytest.raises(NotFoundError, match='"papers" does not exist'):
            late.result(timeout=30)


def test_a_write_into_a_dropped_collection_says_so(pool: Pool) -> None:
    with transaction(pool) as connection:
        make_collection(connection)
        generation = active_generation(connection, "papers")
    drop(pool)
    with pytest.raises(NotFoundError) as raised, transaction(pool) as connection:
        upsert_documents(connection, generation, [Document("a", "text")])
    assert raised.value.field == "collection"
    assert raised.value.mend


def test_creating_and_dropping_beside_each_other(pool: Pool) -> None:
    def cycle(number: int) -> None:
        for _ in range(3):
            with transaction(pool) as connection:
                generation = make_collection(connection, f"papers{number}")
            with transaction(pool) as connection:
                replace_chunks(connection, generation, [chunk("a", "cat")])
                fold_statistics(connection)
            with transaction(pool) as connection:
                drop_collection(connection, f"papers{number}")

    with ThreadPoolExecutor() as threads:
        list(threads.map(cycle, range(4)))
    with transaction(pool) as connection:
        assert sum(rows_of_every_table(connection).values()) == 0


def test_dropping_twice_at_once_drops_once(pool: Pool) -> None:
    with transaction(pool) as connection:
        make_collection(connection)
    with ThreadPoolExecutor() as threads:
        drops = [threads.submit(drop, pool) for _ in range(3)]
        outcomes = [dropping.exception(timeout=30) for dropping in drops]
    refused = [error for error in outcomes if error is not None]
    assert len(refused) == 2
    assert all(isinstance(error, NotFoundError) for error in refused)


def drop(pool: Pool) -> None:
    with transaction(pool) as connection:
        drop_collection(connection, "papers")


def search_in_own_transaction(pool: Pool) -> list[str]:
    with transaction(pool) as connection:
        return found(search(connection, "cat", [1, 0, 0, 0]))


def wait_for_a_waiting_session(pool: Pool, sessions: int = 1) -> None:
    """Return when so many sessions of this database wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with transaction(pool) as connection:
        connection.execute("SET LOCAL statement_timeout = '30s'")
        while value(connection, waiting) < sessions:
            # Statistics of activity are a snapshot of the transaction.
            connection.execute("SELECT pg_stat_clear_snapshot(), pg_sleep(0.01)")
