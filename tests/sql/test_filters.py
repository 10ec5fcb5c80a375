"""Filters: what each form means, that nothing can be smuggled in, and mistakes that are named."""

from collections.abc import Callable
from operator import eq, ge, gt, le, lt
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from tests.support.collections import chunk, found, make_collection, replace_chunks, search, value

Json = dict[str, Any]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": eq, "gt": gt, "gte": ge, "lt": lt, "lte": le
}  # fmt: skip


def matches(connection: Connection, metadata: Json, filter_: Json) -> bool:
    answer = value(
        connection,
        "SELECT coalesce(%s @@ path, path IS NULL) FROM rankgres.filter_to_jsonpath_v2(0, %s) AS path",
        [Jsonb(metadata), Jsonb(filter_)],
    )
    assert answer in {True, False}
    return bool(answer)


def compare(operator: str, left: Any, right: Any) -> bool:
    """Compare as filters do: values of different types neither equal nor precede each other."""
    if type(left) is not type(right) and not {type(left), type(right)} <= {int, float}:
        return False
    if left is None:
        return operator in {"eq", "gte", "lte"}
    return COMPARISONS[operator](left, right)


def expected(metadata: Json, filter_: Json) -> bool:
    """Say what a filter means, in Python."""
    results = []
    for key, condition in filter_.items():
        if key in {"and", "or"}:
            joined = all if key == "and" else any
            results.append(joined(expected(metadata, part) for part in condition))
            continue
        if key == "not":
            results.append(not expected(metadata, condition))
            continue
        present = key in metadata
        values = metadata.get(key)
        values = values if isinstance(values, list) else [values] if present else []
        for operator, operand in (
            condition.items() if isinstance(condition, dict) else [("eq", condition)]
        ):
            match operator:
                case "exists":
                    results.append(present is operand)
                case "in":
                    results.append(any(compare("eq", v, o) for v in values for o in operand))
                case "ne":
                    results.append(not any(compare("eq", v, operand) for v in values))
                case _:
                    results.append(any(compare(operator, v, operand) for v in values))
    return all(results)


@pytest.mark.parametrize(
    ("filter_", "metadata", "answer"),
    [
        ({}, {"a": 1}, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {}, False),
        ({"a": "en"}, {"a": ["de", "en"]}, True),
        ({"a": "en"}, {"a": ["de", 3]}, False),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {}, False),
        ({"a": True}, {"a": True}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
        ({"a": {"gte": 2020, "lt": 2024}}, {"a": 2020}, True),
        ({"a": {"gte": 2020, "lt": 2024}}, {"a": 2024}, False),
        ({"a": {"gt": -1.5e3}}, {"a": -1499.9}, True),
        ({"a": {"gt": 5}}, {"a": "6"}, False),
        ({"a": {"gte": "2024-02-01", "lte": "2024-02-28"}}, {"a": "2024-02-17"}, True),
        ({"a": {"gt": "2024-02-17"}}, {"a": "2024-02-17T08:00:00Z"}, True),
        ({"a": {"in": [1, "x", None]}}, {"a": "x"}, True),
        ({"a": {"in": [1, "x", None]}}, {"a": 2}, False),
        ({"a": {"in": []}}, {"a": 1}, False),
        ({"not": {"a": {"in": []}}}, {}, True),
        ({"a": {"exists": True}}, {"a": None}, True),
        ({"a": {"exists": False}}, {"b": 1}, True),
        ({"a": {"ne": 1}}, {"a": 2}, True),
        ({"a": {"ne": 1}}, {"a": 1}, False),
        ({"a": {"ne": 1}}, {}, True),
        ({"a": {"ne": 1}}, {"a": "one"}, True),
        ({"a": {"ne": 1}}, {"a": [1, 2]}, False),
        ({"not": {"a": 1}}, {"a": "one"}, True),
        ({"not": {"a": {"gt": 1}}}, {"a": "one"}, True),
        ({"not": {}}, {"a": 1}, False),
        ({"or": [{"a": 1}, {"b": 1}]}, {"b": 1}, True),
        ({"or": [{"a": 1, "b": 2}, {"c": 3}]}, {"a": 1, "c": 3}, True),
        ({"and": [{"or": [{"a": 1}, {"b": 1}]}, {"c": 3}]}, {"a": 1, "c": 4}, False),
        ({"or": [{}, {"a": 1}]}, {"b": 1}, True),
    ],
)
def test_what_a_filter_means(
    connection: Connection, filter_: Json, metadata: Json, answer: bool
) -> None:
    assert expected(metadata, filter_) is answer
    assert matches(connection, metadata, filter_) is answer


