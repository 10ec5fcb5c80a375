"""Boosts by age and by numbers: their worth, and what is missing, malformed or refused."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from tests.support.collections import value

Json = dict[str, Any]

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)


def boosted(
    connection: Connection,
    metadata: Sequence[Json],
    scores: Sequence[float] | None = None,
    *,
    recency: Json | None = None,
    boosts: list[Json] | None = None,
) -> list[float]:
    """Return what boost_scores_v1 makes of a list, by default one from 1 to 0: its span is 1."""
    count = len(metadata)
    if scores is None:
        scores = [1 - place / max(1, count - 1) for place in range(count)]
    answer: list[float] = value(
        connection,
        "SELECT rankgres.boost_scores_v1(%s::float8 [], %s::jsonb [], %s, %s, %s)",
        [
            list(scores),
            [Jsonb(entry) for entry in metadata],
            None if recency is None else Jsonb(recency),
            None if boosts is None else Jsonb(boosts),
            NOW,
        ],
    )
    return answer


def recency_of(connection: Connection, published: Any, **options: Any) -> float:
    """Return the worth of one document's age: a list of equals has a span of 1."""
    recency = {"field": "published_at", "scale": "10 days", "weight": 1, **options}
    [with_it, without] = boosted(
        connection, [{"published_at": published}, {}], [0, 0], recency=recency
    )
    assert without == 0
    return with_it


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def test_the_three_shapes_of_decay_worked_out_by_hand(connection: Connection) -> None:
    # At one scale each has come to the decay; at two, gauss to its fourth power, exp to its square.
    for shape, at_two in (("exp", 0.5**2), ("gauss", 0.5**4), ("linear", 0.0)):
        worths = [recency_of(connection, days_ago(days), shape=shape) for days in (0, 10, 20)]
        assert worths == pytest.approx([1, 0.5, at_two], abs=1e-9), shape
    assert recency_of(connection, days_ago(5), shape="linear") == pytest.approx(0.75)
    assert recency_of(connection, days_ago(5), shape="gauss") == pytest.approx(0.5**0.25)
    assert recency_of(connection, days_ago(5), shape="exp") == pytest.approx(0.5**0.5)


def test_within_the_offset_nothing_decays_and_beyond_it_the_scale_begins(
    connection: Connection,
) -> None:
    options = {"offset": "3 days", "decay": 0.2}
    assert recency_of(connection, days_ago(2.9), **options) == 1
    assert recency_of(connection, days_ago(13), **options) == pytest.approx(0.2)


def test_what_lies_ahead_is_as_far_away_as_what_lies_behind(connection: Connection) -> None:
    assert recency_of(connection, days_ago(-10)) == pytest.approx(0.5)
    ahead = recency_of(connection, days_ago(-10), origin=days_ago(-20))
    assert ahead == pytest.approx(0.5)


def test_lengths_of_time_may_be_seconds(connection: Connection) -> None:
    assert recency_of(connection, days_ago(10), scale=864_000) == pytest.approx(0.5)


def test_the_weight_is_that_share_of_the_span(connection: Connection) -> None:
    recency = {"field": "at", "scale": "1 day", "weight": 0.2}
    metadata = [{}, {"at": days_ago(0)}, {"at": days_ago(1)}]
    assert boosted(connection, metadata, [30, 20, 10], recency=recency) == pytest.approx(
        [30, 20 + 0.2 * 20 * 1, 10 + 0.2 * 20 * 0.5]
    )


@pytest.mark.parametrize(
    "published",
    [
        "2026-05-07T12:00:00Z",
        "2026-05-07T12:00Z",
        "2026-05-07 12:00:00",
        "2026-05-07t12:00:00.000z",
        "2026-05-07T14:00:00+02:00",
        "2026-05-07T06:00:00-0600",
        "2026-05-07 15:00:00.0+03",
        datetime(2026, 5, 7, 12, tzinfo=UTC).timestamp(),
    ],
)
def test_a_moment_is_written_in_any_of_these_ways(connection: Connection, published: Any) -> None:
    connection.execute("SET LOCAL timezone = 'Asia/Tokyo'")
    assert recency_of(connection, published) == pytest.approx(0.5)


def test_a_date_is_its_first_moment_in_utc_wherever_the_session_is(connection: Connection) -> None:
    connection.execute("SET LOCAL timezone = 'America/New_York'")
    assert recency_of(connection, "2026-05-07", scale="10.5 days") == pytest.approx(0.5)


