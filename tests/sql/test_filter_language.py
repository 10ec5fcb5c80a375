"""Filters: what each form means, that nothing can be smuggled in, and mistakes that are named."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from operator import eq, ge, gt, le, lt
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from tests.support.collections import value

Json = dict[str, Any]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": eq, "gt": gt, "gte": ge, "lt": lt, "lte": le
}  # fmt: skip


def matches(connection: Connection, metadata: Json, filter_: Json) -> bool:
    """Evaluate a filter as searches do; generation 0 knows no field and lets all through."""
    answer = value(
        connection,
        "SELECT coalesce(%s @@ path, path IS NULL) "
        "FROM rankgres.filter_to_jsonpath_v2(0, %s) AS path",
        [Jsonb(metadata), Jsonb(filter_)],
    )
    assert answer in {True, False}
    return bool(answer)


def moment(text: str) -> datetime | None:
    """Read an ISO 8601 date or time as a filter's operand is read; None for other text."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def compare(operator: str, left: Any, right: Any) -> bool:
    """Compare as filters do: values of different types neither equal nor precede each other."""
    if type(left) is not type(right) and not {type(left), type(right)} <= {int, float}:
        return False
    if left is None:
        return operator in {"eq", "gte", "lte"}
    if isinstance(left, str) and operator != "eq" and moment(left) and moment(right):
        return COMPARISONS[operator](moment(left), moment(right))
    return COMPARISONS[operator](left, right)


def expected(metadata: Json, filter_: Json) -> bool:
    """Say what a filter means, in Python."""
    results = []
    for key, condition in filter_.items():
        if key in {"and", "or"}:
            joined = all if key == "and" else any
            results.append(joined(expected(metadata, part) for part in condition))
        elif key == "not":
            results.append(not expected(metadata, condition))
        else:
            operations = condition if isinstance(condition, dict) else {"eq": condition}
            results.extend(
                holds(metadata, key, operator, operand) for operator, operand in operations.items()
            )
    return all(results)


def holds(metadata: Json, field: str, operator: str, operand: Any) -> bool:
    """Say what one operator means, in Python: a list stands for each of its elements."""
    values = metadata.get(field, [])
    values = values if isinstance(values, list) else [values]
    match operator:
        case "exists":
            return (field in metadata) is operand
        case "in":
            return any(compare("eq", v, o) for v in values for o in operand)
        case "contains":
            wanted = operand if isinstance(operand, list) else [operand]
            return all(any(compare("eq", v, o) for v in values) for o in wanted)
        case "ne":
            return not any(compare("eq", v, operand) for v in values)
        case _:
            return any(compare(operator, v, operand) for v in values)


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
        ({"a": {"gte": 2020, "lt": 2024}}, {"a": 2023}, True),
        ({"a": {"in": ["x", None]}}, {"a": None}, True),
        ({"a": {"contains": ["x", "y"]}}, {"a": ["y", "z", "x"]}, True),
        ({"a": {"contains": ["x", "y"]}}, {"a": ["x", "z"]}, False),
        ({"a": {"contains": ["x"]}}, {"a": "x"}, True),
        ({"a": {"contains": "x"}}, {"a": ["x", "z"]}, True),
        ({"a": {"contains": "x"}}, {}, False),
        ({"a": {"contains": [1]}}, {"a": ["1"]}, False),
        ({"a": {"contains": []}}, {}, True),
        ({"not": {"a": {"contains": ["x", "y"]}}}, {"a": ["x"]}, True),
        ({"or": [{"a": {"contains": "x"}}, {"b": {"exists": True}}]}, {"b": None}, True),
    ],
)
def test_what_a_filter_means(
    connection: Connection, filter_: Json, metadata: Json, answer: bool
) -> None:
    assert expected(metadata, filter_) is answer
    assert matches(connection, metadata, filter_) is answer


