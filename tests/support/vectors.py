"""Vectors in clusters, in collections with an HNSW index, and what is nearest to them in truth."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from tests.support.collections import generation_of, value

COUNT, DIMENSION, CENTRES = 8000, 32, 40
Vectors = NDArray[np.float32]
Json = dict[str, Any]


def around(centres: NDArray[np.int64], seed: int) -> Vectors:
    """Return unit vectors around the numbered centres, shape (len(centres), DIMENSION).

    The last ten lie on the other side, far from all others.
    """
    middles = np.random.default_rng(11).normal(size=(CENTRES, DIMENSION))
    middles[:, 0] = np.where(np.arange(CENTRES) < 30, 5, -5)
    noise = np.random.default_rng(seed).normal(size=(len(centres), DIMENSION))
    vectors = middles[centres] + 0.35 * noise
    normed: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed.astype(np.float32)


CENTRE = np.random.default_rng(5).integers(0, CENTRES, COUNT)
VECTORS = around(CENTRE, 1)
#: One near each of the first centres, all of them among the 30 of side 0.
QUERIES = around(np.arange(12), 2)


def filters_of(number: int) -> Json:
    return {
        "half": number % 2,
        "five_percent": number % 20,
        "half_percent": number % 200,
        "few": number % 2000,
        "number": number,
        "side": int(CENTRE[number] >= 30),
        "tenant": "big" if number % 3 == 0 else f"t{number % 1000}",
    }


def text_of(number: int) -> str:
    return f"all word{number % 100} half{number % 2} " + (
        "old version" if number % 4 else "version"
    )


def nearest(
    connection: Connection,
    query: Vectors | list[float],
    *,
    collection: str = "halfvec",
    candidates: int = 10,
    filter_: Json | None = None,
    **options: Any,
) -> list[tuple[str, int, float, int, int]]:
    """Call search_vector_v2; options are its parameters."""
    statement = (
        "SELECT * FROM rankgres.search_vector_v2(%(generation)s, %(embedding)s, %(candidates)s, "
        "passages => %(passages)s, filter => rankgres.filter_to_jsonpath_v2(%(generation)s, "
        "%(filter)s), condition => %(condition)s::tsquery, ef_search => %(ef_search)s, "
        "deadline => clock_timestamp() + %(seconds)s * interval '1 second')"
    )
    parameters = {
        "generation": generation_of(connection, collection),
        "embedding": Vector(np.asarray(query, dtype=np.float32)),
        "candidates": candidates,
        "passages": 1,
        "filter": None if filter_ is None else Jsonb(filter_),
        "condition": None,
        "ef_search": None,
        "seconds": None,
    }
    return connection.execute(statement, parameters | options).fetchall()


def ids(rows: list[tuple[str, int, float, int, int]]) -> list[str]:
    return [row[0] for row in rows]


def vector_explained(connection: Connection) -> Json:
    answer: Json = value(connection, "SELECT current_setting('rankgres.vector_explain')::jsonb")
    return answer


def truth(query: Vectors, among: NDArray[np.int64], count: int) -> set[str]:
    order = np.argsort(-(VECTORS[among] @ query))[:count]
    return {f"doc{number:05}" for number in among[order]}


def numbers(matches: Any) -> NDArray[np.int64]:
    return np.array([number for number in range(COUNT) if matches(number)], dtype=np.int64)


def say_it_holds(connection: Connection, chunks: int) -> None:
    """Have the statistics say that every collection holds so many chunks."""
    connection.execute("DELETE FROM rankgres.chunk_total_change")
    connection.execute("DELETE FROM rankgres.chunk_total")
    connection.execute(
        "INSERT INTO rankgres.chunk_total (generation_id, chunk_count, document_count, "
        "lexical_length) SELECT id, %(chunks)s, %(chunks)s, %(chunks)s FROM rankgres.generation",
        {"chunks": chunks},
    )