@pytest.mark.parametrize(
    "published",
    [
        None, "", "soon", "now", "tomorrow", "infinity", "epoch", "20260507", "2026-02-30",
        "2026-13-01", "0000-01-01", "2026-05-07T25:00", "2026-05-07T12:00+99:99", "2026-05-07 BC",
        "7.5.2026", True, [], ["2026-05-07"], {"at": "2026-05-07"}, "2026-05-07\n",
        "\u0662\u0660\u0662\u0666-05-07",
    ],
)  # fmt: skip
def test_what_is_no_moment_gets_nothing_and_fails_nothing(
    connection: Connection, published: Any
) -> None:
    assert recency_of(connection, published) == 0


@pytest.mark.parametrize("published", [1e300, -1e300, 10**400, 1e-320, 0, -1])
def test_any_number_is_a_moment_however_far(connection: Connection, published: float) -> None:
    for shape in ("exp", "gauss", "linear"):
        assert 0 <= recency_of(connection, published, shape=shape) < 1e-9


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shape=st.sampled_from(["exp", "gauss", "linear"]),
    age=st.floats(0, 1e6),
    scale=st.floats(1, 1e6),
    offset=st.floats(0, 1e5),
    decay=st.floats(0.01, 0.99),
)
def test_every_decay_equals_elasticsearchs_formula(
    connection: Connection, *, shape: str, age: float, scale: float, offset: float, decay: float
) -> None:
    published = NOW.timestamp() - age
    found = recency_of(connection, published, shape=shape, scale=scale, offset=offset, decay=decay)
    distance = max(0.0, abs(published - NOW.timestamp()) - offset)
    if shape == "exp":
        expected = math.exp(math.log(decay) / scale * distance)
    elif shape == "gauss":
        variance = -(scale**2) / (2 * math.log(decay))
        expected = math.exp(-(distance**2) / (2 * variance))
    else:
        reach = scale / (1 - decay)
        expected = max(0.0, (reach - distance) / reach)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def worths(connection: Connection, numbers: Sequence[Any], **options: Any) -> list[float]:
    metadata = [{"stars": number} for number in numbers]
    boost = {"field": "stars", "weight": 1, **options}
    return boosted(connection, metadata, [0.0] * len(numbers), boosts=[boost])


def test_linear_and_log_reach_one_at_the_scale(connection: Connection) -> None:
    assert worths(connection, [0, 25, 100, 900], shape="linear", scale=100) == pytest.approx(
        [0, 0.25, 1, 1]
    )
    assert worths(connection, [0, 9, 99, 500], shape="log", scale=99) == pytest.approx(
        [0, 0.5, 1, 1]
    )
    assert worths(connection, [0, 9, 99], scale=99) == worths(
        connection, [0, 9, 99], shape="log", scale=99
    )


def test_sigmoid_is_half_at_its_pivot_and_steeper_by_its_exponent(connection: Connection) -> None:
    assert worths(connection, [0, 5, 10, 30], shape="sigmoid", pivot=10) == pytest.approx(
        [0, 5 / 15, 0.5, 30 / 40]
    )
    assert worths(connection, [5, 10, 30], shape="sigmoid", pivot=10, exponent=2) == pytest.approx(
        [25 / 125, 0.5, 900 / 1000]
    )


def test_reciprocal_falls_from_one_by_half_at_its_pivot(connection: Connection) -> None:
    assert worths(connection, [0, 10, 30], shape="reciprocal", pivot=10) == pytest.approx(
        [1, 0.5, 0.25]
    )


def test_without_scale_or_pivot_the_candidates_give_them(connection: Connection) -> None:
    numbers = [1, 4, 40]
    assert worths(connection, numbers, shape="linear") == pytest.approx([1 / 40, 4 / 40, 1])
    middle = median(numbers)
    assert worths(connection, numbers, shape="sigmoid") == pytest.approx(
        [number / (number + middle) for number in numbers]
    )


@pytest.mark.parametrize("shape", ["linear", "log", "sigmoid", "reciprocal"])
@pytest.mark.parametrize(
    "numbers",
    [
        [0, 0],
        [-5, -1],
        [10**400, 5],
        [1e-320, 1e-300],
        [1e30, 1e-30],
        [None, None],
        [True, "7", []],
    ],
    ids=str,
)
def test_no_number_and_no_nonsense_leaves_the_bounds(
    connection: Connection, shape: str, numbers: list[Any]
) -> None:
    found = worths(connection, numbers, shape=shape)
    assert all(0 <= worth <= 1 for worth in found)
    for number, worth in zip(numbers, found, strict=True):
        if isinstance(number, str | bool | list | None):
            assert worth == 0


