"""BM25 in SQL equals the formula, computed here from the text alone."""

import random
from math import log
from typing import Any

import pytest

from service.db.connection import Connection
from tests.support.collections import (
    chunk,
    explained,
    found,
    make_collection,
    replace_chunks,
    search,
    value,
)
from tests.support.lexical import bm25

EVERYTHING: dict[str, Any] = {
    "candidates": 1000,
    "stage_candidates": 1000,
    "posting_budget": 1_000_000,
}
WORDS = [f"word{number}" for number in range(40)]


def scores(connection: Connection, query: str) -> dict[str, float]:
    rows = search(connection, query, **EVERYTHING)
    return {row.document_id: row.lexical_score or 0.0 for row in rows}


def random_texts(seed: int, count: int) -> dict[str, str]:
    source = random.Random(seed)
    # Common and rare words, short and long texts.
    weights = [1 / (place + 1) for place in range(len(WORDS))]
    return {
        f"doc{number}": " ".join(source.choices(WORDS, weights, k=source.randint(1, 60)))
        for number in range(count)
    }


def test_term_frequency_read_from_ts_rank_is_exact(connection: Connection) -> None:
    wrong = connection.execute(
        """
        SELECT frequency, restored FROM (
            SELECT
                frequency,
                floor(0.6079271018540267 / (1 - ts_rank(
                    '{1,1,1,1}',
                    to_tsvector('simple', repeat('word ', frequency) || repeat('other ', 3)),
                    'word'
                ))) AS restored
            FROM generate_series(0, 255) AS frequency
        ) AS tried
        WHERE frequency <> restored
        """
    ).fetchall()
    assert wrong == []


def test_a_score_worked_out_by_hand(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [chunk("a", "cat cat dog"), chunk("b", "cat bird bird bird bird"), chunk("c", "fish")],
    )
    # Three chunks of 3, 5 and 1 words: 3 on average; 'cat' stands in two of them, 'dog' in one.
    cat = log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    dog = log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    expected = {
        "a": cat * 2 * 2.2 / (2 + 1.2) + dog * 1 * 2.2 / (1 + 1.2),
        "b": cat * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 5 / 3)),
    }
    assert scores(connection, "cat dog") == pytest.approx(expected, abs=1e-9)


def test_a_word_said_twice_by_the_query_counts_twice(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("a", "cat dog"), chunk("b", "fish")])
    once, twice = scores(connection, "cat")["a"], scores(connection, "cat cat")["a"]
    assert twice == pytest.approx(2 * once, abs=1e-9)


def test_words_of_the_heading_count_like_words_of_the_text_by_default(
    connection: Connection,
) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [chunk("a", "dog", heading="cat cat"), chunk("b", "cat fish", heading="bird")],
    )
    texts = {"a": "cat cat dog", "b": "bird cat fish"}
    assert scores(connection, "cat bird") == pytest.approx(bm25(texts, "cat bird"), abs=1e-6)


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0), (1.2, 1.0), (0.0, 0.5)])
def test_all_scores_equal_brute_force(connection: Connection, k1: float, b: float) -> None:
    generation = make_collection(connection, bm25_k1=k1, bm25_b=b)
    texts = random_texts(seed=7, count=120)
    replace_chunks(connection, generation, [chunk(name, text) for name, text in texts.items()])
    for query in ("word0", "word0 word39", "word3 word3 word20 nowhere", " ".join(WORDS)):
        expected = bm25(texts, query, k1, b)
        assert scores(connection, query) == pytest.approx(expected, abs=1e-6)
        order = sorted(expected, key=lambda name: (-expected[name], name))
        assert [round(expected[name], 9) for name in order] == [
            round(expected[name], 9) for name in found(search(connection, query, **EVERYTHING))
        ]
        assert explained(connection)["lexical"]["exact"] is True


def test_scores_follow_updates_and_deletions_folded_or_not(connection: Connection) -> None:
    generation = make_collection(connection)
    texts = random_texts(seed=1, count=80)
    replace_chunks(connection, generation, [chunk(name, text) for name, text in texts.items()])
    changed = random_texts(seed=2, count=30)
    texts |= changed
    replace_chunks(connection, generation, [chunk(name, text) for name, text in changed.items()])
    gone = [f"doc{number}" for number in range(20, 50)]
    for name in gone:
        del texts[name]
    replace_chunks(connection, generation, [], also=gone)

    query = "word1 word5 word5 word30"
    assert scores(connection, query) == pytest.approx(bm25(texts, query), abs=1e-6)
    before = scores(connection, query)
    assert value(connection, "SELECT rankgres.statistics_fold_v1(%s)", [generation]) > 0
    assert scores(connection, query) == before
    assert value(connection, "SELECT rankgres.statistics_fold_v1(%s)", [generation]) == 0
    assert scores(connection, query) == before


def test_a_document_is_ranked_by_its_best_chunk(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [
            chunk("long", "cat fish bird", position=0),
            chunk("long", "cat cat cat", position=1),
            chunk("long", "cat cat fish", position=2),
            chunk("short", "cat cat bird"),
            chunk("none", "fish"),
        ],
    )
    rows = search(connection, "cat", passages=2)
    assert [(row.document_id, row.position, row.rank, row.passage) for row in rows] == [
        ("long", 1, 1, 1),
        ("long", 2, 1, 2),
        ("short", 0, 2, 1),
    ]
    # A document's columns tell of its best chunk, on the rows of its other passages too.
    assert rows[0].lexical_score == rows[1].lexical_score


def test_equal_scores_are_ordered_by_id(connection: Connection) -> None:
    generation = make_collection(connection)
    names = ["b", "B", "a", "ä", "10", "9"]
    replace_chunks(connection, generation, [chunk(name, "cat") for name in names])
    assert found(search(connection, "cat")) == ["10", "9", "B", "a", "b", "ä"]


def test_a_collection_without_chunks_has_no_candidates(connection: Connection) -> None:
    generation = make_collection(connection)
    assert search(connection, "cat") == []
    replace_chunks(connection, generation, [chunk("a", "cat")])
    replace_chunks(connection, generation, [], also=["a"])
    assert search(connection, "cat") == []
