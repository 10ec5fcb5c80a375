"""What a search does to its lists: thresholds, cuts, boosts, diversity, deadlines, profiles."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from tests.support.collections import (
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
def papers(connection: Connection) -> Connection:
    """Ten documents, each further than the one before, with one word fewer, and older."""
    generation = make_collection(connection, distance="inner_product", storage_type="vector")
    replace_chunks(
        connection,
        generation,
        [
            chunk(
                f"doc{number}",
                "cat " * (10 - number) + "dog " * number,
                embedding=[1 - number / 10, 0, 0, number / 100],
                filters={"stars": 10 * number, "at": f"2024-01-{20 - number:02}"},
            )
            for number in range(10)
        ],
    )
    return connection


def set_profile(connection: Connection, **profile: Any) -> None:
    connection.execute("UPDATE rankgres.collection SET search_profile = %s", [Jsonb(profile)])


ALL = [f"doc{number}" for number in range(10)]


def test_what_a_stage_scored_too_low_is_dropped_from_its_list(papers: Connection) -> None:
    scores = [row.lexical_score for row in search(papers, QUERY)]
    assert found(search(papers, QUERY, min_lexical_score=scores[3])) == ALL[:4]
    assert found(search(papers, embedding=NEAR, min_vector_score=0.55)) == ALL[:5]
    # In hybrid search each list loses its own, and keeps what the other one has.
    rows = search(
        papers, QUERY, NEAR, fusion="rrf", min_lexical_score=scores[1], min_vector_score=0.55
    )
    assert found(rows) == ALL[:5]
    assert [row.lexical_rank for row in rows] == [1, 2, None, None, None]


def test_a_threshold_that_nothing_reaches_cuts_no_scan_short(papers: Connection) -> None:
    before = search(papers, embedding=NEAR) and explained(papers)["vector"]
    assert search(papers, embedding=NEAR, min_vector_score=99) == []
    assert explained(papers)["vector"] == before
    assert explained(papers)["complete"] is True
    assert search(papers, QUERY, min_lexical_score=99) == []
    assert explained(papers)["lexical"]["exact"] is True
    # Nothing is left of one list; the other one is fused all the same.
    assert found(search(papers, QUERY, NEAR, min_vector_score=99)) == ALL


def test_the_fused_score_has_a_threshold_of_its_own(papers: Connection) -> None:
    scores = [row.score for row in search(papers, QUERY, NEAR)]
    assert scores == sorted(scores, reverse=True)
    assert found(search(papers, QUERY, NEAR, min_score=scores[6])) == ALL[:7]
    assert search(papers, QUERY, NEAR, min_score=1.01) == []


def test_autocut_ends_the_list_at_a_fall_in_score(connection: Connection) -> None:
    generation = make_collection(connection, distance="inner_product", storage_type="vector")
    heights = [1.0, 0.98, 0.96, 0.5, 0.48, 0.46, 0.1, 0.08]
    replace_chunks(
        connection,
        generation,
        [chunk(f"doc{place}", embedding=[height, 0, 0, 0]) for place, height in enumerate(heights)],
    )
    kept = [len(search(connection, embedding=NEAR, autocut=falls)) for falls in (0, 1, 2, 3)]
    assert kept == [8, 3, 6, 8]


def test_boosts_and_recency_change_the_order(papers: Connection) -> None:
    assert found(search(papers, QUERY, NEAR)) == ALL
    boosts = [{"field": "stars", "shape": "linear", "scale": 90, "weight": 5}]
    assert found(search(papers, QUERY, NEAR, boosts=boosts)) == ALL[::-1]
    recency = {"field": "at", "scale": "9 days", "weight": 5, "origin": "2024-01-11"}
    assert found(search(papers, QUERY, NEAR, recency=recency)) == ALL[::-1]
    # Boosts come before the cut to the best candidates.
    rows = search(papers, QUERY, NEAR, boosts=boosts, candidates=2, stage_candidates=10)
    assert found(rows) == ["doc9", "doc8"]


def test_diversity_puts_what_repeats_the_first_further_down(connection: Connection) -> None:
    generation = make_collection(connection, storage_type="vector")
    replace_chunks(
        connection,
        generation,
        [
            chunk("first", embedding=[1, 0.1, 0, 0]),
            chunk("again", embedding=[1, 0.11, 0, 0]),
            chunk("other", embedding=[1, 0, 0.9, 0]),
        ],
    )
    assert found(search(connection, embedding=NEAR)) == ["first", "again", "other"]
    rows = search(connection, embedding=NEAR, diversity=0.9)
    assert found(rows) == ["first", "other", "again"]
    assert [row.rank for row in rows] == [1, 2, 3]


def test_a_collections_profile_stands_for_what_a_search_leaves_out(papers: Connection) -> None:
    set_profile(papers, candidates=3, fusion="rrf", lexical_weight=0.25, rrf_k=10)
    rows = search(papers, QUERY, NEAR)
    assert len(rows) == 3
    assert rows[0].score == pytest.approx(1 / 11)
    assert (explained(papers)["fusion"], explained(papers)["lexical_weight"]) == ("rrf", 0.25)
    rows = search(papers, QUERY, NEAR, candidates=5, fusion="convex", lexical_weight=0.5)
    assert len(rows) == 5
    assert (explained(papers)["fusion"], explained(papers)["lexical_weight"]) == ("convex", 0.5)


def test_every_kind_of_parameter_may_be_in_a_profile(papers: Connection) -> None:
    set_profile(papers, match="all", correct=True)
    assert found(search(papers, "cat dog")) == found(search(papers, "cat dog", match="all"))
    assert len(search(papers, "cat dog")) == 9
    assert len(search(papers, "cat dog", match="any")) == 10
    set_profile(papers, boosts=[{"field": "stars", "shape": "linear", "scale": 90, "weight": 5}])
    assert found(search(papers, QUERY)) == ALL[::-1]
    assert found(search(papers, QUERY, boosts=[])) == ALL
    set_profile(papers, min_lexical_score=99)
    assert search(papers, QUERY) == []
    set_profile(papers, diversity=0.0, autocut=0, min_score=-9.5, deadline_ms=60_000)
    assert found(search(papers, QUERY, NEAR)) == ALL


def test_a_profiles_language_is_that_of_queries_without_one(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    replace_chunks(connection, generation, [chunk("a", "Häuser")])
    assert search(connection, "Haus", language="de") == []  # analysed as simple, not as German
    assert found(search(connection, "Häuser")) == ["a"]
    set_profile(connection, language="de")
    assert search(connection, "Häuser") == []
    assert found(search(connection, "Häuser", language="simple")) == ["a"]


def test_a_wrong_value_of_a_profile_is_named(papers: Connection) -> None:
    set_profile(papers, lexical_weight=7)
    with pytest.raises(Exception, match="lexical_weight is 7"):
        search(papers, QUERY)


def test_what_a_deadline_cut_says_so(papers: Connection) -> None:
    # The collection is said to be so large that no exact search of it ends within an hour.
    papers.execute("DELETE FROM rankgres.chunk_total_change")
    papers.execute(
        "INSERT INTO rankgres.chunk_total (generation_id, chunk_count, document_count, "
        "lexical_length) SELECT id, 1e13, 1e13, 1e14 FROM rankgres.generation"
    )
    rows = search(papers, QUERY, NEAR, deadline_ms=3_600_000)
    told = explained(papers)
    assert told["complete"] is False
    assert told["reason"].startswith("deadline: exact search would take about")
    assert told["vector"]["plan"] == "none"
    # What the lexical stage found is returned, and scored by the other stage too.
    assert found(rows) == ALL
    assert {row.vector_rank for row in rows} == {None}
    assert rows[0].vector_score == pytest.approx(1)
