"""What an index must hold, computed from its source anew and compared with what is stored."""

from typing import Any, NamedTuple

import psycopg

from service.model_cards import DEFAULT_ENCODER
from service.settings import get_settings
from tests.support.waiting import eventually
from workers.chunking import Chunker
from workers.inference.encoder import load_encoder

Connection = psycopg.Connection[tuple[Any, ...]]


class StoredChunk(NamedTuple):
    """What identifies a chunk, and shows that it is of the document as it is now."""

    document_id: str
    position: int
    start: int
    end: int
    heading: str
    text: str
    filters: dict[str, Any]


class IndexTruth:
    """Chunks documents as a worker does, in this process."""

    def __init__(self, chunk_tokens: int, overlap_tokens: int) -> None:
        encoder = load_encoder(DEFAULT_ENCODER, get_settings())
        self._chunker = Chunker(
            encoder.tokenizer, max_tokens=chunk_tokens, overlap_tokens=overlap_tokens
        )
        encoder.close()

    def assert_index_equals_source(self, connection: Connection, collection: str) -> int:
        """Compare chunks and statistics with the documents that are there; return their number."""
        documents = connection.execute(
            "SELECT document.id, title, text, metadata FROM rankgres.document "
            "JOIN rankgres.collection ON collection.id = collection_id WHERE name = %s",
            [collection],
        ).fetchall()
        parts = self._chunker.split_batch([(title, text) for _, title, text, _ in documents])
        expected = [
            (*StoredChunk(id_, c.position, c.start, c.end, c.heading, c.text, metadata),)
            for (id_, _, _, metadata), chunks in zip(documents, parts, strict=True)
            for c in chunks
        ]
        generation = _generation(connection, collection)
        stored = connection.execute(
            "SELECT document_id, position, start_offset, end_offset, heading, text, filters "
            "FROM rankgres.chunk WHERE generation_id = %s",
            [generation],
        ).fetchall()
        # Lists, not sets: a duplicate is a difference.
        assert sorted(stored, key=_key) == sorted(expected, key=_key)
        assert_statistics_are_true(connection, generation)
        return len(documents)


def _key(chunk: tuple[Any, ...]) -> tuple[str, int]:
    return chunk[0], chunk[1]


def _generation(connection: Connection, collection: str) -> int:
    row = connection.execute(
        "SELECT generation_id FROM rankgres.collection_status "
        "WHERE collection = %s AND state = 'active'",
        [collection],
    ).fetchone()
    assert row is not None
    return int(row[0])


def assert_statistics_are_true(connection: Connection, generation: int) -> None:
    """Compare BM25's counts, base and changes together, with counts of the chunks themselves."""
    totals = connection.execute(
        "SELECT coalesce(sum(chunk_count), 0), coalesce(sum(document_count), 0), "
        "coalesce(sum(lexical_length), 0) FROM ("
        "SELECT * FROM rankgres.chunk_total UNION ALL SELECT * FROM rankgres.chunk_total_change"
        ") AS total WHERE generation_id = %s",
        [generation],
    ).fetchone()
    counted = connection.execute(
        "SELECT count(*), count(DISTINCT document_id), coalesce(sum(lexical_length), 0) "
        "FROM rankgres.chunk WHERE generation_id = %s",
        [generation],
    ).fetchone()
    assert totals == counted
    wrong = connection.execute(
        "WITH kept AS ("
        "SELECT lexeme, sum(chunk_count) AS chunks FROM ("
        "SELECT * FROM rankgres.lexeme UNION ALL SELECT * FROM rankgres.lexeme_change"
        ") AS both_tables WHERE generation_id = %(id)s GROUP BY lexeme), "
        "counted AS ("
        'SELECT lexeme COLLATE "C" AS lexeme, count(*) AS chunks FROM rankgres.chunk '
        "CROSS JOIN LATERAL unnest(tsvector_to_array(lexemes)) AS lexeme "
        "WHERE generation_id = %(id)s GROUP BY 1) "
        "SELECT lexeme, kept.chunks, counted.chunks FROM kept FULL JOIN counted USING (lexeme) "
        "WHERE coalesce(kept.chunks, 0) <> coalesce(counted.chunks, 0) LIMIT 5",
        {"id": generation},
    ).fetchall()
    assert wrong == []


def progress(connection: Connection, collection: str) -> tuple[int, int]:
    """Return how many documents are searchable, and how many still wait."""
    row = connection.execute(
        "SELECT documents, pending + leased FROM rankgres.collection_status "
        "WHERE collection = %s AND state = 'active'",
        [collection],
    ).fetchone()
    assert row is not None
    connection.rollback()
    return row[0], row[1]


def wait_drained(connection: Connection, collection: str, seconds: float = 120.0) -> None:
    """Wait until nothing is queued any more."""
    eventually(lambda: progress(connection, collection)[1] == 0, f"{collection} drained", seconds)
