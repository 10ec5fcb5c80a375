"""Recall of a generation's vector search: measured against exact search, stored, and mended."""

from collections.abc import Iterator

import numpy as np
import pytest

from service.collections.collection import show_collection
from service.collections.exact_neighbours import NearestChunks, read_embeddings, scores
from service.collections.hnsw_index import build_hnsw_index
from service.collections.recall import (
    RecallMeasurement,
    measure_new_index,
    store_recall,
)
from service.db.connection import Connection, connect
from service.errors import InvalidInputError
from tests.support.collections import (
    chunk,
    generation_of,
    make_collection,
    replace_chunks,
    search,
    value,
)
from tests.support.databases import DatabaseServer

COUNT, DIMENSION = 5000, 24
VECTORS = np.random.default_rng(3).normal(size=(COUNT, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="module")
def indexed_urls(_servers: dict[int, DatabaseServer]) -> Iterator[dict[int, str]]:
    """On the newest version, collections of chunks without any structure, which are hard to index.

    "sparse" has an index with as few edges as can be, "flat" has none, "bare" has no chunk.
    """
    server = _servers[max(_servers)]
    with server.clone() as url:
        with connect(url) as connection:
            make_collection(connection, "bare", embedding_dimension=DIMENSION)
            for name, options in (
                ("sparse", {"hnsw_m": 4, "hnsw_ef_construction": 16}),
                ("flat", {"storage_type": "vector", "distance": "l2"}),
            ):
                generation = make_collection(
                    connection, name, embedding_dimension=DIMENSION, **options
                )
                # Two chunks a document, each somewhere else.
                replace_chunks(
                    connection,
                    generation,
                    [
                        chunk(f"doc{number // 2:04}", position=number % 2, embedding=vector)
                        for number, vector in enumerate(VECTORS)
                    ],
                )
            sparse = generation_of(connection, "sparse")
        assert build_hnsw_index(url, sparse)
        yield {server.version: url}


@pytest.fixture
def indexed(indexed_urls: dict[int, str]) -> Iterator[Connection]:
    """A connection that commits at once; nothing measured is left behind."""
    (url,) = indexed_urls.values()
    with connect(url, autocommit=True) as connection:
        yield connection
        connection.execute(
            "UPDATE rankgres.generation SET recall = NULL, recall_k = NULL, "
            "recall_measured_at = NULL"
        )
        connection.execute("UPDATE rankgres.collection SET search_profile = '{}'")


def by_hand(connection: Connection, query: np.ndarray, k: int, ef_search: int) -> float:
    """Return recall@k of one query over documents, by a search and by numpy."""
    rows = search(
        connection,
        embedding=query,
        collection="sparse",
        candidates=k,
        stage_candidates=k,
        ef_search=ef_search,
    )
    normed = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    best = (normed @ query).reshape(-1, 2).max(axis=1)
    nearest = {f"doc{number:04}" for number in np.argsort(-best)[:k]}
    return len(nearest & {row.document_id for row in rows}) / k


def test_recall_is_the_share_of_the_nearest_documents_that_the_search_finds(
    indexed: Connection,
) -> None:
    queries = np.random.default_rng(4).normal(size=(15, DIMENSION)).astype(np.float32)
    generation = generation_of(indexed, "sparse")
    report = RecallMeasurement(indexed, generation, k=20, queries=queries).measure(ef_search=40)
    with indexed.transaction():
        expected = np.mean([by_hand(indexed, query, 20, 40) for query in queries])
    # One more document is asked for than counts, and halfvec orders near equals otherwise.
    assert report.recall == pytest.approx(expected, abs=0.05)
    assert 0.2 < report.recall < 0.95
    assert report.worst <= report.recall
    assert (report.queries, report.ef_search, report.plans) == (15, 40, {"hnsw": 15})


def test_a_wider_search_finds_more_and_the_least_width_that_suffices_is_found(
    indexed: Connection,
) -> None:
    measurement = RecallMeasurement(indexed, generation_of(indexed, "sparse"), k=10, sample=20)
    narrow = measurement.measure(ef_search=20)
    wide = measurement.measure(ef_search=160)
    assert narrow.recall < wide.recall
    found = measurement.widened(narrow, target=wide.recall)
    assert found is not None
    assert found.recall >= wide.recall
    assert found.ef_search in {30, 40, 60, 100, 160}
    assert measurement.widened(narrow, target=1.01) is None


def test_searches_are_measured_as_the_profile_has_them(indexed: Connection) -> None:
    indexed.execute("UPDATE rankgres.collection SET search_profile = '{\"ef_search\": 33}'")
    generation = generation_of(indexed, "sparse")
    assert RecallMeasurement(indexed, generation, k=10, sample=5).measure().ef_search == 33


def test_what_was_measured_is_stored_and_shown(indexed: Connection) -> None:
    assert show_collection(indexed, "sparse").recall is None
    generation = generation_of(indexed, "sparse")
    report = measure_new_index(indexed, generation)
    assert (report.queries, report.k) == (50, 100)
    status = show_collection(indexed, "sparse")
    assert (status.recall, status.recall_k) == (report.recall, 100)
    assert value(
        indexed,
        "SELECT recall_measured_at > now() - interval '1 hour' FROM rankgres.generation "
        "WHERE id = %s",
        [generation],
    )
    assert measure_new_index(indexed, generation).recall == report.recall


def test_the_chunk_that_a_query_was_made_of_is_in_neither_list(indexed: Connection) -> None:
    # One document alone, and with it left out no other: nothing is missed.
    measurement = RecallMeasurement(indexed, generation_of(indexed, "flat"), k=1, sample=30)
    for query, truth in zip(measurement._queries, measurement._truth, strict=True):
        assert query.document_id in truth.document_ids[:1]
    assert measurement.measure().recall == 1


def test_without_an_index_every_search_is_exact_and_nothing_is_stored(indexed: Connection) -> None:
    measurement = RecallMeasurement(indexed, generation_of(indexed, "flat"), k=50, sample=20)
    report = measurement.measure()
    assert (report.recall, report.plans, report.ef_search) == (1, {"exact": 20}, None)
    assert not measurement.indexed
    assert measurement.widened(report, target=1.01) is None
    store_recall(indexed, report)
    assert show_collection(indexed, "flat").recall is None


def test_a_collection_without_chunks_has_nothing_to_measure(indexed: Connection) -> None:
    with pytest.raises(InvalidInputError, match="bare holds no chunk"):
        RecallMeasurement(indexed, generation_of(indexed, "bare"))


@pytest.mark.parametrize("storage", ["halfvec", "vector"])
def test_embeddings_are_read_as_postgres_sends_them(connection: Connection, storage: str) -> None:
    sent = value(connection, f"SELECT {storage}_send('[1.5,-2,0.25]')")
    assert read_embeddings([sent, sent], storage, 3).tolist() == [[1.5, -2, 0.25]] * 2


@pytest.mark.parametrize(
    ("distance", "operator"), [("cosine", "<=>"), ("inner_product", "<#>"), ("l2", "<->")]
)
def test_scores_are_those_of_the_database(
    connection: Connection, distance: str, operator: str
) -> None:
    queries, embeddings = VECTORS[:3], VECTORS[10:14]
    ours = scores(queries, embeddings, distance)
    for row, query in enumerate(queries):
        for column, embedding in enumerate(embeddings):
            theirs = -value(
                connection,
                f"SELECT %s::vector {operator} %s::vector",
                [str(embedding.tolist()), str(query.tolist())],
            ) + (distance == "cosine")
            assert ours[row, column] == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def test_an_embedding_of_zeros_is_far_from_everything() -> None:
    zeros = np.zeros((1, 4), dtype=np.float32)
    assert scores(np.ones((1, 4), dtype=np.float32), zeros, "cosine").tolist() == [[0]]


def test_the_nearest_chunks_are_kept_however_they_come() -> None:
    queries, embeddings = VECTORS[:4], VECTORS[100:400]
    whole = NearestChunks(queries, 12, "cosine")
    whole.show([f"d{number}" for number in range(300)], embeddings)
    parts = NearestChunks(queries, 12, "cosine")
    for start in range(0, 300, 7):
        stop = min(300, start + 7)
        parts.show([f"d{number}" for number in range(start, stop)], embeddings[start:stop])
    expected = np.argsort(-scores(queries, embeddings, "cosine"), axis=1)[:, :12]
    for row, (once, bit_by_bit) in enumerate(
        zip(whole.documents(), parts.documents(), strict=True)
    ):
        assert once.document_ids == [f"d{number}" for number in expected[row]]
        assert bit_by_bit.document_ids == once.document_ids
