"""The vector stage with an HNSW index: the index is used, finds what is near, and hides nothing."""

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from numpy.typing import NDArray
from psycopg import sql

from service.collections.hnsw_index import build_hnsw_index
from service.db.connection import Connection, connect
from tests.support.collections import (
    chunk,
    explained,
    found,
    generation_of,
    make_collection,
    replace_chunks,
    search,
    value,
)
from tests.support.databases import DatabaseServer

COUNT, DIMENSION = 3000, 32
Vectors = NDArray[np.float32]


def clustered(count: int, seed: int = 11) -> Vectors:
    """Return unit vectors of shape (count, DIMENSION) around 40 centres."""
    source = np.random.default_rng(seed)
    centres = np.random.default_rng(11).normal(size=(40, DIMENSION))
    vectors = centres[source.integers(0, 40, count)] + 0.35 * source.normal(size=(count, DIMENSION))
    normed: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed.astype(np.float32)


VECTORS = clustered(COUNT)
QUERIES = clustered(20, seed=12)


@pytest.fixture(scope="module")
def indexed_urls(_servers: dict[int, DatabaseServer]) -> Iterator[dict[int, str]]:
    """On each version, an indexed collection for each storage type; bits of more dimensions."""
    with ExitStack() as stack:
        urls = {}
        for version, server in _servers.items():
            url = urls[version] = stack.enter_context(server.clone())
            generations = []
            with connect(url) as connection:
                for storage in ("halfvec", "vector", "bit"):
                    generation = make_collection(
                        connection, storage, embedding_dimension=DIMENSION, storage_type=storage
                    )
                    generations.append(generation)
                    replace_chunks(
                        connection,
                        generation,
                        [
                            chunk(
                                f"doc{number:04}",
                                embedding=vector,
                                filters={"percent": number % 100, "permille": number % 1000},
                            )
                            for number, vector in enumerate(VECTORS)
                        ],
                    )
            # No transaction may be open here: a concurrent build waits for every older one.
            for generation in generations:
                assert build_hnsw_index(url, generation)
        yield urls


@pytest.fixture
def indexed(server: DatabaseServer, indexed_urls: dict[int, str]) -> Iterator[Connection]:
    with connect(indexed_urls[server.version]) as connection:
        yield connection
        connection.rollback()


def nearest(query: Vectors, among: NDArray[np.int64], count: int) -> set[str]:
    order = np.argsort(-(VECTORS[among] @ query))[:count]
    return {f"doc{number:04}" for number in among[order]}


@pytest.mark.parametrize("storage", ["halfvec", "vector", "bit"])
def test_the_planner_takes_the_index_for_the_expression_we_order_by(
    indexed: Connection, storage: str
) -> None:
    generation = generation_of(indexed, storage)
    order = value(
        indexed,
        "SELECT rankgres.generation_hnsw_order_v1(generation, %s) "
        "FROM rankgres.generation WHERE id = %s",
        [f"'{QUERIES[0].tolist()}'::vector", generation],
    )
    table = sql.Identifier("rankgres", f"chunk_{generation}")
    plan = indexed.execute(
        sql.SQL("EXPLAIN SELECT document_id FROM {} ORDER BY {} LIMIT 10").format(
            table, sql.SQL(order)
        )
    ).fetchall()
    assert any(f"Index Scan using chunk_{generation}_embedding" in line for (line,) in plan), plan


@pytest.mark.parametrize(("storage", "least"), [("halfvec", 0.95), ("vector", 0.95), ("bit", 0.6)])
def test_recall(indexed: Connection, storage: str, least: float) -> None:
    everything = np.arange(COUNT)  # 32 bits tell little apart; embeddings have hundreds
    recalls = []
    for query in QUERIES:
        rows = search(
            indexed, embedding=query, collection=storage, candidates=10, stage_candidates=10
        )
        assert explained(indexed)["vector_plan"] == "hnsw"
        recalls.append(len(nearest(query, everything, 10) & set(found(rows))) / 10)
    assert np.mean(recalls) >= least


