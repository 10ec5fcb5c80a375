"""The vector stage: what filters, conditions and deadlines make of the nearest."""

from typing import Any

import numpy as np
import psycopg
import pytest

from service.db.connection import Connection
from tests.support.collections import chunk, make_collection, replace_chunks
from tests.support.vectors import (
    CENTRE,
    COUNT,
    QUERIES,
    Json,
    ids,
    nearest,
    numbers,
    say_it_holds,
    truth,
    vector_explained,
)


@pytest.mark.parametrize("storage", ["halfvec", "bit"])
@pytest.mark.parametrize(
    ("filter_", "matches"),
    [
        (None, lambda _: True),
        ({"half": 1}, lambda n: n % 2 == 1),
        ({"five_percent": 3}, lambda n: n % 20 == 3),
        ({"half_percent": 3}, lambda n: n % 200 == 3),
        ({"few": 3}, lambda n: n % 2000 == 3),
        ({"number": {"gte": 100, "lt": 7000}}, lambda n: 100 <= n < 7000),
        ({"number": {"gte": 7960}}, lambda n: n >= 7960),
        ({"tenant": "t7"}, lambda n: n % 3 and n % 1000 == 7),
        ({"tenant": "big"}, lambda n: n % 3 == 0),
        ({"not": {"tenant": "big"}}, lambda n: n % 3),
        ({"side": 1}, lambda n: CENTRE[n] >= 30),  # all of it far from every query
        ({"tenant": "nobody"}, lambda _: False),
    ],
)
def test_filters_of_any_selectivity_return_as_many_as_exist_and_the_nearest(
    indexed: Connection, storage: str, filter_: Json | None, matches: Any
) -> None:
    among = numbers(matches)
    recalls = []
    for query in QUERIES:
        rows = nearest(indexed, query, collection=storage, filter_=filter_, candidates=20)
        assert len(rows) == min(20, len(among))
        assert vector_explained(indexed)["complete"] is True
        expected = truth(query, among, 20)
        recalls.append(len(expected & set(ids(rows))) / max(1, len(expected)))
    # 32 bits tell little apart, least of all what is far; embeddings have hundreds.
    assert len(among) == 0 or np.mean(recalls) >= (0.95 if storage == "halfvec" else 0.1)


def test_a_walk_that_becomes_dear_gives_way_to_exact_search(indexed: Connection) -> None:
    # A filter as broad as this is not selective, and all it keeps is far from the query.
    among = numbers(lambda n: CENTRE[n] >= 30)
    gave_way = 0
    for query in QUERIES:
        rows = nearest(indexed, query, filter_={"side": 1}, candidates=25, ef_search=20)
        # No two builds are alike: a walk may stray to the far side and find enough there.
        if vector_explained(indexed)["plan"] == "hnsw+exact":
            gave_way += 1
            # Stored as halfvec, the last may change places with the next.
            assert len(set(ids(rows)) & truth(query, among, 25)) >= 24
    assert gave_way > 0


def test_a_filter_wants_a_walk_that_is_much_cheaper_than_exact_search(indexed: Connection) -> None:
    # 16 ms against 20 would do for a walk without a filter.
    nearest(indexed, QUERIES[0], filter_={"side": 1}, candidates=20)
    explained = vector_explained(indexed)
    assert explained["expected_hnsw_ms"] < explained["expected_exact_ms"]
    assert explained["plan"] == "exact"


def test_thousands_of_tenants_are_each_searched_exactly(indexed: Connection) -> None:
    for tenant in range(1, 200, 23):
        among = numbers(lambda n, tenant=tenant: n % 3 and n % 1000 == tenant)
        rows = nearest(
            indexed, QUERIES[tenant % 12], filter_={"tenant": f"t{tenant}"}, candidates=3
        )
        assert set(ids(rows)) == truth(QUERIES[tenant % 12], among, 3)
        assert vector_explained(indexed)["plan"] == "exact"


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("word7", lambda n: n % 100 == 7),
        ("'old' <-> 'version'", lambda n: n % 4),
        ("!'old'", lambda n: n % 4 == 0),
        ("'half0' & !'word8'", lambda n: n % 2 == 0 and n % 100 != 8),
    ],
)
def test_a_condition_on_the_lexemes_holds_for_all_that_is_found(
    indexed: Connection, condition: str, matches: Any
) -> None:
    among = numbers(matches)
    rows = nearest(indexed, QUERIES[1], condition=condition, candidates=20)
    expected = truth(QUERIES[1], among, 20)
    assert len(rows) == 20
    assert {f"doc{number:05}" for number in among} >= set(ids(rows))
    assert len(expected & set(ids(rows))) >= 18
    both = nearest(indexed, QUERIES[1], condition=condition, filter_={"tenant": "big"})
    assert all(matches(int(found[3:])) and int(found[3:]) % 3 == 0 for found in ids(both))
    assert len(both) == 10


