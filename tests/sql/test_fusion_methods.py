"""Every way to fuse two lists equals its formula, worked out here, also for degenerate lists."""

from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean, pstdev, stdev
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.db.connection import Connection

FUSE = """
    SELECT * FROM rankgres.fuse_v1(
        ARRAY(SELECT ROW(chunk.*)::rankgres.ranked_chunk FROM unnest(
            %s::text [], %s::integer [], %s::float8 [], %s::bigint [], %s::bigint []
        ) AS chunk),
        ARRAY(SELECT ROW(chunk.*)::rankgres.ranked_chunk FROM unnest(
            %s::text [], %s::integer [], %s::float8 [], %s::bigint [], %s::bigint []
        ) AS chunk),
        %s, %s, %s
    )
"""
FUSIONS = ("convex", "relative_score", "theoretical", "zscore", "distribution", "rrf")
LEXICAL = {"a": 9.0, "b": 5.0, "c": 3.0}
NEAREST = {"c": 0.75, "d": 0.5, "a": 0.25}


class Chunk(NamedTuple):
    """A row of a stage's list."""

    document_id: str
    position: int
    score: float
    rank: int
    passage: int


class Fused(NamedTuple):
    """A row of fuse_v1."""

    document_id: str
    score: float
    lexical_rank: int | None
    lexical_score: float | None
    vector_rank: int | None
    vector_score: float | None
    position: int


def ranked(scores: Mapping[str, float]) -> list[Chunk]:
    order = sorted(scores, key=lambda name: (-scores[name], name))
    return [Chunk(name, 0, scores[name], rank, 1) for rank, name in enumerate(order, start=1)]


def fuse(
    connection: Connection,
    lexical: Sequence[Chunk],
    nearest: Sequence[Chunk],
    fusion: str | None = "convex",
    *,
    lexical_weight: float | None = 0.5,
    rrf_k: int | None = 60,
) -> list[Fused]:
    columns = [[row[place] for row in rows] for rows in (lexical, nearest) for place in range(5)]
    found = connection.execute(FUSE.encode(), [*columns, fusion, lexical_weight, rrf_k])
    return [Fused(*row) for row in found]


def scores(
    connection: Connection,
    fusion: str,
    lexical: Mapping[str, float] = LEXICAL,
    nearest: Mapping[str, float] = NEAREST,
    weight: float = 0.5,
) -> dict[str, float]:
    rows = fuse(connection, ranked(lexical), ranked(nearest), fusion, lexical_weight=weight)
    return {row.document_id: row.score for row in rows}


def test_reciprocal_rank_fusion_sums_what_each_rank_is_worth(connection: Connection) -> None:
    rows = fuse(connection, ranked(LEXICAL), ranked(NEAREST), "rrf", lexical_weight=0.25, rrf_k=10)
    assert {row.document_id: row.score for row in rows} == pytest.approx(
        {
            "a": 0.25 / (10 + 1) + 0.75 / (10 + 3),
            "b": 0.25 / (10 + 2),
            "c": 0.25 / (10 + 3) + 0.75 / (10 + 1),
            "d": 0.75 / (10 + 2),
        }
    )


def test_relative_score_gives_the_last_of_a_list_what_a_missing_one_gets(
    connection: Connection,
) -> None:
    assert scores(connection, "relative_score", weight=0.25) == pytest.approx(
        {
            "a": 0.25 * 1 + 0.75 * 0,
            "b": 0.25 * (5 - 3) / (9 - 3),
            "c": 0.25 * 0 + 0.75 * 1,
            "d": 0.75 * (0.5 - 0.25) / (0.75 - 0.25),
        }
    )


def test_convex_puts_a_missing_document_one_mean_gap_below_the_last(connection: Connection) -> None:
    # Lexical scores fall from 9 to 3 in two steps of 3, so the next would score 0; so would
    # the other list's, whose scores fall by 0.25 to 0.25.
    assert scores(connection, "convex", weight=0.25) == pytest.approx(
        {
            "a": 0.25 * 9 / 9 + 0.75 * 0.25 / 0.75,
            "b": 0.25 * 5 / 9,
            "c": 0.25 * 3 / 9 + 0.75 * 0.75 / 0.75,
            "d": 0.75 * 0.5 / 0.75,
        }
    )