@pytest.mark.parametrize("storage", ["halfvec", "bit"])
@pytest.mark.parametrize(("field", "modulus"), [("percent", 100), ("permille", 1000)])
def test_a_selective_filter_returns_every_row_that_exists(
    indexed: Connection, storage: str, field: str, modulus: int
) -> None:
    for kept, query in enumerate(QUERIES[:5]):
        matching = np.arange(kept, COUNT, modulus)
        rows = search(indexed, embedding=query, collection=storage, filter={field: kept})
        assert set(found(rows)) == {f"doc{number:04}" for number in matching}


def test_a_filter_costs_no_recall_silently(indexed: Connection) -> None:
    matching = np.arange(3, COUNT, 100)
    for query in QUERIES:
        rows = search(
            indexed,
            embedding=query,
            collection="halfvec",
            filter={"percent": 3},
            candidates=5,
            stage_candidates=5,
        )
        assert len(nearest(query, matching, 5) & set(found(rows))) >= 4


def test_asking_for_everything_returns_everything(indexed: Connection) -> None:
    rows = search(
        indexed,
        embedding=QUERIES[0],
        collection="halfvec",
        candidates=COUNT,
        stage_candidates=COUNT,
    )
    assert len(set(found(rows))) == COUNT


def test_no_setting_leaks_out_of_a_search(indexed: Connection) -> None:
    def settings() -> list[tuple[str, str]]:
        return indexed.execute(
            "SELECT name, setting FROM pg_settings "
            "WHERE name LIKE 'hnsw.%' OR name = 'search_path' ORDER BY name"
        ).fetchall()

    indexed.execute("SELECT '[1]'::vector")  # loads the library, and its settings with it
    indexed.execute("SET LOCAL hnsw.ef_search = 77")
    indexed.execute("SET LOCAL search_path = pg_temp")
    before = settings()
    assert ("hnsw.ef_search", "77") in before
    search_rows = indexed.execute(
        "SELECT count(*) FROM rankgres.search_candidates("
        "'halfvec', '', (SELECT embedding::public.vector FROM rankgres.chunk LIMIT 1), "
        "mode => 'vector', ef_search => 333)"
    ).fetchone()
    assert search_rows == (100,)
    assert settings() == before


def test_settings_of_a_fresh_session_are_the_defaults_after_a_search(
    server: DatabaseServer, indexed_urls: dict[int, str]
) -> None:
    with connect(indexed_urls[server.version]) as connection:
        search(connection, embedding=QUERIES[0], collection="halfvec")
        shown = [
            value(connection, f"SHOW hnsw.{name}")
            for name in ("ef_search", "iterative_scan", "max_scan_tuples")
        ]
        assert shown == ["40", "off", "20000"]


def test_it_works_in_a_read_only_transaction_as_on_a_replica(indexed: Connection) -> None:
    indexed.execute("SET TRANSACTION READ ONLY")
    assert search(indexed, "any words", QUERIES[0], collection="halfvec")


def test_new_and_deleted_chunks_show_at_once(indexed: Connection) -> None:
    generation = generation_of(indexed, "halfvec")
    replace_chunks(indexed, generation, [chunk("new", embedding=QUERIES[0])], also=["doc0000"])
    rows = search(indexed, embedding=QUERIES[0], collection="halfvec", candidates=COUNT)
    assert rows[0].document_id == "new"
    assert "doc0000" not in found(rows)


def test_a_second_build_finds_the_index_and_one_of_a_dropped_generation_does_nothing(
    server: DatabaseServer, indexed_urls: dict[int, str]
) -> None:
    url = indexed_urls[server.version]
    with connect(url) as connection:
        generation = generation_of(connection, "vector")
    assert build_hnsw_index(url, generation)
    assert not build_hnsw_index(url, 10**9)
