"""The embeddings of listed passages, as feedback among candidates reads them."""

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from service.db.connection import Connection
from service.search.feedback import excludes_something, read_embeddings
from tests.support.collections import chunk, generation_of, make_collection, replace_chunks


def read(connection: Connection, *places: tuple[str, int]) -> NDArray[np.float32]:
    documents, positions = zip(*places, strict=True)
    return read_embeddings(connection, generation_of(connection, "papers"), documents, positions)


@pytest.mark.parametrize("storage", ["halfvec", "vector", "bit"])
def test_embeddings_come_in_the_order_of_the_list(
    connection: Connection, storage: Literal["halfvec", "vector", "bit"]
) -> None:
    generation = make_collection(connection, storage_type=storage)
    replace_chunks(
        connection,
        generation,
        [
            chunk("a", "one", embedding=(3, 4, 0, 0)),
            chunk("a", "two", position=1, embedding=(0, 0, 2, 0)),
            chunk("b", "one", embedding=(0, 1, 0, 0)),
        ],
    )
    found = read(connection, ("b", 0), ("a", 1), ("a", 0))
    assert found.dtype == np.float32
    expected = [(0, 1, 0, 0), (0, 0, 1, 0), (0.6, 0.8, 0, 0)]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_passage_that_is_gone_is_all_zeros(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("a", "one", embedding=(0, 2, 0, 0))])
    found = read(connection, ("gone", 0), ("a", 0), ("a", 7))
    np.testing.assert_array_equal(found, [(0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0)])
    none = read(connection, ("gone", 0), ("a", 7))
    assert none.shape == (2, 1)
    assert not none.any()


def test_of_no_passages_nothing_is_asked(connection: Connection) -> None:
    there_is_none = 0
    assert read_embeddings(connection, there_is_none, [], []).shape == (0, 1)


@pytest.mark.parametrize(
    ("question", "excludes"),
    [("rivers of Asia (excluding the Ganges)", True), ("rivers of Asia", False), ("", False)],
)
def test_a_question_says_whether_it_excludes_something(
    connection: Connection, question: str, excludes: bool
) -> None:
    assert excludes_something(connection, question) == excludes
