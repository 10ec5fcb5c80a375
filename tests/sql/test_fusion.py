"""Fusion: expected scores as arithmetic, one order for one query, and mistakes that are named."""

from typing import Any

import psycopg
import pytest

from service.db.connection import Connection
from tests.support.collections import (
    Row,
    chunk,
    explained,
    found,
    make_collection,
    replace_chunks,
    search,
)

QUERY = "cat"
NEAR = (1.0, 0.0, 0.0, 0.0)


@pytest.fixture
def fused(connection: Connection) -> Connection:
    """Lexical order both, words, some; vector order near, both, far, words (some has none near)."""
    generation = make_collection(connection, distance="inner_product", storage_type="vector")
    replace_chunks(
        connection,
        generation,
        [
            chunk("both", "cat cat cat", embedding=[0.8, 0, 0, 0]),
            chunk("words", "cat cat dog", embedding=[0.2, 0, 0, 0]),
            chunk("some", "cat dog dog", embedding=[0.1, 0, 0, 0]),
            chunk("near", "dog dog dog", embedding=[1.0, 0, 0, 0]),
            chunk("far", "dog dog dog", embedding=[0.4, 0, 0, 0]),
        ],
    )
    return connection


def fused_scores(connection: Connection, **options: Any) -> dict[str, float]:
    return {row.document_id: row.score for row in search(connection, QUERY, NEAR, **options)}


def test_ranks_and_scores_of_both_stages_stand_in_the_rows(fused: Connection) -> None:
    rows = {row.document_id: row for row in search(fused, QUERY, NEAR)}
    ranks = {name: (row.lexical_rank, row.vector_rank) for name, row in rows.items()}
    assert ranks == {
        "both": (1, 2),
        "words": (2, 4),
        "some": (3, 5),
        "near": (None, 1),
        "far": (None, 3),
    }
    assert {name: row.vector_score for name, row in rows.items()} == pytest.approx(
        {"both": 0.8, "words": 0.2, "some": 0.1, "near": 1.0, "far": 0.4}
    )
    assert (rows["near"].lexical_score, rows["far"].lexical_score) == (None, None)


def test_reciprocal_rank_fusion(fused: Connection) -> None:
    assert fused_scores(fused, fusion="rrf") == pytest.approx(
        {
            "both": 0.5 / (60 + 1) + 0.5 / (60 + 2),
            "words": 0.5 / (60 + 2) + 0.5 / (60 + 4),
            "some": 0.5 / (60 + 3) + 0.5 / (60 + 5),
            "near": 0.5 / (60 + 1),
            "far": 0.5 / (60 + 3),
        }
    )
    weighted = fused_scores(fused, fusion="rrf", rrf_k=10, lexical_weight=0.25)
    assert weighted["both"] == pytest.approx(0.25 / (10 + 1) + 0.75 / (10 + 2))


def test_convex_fusion(fused: Connection) -> None:
    # All chunks have three words, so 'cat' three, two and one times scores with k1 = 1.2
    # 3 / 4.2, 2 / 3.2 and 1 / 2.2 times the same: scaled, 1, a share, and 0.
    share = (2 / 3.2 - 1 / 2.2) / (3 / 4.2 - 1 / 2.2)
    expected = {
        "both": 0.5 * 1 + 0.5 * (0.8 - 0.1) / (1.0 - 0.1),
        "words": 0.5 * share + 0.5 * (0.2 - 0.1) / (1.0 - 0.1),
        "some": 0.5 * 0 + 0.5 * 0,
        "near": 0.5 * 1,
        "far": 0.5 * (0.4 - 0.1) / (1.0 - 0.1),
    }
    assert fused_scores(fused) == pytest.approx(expected)
    assert found(search(fused, QUERY, NEAR)) == ["both", "near", "words", "far", "some"]
    assert fused_scores(fused, lexical_weight=0.9)["words"] == pytest.approx(
        0.9 * share + 0.1 * (0.2 - 0.1) / (1.0 - 0.1)
    )


@pytest.mark.parametrize("fusion", ["convex", "rrf"])
def test_a_weight_of_one_or_zero_is_the_order_of_one_stage(fused: Connection, fusion: str) -> None:
    lexical = search(fused, QUERY, NEAR, fusion=fusion, lexical_weight=1)
    assert found(lexical)[:2] == ["both", "words"]
    vector = search(fused, QUERY, NEAR, fusion=fusion, lexical_weight=0)
    assert found(vector)[:4] == ["near", "both", "far", "words"]