def test_theoretical_scales_from_the_least_score_there_can_be(connection: Connection) -> None:
    # 0 for both; what the list of embeddings lacks is at its floor, which is 0 here too.
    assert scores(connection, "theoretical", weight=0.25) == pytest.approx(
        {
            "a": 0.25 * 9 / 9 + 0.75 * 0.25 / 0.75,
            "b": 0.25 * 5 / 9,
            "c": 0.25 * 3 / 9 + 0.75 * 0.75 / 0.75,
            "d": 0.75 * 0.5 / 0.75,
        }
    )


def test_zscore_counts_standard_deviations_and_the_missing_are_at_the_floor(
    connection: Connection,
) -> None:
    mean, deviation = fmean([9, 5, 3]), pstdev([9, 5, 3])
    near, near_deviation = 0.5, pstdev([0.75, 0.5, 0.25])
    assert scores(connection, "zscore", weight=0.25) == pytest.approx(
        {
            "a": 0.25 * (9 - mean) / deviation + 0.75 * (0.25 - near) / near_deviation,
            "b": 0.25 * (5 - mean) / deviation + 0.75 * (0 - near) / near_deviation,
            "c": 0.25 * (3 - mean) / deviation + 0.75 * (0.75 - near) / near_deviation,
            "d": 0.25 * (0 - mean) / deviation + 0.75 * (0.5 - near) / near_deviation,
        }
    )


def test_distribution_scales_by_three_standard_deviations_on_either_side(
    connection: Connection,
) -> None:
    mean, deviation = fmean([9, 5, 3]), stdev([9, 5, 3])
    low, high = mean - 3 * deviation, mean + 3 * deviation
    near_low, near_high = 0.5 - 3 * 0.25, 0.5 + 3 * 0.25
    assert scores(connection, "distribution", weight=0.25) == pytest.approx(
        {
            "a": 0.25 * (9 - low) / (high - low)
            + 0.75 * (0.25 - near_low) / (near_high - near_low),
            "b": 0.25 * (5 - low) / (high - low),
            "c": 0.25 * (3 - low) / (high - low)
            + 0.75 * (0.75 - near_low) / (near_high - near_low),
            "d": 0.75 * (0.5 - near_low) / (near_high - near_low),
        }
    )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_two_empty_lists_have_no_document(connection: Connection, fusion: str) -> None:
    assert fuse(connection, [], [], fusion) == []


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        ("convex", [0.5, 0.5]),
        ("relative_score", [0.5, 0.5]),
        ("theoretical", [0.5, 0.5]),
        ("zscore", [-0.5, -0.5]),
        ("distribution", [0.25, 0.25]),
        ("rrf", [0.5 / 61, 0.5 / 61]),
    ],
)
def test_lists_of_one_document_each(
    connection: Connection, fusion: str, expected: list[float]
) -> None:
    rows = fuse(connection, ranked({"x": 7}), ranked({"y": 0.5}), fusion)
    assert [row.document_id for row in rows] == ["x", "y"]
    assert [row.score for row in rows] == pytest.approx(expected)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_found_by_both_of_two_flat_lists_comes_before_found_by_one(
    connection: Connection, fusion: str
) -> None:
    lexical, nearest = dict.fromkeys("bcd", 0.1 + 0.2), {"a": 0.4, "d": 0.4, "e": 0.4}
    # Ranks differ though scores do not: put the one that both have first in both.
    rows = fuse(
        connection,
        [Chunk(name, 0, lexical[name], rank, 1) for rank, name in enumerate("dbc", start=1)],
        [Chunk(name, 0, nearest[name], rank, 1) for rank, name in enumerate("dae", start=1)],
        fusion,
    )
    assert rows[0].document_id == "d"


