"""The statistics of BM25 equal a recount of the chunks, whatever was written and folded."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from service.db.connection import Connection, Pool, transaction
from service.ingest.chunks import EmbeddedChunk, fold_statistics
from tests.support.collections import chunk, make_collection, replace_chunks, value

Statistics = tuple[dict[str, int], tuple[int, int, int]]
WORDS = ("cat", "dog", "bird", "fish", "o'hare", "a\\b")

#: Documents by number; each with the texts of its chunks, none for a deletion.
writes = st.dictionaries(
    st.integers(0, 5), st.lists(st.lists(st.sampled_from(WORDS), max_size=6), max_size=3)
)
#: None folds.
operations = st.lists(st.none() | writes, max_size=8)


def written(documents: dict[int, list[list[str]]]) -> list[EmbeddedChunk]:
    return [
        chunk(f"doc{number}", " ".join(words), position=position, heading=words[0] if words else "")
        for number, texts in documents.items()
        for position, words in enumerate(texts)
    ]


def kept(connection: Connection, generation: int) -> Statistics:
    lexemes = connection.execute(
        """
        SELECT lexeme, sum(chunk_count)::bigint FROM (
            SELECT lexeme, chunk_count FROM rankgres.lexeme WHERE generation_id = %(generation)s
            UNION ALL
            SELECT lexeme, chunk_count FROM rankgres.lexeme_change
            WHERE generation_id = %(generation)s
        ) AS part GROUP BY lexeme HAVING sum(chunk_count) <> 0
        """,
        {"generation": generation},
    ).fetchall()
    totals = connection.execute(
        """
        SELECT coalesce(sum(chunk_count), 0)::bigint, coalesce(sum(document_count), 0)::bigint,
            coalesce(sum(lexical_length), 0)::bigint
        FROM (
            SELECT * FROM rankgres.chunk_total UNION ALL SELECT * FROM rankgres.chunk_total_change
        ) AS part WHERE generation_id = %s
        """,
        [generation],
    ).fetchall()
    return dict(lexemes), totals[0]


def recounted(connection: Connection, generation: int) -> Statistics:
    table = sql.Identifier("rankgres", f"chunk_{generation}")
    lexemes = connection.execute(
        sql.SQL(
            "SELECT lexeme, count(*) FROM {}, unnest(tsvector_to_array(lexemes)) AS lexeme "
            "GROUP BY lexeme"
        ).format(table)
    ).fetchall()
    totals = connection.execute(
        sql.SQL(
            "SELECT count(DISTINCT (document_id, position)), count(DISTINCT document_id), "
            "coalesce(sum(cardinality(positions)), 0)::bigint "
            "FROM {} LEFT JOIN unnest(lexemes) ON true"
        ).format(table)
    ).fetchall()
    return dict(lexemes), totals[0]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(operations)
def test_statistics_equal_a_recount_after_any_operations(
    connection: Connection, steps: list[dict[int, list[list[str]]] | None]
) -> None:
    with connection.transaction(force_rollback=True):
        generation = make_collection(connection)
        for documents in steps:
            before = kept(connection, generation)
            if documents is None:
                fold_statistics(connection)
                assert kept(connection, generation) == before
            else:
                ids = [f"doc{number}" for number in documents]
                replace_chunks(connection, generation, written(documents), also=ids)
            assert kept(connection, generation) == recounted(connection, generation)


def test_folding_leaves_one_base_row_a_lexeme_and_none_of_lexemes_that_are_gone(
    connection: Connection,
) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("a", "cat dog"), chunk("b", "cat")])
    fold_statistics(connection)
    replace_chunks(connection, generation, [chunk("a", "cat bird")])
    replace_chunks(connection, generation, [chunk("a", "cat")])
    fold_statistics(connection)
    rows = connection.execute(
        "SELECT lexeme, chunk_count FROM rankgres.lexeme WHERE generation_id = %s", [generation]
    ).fetchall()
    assert rows == [("cat", 2)]
    changes = "SELECT count(*) FROM rankgres.lexeme_change WHERE generation_id = %s"
    assert value(connection, changes, [generation]) == 0


def test_statistics_stay_exact_under_four_writers_and_folding(pool: Pool) -> None:
    with transaction(pool) as connection:
        generation = make_collection(connection)
    writing = threading.Event()
    writing.set()

    def write(writer: int) -> None:
        source = random.Random(writer)
        for _ in range(25):
            # A document is written by one worker at a time: its lease.
            documents = {
                100 * writer + source.randrange(10): [
                    source.choices(WORDS, k=source.randint(1, 5))
                    for _ in range(source.randrange(3))
                ]
                for _ in range(4)
            }
            ids = [f"doc{number}" for number in documents]
            with transaction(pool) as connection:
                replace_chunks(connection, generation, written(documents), also=ids)

    def fold() -> int:
        folds = 0
        while writing.is_set():
            with transaction(pool) as connection:
                folds += fold_statistics(connection) > 0
        return folds

    with ThreadPoolExecutor() as threads:
        folding = [threads.submit(fold) for _ in range(2)]
        try:
            list(threads.map(write, range(4)))
        finally:
            writing.clear()
        assert sum(folder.result() for folder in folding) > 0
    with transaction(pool) as connection:
        assert kept(connection, generation) == recounted(connection, generation)
        fold_statistics(connection)
        assert kept(connection, generation) == recounted(connection, generation)
        assert value(connection, "SELECT min(chunk_count) FROM rankgres.lexeme") > 0


def test_a_second_folding_of_the_same_generation_does_not_wait(pool: Pool) -> None:
    with transaction(pool) as connection:
        generation = make_collection(connection)
        replace_chunks(connection, generation, [chunk("a", "cat")])
    with transaction(pool) as first, transaction(pool) as second:
        assert fold_statistics(first) > 0
        second.execute("SET LOCAL lock_timeout = '2s'")
        assert fold_statistics(second) == 0
