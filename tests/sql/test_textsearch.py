"""The lexical stage over pg_textsearch finds what the one over GIN finds, on a real server."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from psycopg import errors

from service.db.connection import Connection, connect
from service.ingest.chunks import EmbeddedChunk
from tests.support.collections import (
    chunk,
    explained,
    generation_of,
    make_collection,
    replace_chunks,
    search,
    value,
)
from tests.support.databases import DatabaseServer, textsearch_server
from tests.support.lexical import Hit, lexical_explained, lexical_hits
from tests.support.plans import Scan, watched_plans

WORDS = [f"word{number}" for number in range(300)]
#: Lexemes that a parser of text would cut up, drop or join.
AWKWARD = [
    "c++", "x86-64", "https://example.org/a?b=c", "don't", "back\\slash", "ähnlich", "搜索", "3.14",
    "-5", "x0c3a4", "x0", "a.b@example.org", "1e5", "ﬁ", "e" * 1500, "e" * 1501,
]  # fmt: skip


@pytest.fixture(scope="module")
def textsearch(session_folder: Path) -> Iterator[DatabaseServer]:
    """A Postgres 18 with the extension pg_textsearch."""
    server = textsearch_server(session_folder / "textsearch")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def textsearch_url(textsearch: DatabaseServer) -> Iterator[str]:
    """A database with the same chunks twice: the index in memory, and in a segment on disk."""
    with textsearch.clone() as url:
        with connect(url) as connection:
            pieces = random_chunks(3, 1200)
            for name in ("memory", "segment"):
                generation = make(connection, name)
                for first in range(0, len(pieces), 500):
                    # Cut between documents. A transaction of 100,000 words would write a segment.
                    ids = {piece.document_id for piece in pieces[first : first + 500]}
                    replace_chunks(
                        connection, generation, [p for p in pieces if p.document_id in ids]
                    )
                    connection.commit()
            spill(connection, generation)
            connection.execute("ANALYZE rankgres.chunk")
        yield url


@pytest.fixture
def database(textsearch_url: str) -> Iterator[Connection]:
    """A connection to that server in one transaction, rolled back at the end."""
    with connect(textsearch_url) as connection:
        # A lock that some search left behind is an error, not a wait.
        connection.execute("SET lock_timeout = '10s'")
        yield connection
        connection.rollback()


def make(connection: Connection, name: str = "papers", **options: Any) -> int:
    """Create a collection with the index and return its generation."""
    return make_collection(connection, name, lexical_index="pg_textsearch", **options)


def random_chunks(seed: int, documents: int) -> list[EmbeddedChunk]:
    """Return documents of one to three chunks, their words common and rare, some in the heading."""
    source = random.Random(seed)
    weights = [1 / (place + 3) for place in range(len(WORDS))]
    return [
        chunk(
            f"doc{number:04}",
            " ".join(source.choices(WORDS, weights, k=source.randint(5, 200))),
            position=position,
            heading=" ".join(source.choices(WORDS, weights, k=source.randint(0, 6))),
            filters={"percent": number % 100},
        )
        for number in range(documents)
        for position in range(source.randint(1, 3))
    ]


def random_queries(seed: int, count: int) -> list[str]:
    source = random.Random(seed)
    return [" ".join(source.choices(WORDS, k=source.randint(1, 8))) for _ in range(count)]


def by_index(connection: Connection, generation: int, query: str, **options: Any) -> list[Hit]:
    return lexical_hits(connection, "search_textsearch_v1", generation, query, **options)


def by_gin(connection: Connection, generation: int, query: str, **options: Any) -> list[Hit]:
    options["posting_budget"] = 10**6
    return lexical_hits(connection, "search_lexical_v2", generation, query, **options)


def rounded(rows: Sequence[Hit]) -> list[tuple[object, ...]]:
    return [(*row[:2], round(row.score, 9), *row[3:]) for row in rows]


def spill(connection: Connection, generation: int) -> None:
    """Move the index's newest part, kept in memory, into a segment, as it does by itself later."""
    connection.execute("SELECT bm25_spill_index(%s)", [f"rankgres.chunk_{generation}_textsearch"])


