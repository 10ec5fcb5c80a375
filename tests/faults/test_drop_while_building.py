"""Dropping a collection whose index is being built ends the build, and both go on."""

import threading

import numpy as np
import psycopg

from service.collections.collection import CollectionPlan, create_collection, drop_collection
from service.collections.hnsw_index import build_hnsw_index
from service.db.connection import connect
from tests.support.waiting import eventually

ROWS = 20_000


def test_dropping_a_collection_ends_the_build_of_its_index(database_url: str) -> None:
    with connect(database_url) as connection:
        create_collection(connection, CollectionPlan("built"))
        row = connection.execute("SELECT id FROM rankgres.generation").fetchone()
        assert row is not None
        vector = "[" + ",".join(f"{value:.3f}" for value in np.linspace(-1, 1, 384)) + "]"
        connection.execute(
            "INSERT INTO rankgres.chunk SELECT %s, n::text, 0, 1, 0, 1, 1, '', 'x', '{}', 'x', "
            "(%s::halfvec + array_fill(n * 0.001, ARRAY[384])::halfvec) "
            "FROM generate_series(1, %s) AS n",
            (row[0], vector, ROWS),
        )
    outcome: list[bool] = []
    build = threading.Thread(target=lambda: outcome.append(build_hnsw_index(database_url, row[0])))
    build.start()
    with connect(database_url, autocommit=True) as watcher:
        eventually(lambda: _building(watcher), "the build has begun")
    with connect(database_url) as connection:
        drop_collection(connection, "built")
    build.join(60)
    assert outcome == [False]


def _building(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    rows = connection.execute("SELECT FROM pg_stat_progress_create_index").fetchall()
    return bool(rows)
