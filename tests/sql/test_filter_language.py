"""The filter language, second version: what each form means, dates, and fields nobody knows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from operator import eq, ge, gt, le, lt
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from service.db.connection import Connection, connect
from tests.support.collections import make_collection, value
from tests.support.databases import DatabaseServer

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
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": "en"}, {"a": ["de", "en"]}, True),
        ({"a": {"gte": 2020, "lt": 2024}}, {"a": 2023}, True),
        ({"a": {"gte": 2020, "lt": 2024}}, {"a": 2024}, False),
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


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        ([], "a filter is an object"),
        ({"a": [1, 2]}, 'field "a" cannot equal a list'),
        ({"a": {}}, 'field "a" has no operator'),
        ({"a": {"like": "x"}}, 'field "a": unknown operator "like"'),
        ({"a": {"contains": {"x": 1}}}, 'field "a": "contains" takes a plain value or a list'),
        ({"a": {"contains": [["x"]]}}, 'field "a": "contains" takes a plain value or a list'),
        ({"a": {"contains": [{"x": 1}]}}, 'field "a": "contains" takes a plain value or a list'),
        ({"a": {"in": {}}}, 'field "a": "in" takes a list of plain values'),
        ({"or": []}, '"or" takes a list of filters'),
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


def note(connection: Connection, generation: int, *metadatas: Json) -> None:
    connection.execute(
        "SELECT rankgres.filter_field_note_v1(%s, %s)",
        [generation, [Jsonb(metadata) for metadata in metadatas]],
    )


def refusal(connection: Connection, generation: int, filter_: Json) -> psycopg.errors.Diagnostic:
    with (
        pytest.raises(psycopg.errors.InvalidParameterValue) as raised,
        connection.transaction(),
    ):
        value(
            connection,
            "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)",
            [generation, Jsonb(filter_)],
        )
    return raised.value.diag


def test_a_field_that_no_document_has_is_an_error_that_lists_the_known_ones(
    connection: Connection,
) -> None:
    generation = make_collection(connection)
    note(connection, generation, {"tenant": 1, "lang": "en"}, {"lang": "de", "published_at": None})
    refused = refusal(connection, generation, {"lang": "en", "or": [{"not": {"tennant": "a"}}]})
    assert refused.message_primary == 'no document has a field "tennant"'
    assert refused.message_hint == "known fields: tenant, lang, published_at"
    assert refused.column_name == "filter"
    assert "known fields: published_at," in (
        refusal(connection, generation, {"publishedAt": {"exists": False}}).message_hint or ""
    )
    for known in ({"lang": "en"}, {"and": [{"tenant": 3}, {"published_at": None}]}, {}):
        value(
            connection, "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)", [generation, Jsonb(known)]
        )


def test_a_long_list_of_known_fields_is_cut(connection: Connection) -> None:
    generation = make_collection(connection)
    note(connection, generation, {f"field{number:02}": 0 for number in range(50)})
    hint = refusal(connection, generation, {"feild07": 0}).message_hint or ""
    assert hint.startswith("known fields: field07, ")
    assert hint.endswith(" and 30 more")


def test_an_empty_generation_knows_no_field_and_lets_all_through(connection: Connection) -> None:
    generation = make_collection(connection)
    path = value(
        connection,
        "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)::text",
        [generation, Jsonb({"any": 1})],
    )
    assert "any" in path


def test_a_name_too_long_for_an_index_is_written_and_let_through(connection: Connection) -> None:
    generation = make_collection(connection)
    note(connection, generation, {"x" * 5000: 1, "lang": "en"})
    value(
        connection,
        "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)",
        [generation, Jsonb({"x" * 5000: 1})],
    )


def test_known_fields_are_not_written_again(connection: Connection) -> None:
    generation = make_collection(connection)
    for _ in range(3):
        note(connection, generation, {"lang": "en"}, {"lang": "de"})
    assert value(connection, "SELECT count(*) FROM rankgres.filter_field") == 1


def test_two_writers_that_meet_a_field_at_the_same_time_do_not_wait(server: DatabaseServer) -> None:
    with server.clone() as url, connect(url) as first, connect(url) as second:
        generation = make_collection(first)
        first.commit()
        note(first, generation, {"lang": "en"})
        second.execute("SET LOCAL lock_timeout = '10ms'")
        note(second, generation, {"lang": "de", "year": 2024})
        second.commit()
        first.rollback()
        # What the second wrote stands, whatever became of the first.
        assert "known fields: lang, year" in (
            refusal(second, generation, {"x": 1}).message_hint or ""
        )


def test_fields_go_with_their_generation(connection: Connection) -> None:
    note(connection, make_collection(connection), {"lang": "en"})
    connection.execute("SELECT rankgres.collection_drop_v1('papers')")
    assert value(connection, "SELECT count(*) FROM rankgres.filter_field") == 0