@pytest.mark.parametrize("name", ["memory", "segment"])
def test_it_finds_the_same_chunks_with_the_same_scores_as_gin(
    database: Connection, name: str
) -> None:
    generation = generation_of(database, name)
    queries = random_queries(4, 40)
    same = 0
    for query in queries:
        found = by_index(database, generation, query, passages=2)
        told = lexical_explained(database)
        assert told["plan"] == "pg_textsearch"
        assert (told["exact"], told["bounded"]) == (True, False)
        same += rounded(found) == rounded(by_gin(database, generation, query, passages=2))
    # The extension leaves terms out of some scores where it skips blocks: not all are the same.
    assert same >= 0.95 * len(queries)


def test_a_search_of_the_collection_takes_the_index_of_its_generation(
    database: Connection,
) -> None:
    rows = search(database, "word0 word1 word2", collection="segment", candidates=10)
    assert explained(database)["lexical"]["plan"] == "pg_textsearch"
    hits = by_index(database, generation_of(database, "segment"), "word0 word1 word2")
    assert [row.document_id for row in rows] == [hit.document_id for hit in hits[:10]]


@pytest.mark.parametrize("options", [{}, {"filter": "$.percent < 50"}, {"match": "all"}])
def test_chunks_are_read_by_the_index_alone(database: Connection, options: dict[str, Any]) -> None:
    generation = generation_of(database, "segment")
    with watched_plans(database) as plans:
        by_index(database, generation, "word0 word1 word2", **options)
    assert lexical_explained(database)["plan"] == "pg_textsearch"
    assert plans.scans("chunk_") - plans.scans("chunk_total") == {
        Scan("INDEXSCAN", f"chunk_{generation}_textsearch")
    }


@pytest.mark.parametrize("kept", [50, 5, 1])
@pytest.mark.parametrize("query", ["word0", "word0 word250", "word40 word41 word42"])
def test_a_filter_hides_nothing_that_exists(database: Connection, kept: int, query: str) -> None:
    generation = generation_of(database, "segment")
    options: dict[str, Any] = {"filter": f"$.percent < {kept}", "candidates": 1000, "passages": 3}
    found = by_index(database, generation, query, **options)
    assert "reason" in lexical_explained(database)
    assert rounded(found) == rounded(by_gin(database, generation, query, **options))


def test_a_filter_that_often_holds_is_answered_by_the_index(database: Connection) -> None:
    generation = generation_of(database, "memory")
    options: dict[str, Any] = {"filter": "$.percent < 50"}
    found = by_index(database, generation, "word0 word9", **options)
    assert lexical_explained(database)["plan"] == "pg_textsearch"
    assert rounded(found) == rounded(by_gin(database, generation, "word0 word9", **options))


def test_a_spent_budget_is_completed_from_gin(database: Connection) -> None:
    generation = generation_of(database, "memory")
    options: dict[str, Any] = {"filter": "$.percent == 7", "posting_budget": 100}
    found = by_index(database, generation, "word0", **options)
    assert "reason" in lexical_explained(database)
    assert {row.document_id for row in found} <= {f"doc{n:04}" for n in range(7, 1200, 100)}
    assert len(found) == 10


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ('"word2 word0"', {}),
        ("word3 word8 -word1", {}),
        ("word1 word30 word60", {"match": "all", "candidates": 40}),
        ("word30 word60 word120 word200", {"match": "3"}),
        ("word30 word60 word120 word200", {"match": "75%", "candidates": 20}),
    ],
)
def test_conditions_and_least_matches_hold(
    database: Connection, query: str, options: dict[str, Any]
) -> None:
    generation = generation_of(database, "memory")
    found = by_index(database, generation, query, **options)
    assert lexical_explained(database)["plan"] == "pg_textsearch"
    assert rounded(found) == rounded(by_gin(database, generation, query, **options))