def test_boosts_add_up_and_a_negative_weight_takes_away(connection: Connection) -> None:
    metadata = [{"stars": 10, "price": 4}, {"stars": 5}, {"price": 2}]
    boosts = [
        {"field": "stars", "shape": "linear", "weight": 0.5},
        {"field": "price", "shape": "linear", "weight": -0.25},
    ]
    recency = {"field": "at", "scale": "1 day"}
    found = boosted(connection, metadata, [3, 2, 1], boosts=boosts, recency=recency)
    assert found == pytest.approx([3 + 2 * (0.5 - 0.25), 2 + 2 * 0.25, 1 - 2 * 0.125])


def test_a_boost_means_the_same_on_every_scale_of_scores(connection: Connection) -> None:
    metadata = [{"stars": number} for number in (1, 9, 3, 7)]
    boosts = [{"field": "stars", "shape": "linear", "weight": 0.4}]
    plain = boosted(connection, metadata, [4, 3, 2, 0], boosts=boosts)
    for factor, shift in ((0.001, 0), (1, -100), (1000, 7)):
        scores = [factor * score + shift for score in (4, 3, 2, 0)]
        found = boosted(connection, metadata, scores, boosts=boosts)
        assert found == pytest.approx([factor * score + shift for score in plain])


def test_nothing_to_boost_by_changes_nothing(connection: Connection) -> None:
    assert boosted(connection, [{}, {}], [0.3, 0.1]) == [0.3, 0.1]
    assert boosted(connection, [{}, {}], [0.3, 0.1], boosts=[]) == [0.3, 0.1]
    assert boosted(connection, [], boosts=[{"field": "stars"}]) == []


@pytest.mark.parametrize(
    ("recency", "said", "mend"),
    [
        ("new", 'takes an object, not "new"', 'write {"field": name}'),
        ({"scale": 1}, "names no field", "offset"),
        ({"field": 3, "scale": 1}, "names no field", 'write {"field": name}'),
        ({"field": "at", "scale": 1, "half_life": 2}, '"half_life"', "known are field, scale"),
        ({"field": "at"}, '"scale" null', '"30 days"'),
        ({"field": "at", "scale": "soon"}, '"scale" "soon"', '"30 days"'),
        ({"field": "at", "scale": 0}, '"scale" 0', "over 0"),
        ({"field": "at", "scale": "-1 day"}, '"scale" "-1 day"', "over 0"),
        ({"field": "at", "scale": 1e300}, '"scale"', '"30 days"'),
        ({"field": "at", "scale": 1, "offset": -1}, '"offset" -1', '"30 days"'),
        ({"field": "at", "scale": 1, "decay": 1}, '"decay" 1', "to 0.999999"),
        ({"field": "at", "scale": 1, "decay": "0.5"}, '"decay" "0.5"', "from 1e-06"),
        ({"field": "at", "scale": 1, "weight": -1}, '"weight" -1', "from 0 to 10"),
        ({"field": "at", "scale": 1, "shape": "step"}, '"step"', "use exp, gauss, linear"),
        ({"field": "at", "scale": 1, "origin": "later"}, '"origin" "later"', "ISO date"),
    ],
    ids=str,
)
def test_a_wrong_recency_says_what_and_how_to_mend_it(
    connection: Connection, recency: Any, said: str, mend: str
) -> None:
    # Also where there is no candidate to boost: a mistake does not hide until something is found.
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        boosted(connection, [], recency=recency)
    assert raised.value.diag.column_name == "recency"
    assert said in str(raised.value.diag.message_primary)
    assert mend in str(raised.value.diag.message_hint)


@pytest.mark.parametrize(
    ("boosts", "said", "mend"),
    [
        ({"field": "stars"}, "takes a list", "write [{"),
        (["stars"], 'takes an object, not "stars"', 'write {"field": name}'),
        ([{"weight": 1}], "names no field", 'write {"field": name}'),
        ([{"field": "stars", "factor": 1}], '"factor"', "known are field, shape, weight"),
        ([{"field": "stars", "shape": "cubic"}], '"cubic"', "use log, linear, sigmoid"),
        ([{"field": "stars", "weight": 11}], '"weight" 11', "from -10 to 10"),
        ([{"field": "stars", "scale": 0}], '"scale" 0', "from 1e-12"),
        ([{"field": "stars", "pivot": -1}], '"pivot" -1', "from 1e-12"),
        ([{"field": "a"}, {"field": "b", "exponent": 0}], '"exponent" 0', "from 0.01"),
    ],
    ids=str,
)
def test_a_wrong_boost_says_what_and_how_to_mend_it(
    connection: Connection, boosts: Any, said: str, mend: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        boosted(connection, [], boosts=boosts)
    assert raised.value.diag.column_name == "boosts"
    assert said in str(raised.value.diag.message_primary)
    assert mend in str(raised.value.diag.message_hint)
