"""Every shape of lexical query reads its chunks by the index that is right for it."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.db.connection import Connection, connect
from service.ingest.chunks import EmbeddedChunk, fold_statistics
from tests.support.collections import chunk, generation_of, make_collection, replace_chunks
from tests.support.databases import DatabaseServer
from tests.support.lexical import lexical_explained, lexical_hits
from tests.support.plans import Plans, watched_plans

CHUNKS = 5000
#: So few that common words have more postings, as in a collection of millions.
BUDGET = 300
#: In how many chunks out of a thousand a word stands.
SHARES = {"rare": 2, "seldom": 20, "often": 150, "mostly": 500}


@pytest.fixture(scope="module")
def filled_urls(_servers: dict[int, DatabaseServer]) -> Iterator[dict[int, str]]:
    """On each version, a collection as the janitors leave it: folded, flushed and analysed."""
    with ExitStack() as stack:
        urls = {}
        for version, server in _servers.items():
            url = urls[version] = stack.enter_context(server.clone())
            with connect(url) as connection:
                generation = make_collection(connection)
                for first in range(0, CHUNKS, 1000):
                    replace_chunks(connection, generation, chunks(first, first + 1000))
            with connect(url, autocommit=True) as connection:
                fold_statistics(connection)
                # Empties GIN's list of pending entries too.
                connection.execute("VACUUM ANALYZE")
        yield urls


def chunks(first: int, after: int) -> Iterator[EmbeddedChunk]:
    """Return chunks whose words are drawn by their shares, three words to a share."""
    source = random.Random(first)
    for number in range(first, after):
        words = [
            f"{kind}{which}"
            for kind, share in SHARES.items()
            for which in range(3)
            if source.randrange(1000) < share
        ]
        source.shuffle(words)
        yield chunk(
            f"doc{number:05}",
            " ".join([*words, *(f"filling{source.randrange(20_000)}" for _ in range(30))]),
            filters={"percent": number % 100, "permille": number % 1000},
        )


@pytest.fixture
def filled(server: DatabaseServer, filled_urls: dict[int, str]) -> Iterator[Connection]:
    with connect(filled_urls[server.version]) as connection:
        yield connection
        connection.rollback()


@dataclass(frozen=True)
class Shape:
    """A kind of query, with the plan that search_lexical has for it where postings are too many."""

    query: str
    plan: str
    options: dict[str, Any] = field(default_factory=dict)


SHAPES = {
    "rare words": Shape("rare0 seldom1", "complete"),
    "words of all kinds": Shape("rare0 seldom0 often0 mostly0", "rungs"),
    "common words only": Shape("mostly0 mostly1 mostly2", "rungs"),
    "one common word": Shape("mostly0", "rungs"),
    "a phrase": Shape('"seldom0 mostly1"', "filtered"),
    "an exclusion": Shape("seldom0 often1 -mostly2", "rungs"),
    "all of the words": Shape("mostly0 mostly1 mostly2 often0", "filtered", {"match": "all"}),
    "two of the words": Shape("rare0 seldom0 often1", "rungs", {"match": "2"}),
    "weighted headings, passages": Shape(
        "seldom0 often1", "rungs", {"heading_weight": 3.0, "passages": 3}
    ),
}
HALF, HUNDREDTH, THOUSANDTH = "$.percent < 50", "$.percent == 5", "$.permille == 7"


def searched(connection: Connection, shape: Shape, **options: Any) -> Plans:
    """Search with few postings allowed, and return what was planned meanwhile."""
    generation = generation_of(connection, "papers")
    arguments = {"posting_budget": BUDGET, **shape.options, **options}
    with watched_plans(connection) as plans:
        lexical_hits(connection, "search_lexical_v2", generation, shape.query, **arguments)
    return plans


def chunk_scans(connection: Connection, plans: Plans) -> set[tuple[str, str]]:
    """Return how chunks were read, by node and index, without the sample that says how to read."""
    table = f"chunk_{generation_of(connection, 'papers')}"
    return {
        (scan.node, scan.name.removeprefix(table))
        for scan in plans.scans(table)
        if scan.node != "SAMPLESCAN"
    }


LEXEMES, FILTERS = ("BITMAPINDEXSCAN", "_lexemes"), ("BITMAPINDEXSCAN", "_filters")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_without_a_filter_chunks_are_read_by_their_lexemes(
    filled: Connection, shape: Shape
) -> None:
    plans = searched(filled, shape)
    assert lexical_explained(filled)["plan"] == shape.plan
    assert chunk_scans(filled, plans) == {LEXEMES}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_under_a_filter_of_half_the_chunks_they_are_read_by_their_lexemes(
    filled: Connection, shape: Shape
) -> None:
    plans = searched(filled, shape, filter=HALF)
    assert lexical_explained(filled)["plan"] == shape.plan
    assert chunk_scans(filled, plans) == {LEXEMES}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_under_a_selective_filter_chunks_are_read_by_it(filled: Connection, shape: Shape) -> None:
    plans = searched(filled, shape, filter=HUNDREDTH)
    assert lexical_explained(filled)["plan"] == shape.plan.replace("rungs", "filtered")
    # Where the words are rare too, both indexes together leave the fewest rows to look at.
    scans = chunk_scans(filled, plans)
    assert scans <= {FILTERS, LEXEMES}
    assert FILTERS in scans


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_under_a_very_selective_filter_the_lexemes_are_not_even_asked(
    filled: Connection, shape: Shape
) -> None:
    plans = searched(filled, shape, filter=THOUSANDTH)
    assert lexical_explained(filled)["plan"] == shape.plan.replace("rungs", "filtered")
    assert chunk_scans(filled, plans) == {FILTERS}


def test_the_table_is_read_where_most_of_it_is_wanted(filled: Connection) -> None:
    plans = searched(filled, SHAPES["common words only"], posting_budget=10 * CHUNKS)
    assert lexical_explained(filled)["plan"] == "complete"
    assert chunk_scans(filled, plans) == {("SEQSCAN", "")}


def test_statistics_are_read_by_their_keys(filled: Connection) -> None:
    plans = searched(filled, SHAPES["words of all kinds"])
    # What was appended since is folded: an empty table may be read in any way.
    assert {scan.name for scan in plans.scans("lexeme")} - {"lexeme_change"} <= {
        "lexeme_pkey",
        "lexeme_change_lexeme",
    }


def test_a_query_of_nothing_known_reads_no_chunk(filled: Connection) -> None:
    assert chunk_scans(filled, searched(filled, Shape("nowhere nothing", "nothing"))) == set()
    assert lexical_explained(filled)["plan"] == "nothing"


def test_thousands_of_words_are_read_by_their_lexemes(filled: Connection) -> None:
    words = [*(f"filling{number}" for number in range(3000)), "mostly0", "often1", "rare2"]
    plans = searched(filled, Shape(" ".join(words), ""))
    assert chunk_scans(filled, plans) == {LEXEMES}
