"""Filters on fields that no document has, and how the fields that there are become known."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from service.db.connection import Connection, connect
from tests.support.collections import make_collection, value
from tests.support.databases import DatabaseServer

Json = dict[str, Any]


def note(connection: Connection, generation: int, *metadatas: Json) -> None:
    connection.execute(
        "SELECT rankgres.filter_field_note_v1(%s, %s)",
        [generation, [Jsonb(metadata) for metadata in metadatas]],
    )


def refusal(connection: Connection, generation: int, filter_: Json) -> psycopg.errors.Diagnostic:
    with (
        pytest.raises(psycopg.errors.InvalidParameterValue) as raised,
        connection.transaction(),
    ):
        value(
            connection,
            "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)",
            [generation, Jsonb(filter_)],
        )
    return raised.value.diag


def test_a_field_that_no_document_has_is_an_error_that_lists_the_known_ones(
    connection: Connection,
) -> None:
    generation = make_collection(connection)
    note(connection, generation, {"tenant": 1, "lang": "en"}, {"lang": "de", "published_at": None})
    refused = refusal(connection, generation, {"lang": "en", "or": [{"not": {"tennant": "a"}}]})
    assert refused.message_primary == 'no document has a field "tennant"'
    assert refused.message_hint == "known fields: tenant, lang, published_at"
    assert refused.column_name == "filter"
    assert "known fields: published_at," in (
        refusal(connection, generation, {"publishedAt": {"exists": False}}).message_hint or ""
    )
    for known in ({"lang": "en"}, {"and": [{"tenant": 3}, {"published_at": None}]}, {}):
        value(
            connection, "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)", [generation, Jsonb(known)]
        )


def test_a_long_list_of_known_fields_is_cut(connection: Connection) -> None:
    generation = make_collection(connection)
    note(connection, generation, {f"field{number:02}": 0 for number in range(50)})
    hint = refusal(connection, generation, {"feild07": 0}).message_hint or ""
    assert hint.startswith("known fields: field07, ")
    assert hint.endswith(" and 30 more")


def test_an_empty_generation_knows_no_field_and_lets_all_through(connection: Connection) -> None:
    generation = make_collection(connection)
    path = value(
        connection,
        "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)::text",
        [generation, Jsonb({"any": 1})],
    )
    assert "any" in path


def test_a_name_too_long_for_an_index_is_written_and_let_through(connection: Connection) -> None:
    generation = make_collection(connection)
    note(connection, generation, {"x" * 5000: 1, "lang": "en"})
    value(
        connection,
        "SELECT rankgres.filter_to_jsonpath_v2(%s, %s)",
        [generation, Jsonb({"x" * 5000: 1})],
    )


def test_known_fields_are_not_written_again(connection: Connection) -> None:
    generation = make_collection(connection)
    for _ in range(3):
        note(connection, generation, {"lang": "en"}, {"lang": "de"})
    assert value(connection, "SELECT count(*) FROM rankgres.filter_field") == 1


def test_two_writers_that_meet_a_field_at_the_same_time_do_not_wait(server: DatabaseServer) -> None:
    with server.clone() as url, connect(url) as first, connect(url) as second:
        generation = make_collection(first)
        first.commit()
        note(first, generation, {"lang": "en"})
        second.execute("SET LOCAL lock_timeout = '2s'")
        note(second, generation, {"lang": "de", "year": 2024})
        second.commit()
        first.rollback()
        # What the second wrote stands, whatever became of the first.
        assert "known fields: lang, year" in (
            refusal(second, generation, {"x": 1}).message_hint or ""
        )


def test_fields_go_with_their_generation(connection: Connection) -> None:
    note(connection, make_collection(connection), {"lang": "en"})
    connection.execute("SELECT rankgres.collection_drop_v2('papers')")
    assert value(connection, "SELECT count(*) FROM rankgres.filter_field") == 0