@pytest.mark.parametrize("fusion", FUSIONS[:5])
def test_rounding_is_no_difference(connection: Connection, fusion: str) -> None:
    found = scores(connection, fusion, {"b": 0.1 + 0.2, "a": 0.3}, {})
    assert found["a"] == pytest.approx(found["b"])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_ranks_and_scores_of_both_lists_stand_in_the_rows(
    connection: Connection, fusion: str
) -> None:
    rows = fuse(connection, ranked(LEXICAL), ranked(NEAREST), fusion)
    assert {row.document_id: row[2:6] for row in rows} == {
        "a": (1, 9.0, 3, 0.25),
        "b": (2, 5.0, None, None),
        "c": (3, 3.0, 1, 0.75),
        "d": (None, None, 2, 0.5),
    }


@pytest.mark.parametrize("fusion", FUSIONS)
def test_equal_scores_are_ordered_by_id_whatever_the_lists_order(
    connection: Connection, fusion: str
) -> None:
    names = ["b", "B", "a", "ä", "10", "9"]
    rows = [Chunk(name, 0, 1.0, 1, 1) for name in names]
    expected = ["10", "9", "B", "a", "b", "ä"]
    for lexical in (rows, rows[::-1]):
        found = fuse(connection, lexical, [], fusion)
        assert [row.document_id for row in found] == expected


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_passage_shown_is_the_best_by_both_lists_together(
    connection: Connection, fusion: str
) -> None:
    # Position 2 is second in both lists, and nearly as good there as the best of either.
    lexical = [Chunk("a", 1, 10.0, 1, 1), Chunk("a", 2, 9.0, 1, 2), Chunk("z", 0, 1.0, 2, 1)]
    nearest = [Chunk("a", 3, 0.9, 1, 1), Chunk("a", 2, 0.88, 1, 2), Chunk("z", 0, 0.1, 2, 1)]
    first, _ = fuse(connection, lexical, nearest, fusion)
    assert (first.document_id, first.position) == ("a", 2)
    # What stands in the row are the ranks and scores of the document: its best passages'.
    assert first[2:6] == (1, 10.0, 1, 0.9)
    assert fuse(connection, lexical, nearest, fusion, lexical_weight=1)[0].position == 1
    assert fuse(connection, lexical, nearest, fusion, lexical_weight=0)[0].position == 3


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_lone_document_shows_its_best_passage(connection: Connection, fusion: str) -> None:
    lexical = [Chunk("a", 5, 8.0, 1, 1), Chunk("a", 2, 3.0, 1, 2)]
    assert fuse(connection, lexical, [], fusion)[0].position == 5


@pytest.mark.parametrize("fusion", FUSIONS)
def test_further_passages_change_no_score(connection: Connection, fusion: str) -> None:
    lexical = [*ranked(LEXICAL), Chunk("a", 4, 0.5, 1, 2), Chunk("b", 7, 0.1, 2, 2)]
    many = fuse(connection, lexical, ranked(NEAREST), fusion)
    one = fuse(connection, ranked(LEXICAL), ranked(NEAREST), fusion)
    assert [row[:6] for row in many] == [row[:6] for row in one]


KNOWN = "use convex, relative_score, theoretical, zscore, distribution or rrf"