def test_one_stage_alone_scales_its_own_scores(fused: Connection) -> None:
    vector = search(fused, embedding=NEAR)
    assert [row.score for row in vector] == pytest.approx(
        [1, (0.8 - 0.1) / 0.9, (0.4 - 0.1) / 0.9, (0.2 - 0.1) / 0.9, 0]
    )
    assert all(row.lexical_rank is None for row in vector)
    lexical = search(fused, QUERY)
    assert [row.document_id for row in lexical] == ["both", "words", "some"]
    assert all(row.vector_rank is None for row in lexical)


def test_a_lone_candidate_scores_one(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("only", "cat")])
    assert fused_scores(connection) == {"only": 1.0}


@pytest.mark.parametrize("fusion", ["convex", "rrf"])
def test_ties_are_broken_by_id_and_the_list_is_always_the_same(
    connection: Connection, fusion: str
) -> None:
    generation = make_collection(connection)
    names = [f"doc{number:02}" for number in range(60)]
    for name in reversed(names):
        replace_chunks(connection, generation, [chunk(name, "cat", embedding=NEAR)])
    lists = [
        search(connection, QUERY, NEAR, fusion=fusion, candidates=20, stage_candidates=20)
        for _ in range(20)
    ]
    assert found(lists[0]) == names[:20]
    assert all(rows == lists[0] for rows in lists)


def test_more_passages_change_neither_documents_nor_scores(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [
            chunk(
                f"doc{number}",
                "cat " * (1 + (number * place) % 4) + "dog " * place,
                position=place,
                embedding=[1, number * place % 7, place, 1],
            )
            for number in range(12)
            for place in range(5)
        ],
    )
    one = search(connection, QUERY, NEAR, passages=1)
    many = search(connection, QUERY, NEAR, passages=4)

    def documents(rows: list[Row]) -> list[tuple[int, str, float]]:
        return [(row.rank, row.document_id, row.score) for row in rows if row.passage == 1]

    assert documents(many) == documents(one)
    assert [row.passage for row in many if row.document_id == one[0].document_id] == [1, 2, 3, 4]


def test_a_passage_is_given_where_it_stands(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [chunk("a", "a cat", position=3, heading="Pets > Cats", filters={"lang": "en"})],
    )
    [row] = search(connection, QUERY)
    assert (row.position, row.heading, row.text) == (3, "Pets > Cats", "a cat")
    assert (row.start_offset, row.end_offset) == (0, 5)
    assert row.metadata == {"lang": "en"}


def test_explain_tells_what_happened_inside(fused: Connection) -> None:
    search(fused, QUERY, NEAR)
    hybrid = explained(fused)
    assert (hybrid["lexical_bounded"], hybrid["vector_plan"]) == (False, "exact")
    assert min(hybrid["lexical_ms"], hybrid["vector_ms"], hybrid["fusion_ms"]) >= 0
    search(fused, QUERY)
    assert explained(fused)["vector_plan"] is None
    search(fused, embedding=NEAR)
    assert explained(fused)["lexical_bounded"] is None


@pytest.mark.parametrize(
    ("options", "field", "hint"),
    [
        ({"mode": "fuzzy"}, "mode", "use lexical, vector or hybrid"),
        ({"mode": None}, "mode", "use lexical, vector or hybrid"),
        ({"mode": "hybrid"}, "query_embedding", "pass it, or mode => 'lexical'"),
        ({"mode": "vector"}, "query_embedding", "pass it, or mode => 'lexical'"),
        ({"fusion": "sum"}, "fusion", "use convex or rrf"),
        ({"fusion": None}, "fusion", "use convex or rrf"),
        ({"lexical_weight": 1.5}, "lexical_weight", "the vector stage gets the rest of 1"),
        ({"lexical_weight": None}, "lexical_weight", "the vector stage gets the rest of 1"),
        ({"candidates": 0}, "candidates", "use 1 or more"),
        ({"candidates": None}, "candidates", "use 1 or more"),
        ({"stage_candidates": -1}, "stage_candidates", "use 1 or more"),
        ({"passages": 0}, "passages", "use 1 or more"),
        ({"rrf_k": 0}, "rrf_k", "use 1 or more"),
        ({"posting_budget": 0}, "posting_budget", "use 1 or more"),
        ({"ef_search": 0}, "ef_search", "use 1 or more"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_mend(
    connection: Connection, options: dict[str, Any], field: str, hint: str
) -> None:
    make_collection(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        search(connection, QUERY, **options)
    assert (raised.value.diag.column_name, raised.value.diag.message_hint) == (field, hint)


def test_a_collection_that_is_not_there_is_named(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject, match='"papers" does not exist') as raised:
        search(connection, QUERY)
    assert raised.value.diag.column_name == "collection"
