"""The vector stage without an index: exact, for every storage type and distance."""

from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from service.db.connection import Connection
from tests.support.collections import (
    chunk,
    explained,
    found,
    make_collection,
    replace_chunks,
    search,
)

DIMENSION = 8
Vectors = NDArray[np.float64]

#: Scores of all rows for a query; greater is nearer.
SCORES: dict[str, Callable[[Vectors, Vectors], Vectors]] = {
    "cosine": lambda rows, query: (
        rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    ),
    "l2": lambda rows, query: -np.linalg.norm(rows - query, axis=1),
    "inner_product": lambda rows, query: rows @ query,
}


def fill(connection: Connection, vectors: NDArray[Any], **options: Any) -> int:
    generation = make_collection(connection, embedding_dimension=vectors.shape[1], **options)
    chunks = [
        chunk(f"doc{number:04}", embedding=vector, filters={"number": number})
        for number, vector in enumerate(vectors)
    ]
    replace_chunks(connection, generation, chunks)
    return generation


@pytest.mark.parametrize("distance", SCORES)
@pytest.mark.parametrize("storage", ["halfvec", "vector", "bit"])
def test_order_and_scores_equal_brute_force(
    connection: Connection, storage: str, distance: str
) -> None:
    source = np.random.default_rng(4)
    vectors = source.normal(size=(150, DIMENSION)).astype(np.float32)
    fill(connection, vectors, storage_type=storage, distance=distance)
    # As stored: bits order candidates of an index alone, the embedding itself is kept as halfvec.
    stored = vectors if storage == "vector" else vectors.astype(np.float16)
    for query in source.normal(size=(3, DIMENSION)).astype(np.float32):
        seen = query if storage == "vector" else query.astype(np.float16)
        expected = SCORES[distance](stored.astype(np.float64), seen.astype(np.float64))
        rows = search(connection, embedding=query, candidates=20)
        order = np.argsort(-expected)[:20]
        assert found(rows) == [f"doc{number:04}" for number in order]
        scores = [row.vector_score for row in rows]
        assert scores == pytest.approx(list(expected[order]), abs=1e-5)
        assert explained(connection)["vector"]["plan"] == "exact"


def test_a_query_of_another_dimension_is_refused_and_says_what_to_do(
    connection: Connection,
) -> None:
    make_collection(connection, embedding_model="some/model")
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        search(connection, embedding=[1, 2, 3])
    diagnosis = raised.value.diag
    assert diagnosis.message_primary == (
        "query_embedding has 3 dimensions, the collection's embeddings have 4"
    )
    assert diagnosis.message_hint == "embed the query with some/model"
    assert diagnosis.column_name == "query_embedding"


def test_chunks_of_one_document_do_not_take_the_places_of_others(connection: Connection) -> None:
    generation = make_collection(connection)
    near = [chunk("many", position=place, embedding=[1, place / 1000, 0, 0]) for place in range(50)]
    others = [chunk(f"doc{place}", embedding=[1, 1 + place / 10, 0, 0]) for place in range(10)]
    replace_chunks(connection, generation, near + others)
    rows = search(connection, embedding=[1, 0, 0, 0], candidates=8, stage_candidates=8)
    assert found(rows) == ["many", *(f"doc{place}" for place in range(7))]
    passages = search(
        connection, embedding=[1, 0, 0, 0], candidates=3, stage_candidates=3, passages=4
    )
    assert [(row.document_id, row.position, row.passage) for row in passages] == [
        ("many", 0, 1),
        ("many", 1, 2),
        ("many", 2, 3),
        ("many", 3, 4),
        ("doc0", 0, 1),
        ("doc1", 0, 1),
    ]


def test_equal_distances_are_ordered_by_id_also_at_the_cut(connection: Connection) -> None:
    generation = make_collection(connection)
    names = [f"doc{number:02}" for number in range(50)]
    shuffled = list(np.random.default_rng(0).permutation(names))
    for name in shuffled:
        replace_chunks(connection, generation, [chunk(name)])
    rows = search(connection, embedding=[1, 0, 0, 0], candidates=10, stage_candidates=10)
    assert found(rows) == names[:10]


def test_an_embedding_of_zeros_comes_last_and_spoils_no_score(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [
            chunk("nothing", embedding=[0, 0, 0, 0]),
            chunk("same", embedding=[1, 0, 0, 0]),
            chunk("across", embedding=[0, 1, 0, 0]),
        ],
    )
    rows = search(connection, embedding=[1, 0, 0, 0])
    assert [(row.document_id, row.vector_score, row.score) for row in rows] == [
        ("same", 1.0, 1.0),
        ("across", 0.0, 0.0),
        ("nothing", -1.0, -1.0),
    ]


def test_a_filter_returns_all_that_match_nearest_first(connection: Connection) -> None:
    vectors = np.random.default_rng(5).normal(size=(300, DIMENSION)).astype(np.float32)
    fill(connection, vectors)
    rows = search(connection, embedding=vectors[0], filter={"number": {"in": [5, 250, 7]}})
    assert sorted(found(rows)) == ["doc0005", "doc0007", "doc0250"]
    assert [row.vector_score for row in rows] == sorted(
        (row.vector_score or 0.0 for row in rows), reverse=True
    )


def test_an_empty_collection_answers_with_nothing_and_its_own_plan(connection: Connection) -> None:
    make_collection(connection)
    connection.execute("SELECT set_config('rankgres.vector_plan', 'hnsw', true)")
    assert search(connection, embedding=[1, 0, 0, 0]) == []
    assert explained(connection)["vector"]["plan"] == "exact"
