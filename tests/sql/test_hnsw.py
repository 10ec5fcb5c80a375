"""Searches of collections with an HNSW index of each storage type, by the public function."""

import numpy as np
import pytest
from psycopg import sql

from service.collections.hnsw_index import build_hnsw_index
from service.db.connection import Connection, connect
from tests.support.collections import (
    chunk,
    explained,
    found,
    generation_of,
    replace_chunks,
    search,
    value,
)
from tests.support.databases import DatabaseServer
from tests.support.vectors import COUNT, QUERIES, truth


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
        assert explained(indexed)["vector"]["plan"] == "hnsw"
        recalls.append(len(truth(query, everything, 10) & set(found(rows))) / 10)
    assert np.mean(recalls) >= least


def test_asking_for_everything_returns_everything(indexed: Connection) -> None:
    rows = search(
        indexed,
        embedding=QUERIES[0],
        collection="halfvec",
        candidates=COUNT,
        stage_candidates=COUNT,
    )
    assert len(set(found(rows))) == COUNT


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
    replace_chunks(indexed, generation, [chunk("new", embedding=QUERIES[0])], also=["doc00000"])
    rows = search(indexed, embedding=QUERIES[0], collection="halfvec", candidates=COUNT)
    assert rows[0].document_id == "new"
    assert "doc00000" not in found(rows)


def test_a_second_build_finds_the_index_and_one_of_a_dropped_generation_does_nothing(
    server: DatabaseServer, indexed_urls: dict[int, str]
) -> None:
    url = indexed_urls[server.version]
    with connect(url) as connection:
        generation = generation_of(connection, "vector")
    assert build_hnsw_index(url, generation)
    assert not build_hnsw_index(url, 10**9)
