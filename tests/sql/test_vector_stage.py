"""The vector stage, second version: its plans, and what filters and deadlines make of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from pgvector import Vector
from psycopg.types.json import Jsonb

from service.collections.hnsw_index import build_hnsw_index
from service.db.connection import Connection, connect
from tests.support.collections import chunk, generation_of, make_collection, replace_chunks, value
from tests.support.databases import DatabaseServer

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


@pytest.fixture(scope="module")
def indexed_urls(_servers: dict[int, DatabaseServer]) -> Iterator[dict[int, str]]:
    """On each version, an indexed collection of each storage type that has an index of its own."""
    with ExitStack() as stack:
        urls = {}
        for version, server in _servers.items():
            url = urls[version] = stack.enter_context(server.clone())
            chunks = [
                chunk(
                    f"doc{number:05}",
                    text_of(number),
                    embedding=vector,
                    filters=filters_of(number),
                )
                for number, vector in enumerate(VECTORS)
            ]
            generations = []
            with connect(url) as connection:
                for storage in ("halfvec", "bit"):
                    generations.append(
                        make_collection(
                            connection, storage, embedding_dimension=DIMENSION, storage_type=storage
                        )
                    )
                    replace_chunks(connection, generations[-1], chunks)
            for generation in generations:
                assert build_hnsw_index(url, generation)
        yield urls


@pytest.fixture
def indexed(server: DatabaseServer, indexed_urls: dict[int, str]) -> Iterator[Connection]:
    with connect(indexed_urls[server.version]) as connection:
        yield connection
        connection.rollback()


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


def explained(connection: Connection) -> Json:
    answer: Json = value(connection, "SELECT current_setting('rankgres.vector_explain')::jsonb")
    return answer


def truth(query: Vectors, among: NDArray[np.int64], count: int) -> set[str]:
    order = np.argsort(-(VECTORS[among] @ query))[:count]
    return {f"doc{number:05}" for number in among[order]}


def numbers(matches: Any) -> NDArray[np.int64]:
    return np.array([number for number in range(COUNT) if matches(number)], dtype=np.int64)


def plan_lines(
    connection: Connection, plan: str, filter_: Json | None = None, condition: str | None = None
) -> str:
    """Return the plan of the statement that a search runs, under the settings it runs under."""
    generation = generation_of(connection, "halfvec")
    statement = value(
        connection,
        "SELECT rankgres.search_vector_statement_v1(generation, %s, %s, %s) "
        "FROM rankgres.generation WHERE id = %s",
        [plan, filter_ is not None, condition is not None, generation],
    )
    connection.execute("SET LOCAL search_path = pg_catalog, public")
    connection.execute(
        f"PREPARE shape (vector, jsonpath, tsquery, int, int) AS {statement}".encode()
    )
    connection.execute("SET LOCAL jit = off")
    if plan == "hnsw":
        connection.execute("SET LOCAL enable_sort = off")
    if plan == "exact" and not served(connection, filter_, condition):
        connection.execute("SET LOCAL enable_bitmapscan = off")
    path = value(
        connection,
        "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)::text",
        [generation, Jsonb(filter_ or {})],
    )
    # Parameters of EXECUTE cannot be bound.
    bound = psycopg.ClientCursor(connection).mogrify(
        "EXPLAIN EXECUTE shape (%s, %s, %s, 10, 10)", [str(QUERIES[0].tolist()), path, condition]
    )
    lines = connection.execute(bound.encode()).fetchall()
    return "\n".join(line for (line,) in lines).replace(f"chunk_{generation}", "chunk")


def served(connection: Connection, filter_: Json | None, condition: str | None) -> bool:
    """Say whether an index serves filter or condition, as the choice of the plan sees it."""
    return bool(
        value(
            connection,
            "SELECT (rankgres.search_vector_plan_v1(generation, 8000, 10, "
            "rankgres.filter_to_jsonpath_v2(id, %s), %s::tsquery, NULL)).served "
            "FROM rankgres.generation WHERE id = %s",
            [Jsonb(filter_ or {}), condition, generation_of(connection, "halfvec")],
        )
    )


@pytest.mark.parametrize(
    ("filter_", "condition", "answer"),
    [
        ({"tenant": "t7"}, None, True),
        ({"few": {"in": [1, 2, 3]}}, None, True),
        ({"or": [{"few": 1}, {"tenant": "t7"}]}, None, True),
        ({"number": {"gte": 7990}, "few": 1}, None, True),
        ({"number": {"gte": 7990}}, None, False),
        ({"or": [{"few": 1}, {"number": {"gte": 7990}}]}, None, False),
        ({"not": {"tenant": "t7"}}, None, False),
        ({"tenant": {"exists": True}}, None, False),
        (None, "word7", True),
        (None, "!all", False),
        ({"number": {"gte": 7990}}, "word7", True),
    ],
)
def test_it_is_known_which_filters_an_index_serves(
    indexed: Connection, filter_: Json | None, condition: str | None, answer: bool
) -> None:
    assert served(indexed, filter_, condition) is answer


@pytest.mark.parametrize(
    ("plan", "restriction", "present", "absent"),
    [
        ("hnsw", (None, None), ["Index Scan using chunk_embedding"], ["Filter", "Seq Scan"]),
        (
            "hnsw",
            ({"half": 0}, None),
            ["Index Scan using chunk_embedding", "Filter: (filters @@"],
            [],
        ),
        ("hnsw", ({"number": {"gte": 9}}, None), ["using chunk_embedding", "Filter: (filters"], []),
        ("hnsw", (None, "half0"), ["using chunk_embedding", "Filter: (lexemes @@"], []),
        ("exact", (None, None), ["Seq Scan on chunk"], ["Index"]),
        ("exact", ({"tenant": "t7"}, None), ["Bitmap Index Scan on chunk_filters"], ["Seq Scan"]),
        ("exact", ({"few": {"in": [1, 2]}}, None), ["Bitmap Index Scan on chunk_filters"], []),
        (
            "exact",
            ({"number": {"gte": 7000}, "tenant": "t7"}, None),
            ["Bitmap Index Scan on chunk_filters"],
            ["Seq Scan"],
        ),
        ("exact", ({"number": {"gte": 7990}}, None), ["Seq Scan on chunk"], ["Index"]),
        ("exact", (None, "word7"), ["Bitmap Index Scan on chunk_lexemes"], ["Seq Scan"]),
        ("exact", ({"half": 1}, "word7"), ["Bitmap Index Scan on chunk_lexemes"], ["Seq Scan"]),
        ("exact", ({"tenant": "t7"}, "all"), ["Bitmap Index Scan on chunk_filters"], ["Seq Scan"]),
    ],
)
def test_every_shape_of_query_is_planned_as_it_should(
    indexed: Connection,
    plan: str,
    restriction: tuple[Json | None, str | None],
    present: list[str],
    absent: list[str],
) -> None:
    lines = plan_lines(indexed, plan, *restriction)
    for part in present:
        assert part in lines
    for part in absent:
        assert part not in lines


@pytest.mark.parametrize(
    ("filter_", "condition", "candidates", "plan"),
    [
        (None, None, 10, "hnsw"),
        (None, None, 100, "hnsw"),
        (None, None, 4000, "exact"),  # half of all: a scan is cheaper than the walk
        ({"half": 0}, None, 10, "hnsw"),
        ({"half_percent": 3}, None, 10, "exact"),
        ({"tenant": "t7"}, None, 10, "exact"),
        ({"not": {"tenant": "t7"}}, None, 10, "hnsw"),
        ({"number": {"gte": 500}}, None, 10, "hnsw"),
        ({"number": {"gte": 7990}}, None, 10, "exact"),
        (None, "word7", 10, "exact"),
        (None, "version", 10, "hnsw"),
    ],
)
def test_the_plan_is_chosen_by_cost(
    indexed: Connection, filter_: Json | None, condition: str | None, candidates: int, plan: str
) -> None:
    nearest(indexed, QUERIES[0], filter_=filter_, condition=condition, candidates=candidates)
    told = explained(indexed)
    assert told["plan"] == plan
    assert told["complete"] is True
    assert told["reason"] is None
    cheaper = told["expected_hnsw_ms"] < told["expected_exact_ms"]
    assert cheaper is (plan == "hnsw")
    assert (told["ef_search"] is None) is (plan == "exact")


def say_it_holds(connection: Connection, chunks: int) -> None:
    """Have the statistics say that every collection holds so many chunks."""
    connection.execute("DELETE FROM rankgres.chunk_total_change")
    connection.execute("DELETE FROM rankgres.chunk_total")
    connection.execute(
        "INSERT INTO rankgres.chunk_total (generation_id, chunk_count, document_count, "
        "lexical_length) SELECT id, %(chunks)s, %(chunks)s, %(chunks)s FROM rankgres.generation",
        {"chunks": chunks},
    )


def test_a_small_generation_is_searched_exactly_though_it_has_an_index(indexed: Connection) -> None:
    say_it_holds(indexed, 500)
    nearest(indexed, QUERIES[0], filter_={"half": 0})
    assert explained(indexed)["plan"] == "exact"
    assert explained(indexed)["sampled"] is None  # not worth a look


def test_ef_search_is_as_given_or_follows_the_number_wanted(indexed: Connection) -> None:
    nearest(indexed, QUERIES[0], ef_search=77)
    assert explained(indexed)["ef_search"] == 77
    nearest(indexed, QUERIES[0], candidates=100)
    assert explained(indexed)["ef_search"] == 300
    nearest(indexed, QUERIES[0], candidates=100, filter_={"half": 0})
    assert 300 < explained(indexed)["ef_search"] < 600


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
        assert explained(indexed)["complete"] is True
        expected = truth(query, among, 20)
        recalls.append(len(expected & set(ids(rows))) / max(1, len(expected)))
    # 32 bits tell little apart, least of all what is far; embeddings have hundreds.
    assert len(among) == 0 or np.mean(recalls) >= (0.95 if storage == "halfvec" else 0.1)


def test_a_walk_that_becomes_dear_gives_way_to_exact_search(indexed: Connection) -> None:
    # A filter as broad as this is not selective, and all it keeps is far from the query.
    rows = nearest(indexed, QUERIES[0], filter_={"side": 1}, candidates=5, ef_search=20)
    assert explained(indexed)["plan"] == "hnsw+exact"
    among = numbers(lambda n: CENTRE[n] >= 30)
    assert set(ids(rows)) == truth(QUERIES[0], among, 5)


def test_thousands_of_tenants_are_each_searched_exactly(indexed: Connection) -> None:
    for tenant in range(1, 200, 23):
        among = numbers(lambda n, tenant=tenant: n % 3 and n % 1000 == tenant)
        rows = nearest(
            indexed, QUERIES[tenant % 12], filter_={"tenant": f"t{tenant}"}, candidates=3
        )
        assert set(ids(rows)) == truth(QUERIES[tenant % 12], among, 3)
        assert explained(indexed)["plan"] == "exact"


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
        len(truth(query, everything, 100) & set(ids(nearest(indexed, query, candidates=100)))) / 100
        for query in QUERIES
    ]
    assert explained(indexed)["plan"] == "hnsw"
    assert np.mean(recalls) >= 0.95


def test_the_same_query_gives_the_same_list(indexed: Connection) -> None:
    for filter_ in (None, {"half": 0}, {"tenant": "t7"}, {"side": 1}):
        first = nearest(indexed, QUERIES[2], filter_=filter_, candidates=30)
        for _ in range(3):
            assert nearest(indexed, QUERIES[2], filter_=filter_, candidates=30) == first


def test_a_deadline_that_is_over_begins_nothing(indexed: Connection) -> None:
    assert nearest(indexed, QUERIES[0], seconds=-1) == []
    told = explained(indexed)
    assert (told["plan"], told["complete"]) == ("none", False)
    assert told["reason"].startswith("deadline: ")


def test_a_deadline_far_away_changes_nothing(indexed: Connection) -> None:
    for filter_ in (None, {"tenant": "t7"}, {"side": 1}):
        rows = nearest(indexed, QUERIES[0], filter_=filter_)
        assert nearest(indexed, QUERIES[0], filter_=filter_, seconds=3600) == rows
        assert explained(indexed)["complete"] is True


@pytest.fixture
def vast(indexed: Connection) -> Connection:
    """A collection said to be so large that no exact search of it ends within an hour."""
    say_it_holds(indexed, 10**13)
    return indexed


def test_what_a_deadline_cut_says_so(vast: Connection) -> None:
    rows = nearest(vast, QUERIES[0], filter_={"tenant": "nobody"}, seconds=600)
    told = explained(vast)
    assert rows == []
    assert (told["plan"], told["complete"]) == ("hnsw", False)
    assert "exact search would take about" in told["reason"]


def test_a_walk_in_place_of_exact_search_is_not_called_complete(indexed: Connection) -> None:
    # Wanting nearly all, exact search would be cheaper; but there is no time for it.
    say_it_holds(indexed, 10**10)
    rows = nearest(indexed, QUERIES[0], candidates=2 * 10**9, seconds=600)
    told = explained(indexed)
    assert told["expected_exact_ms"] < told["expected_hnsw_ms"]
    assert (told["plan"], told["complete"]) == ("hnsw", False)
    assert len(rows) == COUNT


def test_without_an_index_a_search_that_would_take_too_long_is_not_begun(vast: Connection) -> None:
    vast.execute("UPDATE rankgres.generation SET hnsw_state = 'absent'")
    assert nearest(vast, QUERIES[0], seconds=600) == []
    told = explained(vast)
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


def test_it_works_in_a_read_only_transaction_as_on_a_replica(indexed: Connection) -> None:
    indexed.execute("SET TRANSACTION READ ONLY")
    assert len(nearest(indexed, QUERIES[0], filter_={"half": 0})) == 10


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
    assert explained(connection)["complete"] is True
    replace_chunks(connection, generation, [chunk(name) for name in "dbca"])
    assert ids(nearest(connection, [1, 0, 0, 0], collection="papers", candidates=3)) == list("abc")


def test_an_embedding_of_another_length_is_named(connection: Connection) -> None:
    make_collection(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="3 dimensions") as raised:
        nearest(connection, [1, 0, 0], collection="papers")
    assert raised.value.diag.column_name == "query_embedding"
