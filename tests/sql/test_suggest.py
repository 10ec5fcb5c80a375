"""Completions from a collection's titles and lexemes."""

import random
from typing import NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.db.connection import Connection
from tests.support.collections import chunk, make_collection, replace_chunks, value


class Suggested(NamedTuple):
    suggestion: str
    kind: str
    chunk_count: int


def suggest(
    connection: Connection, prefix: str | None, suggestions: int = 10, collection: str = "papers"
) -> list[Suggested]:
    rows = connection.execute(
        "SELECT * FROM rankgres.suggest(%s, %s, %s)", [collection, prefix, suggestions]
    )
    return [Suggested(*row) for row in rows]


def titles(connection: Connection, prefix: str, suggestions: int = 100) -> list[str]:
    found = suggest(connection, prefix, suggestions)
    return [way.suggestion for way in found if way.kind == "heading"]


def lexemes(connection: Connection, prefix: str, suggestions: int = 100) -> list[str]:
    found = suggest(connection, prefix, suggestions)
    return [way.suggestion for way in found if way.kind == "lexeme"]


@pytest.fixture
def library(connection: Connection) -> int:
    """A generation whose titles and words begin alike."""
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [
            chunk("keys", "rotate rotation", heading="Rotating keys"),
            chunk("keys", "rotate rotor", heading="Rotating keys > Why", position=1),
            chunk("keys", "rotate", heading="Rotating keys > How", position=2),
            chunk("tires", "rotation kilo", heading="Rotating tires > When"),
            chunk("tires", "kitchen", heading="Rotating tires", position=1),
            chunk("roses", "kettle", heading="rotating Roses"),
            chunk("cut", "word", heading="… > Rotating nothing"),
            chunk("untitled", "kettle", heading=""),
        ],
    )
    return generation


@pytest.mark.usefixtures("library")
def test_titles_and_lexemes_take_turns_most_chunks_first(connection: Connection) -> None:
    assert suggest(connection, "rot") == [
        ("Rotating keys", "heading", 3),
        ("rotating", "lexeme", 7),
        ("Rotating tires", "heading", 2),
        ("rotate", "lexeme", 3),
        ("rotating Roses", "heading", 1),
        ("rotation", "lexeme", 2),
        ("rotor", "lexeme", 1),
    ]
    assert suggest(connection, "rot", 3) == suggest(connection, "rot")[:3]


@pytest.mark.usefixtures("library")
def test_a_title_is_completed_by_all_that_was_typed_a_lexeme_by_the_last_word(
    connection: Connection,
) -> None:
    assert suggest(connection, "Rotating k") == [
        ("Rotating keys", "heading", 3),
        ("rotating keys", "lexeme", 3),
        ("rotating kettle", "lexeme", 2),
        ("rotating kilo", "lexeme", 1),
        ("rotating kitchen", "lexeme", 1),
    ]
    assert suggest(connection, "  why ro")[0].suggestion == "why rotating"
    # Between two words nothing is begun.
    assert {way.kind for way in suggest(connection, "rotating ")} == {"heading"}


@pytest.mark.usefixtures("library")
def test_quotes_and_signs_before_the_last_word_stay(connection: Connection) -> None:
    assert lexemes(connection, 'a "kit') == ['a "kitchen']
    assert lexemes(connection, "rotate -kit") == ["rotate -kitchen"]
    assert lexemes(connection, "(kit") == ["(kitchen"]


@pytest.mark.usefixtures("library")
def test_nothing_typed_or_nothing_that_begins_so_suggests_nothing(connection: Connection) -> None:
    for prefix in ("", " ", None, "xyz", "…", '"', "rotated", "%", "_", "rot%"):
        assert suggest(connection, prefix) == [], prefix


def test_titles_are_found_in_any_case_with_every_character(connection: Connection) -> None:
    generation = make_collection(connection)
    names = [
        "100% Wool",
        "100 ways",
        "it's O'Hare",
        "back\\slash",
        "Ünïcode",
        "中文 标题",
        "a_b",
        "axb",
    ]
    replace_chunks(connection, generation, [chunk(name, "", heading=name) for name in names])
    for prefix, expected in (
        ("100% ", ["100% Wool"]), ("100", ["100 ways", "100% Wool"]), ("IT'S o'", ["it's O'Hare"]),
        ("back\\", ["back\\slash"]), ("中", ["中文 标题"]), ("A_", ["a_b"]), ("Ün", ["Ünïcode"]),
    ):  # fmt: skip
        assert titles(connection, prefix) == expected


def test_titles_longer_than_an_index_entry_are_written_and_found(connection: Connection) -> None:
    generation = make_collection(connection)
    # Of many letters: an entry is compressed.
    source = random.Random(1)
    long = "Word " + "".join(source.choices("abcdefghijklmnopqrstuvwxyzäöü", k=20_000))
    replace_chunks(connection, generation, [chunk("long", "text", heading=long)])
    assert titles(connection, "word ") == [long]


