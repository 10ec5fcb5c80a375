"""The public search: both stages made one list, and every mistake named with its mend."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

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
FUSIONS = ("convex", "relative_score", "theoretical", "zscore", "distribution", "rrf")


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


def by_document(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.document_id: row for row in rows}


def fused_scores(connection: Connection, **options: Any) -> dict[str, float]:
    return {row.document_id: row.score for row in search(connection, QUERY, NEAR, **options)}


def test_what_one_stage_alone_listed_is_scored_by_the_other_without_a_rank(
    fused: Connection,
) -> None:
    rows = by_document(search(fused, QUERY, NEAR, candidates=3, stage_candidates=3))
    # The lexical list is both, words, some; the other one near, both, far.
    everything = by_document(search(fused, QUERY, NEAR))
    for row in rows.values():
        assert row.lexical_score == everything[row.document_id].lexical_score
        assert row.vector_score == everything[row.document_id].vector_score
    assert (rows["near"].lexical_rank, rows["near"].lexical_score) == (None, 0)
    assert rows["words"].vector_rank is None
    assert rows["words"].vector_score == pytest.approx(0.2)
    assert (rows["both"].lexical_rank, rows["both"].vector_rank) == (1, 2)


@pytest.mark.parametrize("heading_weight", [1.0, 1.5])
@pytest.mark.parametrize("distance", ["cosine", "inner_product", "l2"])
@pytest.mark.parametrize("storage", ["halfvec", "vector", "bit"])
def test_scores_of_what_a_stage_did_not_list_are_those_that_it_would_have_listed(
    connection: Connection, heading_weight: float, distance: str, storage: str
) -> None:
    generation = make_collection(connection, distance=distance, storage_type=storage)
    replace_chunks(
        connection,
        generation,
        [
            chunk("words", "cat cat cat", embedding=[0.25, 0.5, 0, 0]),
            chunk("near", "cat dog dog dog", heading="cat", embedding=[1, 0.25, 0, 0]),
        ],
    )
    # For the weight of either stage, the document that the other one did not list.
    for weight, name in ((0.01, "near"), (0.99, "words")):
        options: dict[str, Any] = {"heading_weight": heading_weight, "lexical_weight": weight}
        full = by_document(search(connection, QUERY, NEAR, **options))[name]
        [row] = search(connection, QUERY, NEAR, candidates=1, stage_candidates=1, **options)
        assert row.document_id == name
        assert (row.lexical_rank, row.vector_rank) == ((None, 1) if name == "near" else (1, None))
        assert (row.lexical_score, row.vector_score) == (full.lexical_score, full.vector_score)
        assert row.lexical_score


def test_a_score_is_both_stages_shares_of_their_greatest(fused: Connection) -> None:
    # All chunks have three words, so 'cat' three, two and one times scores with k1 = 1.2
    # 3 / 4.2, 2 / 3.2 and 1 / 2.2 times the same.
    expected = {
        "both": 0.5 * 1 + 0.5 * 0.8 / 1.0,
        "words": 0.5 * (2 / 3.2) / (3 / 4.2) + 0.5 * 0.2 / 1.0,
        "some": 0.5 * (1 / 2.2) / (3 / 4.2) + 0.5 * 0.1 / 1.0,
        "near": 0.5 * 0 + 0.5 * 1.0,
        "far": 0.5 * 0 + 0.5 * 0.4,
    }
    assert fused_scores(fused) == pytest.approx(expected)
    # However early the lists are cut: what both of them would have listed anyway scores the same.
    cut = fused_scores(fused, candidates=4, stage_candidates=4)
    assert cut == pytest.approx({name: expected[name] for name in cut})
    assert fused_scores(fused, lexical_weight=0.9)["near"] == pytest.approx(0.1)


@pytest.mark.parametrize("fusion", sorted(set(FUSIONS) - {"theoretical"}))
def test_other_fusions_leave_a_stage_that_did_not_list_a_document_without_a_score(
    fused: Connection, fusion: str
) -> None:
    rows = by_document(search(fused, QUERY, NEAR, fusion=fusion))
    assert (rows["near"].lexical_rank, rows["near"].lexical_score) == (None, None)
    assert {name: row.vector_rank for name, row in rows.items()} == {
        "near": 1, "both": 2, "far": 3, "words": 4, "some": 5
    }  # fmt: skip
    assert explained(fused)["fusion"] == fusion


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_weight_of_one_or_zero_is_the_order_of_one_stage(fused: Connection, fusion: str) -> None:
    lexical = search(fused, QUERY, NEAR, fusion=fusion, lexical_weight=1)
    assert found(lexical)[:2] == ["both", "words"]
    vector = search(fused, QUERY, NEAR, fusion=fusion, lexical_weight=0)
    assert found(vector)[:4] == ["near", "both", "far", "words"]


def test_one_stage_alone_scales_its_own_scores(fused: Connection) -> None:
    vector = search(fused, embedding=NEAR)
    assert [row.score for row in vector] == pytest.approx([1, 0.8, 0.4, 0.2, 0.1])
    assert all((row.lexical_rank, row.lexical_score) == (None, None) for row in vector)
    lexical = search(fused, QUERY)
    assert found(lexical) == ["both", "words", "some"]
    assert lexical[0].score == 1
    assert all((row.vector_rank, row.vector_score) == (None, None) for row in lexical)


def test_a_lone_candidate_scores_one(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("only", "cat")])
    assert fused_scores(connection) == {"only": pytest.approx(1.0)}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_ties_are_broken_by_id_and_the_list_is_always_the_same(
    connection: Connection, fusion: str
) -> None:
    generation = make_collection(connection)
    names = [f"doc{number:02}" for number in range(60)]
    for name in reversed(names):
        replace_chunks(connection, generation, [chunk(name, "cat", embedding=NEAR)])
    lists = [
        search(connection, QUERY, NEAR, fusion=fusion, candidates=20, stage_candidates=20)
        for _ in range(10)
    ]
    assert found(lists[0]) == names[:20]
    assert all(rows == lists[0] for rows in lists)


def test_more_passages_change_neither_documents_nor_their_order(connection: Connection) -> None:
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
    of_first = [row for row in many if row.document_id == one[0].document_id]
    assert [row.passage for row in of_first] == [1, 2, 3, 4]
    assert len({row.position for row in of_first}) == 4
    assert {row[9:] for row in of_first} == {of_first[0][9:]}


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
    assert (hybrid["complete"], hybrid["reason"]) == (True, None)
    assert (hybrid["fusion"], hybrid["lexical_weight"]) == ("theoretical", 0.5)
    assert hybrid["lexical"] == {
        "plan": "complete", "terms": 1, "scored": 3, "exact": True, "bounded": False
    }  # fmt: skip
    assert hybrid["vector"]["plan"] == "exact"
    assert hybrid["corrections"] == {}
    for stage in ("lexical", "vector", "fusion", "shaping"):
        assert hybrid[f"{stage}_ms"] >= 0
    search(fused, QUERY)
    assert (explained(fused)["vector"], explained(fused)["fusion"]) == (None, None)
    search(fused, embedding=NEAR)
    assert explained(fused)["lexical"] is None


@pytest.mark.parametrize("embedding", [None, NEAR], ids=["lexical", "hybrid"])
def test_both_stages_filter(connection: Connection, embedding: Sequence[float] | None) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [chunk("kept", "cat", filters={"lang": "en"}), chunk("other", "cat cat")],
    )
    assert found(search(connection, "cat", embedding, filter={"lang": "en"})) == ["kept"]
    assert len(search(connection, "cat", embedding, filter={})) == 2


@pytest.mark.parametrize("mode", ["lexical", "vector", "hybrid"])
def test_what_a_query_demands_holds_in_both_stages(fused: Connection, mode: str) -> None:
    demands = {
        "cat -dog": {"both"},
        'cat "cat dog"': {"words", "some"},
        '-"cat cat" cat': {"some"} if mode == "lexical" else {"some", "near", "far"},
    }
    for query, expected in demands.items():
        assert set(found(search(fused, query, NEAR, mode=mode))) == expected, query
    # Words alone demand nothing.
    everything = {"both", "words", "some", "near", "far"}
    rows = search(fused, "cat", NEAR, mode=mode)
    assert set(found(rows)) == (everything - {"near", "far"} if mode == "lexical" else everything)


def test_misspelled_words_are_put_right_on_request(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("a", "restaurant"), chunk("b", "other")])
    assert search(connection, "restaurent") == []
    assert found(search(connection, "restaurent", correct=True)) == ["a"]
    assert explained(connection)["corrections"] == {"restaurent": "restaurant"}


def test_a_null_query_finds_nothing_and_a_null_candidates_is_the_default(fused: Connection) -> None:
    assert search(fused, None, mode="lexical") == []  # type: ignore[arg-type]  # SQL users may
    assert len(search(fused, QUERY, NEAR, candidates=None, filter=None)) == 5


@pytest.mark.parametrize(
    ("options", "field", "mend"),
    [
        ({"mode": "fuzzy"}, "mode", "use lexical, vector or hybrid"),
        ({"mode": None}, "mode", "use lexical, vector or hybrid"),
        ({"mode": "hybrid"}, "query_embedding", "pass it, or mode => 'lexical'"),
        ({"mode": "vector"}, "query_embedding", "pass it, or mode => 'lexical'"),
        ({"fusion": "sum"}, "fusion", f"use {', '.join(FUSIONS[:5])} or rrf"),
        ({"lexical_weight": 1.5}, "lexical_weight", "use 0 to 1"),
        ({"lexical_weight": float("nan")}, "lexical_weight", "use 0 to 1"),
        ({"candidates": 0}, "candidates", "use 1 to 10000"),
        ({"candidates": 10_001}, "candidates", "use 1 to 10000"),
        ({"stage_candidates": -1}, "stage_candidates", "use 1 to 10000"),
        ({"passages": 0}, "passages", "use 1 or more"),
        ({"passages": None}, "passages", "use 1 or more"),
        ({"rrf_k": 0}, "rrf_k", "use 1 to 1000000"),
        ({"posting_budget": 0}, "posting_budget", "use 1 to 2000000000"),
        ({"ef_search": 1001}, "ef_search", "use 1 to 1000"),
        (
            {"match": "some"},
            "match",
            "use any, all, a number of words such as 3, or a share such as 75%",
        ),
        ({"heading_weight": -1}, "heading_weight", "use 0 to 1000"),
        ({"autocut": -1}, "autocut", "use 0 to 1000"),
        ({"diversity": 2}, "diversity", "use 0 to 1"),
        ({"deadline_ms": 0}, "deadline_ms", "use 1 to 3600000"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_mend(
    connection: Connection, options: dict[str, Any], field: str, mend: str
) -> None:
    make_collection(connection)
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        search(connection, QUERY, **options)
    assert (raised.value.diag.column_name, raised.value.diag.message_hint) == (field, mend)


@pytest.mark.parametrize(
    ("profile", "field", "mend"),
    [
        ({"lexical_wait": 0.5}, "lexical_wait", "use autocut, boosts, "),
        ({"rrf_k": "sixty"}, "rrf_k", "use 1 to 1000000"),
        ({"rrf_k": 2.5}, "rrf_k", "use 1 to 1000000"),
        ({"min_score": "low"}, "min_score", "use JSON of the type number"),
        ({"correct": 1}, "correct", "use JSON of the type boolean"),
    ],
)
def test_a_profile_that_was_written_past_the_service_is_refused_with_its_mend(
    connection: Connection, profile: dict[str, Any], field: str, mend: str
) -> None:
    make_collection(connection)
    connection.execute("UPDATE rankgres.collection SET search_profile = %s", [Jsonb(profile)])
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        search(connection, QUERY)
    assert raised.value.diag.column_name == field
    assert (raised.value.diag.message_hint or "").startswith(mend)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"filter": {"a": {"like": 1}}}, "filter"),
        ({"recency": {"scale": "30 days"}}, "recency"),
        ({"recency": {"field": "at", "scale": "soon"}}, "recency"),
        ({"boosts": [{"field": "stars", "shape": "square"}]}, "boosts"),
        ({"language": "klingon"}, "language"),
    ],
)
def test_a_wrong_part_of_a_parameter_is_named_too(
    connection: Connection, options: dict[str, Any], field: str
) -> None:
    generation = make_collection(connection, text_search_config="auto")
    replace_chunks(connection, generation, [chunk("a", "cat")])
    with pytest.raises(psycopg.errors.InvalidParameterValue) as raised:
        search(connection, QUERY, **options)
    assert raised.value.diag.column_name == field
    assert raised.value.diag.message_hint


def test_a_collection_that_is_not_there_is_named(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject, match='"papers" does not exist') as raised:
        search(connection, QUERY)
    assert raised.value.diag.column_name == "collection"
