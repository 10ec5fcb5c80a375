"""How the vector stage searches: each shape of query by the index that is right for it."""

import psycopg
import pytest
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from tests.support.collections import generation_of, value
from tests.support.vectors import QUERIES, Json, nearest, say_it_holds, vector_explained


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
        (None, None, 60, "hnsw"),
        (None, None, 4000, "exact"),  # half of all: a scan is cheaper than the walk
        ({"half": 0}, None, 10, "exact"),  # a walk would be cheaper, but not by half
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
    told = vector_explained(indexed)
    assert told["plan"] == plan
    assert told["complete"] is True
    assert told["reason"] is None
    restricted = filter_ is not None or condition is not None
    walk_ms = (2 if restricted else 1) * told["expected_hnsw_ms"]
    assert (walk_ms < told["expected_exact_ms"]) is (plan == "hnsw")
    assert (told["ef_search"] is None) is (plan == "exact")


def test_a_small_generation_is_searched_exactly_though_it_has_an_index(indexed: Connection) -> None:
    say_it_holds(indexed, 500)
    nearest(indexed, QUERIES[0], filter_={"half": 0})
    assert vector_explained(indexed)["plan"] == "exact"
    assert vector_explained(indexed)["sampled"] is None  # not worth a look


def test_ef_search_is_as_given_or_follows_the_number_wanted(indexed: Connection) -> None:
    nearest(indexed, QUERIES[0], ef_search=77)
    assert vector_explained(indexed)["ef_search"] == 77
    nearest(indexed, QUERIES[0], candidates=60)
    assert vector_explained(indexed)["ef_search"] == 240
    say_it_holds(indexed, 100_000)
    nearest(indexed, QUERIES[0], candidates=60, filter_={"half": 0})
    assert 240 < vector_explained(indexed)["ef_search"] < 480