def test_suggestions_follow_what_came_and_went_folded_or_not(
    connection: Connection, library: int
) -> None:
    for _ in range(2):
        replace_chunks(connection, library, [chunk("keys", "rotor rotor")])
        assert suggest(connection, "rot", 4) == [
            ("Rotating tires", "heading", 2),
            ("rotating", "lexeme", 4),
            ("rotating Roses", "heading", 1),
            ("rotation", "lexeme", 1),
        ]
        connection.execute("SELECT rankgres.statistics_fold_v1(%s)", [library])
    replace_chunks(connection, library, [], also=["keys", "tires", "roses", "cut"])
    assert suggest(connection, "rot") == []


def test_a_frequent_lexeme_wins_whether_its_chunks_are_folded_or_not(
    connection: Connection,
) -> None:
    generation = make_collection(connection)
    words = [f"word{number:02}" for number in range(60)]
    replace_chunks(connection, generation, [chunk("all", " ".join(words))])
    connection.execute("SELECT rankgres.statistics_fold_v1(%s)", [generation])
    replace_chunks(connection, generation, [chunk(f"doc{n}", "word57") for n in range(3)])
    replace_chunks(connection, generation, [chunk("one", "word58")])
    assert suggest(connection, "word", 2) == [("word57", "lexeme", 4), ("word58", "lexeme", 2)]


def test_accents_are_typed_or_not_where_the_collection_takes_them_off(
    connection: Connection,
) -> None:
    generation = make_collection(connection, text_search_config="unaccent+simple")
    replace_chunks(connection, generation, [chunk("a", "résumé")])
    assert lexemes(connection, "rés") == lexemes(connection, "RES") == ["resume"]


def test_of_many_titles_the_first_hundred_are_looked_at(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [chunk(f"doc{n}", "x", heading=f"Title {n:03} of many") for n in range(150)],
    )
    assert titles(connection, "title", 1000) == [f"Title {n:03} of many" for n in range(100)]
    assert titles(connection, "title 14", 1000) == [f"Title {n} of many" for n in range(140, 150)]


def test_chunks_of_one_title_hide_no_other_and_are_counted_to_a_thousand(
    connection: Connection,
) -> None:
    generation = make_collection(connection)
    many = [chunk("many", "x", heading="Title of many", position=n) for n in range(1100)]
    replace_chunks(connection, generation, [*many, chunk("one", "x", heading="Title of one")])
    assert suggest(connection, "title of ", 5) == [
        ("Title of many", "heading", 1000),
        ("Title of one", "heading", 1),
    ]


def test_titles_are_read_from_the_index(connection: Connection, library: int) -> None:
    connection.execute("SET LOCAL enable_seqscan = off")
    scans = (
        "SELECT pg_stat_get_xact_numscans(%s::regclass)",
        [f"rankgres.chunk_{library}_title"],
    )
    before = value(connection, *scans)
    assert titles(connection, "rotating")
    # Two ends of the list and, of each of three titles, the next, its spelling and its chunks.
    assert value(connection, *scans) - before >= 3 * 3


def test_the_index_can_be_asked_for_again(connection: Connection, library: int) -> None:
    connection.execute(f"DROP INDEX rankgres.chunk_{library}_title".encode())
    expected = titles(connection, "rot")
    for _ in range(2):
        connection.execute("SELECT rankgres.chunk_suggest_index_v1(%s)", [library])
    assert titles(connection, "rot") == expected


@pytest.mark.parametrize("suggestions", [0, -1, 1001, None])
@pytest.mark.usefixtures("library")
def test_an_impossible_number_of_suggestions_names_its_mend(
    connection: Connection, suggestions: int
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="between 1 and 1000") as error:
        suggest(connection, "rot", suggestions)
    assert error.value.diag.column_name == "suggestions"
    assert error.value.diag.message_hint


def test_an_unknown_collection_is_named(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject, match='"nope" does not exist'):
        suggest(connection, "a", collection="nope")


@given(
    prefix=st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"])
        | st.sampled_from("rot %'\""),
        max_size=20,
    )
)
@example(prefix="rot" * 100_000)
@example(prefix="r\U0010ffff")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
def test_any_prefix_is_answered(connection: Connection, prefix: str) -> None:
    with connection.transaction(force_rollback=True):
        generation = make_collection(connection)
        replace_chunks(connection, generation, [chunk("a", "rotate", heading="rot %'\"")])
        for way in suggest(connection, prefix):
            typed = prefix.lstrip().lower()
            assert way.kind == "lexeme" or way.suggestion.lower().startswith(typed)