def test_every_lexeme_is_one_word_of_its_own(connection: Connection) -> None:
    """On any server: what is indexed comes out of the parser as it went in."""
    rows = connection.execute(
        "SELECT word, tsvector_to_array(to_tsvector('simple', word)) "
        "FROM unnest(%s::text []) AS lexeme, rankgres.textsearch_word_v1(lexeme) AS word",
        [[*AWKWARD, *WORDS, "plain", "2024"]],
    ).fetchall()
    assert all(words == [word] for word, words in rows), rows
    assert len({word for word, _ in rows}) == len(AWKWARD) + len(WORDS) + 2


@pytest.mark.parametrize(
    "text", ["x86-64", "https://example.org/a?b=c", "ähnlich", "搜索", "don't"]
)
def test_words_of_any_kind_are_found(database: Connection, text: str) -> None:
    generation = make(database)
    others = [chunk(f"doc{number}", f"{text} more words" * 2) for number in range(30)]
    replace_chunks(database, generation, [chunk("wanted", f"{text} {text} {text}"), *others])
    found = by_index(database, generation, text)
    assert lexical_explained(database)["plan"] == "pg_textsearch"
    assert found[0].document_id == "wanted"
    assert rounded(found) == rounded(by_gin(database, generation, text))


def test_stemmed_words_are_not_stemmed_again(database: Connection) -> None:
    # The stem of "internationally" is "internation", whose stem is "intern".
    generation = make(database, text_search_config="english")
    texts = {f"doc{number:02}": "internationally " * (number + 1) for number in range(20)}
    replace_chunks(database, generation, [chunk(name, text) for name, text in texts.items()])
    replace_chunks(database, generation, [chunk("intern", "the intern interned")])
    found = by_index(database, generation, "internationally")
    assert lexical_explained(database)["plan"] == "pg_textsearch"
    assert "intern" not in {row.document_id for row in found}
    assert rounded(found) == rounded(by_gin(database, generation, "internationally"))


def test_changes_and_deletions_show_at_once(database: Connection) -> None:
    generation = make(database)
    replace_chunks(database, generation, random_chunks(7, 300))
    replace_chunks(
        database, generation, [chunk("doc0000", "novelty")], also=[f"doc{n:04}" for n in range(100)]
    )
    assert [row.document_id for row in by_index(database, generation, "novelty")] == ["doc0000"]
    found = by_index(database, generation, "word0 word1")
    assert all(row.document_id >= "doc0100" for row in found)
    assert rounded(found) == rounded(by_gin(database, generation, "word0 word1"))


def test_what_was_rolled_back_is_not_found(database: Connection) -> None:
    generation = make(database)
    replace_chunks(database, generation, random_chunks(7, 100))
    with database.transaction(force_rollback=True):
        replace_chunks(database, generation, [chunk(f"gone{n}", "word0") for n in range(50)])
    found = by_index(database, generation, "word0")
    assert lexical_explained(database)["plan"] == "pg_textsearch"
    assert not [row for row in found if row.document_id.startswith("gone")]
    assert rounded(found) == rounded(by_gin(database, generation, "word0"))


def test_chunks_that_stood_there_before_the_index_are_in_it(database: Connection) -> None:
    generation = make_collection(database)
    replace_chunks(database, generation, random_chunks(8, 200))
    before = by_index(database, generation, "word1 word2")
    assert "reason" in lexical_explained(database)
    value(database, "SELECT rankgres.generation_textsearch_index_v1(%s)", [generation])
    assert rounded(by_index(database, generation, "word1 word2")) == rounded(before)
    assert lexical_explained(database)["plan"] == "pg_textsearch"


def test_a_search_waits_for_no_writer(textsearch_url: str, database: Connection) -> None:
    generation = generation_of(database, "memory")
    before = by_index(database, generation, "word1 word2")
    assert lexical_explained(database)["plan"] == "pg_textsearch"
    with connect(textsearch_url) as writer:
        replace_chunks(writer, generation, [chunk("uncommitted", "word1 word2")])
        database.execute("SET LOCAL statement_timeout = '20s'")
        assert rounded(by_index(database, generation, "word1 word2")) == rounded(before)
        assert "reason" in lexical_explained(database)
        writer.rollback()
    assert rounded(by_index(database, generation, "word1 word2")) == rounded(before)
    assert lexical_explained(database)["plan"] == "pg_textsearch"