STRANGE = [
    "a.b", "a b", 'say "x"', "it's", "a\\b", "äß 東京 🙂", "$", "$.a", "@", "*", "", " ", "%s",
    "line\nbreak\ttab", "\u0001", "a' || true", '" == 1 || true || $."x',
]  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE)
def test_strange_keys_and_values_are_taken_as_they_are(
    connection: Connection, strange: str
) -> None:
    assert matches(connection, {strange: strange}, {strange: strange})
    assert not matches(connection, {"a": strange}, {strange: strange})
    assert not matches(connection, {strange: "a"}, {strange: strange})
    assert matches(connection, {"a": strange}, {"a": {"in": ["x", strange]}})
    assert matches(connection, {"a": 1}, {strange: {"exists": False}})
    # Nothing said in a key or a value makes a filter true of everything.
    assert not matches(connection, {"secret": 1}, {strange: 1, "secret": 1})
    assert not matches(connection, {"secret": 1}, {"secret": strange})


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        ([], "a filter is an object"),
        ("lang = 'en'", "a filter is an object"),
        (None, "a filter is an object"),
        ({"a": [1, 2]}, 'field "a" cannot equal a list'),
        ({"a": {}}, 'field "a" has no operator'),
        ({"a": {"like": "x"}}, 'field "a": unknown operator "like"'),
        ({"a": {"b": {"c": 1}}}, 'field "a": "b" does not take'),
        ({"a": {"gt": [1]}}, 'field "a": "gt" does not take'),
        ({"a": {"ne": {"x": 1}}}, 'field "a": "ne" does not take'),
        ({"a": {"in": 1}}, 'field "a": "in" takes a list of plain values, not 1'),
        ({"a": {"in": [[1]]}}, 'field "a": "in" takes a list of plain values'),
        ({"a": {"in": [{"x": 1}]}}, 'field "a": "in" takes a list of plain values'),
        ({"a": {"exists": 1}}, 'field "a": "exists" takes true or false, not 1'),
        ({"a": {"exists": []}}, 'field "a": "exists" takes true or false'),
        ({"and": {"a": 1}}, '"and" takes a list of filters'),
        ({"or": []}, '"or" takes a list of filters'),
        ({"or": [1]}, "a filter is an object, not 1"),
        ({"not": [{"a": 1}]}, "a filter is an object"),
        ({"a": 1, "or": [{"b": {"near": 2}}]}, 'field "b": unknown operator "near"'),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_with_a_hint(
    connection: Connection, filter_: Any, message: str
) -> None:
    make_collection(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="filter") as raised:
        search(connection, "cat", filter=Jsonb(filter_))
    assert message in (raised.value.diag.message_primary or "")
    assert raised.value.diag.column_name == "filter"
    assert raised.value.diag.message_hint


scalars = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b", "2024-01"])
)
keys = st.sampled_from(["a", "b", 'q"', "ä.b"])
metadatas = st.dictionaries(keys, scalars | st.lists(scalars, max_size=3))
conditions = scalars | st.dictionaries(
    st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), scalars, min_size=1, max_size=2
).flatmap(
    lambda operations: st.fixed_dictionaries(
        {name: st.just(operand) for name, operand in operations.items()},
        optional={"in": st.lists(scalars, max_size=3), "exists": st.booleans()},
    )
)
filters = st.recursive(
    st.dictionaries(keys, conditions, max_size=2),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "and": st.lists(inner, min_size=1, max_size=3),
            "or": st.lists(inner, min_size=1, max_size=3),
            "not": inner,
            "a": conditions,
        },
    ),
    max_leaves=6,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(metadatas, min_size=1, max_size=5), filters)
def test_filters_mean_in_sql_what_they_mean_in_python(
    connection: Connection, documents: list[Json], filter_: Json
) -> None:
    kept = [matches(connection, metadata, filter_) for metadata in documents]
    assert kept == [expected(metadata, filter_) for metadata in documents]


def test_an_equality_uses_the_index_of_filters(connection: Connection) -> None:
    generation = make_collection(connection)
    chunks = [chunk(f"doc{number}", "cat", filters={"n": number}) for number in range(500)]
    replace_chunks(connection, generation, chunks)
    connection.execute("SET LOCAL enable_seqscan = off")
    plan = connection.execute(
        f"EXPLAIN SELECT FROM rankgres.chunk_{generation} "
        "WHERE filters @@ rankgres.filter_to_jsonpath_v2(0, %s)".encode(),
        [Jsonb({"n": {"in": [3, 4]}})],
    ).fetchall()
    assert any(f"chunk_{generation}_filters" in line for (line,) in plan)
    assert not any("Seq Scan" in line for (line,) in plan)


@pytest.mark.parametrize("embedding", [None, [1, 0, 0, 0]], ids=["lexical", "hybrid"])
def test_both_stages_filter(connection: Connection, embedding: list[float] | None) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [chunk("kept", "cat", filters={"lang": "en"}), chunk("other", "cat cat")],
    )
    assert found(search(connection, "cat", embedding, filter={"lang": "en"})) == ["kept"]
    assert len(search(connection, "cat", embedding, filter={})) == 2
