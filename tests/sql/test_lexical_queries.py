"""The lexical stage: what it makes of any query, and how its work is bounded."""

import random

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

UNBOUNDED = 1_000_000


@pytest.fixture
def papers(connection: Connection) -> Connection:
    """200 chunks: 'common' in all, 'frequent' in half, 'uncommon' in 20, 'rare' in 2."""
    generation = make_collection(connection)
    source = random.Random(3)
    chunks = []
    for number in range(200):
        words = ["common"] * source.randint(1, 4)
        words += ["frequent"] if number % 2 else []
        words += ["uncommon"] if number % 10 == 0 else []
        words += ["rare"] if number in {31, 40} else []
        chunks.append(
            chunk(
                f"doc{number:03}",
                " ".join([*words, *["filler"] * source.randint(0, 9)]),
                filters={"number": number, "shelf": number % 50},
            )
        )
    replace_chunks(connection, generation, chunks)
    return connection


def test_a_budget_that_suffices_gives_the_exact_list(papers: Connection) -> None:
    # All four lexemes together have 322 postings.
    for query in ("rare", "rare common", "rare uncommon frequent common", "common"):
        exact = search(papers, query, posting_budget=UNBOUNDED, candidates=200)
        assert explained(papers)["lexical"]["exact"] is True
        assert search(papers, query, posting_budget=322, candidates=200) == exact
        assert explained(papers)["lexical"]["exact"] is True


def test_a_bounded_search_scores_its_candidates_as_the_exact_one_does(papers: Connection) -> None:
    query = "rare uncommon frequent common"
    lexical = {row.document_id: row.lexical_score for row in search(papers, query, candidates=200)}
    bounded = search(papers, query, posting_budget=25, candidates=5, stage_candidates=5)
    assert explained(papers)["lexical"]["bounded"] is True
    assert {row.document_id: row.lexical_score for row in bounded} == {
        row.document_id: lexical[row.document_id] for row in bounded
    }
    # Whatever else it left out, not those of the rarest lexeme.
    assert found(bounded)[:2] == sorted(lexical, key=lambda name: -(lexical[name] or 0))[:2]


def test_rare_lexemes_that_give_too_few_are_followed_by_common_ones(papers: Connection) -> None:
    rows = search(papers, "rare common", posting_budget=50, candidates=40, stage_candidates=40)
    assert found(rows)[:2] == ["doc031", "doc040"]
    assert len(rows) == 40
    assert explained(papers)["lexical"]["plan"] == "rungs"


def test_queries_of_common_lexemes_alone_find_chunks_with_all_of_them(papers: Connection) -> None:
    for query in ("common", "common frequent"):
        rows = search(papers, query, posting_budget=10, candidates=10, stage_candidates=10)
        assert len(rows) == 10
        assert all(set(query.split()) <= set(row.text.split()) for row in rows)
        assert explained(papers)["lexical"]["plan"] == "rungs"


def test_a_filter_hides_nothing_that_matches(papers: Connection) -> None:
    for shelf in (0, 7):
        for budget in (4, 10, 150, UNBOUNDED):
            for query in ("rare common", "common", "rare uncommon frequent common"):
                rows = search(papers, query, posting_budget=budget, filter={"shelf": shelf})
                assert {row.metadata["number"] for row in rows} == set(range(shelf, 200, 50))


def test_a_query_of_five_thousand_words_is_answered(papers: Connection) -> None:
    query = " ".join(f"word{number}" for number in range(4996)) + " rare uncommon frequent common"
    assert set(found(search(papers, query, candidates=5))) >= {"doc031", "doc040"}
    assert explained(papers)["lexical"]["exact"] is True


def test_more_lexemes_than_are_scored_are_told(connection: Connection) -> None:
    generation = make_collection(connection)
    words = [f"word{number:03}" for number in range(100)]
    replace_chunks(connection, generation, [chunk("all", " ".join(words)), chunk("one", "word000")])
    assert found(search(connection, " ".join(words))) == ["all"]  # word000 is the most common
    assert explained(connection)["lexical"]["bounded"] is True


def test_one_word_a_thousand_times_is_one_lexeme(papers: Connection) -> None:
    many = search(papers, "rare " * 1000)
    assert found(many) == found(search(papers, "rare"))
    # A tsvector keeps 255 positions, of the query as of a document.
    once = search(papers, "rare")[0].lexical_score
    assert once is not None
    assert many[0].lexical_score == pytest.approx(255 * once)


def test_operators_and_quotes_alone_find_nothing_and_raise_nothing(papers: Connection) -> None:
    for query in ("", " ", "' & | ! :* \\", "'''", "!!!", "&", "\\", "((", "<->", "%% $1"):
        assert search(papers, query) == [], query


def test_operators_of_other_languages_around_a_word_mean_nothing(papers: Connection) -> None:
    expected = found(search(papers, "rare"))
    for query in (
        "!rare",
        "rare & none",
        "'rare'",
        "rare:*",
        "rare\\",
        "- rare",
        "rare | (",
        "RARE",
        'rare "',
    ):
        assert found(search(papers, query)) == expected, query


@pytest.mark.parametrize("mark", ["'", "\\", "''", "\\'", "!", ":*", "%1$s", "$1", "|("])
def test_lexemes_made_of_quotes_backslashes_and_operators_are_found(
    connection: Connection, mark: str
) -> None:
    # A configuration that keeps what stands between words as lexemes.
    connection.execute("CREATE TEXT SEARCH CONFIGURATION public.marks (COPY = pg_catalog.simple)")
    connection.execute(
        "ALTER TEXT SEARCH CONFIGURATION public.marks ADD MAPPING FOR blank, tag WITH simple"
    )
    generation = make_collection(connection, text_search_config="public.marks")
    replace_chunks(
        connection, generation, [chunk("there", f"left{mark}right"), chunk("other", "nothing")]
    )
    assert found(search(connection, mark)) == ["there"]
    snippet = value(
        connection,
        "SELECT rankgres.snippet_v2(%s, %s, %s, '[', ']')",
        [generation, mark, f"left{mark}right"],
    )
    assert "left" in snippet


def test_words_are_stemmed_once(connection: Connection) -> None:
    # The stem of 'refugees' is 'refuge', and the stem of that is 'refug'.
    generation = make_collection(connection, text_search_config="english")
    replace_chunks(connection, generation, [chunk("a", "refugees"), chunk("b", "refuges, refuge")])
    stems = connection.execute(
        "SELECT lexeme FROM rankgres.query_lexemes_v2(%(id)s, "
        "(rankgres.query_parse_v1(%(id)s, 'refugees')).lexemes, NULL)",
        {"id": generation},
    ).fetchall()
    assert stems == [("refuge",)]
    assert found(search(connection, "refugees")) == ["a"]
    assert found(search(connection, "refuge")) == ["b"]


def test_a_null_query_finds_nothing(papers: Connection) -> None:
    assert (
        papers.execute(
            "SELECT * FROM rankgres.search_candidates('papers', NULL, mode => 'lexical')"
        ).fetchall()
        == []
    )
