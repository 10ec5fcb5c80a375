"""A collection being filled while something is killed, and what must be true of it afterwards."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

import psycopg

from service.collections.collection import (
    CollectionPlan,
    CollectionStatus,
    Generation,
    active_generation,
    create_collection,
    drop_collection,
    show_collection,
)
from service.db.connection import Connection, connect
from service.errors import RankgresError
from service.ingest.documents import Document, delete_documents, upsert_documents
from tests.support.stack import RealStack
from tests.support.waiting import eventually
from workers.chunking import Chunker
from workers.inference.model_files import locate
from workers.inference.tokens import load_tokenizer

_SUBJECTS = ("harbour", "orchard", "glacier", "violin", "lantern", "compass", "market", "bridge")
_VERBS = ("opens", "freezes", "sings", "burns", "turns", "closes", "grows", "falls")


def made_up_documents(count: int, edition: int = 1) -> list[Document]:
    """Return documents of one to several chunks, every one of another text."""
    return [
        Document(
            id=f"d{number:04}",
            title=f"{_SUBJECTS[number % 8]} {number}",
            text=" ".join(
                f"In edition {edition} the {_SUBJECTS[(number + turn) % 8]} {number} "
                f"{_VERBS[(number * turn) % 8]} at hour {turn}."
                for turn in range(4 if number % 5 else 60)
            ),
            metadata={"number": number, "edition": edition},
        )
        for number in range(count)
    ]


@dataclass
class Ingestion:
    """A collection on a stack, and the documents it is to hold in the end."""

    stack: RealStack
    name: str
    documents: dict[str, Document]

    @classmethod
    @contextmanager
    def begin(cls, stack: RealStack) -> Iterator["Ingestion"]:
        name = f"fault-{uuid4().hex}"
        with connect(stack.record.database_url) as connection:
            create_collection(connection, CollectionPlan(name))
        yield cls(stack, name, {})
        with connect(stack.record.database_url) as connection:
            drop_collection(connection, name)

    def connect(self) -> Connection:
        return connect(self.stack.record.database_url)

    def write(self, documents: list[Document]) -> None:
        with self.connect() as connection:
            upsert_documents(connection, self.generation(connection), documents)
        self.documents |= {document.id: document for document in documents}

    def delete(self, ids: list[str]) -> None:
        with self.connect() as connection:
            delete_documents(connection, self.generation(connection), ids)
        for id_ in ids:
            del self.documents[id_]

    def generation(self, connection: Connection) -> Generation:
        return active_generation(connection, self.name)

    def status(self) -> CollectionStatus:
        with self.connect() as connection:
            return show_collection(connection, self.name)

    def wait_for(self, documents: int) -> None:
        """Wait until at least so many documents are searchable: the ingest is in its middle."""
        eventually(lambda: self.status().documents >= documents, f"{documents} documents")

    def wait_drained(self) -> None:
        def drained() -> bool:
            try:
                return self.status().waiting == 0
            except RankgresError:  # Postgres is on its way back
                return False

        eventually(drained, "the outbox is empty", seconds=120)

    def assert_index_equals_source(self) -> None:
        """Compare chunks and statistics with what they are to be, computed here once more."""
        with self.connect() as connection:
            generation = self.generation(connection)
            found = _chunks(connection, generation.id)
            expected = _expected_chunks(generation, self.documents)
            assert found.keys() == expected.keys()
            assert found == expected
            _assert_statistics(connection, generation.id)


def _chunks(connection: Connection, generation_id: int) -> dict[tuple[str, int], tuple[Any, ...]]:
    rows = connection.execute(
        "SELECT document_id, position, heading, text, start_offset, end_offset, filters, "
        "vector_dims(embedding) FROM rankgres.chunk WHERE generation_id = %s",
        (generation_id,),
    ).fetchall()
    chunks = {(row[0], row[1]): tuple(row[2:]) for row in rows}
    assert len(chunks) == len(rows), "a chunk stands twice"
    return chunks


def _expected_chunks(
    generation: Generation, documents: Mapping[str, Document]
) -> dict[tuple[str, int], tuple[Any, ...]]:
    chunker = _chunker(generation.chunk_tokens, generation.overlap_tokens)
    listed = list(documents.values())
    parts = chunker.split_batch([(document.title, document.text) for document in listed])
    return {
        (document.id, chunk.position): (
            chunk.heading,
            chunk.text,
            chunk.start,
            chunk.end,
            document.metadata,
            generation.embedding_dimension,
        )
        for document, chunks in zip(listed, parts, strict=True)
        for chunk in chunks
    }


@cache
def _chunker(max_tokens: int, overlap_tokens: int) -> Chunker:
    tokenizer = load_tokenizer(locate("sentence-transformers/all-MiniLM-L6-v2"))
    return Chunker(tokenizer, max_tokens=max_tokens, overlap_tokens=overlap_tokens)


def _assert_statistics(connection: Connection, generation_id: int) -> None:
    rows = connection.execute(
        "SELECT tsvector_to_array(lexemes), lexical_length FROM rankgres.chunk "
        "WHERE generation_id = %s",
        (generation_id,),
    ).fetchall()
    counted = Counter(lexeme for lexemes, _ in rows for lexeme in lexemes)
    assert _sums(connection, generation_id) == counted
    totals = connection.execute(
        "SELECT sum(chunk_count), sum(lexical_length) FROM ("
        "SELECT chunk_count, lexical_length FROM rankgres.chunk_total WHERE generation_id = %(id)s "
        "UNION ALL SELECT chunk_count, lexical_length FROM rankgres.chunk_total_change "
        "WHERE generation_id = %(id)s) AS part",
        {"id": generation_id},
    ).fetchone()
    assert totals == (len(rows), sum(length for _, length in rows))


def _sums(connection: psycopg.Connection[Any], generation_id: int) -> dict[str, int]:
    rows = connection.execute(
        "SELECT lexeme, sum(chunk_count) FROM ("
        "SELECT lexeme, chunk_count FROM rankgres.lexeme WHERE generation_id = %(id)s UNION ALL "
        "SELECT lexeme, chunk_count FROM rankgres.lexeme_change WHERE generation_id = %(id)s"
        ") AS part GROUP BY lexeme HAVING sum(chunk_count) <> 0",
        {"id": generation_id},
    ).fetchall()
    return {lexeme: int(total) for lexeme, total in rows}