@pytest.mark.parametrize(
    ("options", "field", "mend"),
    [
        ({"fusion": "sum"}, "fusion", KNOWN),
        ({"fusion": None}, "fusion", KNOWN),
        ({"lexical_weight": -0.1}, "lexical_weight", "the vector stage gets the rest of 1"),
        ({"lexical_weight": float("nan")}, "lexical_weight", "the vector stage gets the rest of 1"),
        ({"lexical_weight": None}, "lexical_weight", "the vector stage gets the rest of 1"),
        ({"rrf_k": 0}, "rrf_k", "use 1 or more"),
        ({"rrf_k": None}, "rrf_k", "use 1 or more"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_mend(
    connection: Connection, options: dict[str, Any], field: str, mend: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        fuse(connection, [], [], **options)
    assert (raised.value.diag.column_name, raised.value.diag.message_hint) == (field, mend)


def scaled(scores: Mapping[str, float], stage: str, fusion: str) -> tuple[dict[str, float], float]:
    """Return a list's scores on the fusion's scale, and that of a missing document."""
    if not scores:
        return {}, 0.0
    values = list(scores.values())
    low, high = min(values), max(values)
    floor = low - (high - low) / max(1, len(values) - 1)
    if low == high:
        found, missing = {"zscore": (0.0, -1.0), "distribution": (0.5, 0.0)}.get(fusion, (1.0, 0.0))
        return dict.fromkeys(scores, found), missing
    # Where 0 and 1 of the scale are, and what a missing document scores.
    mean = fmean(values)
    sample = stdev(values) if len(values) > 1 else 0.0
    if fusion == "theoretical" and high <= 0:
        fusion = "relative_score"
    zero, one, missed = {
        "relative_score": (low, high, low),
        "convex": (floor, high, floor),
        "theoretical": (0.0, high, 0.0 if stage == "lexical" else max(floor, min(0.0, low))),
        "zscore": (mean, mean + pstdev(values), floor),
        "distribution": (mean - 3 * sample, mean + 3 * sample, min(floor, mean - 3 * sample)),
    }[fusion]
    scale = {name: (score - zero) / (one - zero) for name, score in scores.items()}
    return scale, (missed - zero) / (one - zero)


def reference(
    lexical: dict[str, float], nearest: dict[str, float], fusion: str, weight: float
) -> dict[str, float]:
    words, without_words = scaled(lexical, "lexical", fusion)
    near, without_near = scaled(nearest, "vector", fusion)
    return {
        name: weight * words.get(name, without_words) + (1 - weight) * near.get(name, without_near)
        for name in lexical | nearest
    }


names = st.text("abcdefghij", min_size=1, max_size=2)
#: In steps of a millionth: the spread of scores that differ by a hair is that hair's rounding.
bm25 = st.dictionaries(
    names, st.integers(1, 60_000_000).map(lambda millionths: millionths / 1e6), max_size=25
)
cosine = st.dictionaries(
    names, st.integers(-1_000_000, 1_000_000).map(lambda millionths: millionths / 1e6), max_size=25
)
#: Far apart, far from 0 and close together, as no stage gives them.
wild = st.dictionaries(
    names,
    st.one_of(
        st.floats(-1e300, 1e300, allow_subnormal=True),
        st.sampled_from([0.0, 1e-320, 1e9, 1e9 + 1e-6, -1e9, 1.7e308, -1.7e308]),
    ),
    max_size=8,
)
weights = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])
property_settings = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@property_settings
@given(bm25, cosine, st.sampled_from(FUSIONS[:5]), weights)
def test_every_score_equals_the_formula(
    connection: Connection,
    lexical: dict[str, float],
    nearest: dict[str, float],
    fusion: str,
    weight: float,
) -> None:
    found = scores(connection, fusion, lexical, nearest, weight)
    expected = reference(lexical, nearest, fusion, weight)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@property_settings
@given(wild, wild, st.sampled_from(FUSIONS), weights)
def test_no_list_gives_anything_but_numbers_in_order(
    connection: Connection,
    lexical: dict[str, float],
    nearest: dict[str, float],
    fusion: str,
    weight: float,
) -> None:
    rows = fuse(connection, ranked(lexical), ranked(nearest), fusion, lexical_weight=weight)
    assert {row.document_id for row in rows} == lexical.keys() | nearest.keys()
    assert all(isfinite(row.score) for row in rows)
    order = [(-row.score, row.document_id) for row in rows]
    assert order == sorted(order)


@property_settings
@given(bm25, cosine, st.sampled_from(FUSIONS), weights)
def test_what_both_lists_put_higher_is_higher(
    connection: Connection,
    lexical: dict[str, float],
    nearest: dict[str, float],
    fusion: str,
    weight: float,
) -> None:
    """Found counts at least as much as missing, and a better score never less than a worse one."""
    found = scores(connection, fusion, lexical, nearest, weight)
    for better in found:
        for worse in found:
            if all(
                better in stage and (worse not in stage or stage[better] > stage[worse])
                for stage in (lexical, nearest)
            ):
                assert found[better] >= found[worse] - 1e-9
