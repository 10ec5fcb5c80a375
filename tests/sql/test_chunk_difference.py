"""Chunks are written by difference: what is equal is not touched, what is embedded stays so."""

import random
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from service.db.connection import Connection, Pool, transaction
from service.ingest.chunks import EmbeddedChunk, _replace_chunks, kept_embeddings
from service.ingest.outbox import Lease
from tests.support.collections import chunk, make_collection, replace_chunks, value
from tests.support.index_truth import assert_statistics_are_true
from workers.chunking import Chunk, embedded_text


@pytest.fixture
def generation(connection: Connection) -> int:
    return make_collection(connection)


class Stored(NamedTuple):
    """A row of chunks, with where it lies and who wrote it."""

    place: str
    writer: str
    text: str
    filters: dict[str, Any]
    start: int
    lexemes: str
    embedding: str


def stored(connection: Connection, generation: int) -> dict[tuple[str, int], Stored]:
    rows = connection.execute(
        "SELECT document_id, position, ctid::text, xmin::text, text, filters, start_offset, "
        "lexemes::text, coalesce(embedding::text, embedding_full::text) FROM rankgres.chunk "
        "WHERE generation_id = %s",
        [generation],
    )
    return {(row[0], row[1]): Stored(*row[2:]) for row in rows}


def paragraphs(*texts: str, document: str = "doc", first: int = 0) -> list[EmbeddedChunk]:
    """Chunks of one document, each with an embedding that tells which text it is of."""
    return [
        chunk(document, text, position=position, embedding=embedding_of(text))
        for position, text in enumerate(texts, start=first)
    ]


def embedding_of(text: str) -> list[float]:
    return [float(number) for number in sha256(text.encode()).digest()[:4]]


def kept(chunks: Iterable[EmbeddedChunk]) -> list[EmbeddedChunk]:
    """The same, as a worker gives them that found them embedded already."""
    return [replace(each, embedding=None) for each in chunks]


def write(
    connection: Connection,
    generation: int,
    chunks: Iterable[EmbeddedChunk],
    hashes: dict[str, bytes] | None = None,
    also: Iterable[str] = (),
) -> None:
    chunks = list(chunks)
    ids = {each.document_id for each in chunks} | {*also}
    lease = Lease(uuid4(), generation, dict.fromkeys(sorted(ids), 0))
    _replace_chunks(connection, lease, chunks, hashes or {})


def test_rows_that_are_equal_are_not_touched(pool: Pool) -> None:
    """Two transactions: xmin tells who wrote a row."""
    with transaction(pool) as connection:
        generation = make_collection(connection)
        write(connection, generation, paragraphs("one", "two", "three"))
        write(connection, generation, paragraphs("other", document="beside"))
    with transaction(pool) as connection:
        before = stored(connection, generation)
        write(connection, generation, kept(paragraphs("one")) + paragraphs("2", "three", first=1))
        after = stored(connection, generation)
    assert [key for key in before if before[key] != after[key]] == [("doc", 1)]
    assert after["doc", 1].text == "2"
    assert after["doc", 1].writer != before["doc", 1].writer


def test_a_change_of_filters_alone_keeps_every_embedding(
    connection: Connection, generation: int
) -> None:
    write(connection, generation, paragraphs("one", "two"))
    before = stored(connection, generation)
    changed = [replace(each, filters='{"year": 2024}') for each in kept(paragraphs("one", "two"))]
    write(connection, generation, changed)
    after = stored(connection, generation)
    assert set(after) == set(before)
    for key, row in after.items():
        assert row.filters == {"year": 2024}
        assert row._replace(place="", filters={}) == before[key]._replace(place="", filters={})


def test_a_paragraph_put_first_moves_the_others_with_their_embeddings(
    connection: Connection, generation: int
) -> None:
    write(connection, generation, paragraphs("one", "two", "three"))
    before = {row.text: row.embedding for row in stored(connection, generation).values()}
    write(
        connection,
        generation,
        paragraphs("zero") + kept(paragraphs("one", "two", "three", first=1)),
    )
    after = stored(connection, generation)
    assert [after["doc", place].text for place in range(4)] == ["zero", "one", "two", "three"]
    assert {row.text: row.embedding for row in after.values() if row.text != "zero"} == before


def test_offsets_alone_change_in_place(connection: Connection, generation: int) -> None:
    write(connection, generation, paragraphs("one", "two"))
    before = stored(connection, generation)
    one, two = kept(paragraphs("one", "two"))
    write(connection, generation, [one, replace(two, start=7)])
    after = stored(connection, generation)
    assert after["doc", 0] == before["doc", 0]
    assert after["doc", 1]._replace(place="") == before["doc", 1]._replace(place="", start=7)


def test_an_embedding_that_is_kept_may_stand_twice(connection: Connection, generation: int) -> None:
    write(connection, generation, paragraphs("one"))
    write(connection, generation, kept(paragraphs("one", "one", "one")))
    assert len({row.embedding for row in stored(connection, generation).values()}) == 1


def test_an_embedding_of_another_document_is_not_kept(
    connection: Connection, generation: int
) -> None:
    write(connection, generation, paragraphs("one", document="other"))
    with pytest.raises(psycopg.errors.NoDataFound, match="no chunk of document"):
        write(connection, generation, kept(paragraphs("one")))


def test_nothing_is_written_where_the_embedding_to_be_kept_has_gone(pool: Pool) -> None:
    with transaction(pool) as connection:
        generation = make_collection(connection)
        write(connection, generation, paragraphs("one", "two"))
        before = stored(connection, generation)
    with pytest.raises(psycopg.errors.NoDataFound), transaction(pool) as connection:
        write(connection, generation, kept(paragraphs("one", "new")))
    with transaction(pool) as connection:
        assert stored(connection, generation) == before


