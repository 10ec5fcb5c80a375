"""What shapes a fused list: cuts at falls in score, and diversity."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.db.connection import Connection
from tests.support.collections import chunk, make_collection, replace_chunks, value

property_settings = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


# Autocut


def autocut(connection: Connection, scores: Sequence[float] | None, falls: int | None) -> int:
    listed = None if scores is None else [float(score) for score in scores]
    answer: int = value(
        connection, "SELECT rankgres.autocut_v1(%s::float8 [], %s)", [listed, falls]
    )
    return answer


@pytest.mark.parametrize(
    ("scores", "falls", "kept"),
    [
        ([], 1, 0),
        (None, 1, 0),
        ([5], 1, 1),
        ([5, 1], 1, 2),
        # Two groups, three groups, and more falls asked for than there are.
        ([9, 9, 2, 2], 1, 2),
        ([10, 9.9, 9.8, 5, 4.9, 4.8, 1, 0.9], 1, 3),
        ([10, 9.9, 9.8, 5, 4.9, 4.8, 1, 0.9], 2, 6),
        ([10, 9.9, 9.8, 5, 4.9, 4.8, 1, 0.9], 3, 8),
        ([10, 9.9, 9.8, 5, 4.9, 4.8, 1, 0.9], 0, 8),
        # The fall is to the very last.
        ([9, 8.9, 8.8, 1], 1, 3),
        # No fall is larger than the others, or there is none at all.
        ([5, 4, 3, 2, 1], 1, 5),
        ([0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], 1, 7),
        ([3, 3, 3], 1, 3),
        ([-1, -1.1, -7, -7.1], 1, 2),
        ([1.7e308, 1.6e308, -1.6e308, -1.7e308], 1, 2),
    ],
)
def test_a_list_is_cut_before_its_falls(
    connection: Connection, scores: list[float] | None, falls: int, kept: int
) -> None:
    assert autocut(connection, scores, falls) == kept


@pytest.mark.parametrize("falls", [-1, None])
def test_a_wrong_number_of_falls_is_refused(connection: Connection, falls: int | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        autocut(connection, [1], falls)
    assert raised.value.diag.column_name == "autocut"
    assert raised.value.diag.message_hint is not None


def autocut_reference(scores: Sequence[float], falls: int) -> int:
    """Cut at the extrema of the curve above the diagonal, as Weaviate does."""
    if falls == 0 or len(scores) < 3 or scores[0] == scores[-1]:
        return len(scores)
    above = [
        (score - scores[0]) / (scores[-1] - scores[0]) - place / (len(scores) - 1)
        for place, score in enumerate(scores)
    ]
    for place in range(1, len(scores)):
        after = above[place + 1] if place + 1 < len(scores) else above[place - 2]
        if above[place] > max(above[place - 1], after) + 1e-9:
            falls -= 1
            if falls == 0:
                return place
    return len(scores)


@property_settings
@given(st.lists(st.integers(0, 1000), max_size=30), st.integers(0, 4))
def test_every_cut_equals_the_method(connection: Connection, drawn: list[int], falls: int) -> None:
    scores = [number / 10 for number in sorted(drawn, reverse=True)]
    assert autocut(connection, scores, falls) == autocut_reference(scores, falls)


# Diversity


def fill(
    connection: Connection, vectors: NDArray[np.float32], **options: Any
) -> tuple[int, list[str]]:
    generation = make_collection(connection, embedding_dimension=vectors.shape[1], **options)
    names = [f"doc{number}" for number in range(len(vectors))]
    chunks = [chunk(name, embedding=row) for name, row in zip(names, vectors, strict=True)]
    replace_chunks(connection, generation, chunks)
    return generation, names


def diversify(
    connection: Connection,
    generation: int,
    names: Sequence[str],
    scores: Sequence[float],
    diversity: float | None,
) -> list[int]:
    """Return the places of the list, from 0, in their new order."""
    rows = connection.execute(
        "SELECT candidate, place FROM rankgres.diversify_v1(%s, %s, %s, %s, %s) ORDER BY place",
        [generation, list(names), [0] * len(names), list(scores), diversity],
    ).fetchall()
    assert [place for _, place in rows] == list(range(1, len(rows) + 1))
    return [candidate - 1 for candidate, _ in rows]


def assert_greedy(
    order: Sequence[int], vectors: NDArray[np.float32], scores: Sequence[float], diversity: float
) -> None:
    """Check every place against Carbonell and Goldstein's formula.

    Embeddings are compared in single precision, so what differs by less may change places.
    """
    assert sorted(order) == list(range(len(scores)))
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    units = vectors / np.where(lengths == 0, 1, lengths)
    low, high = min(scores), max(scores)
    for place, index in enumerate(order):
        values = {
            other: (1 - diversity) * ((scores[other] - low) / (high - low) if high > low else 1)
            - diversity * max((units[other] @ units[before] for before in order[:place]), default=0)
            for other in order[place:]
        }
        assert values[index] >= max(values.values()) - 1e-5


def test_a_repetition_comes_after_what_is_new(connection: Connection) -> None:
    vectors = np.array([[1, 0, 0, 0], [1, 0.01, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32)
    generation, names = fill(connection, vectors)
    scores = [1.0, 0.9, 0.8, 0.0]
    assert diversify(connection, generation, names, scores, 0) == [0, 1, 2, 3]
    assert diversify(connection, generation, names, scores, 0.1) == [0, 2, 1, 3]
    # Even the least relevant comes before the repetition where only novelty counts.
    assert diversify(connection, generation, names, scores, 1) == [0, 2, 3, 1]


@pytest.mark.parametrize("storage_type", ["halfvec", "vector", "bit"])
@pytest.mark.parametrize("diversity", [0.2, 0.5, 0.9, 1.0])
def test_every_place_equals_the_formula(
    connection: Connection, storage_type: str, diversity: float
) -> None:
    source = np.random.default_rng(11)
    # Whole numbers up to 8 are exact in half precision; twelve groups, so that many are alike.
    centres = source.integers(-8, 9, (12, 16))
    noise = source.integers(-1, 2, (60, 16))
    vectors = np.asarray(centres[source.integers(0, 12, 60)] + noise, np.float32)
    scores = np.sort(source.random(60))[::-1].tolist()
    generation, names = fill(connection, vectors, storage_type=storage_type)
    order = diversify(connection, generation, names, scores, diversity)
    assert_greedy(order, vectors, scores, diversity)


@property_settings
@given(st.data())
def test_small_lists_of_any_kind_equal_the_formula(
    connection: Connection, data: st.DataObject
) -> None:
    rows = data.draw(
        st.lists(st.tuples(*[st.integers(-2, 2)] * 4), min_size=3, max_size=8, unique=True)
    )
    scores = sorted(
        data.draw(st.lists(st.integers(0, 64), min_size=len(rows), max_size=len(rows))),
        reverse=True,
    )
    diversity = data.draw(st.sampled_from([0.25, 0.5, 0.75, 1.0]))
    vectors = np.array(rows, np.float32)
    with connection.transaction(force_rollback=True):
        generation, names = fill(connection, vectors)
        order = diversify(connection, generation, names, scores, diversity)
    assert_greedy(order, vectors, scores, diversity)


def test_what_has_no_embedding_or_is_gone_is_like_nothing(connection: Connection) -> None:
    vectors = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], np.float32)
    generation, names = fill(connection, vectors)
    names[3] = "gone"
    assert diversify(connection, generation, names, [4, 3, 2, 1], 1) == [0, 2, 3, 1]


def test_only_the_first_two_hundred_are_placed_anew(connection: Connection) -> None:
    vectors = np.tile(np.array([1, 0, 0, 0], np.float32), (230, 1))
    vectors[199:202] = [0, 1, 0, 0]
    generation, names = fill(connection, vectors)
    scores = [1 - place / 1000 for place in range(230)]
    order = diversify(connection, generation, names, scores, 1)
    assert order[:2] == [0, 199]
    assert order[200:] == list(range(200, 230))
    assert sorted(order) == list(range(230))


@pytest.mark.parametrize("diversity", [0.0, 0.5])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_list_of_two_or_fewer_stays_as_it_is(
    connection: Connection, count: int, diversity: float
) -> None:
    generation, names = fill(connection, np.eye(4, dtype=np.float32)[:count])
    assert diversify(connection, generation, names, [1.0] * count, diversity) == list(range(count))


@pytest.mark.parametrize("diversity", [-0.1, 1.1, None, float("nan")])
def test_a_wrong_diversity_is_refused(connection: Connection, diversity: float | None) -> None:
    generation = make_collection(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        diversify(connection, generation, [], [], diversity)
    assert raised.value.diag.column_name == "diversity"
