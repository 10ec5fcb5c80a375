"""Facet counts: documents by value, exact or estimated, under filters and queries."""

from collections import Counter
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from service.db.driver_errors import translated
from service.errors import InvalidInputError, NotFoundError
from service.search.facets import FacetCount, count_facets
from tests.support.collections import chunk, make_collection, replace_chunks

Json = dict[str, Any]

DOCUMENTS: dict[str, tuple[str, Json]] = {
    "a": ("cats and dogs", {"lang": "en", "year": 2024, "tags": ["x", "y"]}),
    "b": ("cats", {"lang": "en", "year": 2023, "tags": ["x", "x"]}),
    "c": ("dogs", {"lang": "de", "year": 2024, "tags": []}),
    "d": ("old birds", {"lang": None, "year": 2024}),
}


@pytest.fixture
def papers(connection: Connection) -> Connection:
    """Four documents; of "a" there are three chunks."""
    generation = make_collection(connection)
    chunks = [chunk(name, text, filters=filters) for name, (text, filters) in DOCUMENTS.items()]
    text, filters = DOCUMENTS["a"]
    chunks += [chunk("a", text, position=place, filters=filters) for place in (1, 2)]
    replace_chunks(connection, generation, chunks)
    noted = [Jsonb(filters) for _, filters in DOCUMENTS.values()]
    connection.execute("SELECT rankgres.filter_field_note_v1(%s, %s)", [generation, noted])
    return connection


def counts(connection: Connection, *fields: str, **options: Any) -> dict[str, list[Any]]:
    """Return (value, documents) by field, all of them said to be exact."""
    facets = count_facets(connection, "papers", fields, **options)
    assert all(count.exact for field in facets.values() for count in field)
    return {
        name: [(count.value, count.documents) for count in field] for name, field in facets.items()
    }


def test_documents_are_counted_once_by_value_the_most_frequent_first(papers: Connection) -> None:
    assert counts(papers, "year", "lang", "tags") == {
        "year": [(2024, 3), (2023, 1)],
        "lang": [("en", 2), (None, 1), ("de", 1)],
        "tags": [("x", 2), ("y", 1)],
    }


def test_a_filter_and_a_query_restrict_what_is_counted(papers: Connection) -> None:
    assert counts(papers, "year", filter={"lang": "en"}) == {"year": [(2023, 1), (2024, 1)]}
    assert counts(papers, "lang", query="cats dogs") == {"lang": [("en", 2), ("de", 1)]}
    assert counts(papers, "lang", query="cats -dogs") == {"lang": [("en", 1)]}
    assert counts(papers, "lang", query='"cats and dogs"') == {"lang": [("en", 1)]}
    assert counts(papers, "lang", query="-old") == {"lang": [("en", 2), ("de", 1)]}
    assert counts(papers, "lang", query="zebras") == {"lang": []}
    assert counts(papers, "lang", query="?!") == {"lang": []}
    assert counts(papers, "lang", query="") == {"lang": [("en", 2), (None, 1), ("de", 1)]}


def test_only_the_most_frequent_values_are_given(papers: Connection) -> None:
    assert counts(papers, "lang", "year", values_per_field=1) == {
        "lang": [("en", 2)],
        "year": [(2024, 3)],
    }


def test_beyond_many_chunks_counts_are_estimated_and_say_so(connection: Connection) -> None:
    generation = make_collection(connection)
    # 60,000 chunks, written at once: documents of one to three chunks, every fifth of them rare.
    connection.execute(
        "INSERT INTO rankgres.chunk (generation_id, document_id, position, "
        "token_count, start_offset, end_offset, lexical_length, heading, text, filters, lexemes, "
        "embedding) SELECT %s, 'd' || document, place, 1, 0, 1, 1, '', '', "
        "jsonb_build_object('kind', CASE document %% 5 WHEN 0 THEN 'rare' ELSE 'common' END, "
        "'number', document), CASE place WHEN 0 THEN 'first' ELSE 'other' END::tsvector, "
        "'[1,0,0,0]' FROM generate_series(1, 30000) AS document, "
        "generate_series(0, document %% 3) AS place",
        [generation],
    )
    connection.execute(
        "INSERT INTO rankgres.chunk_total VALUES (%s, 60000, 30000, 60000)", [generation]
    )
    facets = count_facets(connection, "papers", ["kind"])["kind"]
    assert [(count.value, count.exact) for count in facets] == [("common", False), ("rare", False)]
    assert facets[0].documents == pytest.approx(24000, rel=0.1)
    assert facets[1].documents == pytest.approx(6000, rel=0.1)
    assert count_facets(connection, "papers", ["kind"])["kind"] == facets
    # Few match: exact again.
    assert count_facets(connection, "papers", ["kind"], filter={"number": {"in": [4, 5]}}) == {
        "kind": [FacetCount("kind", "common", 1, True), FacetCount("kind", "rare", 1, True)]
    }
    first = count_facets(connection, "papers", ["kind"], query="first")["kind"]
    assert Counter({count.value: count.documents for count in first}) == {
        "common": 24000,
        "rare": 6000,
    }
    assert all(count.exact for count in first)


@pytest.mark.parametrize(
    ("arguments", "field", "message"),
    [
        ({"fields": ["lnag"]}, "fields", 'no document has a field "lnag"'),
        ({"filter": {"lnag": 1}}, "filter", 'no document has a field "lnag"'),
        ({"filter": {"lang": {"like": 1}}}, "filter", "unknown operator"),
        ({"values_per_field": 0}, "values_per_field", "values_per_field is 0"),
    ],
)
def test_mistakes_are_named(papers: Connection, arguments: Json, field: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as raised, translated():
        count_facets(papers, "papers", **{"fields": ["lang"], **arguments})
    assert raised.value.field == field
    assert raised.value.mend


def test_a_collection_that_is_not_there_is_named(connection: Connection) -> None:
    with pytest.raises(NotFoundError, match='collection "nope" does not exist'), translated():
        count_facets(connection, "nope", ["lang"])


def test_fields_that_are_null_are_refused(papers: Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="fields are NULL"):
        papers.execute("SELECT * FROM rankgres.facet_counts('papers', NULL)")