@pytest.mark.parametrize("storage", ["halfvec", "vector", "bit"])
def test_every_storage_type_keeps_embeddings(connection: Connection, storage: str) -> None:
    generation = make_collection(connection, storage, storage_type=storage)
    write(connection, generation, paragraphs("one", "two"))
    before = stored(connection, generation)
    write(connection, generation, kept(paragraphs("two", "one")))
    after = stored(connection, generation)
    assert after["doc", 0].embedding == before["doc", 1].embedding
    assert after["doc", 1].embedding == before["doc", 0].embedding


def test_a_text_analysed_in_another_language_keeps_its_embedding(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    [running] = paragraphs("running")
    write(connection, generation, [replace(running, language="en")])
    before = stored(connection, generation)["doc", 0]
    write(connection, generation, [replace(running, language="de", embedding=None)])
    after = stored(connection, generation)["doc", 0]
    assert before.lexemes != after.lexemes
    assert before.embedding == after.embedding
    assert_statistics_are_true(connection, generation)


def test_what_is_kept_is_told_by_the_text_that_was_embedded(
    connection: Connection, generation: int
) -> None:
    texts = [("Title", "text"), ("", "text"), ("Title", ""), ("Ünï", "a\nb\u2028c \\ ' % {")]
    chunks = [
        chunk("doc", text, position=position, heading=heading)
        for position, (heading, text) in enumerate(texts)
    ]
    write(connection, generation, chunks)
    expected = {
        ("doc", sha256(embedded_text(Chunk(0, heading, text, 0, 0, 0)).encode()).digest())
        for heading, text in texts
    }
    assert kept_embeddings(connection, generation, ["doc", "other"]) == expected
    # One without its embedding is not: it wants a model.
    connection.execute("UPDATE rankgres.chunk SET embedding = NULL WHERE position = 0")
    assert len(kept_embeddings(connection, generation, ["doc"])) == len(texts) - 1


def test_each_document_has_its_hash_and_its_number_of_chunks(
    connection: Connection, generation: int
) -> None:
    def indexed() -> dict[str, tuple[bytes | None, int]]:
        rows = connection.execute(
            "SELECT document_id, content_hash, chunk_count FROM rankgres.indexed_document "
            "WHERE generation_id = %s",
            [generation],
        )
        return {row[0]: row[1:] for row in rows}

    write(connection, generation, paragraphs("one", "two"), {"doc": b"1", "blank": b"2"}, ["blank"])
    assert indexed() == {"doc": (b"1", 2), "blank": (b"2", 0)}
    write(connection, generation, kept(paragraphs("one")), {"doc": b"3"})
    assert indexed() == {"doc": (b"3", 1), "blank": (b"2", 0)}
    write(connection, generation, [], {}, ["doc", "blank", "never was"])
    assert indexed() == {}
    assert stored(connection, generation) == {}


def test_what_was_embedded_and_what_was_kept_is_counted(
    connection: Connection, generation: int
) -> None:
    write(connection, generation, paragraphs("one", "two", "three"))
    write(connection, generation, kept(paragraphs("one", "two")) + paragraphs("3", first=2))
    activity = connection.execute(
        "SELECT documents, chunks_embedded, chunks_reused FROM rankgres.indexing_activity "
        "WHERE generation_id = %s ORDER BY finished_at",
        [generation],
    ).fetchall()
    assert activity == [(1, 3, 0), (1, 1, 2)]


@pytest.mark.parametrize("seed", range(5))
def test_after_any_changes_rows_and_statistics_are_those_of_the_last(
    connection: Connection, generation: int, seed: int
) -> None:
    chance = random.Random(seed)
    truth: dict[str, list[str]] = {}
    for _ in range(30):
        batch = {}
        for document in chance.sample("abcdef", k=chance.randint(1, 4)):
            texts = list(truth.get(document, []))
            for _ in range(chance.randint(0, 3)):
                place = chance.randint(0, len(texts))
                match chance.randint(0, 2):
                    case 0:
                        texts[place:place] = [" ".join(chance.choices("vwxyz", k=4))]
                    case 1:
                        del texts[place : place + 1]
                    case _:
                        chance.shuffle(texts)
            batch[document] = texts
        known = kept_embeddings(connection, generation, list(batch))
        chunks = [
            replace(each, embedding=None)
            if (document, sha256(each.text.encode()).digest()) in known
            else each
            for document, texts in batch.items()
            for each in paragraphs(*texts, document=document)
        ]
        write(connection, generation, chunks, dict.fromkeys(batch, b""), batch)
        truth |= batch
        rows = stored(connection, generation)
        assert {key: row.text for key, row in rows.items()} == {
            (document, place): text
            for document, texts in truth.items()
            for place, text in enumerate(texts)
        }
        assert all(
            np.allclose(np.fromstring(row.embedding[1:-1], sep=","), embedding_of(row.text))
            for row in rows.values()
        )
        assert_statistics_are_true(connection, generation)


def test_what_stands_is_found_by_the_index(connection: Connection, generation: int) -> None:
    replace_chunks(connection, generation, [chunk(f"d{n:05}", "text") for n in range(3000)])
    connection.execute(f"ANALYZE rankgres.chunk_{generation}".encode())

    def table_scans() -> int:
        scans: int = value(
            connection,
            "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = %s",
            [f"chunk_{generation}"],
        )
        return scans

    before = table_scans()
    kept_embeddings(connection, generation, ["d00007", "d00008"])
    write(connection, generation, [chunk("d00007", "other"), chunk("new", "text")])
    assert table_scans() == before