@pytest.mark.parametrize(
    ("operations", "written", "answer"),
    [
        ({"gte": "2024-01-01"}, "2024-01-01", True),
        ({"gt": "2024-01-01"}, "2024-01-01", False),
        ({"gte": "2024-01-01"}, "2023-12-31", False),
        ({"gte": "2024-01-01"}, "2024-01-01T00:00:00Z", True),
        ({"gt": "2024-01-01"}, "2024-01-01T00:00:00Z", False),
        ({"lte": "2024-01-01"}, "2024-01-01T00:00:00Z", True),
        ({"lt": "2024-01-01"}, "2023-12-31T23:59:59.999Z", True),
        ({"lte": "2023-12-31"}, "2023-12-31T10:00:00Z", False),  # a date is its first moment
        ({"gte": "2024-01-01"}, "2024-01-01T00:30:00+02:00", False),  # still 2023 in UTC
        ({"lt": "2024-01-01"}, "2024-01-01T00:30:00+02:00", True),
        ({"gte": "2024-01-01"}, "2023-12-31T20:00:00-05:00", True),
        ({"gt": "2024-01-01T10:00:00Z"}, "2024-01-01T10:00:00.5Z", True),  # "." precedes "Z"
        ({"gt": "2024-01-01T10:00:00.51Z"}, "2024-01-01T10:00:00.5Z", False),
        ({"gte": "2024-01-01T12:00:00+02:00"}, "2024-01-01T10:00:00Z", True),
        ({"gt": "2024-01-01T12:00:00+02:00"}, "2024-01-01 10:00:00", False),
        ({"gte": "2024-01-01T12:00:00+02:00"}, "2024-01-01T10:00", True),
        ({"lt": "2024-01-01T12:00+02:00"}, "2024-01-01T09:59Z", True),
        ({"gte": "2024-01-01"}, "1999-06-01T00:00:00Z", False),
        ({"gte": "2024-01-01"}, "2031-06-01T00:00:00Z", True),
        ({"lte": "9999-12-31"}, "2024-01-01T00:00:00Z", True),
        ({"lt": "9999-12-31"}, "9999-12-31", False),
        ({"gt": "0001-01-01"}, "2024-01-01", True),
        ({"gt": "2024-02-30"}, "2024-02-31", True),  # no dates: text
        ({"gt": "2024-01"}, "2024-01-15", True),  # nor is this one
        ({"eq": "2024-01-01"}, "2024-01-01T00:00:00Z", False),  # equal is equally written
    ],
)
def test_dates_compare_as_moments(
    connection: Connection, operations: Json, written: str, answer: bool
) -> None:
    assert matches(connection, {"at": written}, {"at": operations}) is answer
    assert matches(connection, {"at": written}, {"not": {"at": operations}}) is not answer


def test_dates_compare_alike_in_every_time_zone(connection: Connection) -> None:
    connection.execute("SET LOCAL TimeZone = 'Pacific/Kiritimati'")
    assert matches(connection, {"at": "2024-01-01T00:00:00Z"}, {"at": {"gte": "2024-01-01"}})
    assert not matches(connection, {"at": "2023-12-31T23:00:00Z"}, {"at": {"gte": "2024-01-01"}})
    connection.execute("SET LOCAL DateStyle = 'German, DMY'")
    assert not matches(connection, {"at": "2023-12-31"}, {"at": {"gte": "2024-01-01T00:00:00Z"}})


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
        ({"a": {"contains": {"x": 1}}}, 'field "a": "contains" takes a plain value or a list'),
        ({"a": {"contains": [["x"]]}}, 'field "a": "contains" takes a plain value or a list'),
        ({"a": {"contains": [{"x": 1}]}}, 'field "a": "contains" takes a plain value or a list'),
        ({"a": {"in": {}}}, 'field "a": "in" takes a list of plain values'),
        ({"not": {"or": [{"b": {"near": 2}}]}}, 'field "b": unknown operator "near"'),
    ],
)
def test_mistakes_are_named(connection: Connection, filter_: Any, message: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        matches(connection, {}, filter_)
    assert message in (raised.value.diag.message_primary or "")
    assert raised.value.diag.column_name == "filter"
    assert raised.value.diag.message_hint


ISO = st.builds(
    lambda seconds, micros, zone, form: form(
        datetime(2024, 1, 1, tzinfo=zone) + timedelta(seconds=seconds, microseconds=micros)
    ),
    st.sampled_from([0, 1, -1, 3600, -3600, 86400, -86400, 200000, -200000, 40 * 86400]),
    st.sampled_from([0, 0, 500000, 510000]),
    st.sampled_from(
        [UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=15, minutes=45))]
    ),
    st.sampled_from(
        [
            lambda at: at.isoformat(),
            lambda at: at.replace(tzinfo=None).isoformat(),
            lambda at: at.replace(tzinfo=None).isoformat() + "Z",
            lambda at: at.date().isoformat(),
        ]
    ),
)
# Text that is no date sorts on one side of all of these.
scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b"]) | ISO
keys = st.sampled_from(["a", "b", 'q"', "ä.b"])
metadatas = st.dictionaries(keys, scalars | st.lists(scalars, max_size=3))
conditions = scalars | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(["eq", "ne", "gt", "gte", "lt", "lte"], scalars),
        "in": st.lists(scalars, max_size=3),
        "contains": scalars | st.lists(scalars, max_size=2),
        "exists": st.booleans(),
    },
).filter(bool)
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
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(metadatas, min_size=1, max_size=5), filters)
def test_filters_mean_in_sql_what_they_mean_in_python(
    connection: Connection, documents: list[Json], filter_: Json
) -> None:
    kept = [matches(connection, metadata, filter_) for metadata in documents]
    assert kept == [expected(metadata, filter_) for metadata in documents]


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ISO, ISO, st.sampled_from(["gt", "gte", "lt", "lte"]))
def test_every_way_to_write_a_moment_compares_with_every_other(
    connection: Connection, written: str, operand: str, operator: str
) -> None:
    answer = COMPARISONS[operator](moment(written), moment(operand))
    assert matches(connection, {"at": written}, {"at": {operator: operand}}) is answer
