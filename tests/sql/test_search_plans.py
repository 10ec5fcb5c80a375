"""Around the stages, every statement of a search reads chunks by the index that is right for it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from tests.support.collections import generation_of, search
from tests.support.plans import Plans, watched_plans
from tests.support.vectors import QUERIES, say_it_holds

LEXEMES, FILTERS = ("BITMAPINDEXSCAN", "_lexemes"), ("BITMAPINDEXSCAN", "_filters")
EMBEDDING, KEY = ("INDEXSCAN", "_embedding"), ("INDEXSCAN", "_pkey")
TITLE, TABLE, SAMPLE = ("INDEXSCAN", "_title"), ("SEQSCAN", ""), ("SAMPLESCAN", "")


def chunk_scans(connection: Connection, plans: Plans) -> Counter[tuple[str, str]]:
    """Return how chunks were read, by node and index, and how often."""
    table = f"chunk_{generation_of(connection, 'halfvec')}"
    return Counter(
        (scan.node, scan.name.removeprefix(table))
        for statement in plans.statements
        for scan in statement
        if scan.name == table or scan.name.startswith(f"{table}_")
    )


@dataclass(frozen=True)
class Shape:
    """A kind of search: what its stages read, and how many statements read chunks by their key."""

    stages: set[tuple[str, str]]
    by_key: int
    query: str = "word7"
    near: bool = True
    options: dict[str, Any] = field(default_factory=dict)


BOOSTS = [{"field": "few", "shape": "log", "scale": 5}]
SHAPES = {
    # The texts of the candidates.
    "lexical": Shape({LEXEMES}, 1, near=False),
    "vector": Shape({EMBEDDING}, 1, query=""),
    # And the scores that each stage gives to what the other one listed.
    "hybrid": Shape({LEXEMES, EMBEDDING}, 3),
    "hybrid by ranks": Shape({LEXEMES, EMBEDDING}, 1, options={"fusion": "rrf"}),
    # And the fields to boost by, and the embeddings to compare with each other.
    "boosted": Shape({LEXEMES}, 2, near=False, options={"boosts": BOOSTS}),
    "diverse": Shape({LEXEMES}, 2, near=False, options={"diversity": 0.5}),
    "everything": Shape({LEXEMES, EMBEDDING}, 5, options={"boosts": BOOSTS, "diversity": 0.5}),
    "several passages": Shape({LEXEMES, EMBEDDING}, 3, options={"passages": 3}),
}


def searched(connection: Connection, shape: Shape, **options: Any) -> Counter[tuple[str, str]]:
    near = QUERIES[0] if shape.near else None
    with watched_plans(connection) as plans:
        rows = search(
            connection, shape.query, near, collection="halfvec", **shape.options, **options
        )
    assert rows
    return chunk_scans(connection, plans)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_search_reads_chunks_by_its_stages_indexes_and_by_their_keys(
    indexed: Connection, shape: Shape
) -> None:
    # Narrow enough for the index to be cheaper than to look at 8,000 chunks.
    scans = searched(indexed, shape, ef_search=200)
    assert set(scans) == shape.stages | {KEY}
    assert scans[KEY] == shape.by_key


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_under_a_selective_filter_the_stages_read_chunks_by_it(
    indexed: Connection, shape: Shape
) -> None:
    # Document 7 is among the four that the filter keeps, and has the word.
    scans = searched(indexed, shape, filter={"few": 7})
    # The sample tells how selective the filter is.
    assert set(scans) - {SAMPLE, LEXEMES} == {FILTERS, KEY}


def test_suggestions_read_titles_and_lexemes_by_their_beginnings(indexed: Connection) -> None:
    with watched_plans(indexed) as plans:
        suggested = indexed.execute("SELECT * FROM rankgres.suggest('halfvec', 'word')").fetchall()
    assert suggested
    assert set(chunk_scans(indexed, plans)) == {TITLE}
    names = {scan.name for scan in plans.scans("lexeme")}
    assert names == {"lexeme_pkey", "lexeme_change_lexeme"}


@pytest.mark.parametrize(
    ("filter_", "query", "expected"),
    [(None, None, TABLE), (Jsonb({"few": 3}), None, FILTERS), (None, "word7", LEXEMES)],
)
def test_facets_read_the_chunks_that_match(
    indexed: Connection, filter_: Jsonb | None, query: str | None, expected: tuple[str, str]
) -> None:
    with watched_plans(indexed) as plans:
        counted = indexed.execute(
            "SELECT * FROM rankgres.facet_counts('halfvec', ARRAY['half'], %s, %s)",
            [filter_, query],
        )
        assert counted.fetchall()
    assert set(chunk_scans(indexed, plans)) == {expected}


def test_facets_of_very_many_chunks_read_a_sample(indexed: Connection) -> None:
    say_it_holds(indexed, 10**6)
    with watched_plans(indexed) as plans:
        indexed.execute("SELECT * FROM rankgres.facet_counts('halfvec', ARRAY['half'])")
    scans = set(chunk_scans(indexed, plans))
    assert SAMPLE in scans
    assert TABLE not in scans