def test_recall_by_default(indexed: Connection) -> None:
    everything = np.arange(COUNT)
    recalls = [
        len(truth(query, everything, 60) & set(ids(nearest(indexed, query, candidates=60)))) / 60
        for query in QUERIES
    ]
    assert vector_explained(indexed)["plan"] == "hnsw"
    assert np.mean(recalls) >= 0.95


def test_the_same_query_gives_the_same_list(indexed: Connection) -> None:
    for filter_ in (None, {"half": 0}, {"tenant": "t7"}, {"side": 1}):
        first = nearest(indexed, QUERIES[2], filter_=filter_, candidates=30)
        for _ in range(3):
            assert nearest(indexed, QUERIES[2], filter_=filter_, candidates=30) == first


def test_a_deadline_that_is_over_begins_nothing(indexed: Connection) -> None:
    assert nearest(indexed, QUERIES[0], seconds=-1) == []
    told = vector_explained(indexed)
    assert (told["plan"], told["complete"]) == ("none", False)
    assert told["reason"].startswith("deadline: ")


def test_a_deadline_far_away_changes_nothing(indexed: Connection) -> None:
    for filter_ in (None, {"tenant": "t7"}, {"side": 1}):
        rows = nearest(indexed, QUERIES[0], filter_=filter_)
        assert nearest(indexed, QUERIES[0], filter_=filter_, seconds=3600) == rows
        assert vector_explained(indexed)["complete"] is True


@pytest.fixture
def vast(indexed: Connection) -> Connection:
    """A collection said to be so large that no exact search of it ends within an hour."""
    say_it_holds(indexed, 10**13)
    return indexed


def test_what_a_deadline_cut_says_so(vast: Connection) -> None:
    rows = nearest(vast, QUERIES[0], filter_={"tenant": "nobody"}, seconds=600)
    told = vector_explained(vast)
    assert rows == []
    assert (told["plan"], told["complete"]) == ("hnsw", False)
    assert "exact search would take about" in told["reason"]


def test_a_walk_in_place_of_exact_search_is_not_called_complete(indexed: Connection) -> None:
    # Wanting nearly all, exact search would be cheaper; but there is no time for it.
    say_it_holds(indexed, 10**10)
    rows = nearest(indexed, QUERIES[0], candidates=2 * 10**9, seconds=600)
    told = vector_explained(indexed)
    assert told["expected_exact_ms"] < told["expected_hnsw_ms"]
    assert (told["plan"], told["complete"]) == ("hnsw", False)
    assert len(rows) == COUNT


def test_without_an_index_a_search_that_would_take_too_long_is_not_begun(vast: Connection) -> None:
    vast.execute("UPDATE rankgres.generation SET hnsw_state = 'absent'")
    assert nearest(vast, QUERIES[0], seconds=600) == []
    told = vector_explained(vast)
    assert (told["plan"], told["complete"], told["expected_hnsw_ms"]) == ("none", False, None)
    assert "exact search would take about" in told["reason"]


def test_no_setting_leaks_out_of_a_search(indexed: Connection) -> None:
    def shown() -> list[tuple[str, str]]:
        return indexed.execute(
            "SELECT name, setting FROM pg_settings WHERE name LIKE 'hnsw.%' "
            "OR name LIKE 'enable_%' OR name IN ('jit', 'search_path') ORDER BY name"
        ).fetchall()

    indexed.execute("SELECT '[1]'::vector")  # loads the library, and its settings with it
    indexed.execute("SET LOCAL hnsw.ef_search = 77")
    indexed.execute("SET LOCAL jit = on")
    before = shown()
    for filter_ in (None, {"side": 1}, {"tenant": "t7"}, {"number": {"gte": 7990}}):
        nearest(indexed, QUERIES[0], filter_=filter_)
        assert shown() == before


def test_documents_of_many_chunks_leave_no_place_empty(connection: Connection) -> None:
    generation = make_collection(connection)
    long = [chunk("long", position=n, embedding=(1, 0.001 * n, 0, 0)) for n in range(200)]
    short = [chunk(f"short{n:02}", embedding=(0, 1, 0.01 * n, 0)) for n in range(20)]
    replace_chunks(connection, generation, [*long, *short])
    rows = nearest(connection, [1, 0, 0, 0], collection="papers", candidates=15, passages=3)
    assert [row[3] for row in rows] == [1, 1, 1, *range(2, 16)]
    assert [row[:2] for row in rows[:4]] == [("long", 0), ("long", 1), ("long", 2), ("short00", 0)]


def test_equals_are_ordered_by_id_and_an_empty_generation_finds_nothing(
    connection: Connection,
) -> None:
    generation = make_collection(connection)
    assert nearest(connection, [1, 0, 0, 0], collection="papers") == []
    assert vector_explained(connection)["complete"] is True
    replace_chunks(connection, generation, [chunk(name) for name in "dbca"])
    assert ids(nearest(connection, [1, 0, 0, 0], collection="papers", candidates=3)) == list("abc")


def test_an_embedding_of_another_length_is_named(connection: Connection) -> None:
    make_collection(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="3 dimensions") as raised:
        nearest(connection, [1, 0, 0], collection="papers")
    assert raised.value.diag.column_name == "query_embedding"