def test_a_writer_that_waits_for_another_can_be_cancelled(textsearch_url: str) -> None:
    with connect(textsearch_url) as first, connect(textsearch_url) as second:
        generation = generation_of(first, "memory")
        replace_chunks(first, generation, [chunk("uncommitted", "word1")])
        second.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(errors.LockNotAvailable):
            replace_chunks(second, generation, [chunk("waiting", "word1")])
        first.rollback()


def test_no_lock_stays_behind_a_search(database: Connection) -> None:
    generation = generation_of(database, "segment")
    by_index(database, generation, "word1")
    with pytest.raises(errors.InvalidRowCountInLimitClause), database.transaction():
        by_index(database, generation, "word1", candidates=-1000)
    assert value(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_a_weight_of_headings_is_answered_by_gin(database: Connection) -> None:
    generation = make(database)
    replace_chunks(database, generation, random_chunks(8, 200))
    options: dict[str, Any] = {"heading_weight": 3.0}
    found = by_index(database, generation, "word1 word2", **options)
    assert "reason" in lexical_explained(database)
    assert rounded(found) == rounded(by_gin(database, generation, "word1 word2", **options))


def test_a_query_of_nothing_known_finds_nothing(database: Connection) -> None:
    generation = make(database)
    replace_chunks(database, generation, random_chunks(8, 50))
    assert by_index(database, generation, "nowhere") == []
    assert by_index(database, generation, "") == []


def test_a_query_of_thousands_of_words_is_answered(database: Connection) -> None:
    generation = make(database)
    replace_chunks(database, generation, random_chunks(8, 300))
    query = " ".join([*WORDS * 10, *(f"unknown{number}" for number in range(3000))])
    assert len(by_index(database, generation, query)) == 10
    assert len(by_index(database, generation, "word5 " * 1000)) == 10


def test_the_extension_may_live_in_any_schema(textsearch: DatabaseServer) -> None:
    with textsearch.clone() as url, connect(url) as connection:
        connection.execute("DROP EXTENSION pg_textsearch")
        connection.execute('CREATE SCHEMA "Search"')
        connection.execute('CREATE EXTENSION pg_textsearch SCHEMA "Search"')
        generation = make(connection)
        replace_chunks(connection, generation, random_chunks(9, 100))
        connection.execute("SET LOCAL search_path = pg_catalog")
        found = by_index(connection, generation, "word1")
        assert lexical_explained(connection)["plan"] == "pg_textsearch"
        assert rounded(found) == rounded(by_gin(connection, generation, "word1"))
        assert value(connection, "SHOW search_path") == "pg_catalog"
        connection.rollback()


def test_without_the_extension_the_index_is_refused_with_a_mend(connection: Connection) -> None:
    with pytest.raises(errors.InvalidParameterValue) as caught:
        make(connection)
    assert caught.value.diag.column_name == "lexical_index"
    assert "gin" in (caught.value.diag.message_hint or "")


def test_the_extension_that_is_there_but_not_created_is_named_in_the_mend(
    textsearch: DatabaseServer,
) -> None:
    with textsearch.clone() as url, connect(url) as connection:
        connection.execute("DROP EXTENSION pg_textsearch")
        with pytest.raises(errors.InvalidParameterValue) as caught:
            make(connection)
        assert "CREATE EXTENSION pg_textsearch" in (caught.value.diag.message_hint or "")


@pytest.mark.parametrize("k1", [0.0, 11.0])
def test_a_k1_that_the_extension_does_not_take_is_refused(database: Connection, k1: float) -> None:
    with pytest.raises(errors.InvalidParameterValue) as caught:
        make(database, bm25_k1=k1)
    assert caught.value.diag.column_name == "bm25_k1"
