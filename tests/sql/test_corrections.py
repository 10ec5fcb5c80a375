"""Misspelled words of a query, put right against the lexemes that the collection has."""

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.db.connection import Connection
from tests.support.collections import chunk, make_collection, replace_chunks, value
from tests.support.queries import Parsed, parse

#: Few letters, so that words are near each other.
words = st.text("abc", max_size=9)
same_connection = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120
)


def distance(a: str, b: str) -> int:
    """Return the distance of optimal string alignment by its recursion, the whole table."""
    cells = {(row, 0): row for row in range(len(a) + 1)}
    cells |= {(0, column): column for column in range(len(b) + 1)}
    for row in range(1, len(a) + 1):
        for column in range(1, len(b) + 1):
            choices = [
                cells[row - 1, column] + 1,
                cells[row, column - 1] + 1,
                cells[row - 1, column - 1] + (a[row - 1] != b[column - 1]),
            ]
            if row > 1 and column > 1 and a[row - 2 : row] == b[column - 2 : column][::-1]:
                choices.append(cells[row - 2, column - 2] + 1)
            cells[row, column] = min(choices)
    return cells[len(a), len(b)]


def counted(connection: Connection, counts: Mapping[str, int]) -> int:
    """Make a generation with lexemes that stand in so many chunks each."""
    generation = make_collection(connection)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO rankgres.lexeme VALUES (%s, %s, %s)",
            [(generation, lexeme, count) for lexeme, count in counts.items()],
        )
    return generation


def corrected(connection: Connection, generation: int, query: str) -> tuple[Parsed, dict[str, str]]:
    row = connection.execute(
        "SELECT (corrected).lexemes, (corrected).frequencies, (corrected).clauses::text [], "
        "(corrected).condition::text, corrections "
        "FROM rankgres.query_correct_v1(%s, rankgres.query_parse_v1(%s, %s))",
        [generation, generation, query],
    ).fetchone()
    assert row is not None
    lexemes, frequencies, clauses, condition, corrections = row
    assert len(set(lexemes)) == len(lexemes)
    return (
        Parsed(dict(zip(lexemes, frequencies, strict=True)), set(clauses), condition),
        corrections,
    )


def correction(connection: Connection, counts: Mapping[str, int], word: str) -> str | None:
    with connection.transaction(force_rollback=True):
        generation = counted(connection, counts)
        answer = value(
            connection, "SELECT rankgres.lexeme_correction_v1(%s, %s)", [generation, word]
        )
    assert answer is None or isinstance(answer, str)
    return answer


@given(a=words, b=words, most=st.integers(0, 4))
@same_connection
def test_the_distance_is_that_of_the_whole_table_up_to_its_bound(
    connection: Connection, a: str, b: str, most: int
) -> None:
    answer = value(connection, "SELECT rankgres.edit_distance_v1(%s, %s, %s)", [a, b, most])
    assert answer == min(distance(a, b), most + 1)


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [
        ("", "", 0), ("word", "word", 0), ("wrod", "word", 1), ("ord", "word", 1),
        ("woord", "word", 1), ("ward", "word", 1), ("kitten", "sitting", 3), ("ca", "abc", 3),
        ("größe", "grösse", 2), ("日本", "本日", 1), ("abcdef", "badcfe", 3),
    ],
)  # fmt: skip
def test_distances_worked_out_by_hand(connection: Connection, a: str, b: str, edits: int) -> None:
    for one, other in ((a, b), (b, a)):
        assert distance(one, other) == edits
        answer = value(connection, "SELECT rankgres.edit_distance_v1(%s, %s, 5)", [one, other])
        assert answer == edits


@given(word=st.text("abc", min_size=1, max_size=5))
@same_connection
def test_variants_are_all_texts_at_one_edit(connection: Connection, word: str) -> None:
    answer = value(connection, "SELECT rankgres.edit_variants_v1(%s, '{a,b,c}')", [word])
    assert len(set(answer)) == len(answer)
    assert all(distance(word, variant) == 1 for variant in answer)
    # Each letter left out, replaced, or added before and behind; and neighbours swapped.
    letters = "abc"
    expected = {word[:place] + word[place + 1 :] for place in range(len(word))}
    for letter in letters:
        expected |= {word[:place] + letter + word[place + 1 :] for place in range(len(word))}
        expected |= {word[:place] + letter + word[place:] for place in range(len(word) + 1)}
    expected |= {
        word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        for place in range(len(word) - 1)
    }
    assert set(answer) == expected - {word}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("retreival", "retrieval"),  # swapped
        ("retrival", "retrieval"),  # left out
        ("retrieeval", "retrieval"),  # added
        ("retriaval", "retrieval"),  # replaced
        ("etrieval", "retrieval"),  # the first letter, where nothing else is
        ("definately", "definitely"),
        ("kubrenetis", "kubernetes"),  # two edits in eight letters and more
        ("cmoprehensvie", "comprehensive"),
        ("kubrntes", "kubernetes"),
        ("kebrntes", None),  # three
        ("keyz", "keys"),
        ("kezz", None),  # two edits in four letters
        ("kys", None),  # too short
        ("retrievel", "retrieval"),
        ("grösse", None),  # two edits in six letters
        ("größee", "größe"),
        ("grøße", "größe"),  # of the same script
        ("größer", "größe"),
        ("поисс", "поиск"),
    ],
)
def test_the_nearest_lexeme_is_meant(
    connection: Connection, word: str, expected: str | None
) -> None:
    lexemes = ("retrieval", "definitely", "kubernetes", "comprehensive", "keys", "größe", "поиск")
    assert correction(connection, dict.fromkeys(lexemes, 3), word) == expected


def test_of_equals_the_one_in_most_chunks_is_meant(connection: Connection) -> None:
    assert correction(connection, {"form": 2, "farm": 9, "firm": 5}, "ferm") == "farm"
    assert correction(connection, {"form": 5, "farm": 5}, "ferm") == "farm"
    # Nearness comes first, and before it the first letter.
    assert correction(connection, {"contains": 1, "container": 99}, "containz") == "contains"
    assert correction(connection, {"bells": 99, "sell": 1}, "sells") == "sell"
    assert correction(connection, {"cankering": 99, "tanker": 1}, "tankering") == "cankering"
    assert correction(connection, {"xontainer": 99, "containing": 1}, "containin") == "containing"
    assert correction(connection, {"qontainer": 1, "xontainers": 99}, "container") == "qontainer"
    assert correction(connection, {"qompiler": 9, "compilers": 1}, "compilre") == "compilers"


@given(
    vocabulary=st.dictionaries(
        st.text("abc", min_size=3, max_size=9), st.integers(1, 3), max_size=30
    ),
    word=st.text("abc", min_size=4, max_size=7),
)
@same_connection
def test_corrections_of_short_words_are_those_of_a_full_search(
    connection: Connection, vocabulary: dict[str, int], word: str
) -> None:
    near = [lexeme for lexeme in vocabulary if distance(word, lexeme) == 1]
    expected = min(
        near, key=lambda lexeme: (lexeme[0] != word[0], -vocabulary[lexeme], lexeme), default=None
    )
    vocabulary.pop(word, None)
    assert correction(connection, vocabulary, word) == expected


@given(
    vocabulary=st.dictionaries(
        st.text("abc", min_size=6, max_size=11), st.integers(1, 3), max_size=30
    ),
    word=st.text("abc", min_size=8, max_size=10),
)
@same_connection
def test_corrections_of_long_words_are_those_of_a_full_search(
    connection: Connection, vocabulary: dict[str, int], word: str
) -> None:
    vocabulary.pop(word, None)
    # Two edits count where one part of the lexeme is at most one from the first four letters, and
    # the other at most one from the rest, or two where the first four are the same.
    near = [
        lexeme
        for lexeme in vocabulary
        if distance(word, lexeme) == 1
        or (
            distance(word, lexeme) == 2
            and any(distance(word[:4], lexeme[:length]) <= 1 for length in (3, 4, 5))
        )
    ]
    expected = min(
        near,
        key=lambda lexeme: (
            lexeme[0] != word[0], distance(word, lexeme), -vocabulary[lexeme], lexeme
        ),
        default=None,
    )  # fmt: skip
    assert correction(connection, vocabulary, word) == expected


@pytest.fixture
def library(connection: Connection) -> int:
    """A generation of two English documents."""
    generation = make_collection(connection, text_search_config="english")
    replace_chunks(
        connection,
        generation,
        [
            chunk("search", "Retrieval of relevant documents receives attention, O'Hare 1984."),
            chunk("music", "Attentive listeners received the documentation of a quartet."),
        ],
    )
    return generation


def test_a_misspelled_word_becomes_a_lexeme_of_the_collection(
    connection: Connection, library: int
) -> None:
    parsed, corrections = corrected(connection, library, "retreival of relevent documents")
    # Stems: 'retriev' and 'relev' are what the index has.
    assert corrections == {"retreiv": "retriev"}
    assert parsed.lexemes == {"retriev": 1, "relev": 1, "document": 1}
    assert parsed.clauses == {"'retreiv' | 'retriev'", "'relev'", "'document'"}


def test_a_query_without_mistakes_stays_as_it_is(connection: Connection, library: int) -> None:
    for query in ("retrieval documents", "the", "", '"relevant documents" -quartet'):
        parsed, corrections = corrected(connection, library, query)
        assert (parsed, corrections) == (parse(connection, library, query), {})


@pytest.mark.parametrize(
    "query",
    [
        "1985",  # numbers are what they are
        "haer1",
        "c++x/relevent.txt",
        "qu4rtet",
        "oher",  # too short for its distance
        '"retreival of relevant"',
        "-retreival",
        "title:retreival",
        '-"retreival of" OR',
        "retreival OR documents",  # what was asked for is there
    ],
)
def test_what_is_meant_as_it_stands_is_not_corrected(
    connection: Connection, library: int, query: str
) -> None:
    parsed, corrections = corrected(connection, library, query)
    assert (parsed, corrections) == (parse(connection, library, query), {})


def test_a_word_that_is_there_in_one_language_is_right_in_all(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    for config in ("english", "simple"):
        connection.execute(
            "INSERT INTO rankgres.generation_language VALUES (%s, %s)", [generation, config]
        )
    replace_chunks(connection, generation, [chunk("a", "run runnings")])
    # 'running' stands nowhere and 'runnings' is one edit from it; but its stem is there.
    assert corrected(connection, generation, "running")[1] == {}
    assert corrected(connection, generation, "runningx")[1] == {"runningx": "runnings"}


def test_a_correction_that_was_said_already_counts_once_more(
    connection: Connection, library: int
) -> None:
    parsed, corrections = corrected(connection, library, "retrieval retreival retrieving retreived")
    assert corrections == {"retreiv": "retriev"}
    assert parsed.lexemes == {"retriev": 4}


def test_corrections_follow_what_came_and_went_folded_or_not(
    connection: Connection, library: int
) -> None:
    for fold in (False, True):
        replace_chunks(connection, library, [chunk("new", "kubernetes")])
        if fold:
            connection.execute("SELECT rankgres.statistics_fold_v1(%s)", [library])
        assert corrected(connection, library, "kuberntees")[1] == {"kubernte": "kubernet"}
        replace_chunks(connection, library, [], also=["new"])
        assert corrected(connection, library, "kuberntees")[1] == {}


def test_five_words_at_most_are_corrected(connection: Connection) -> None:
    names = ("alphabet", "building", "calendar", "database", "elephant", "festival", "gasoline")
    generation = counted(connection, dict.fromkeys(names, 1))
    query = " ".join(name[:-1] + "x" for name in names)
    assert list(corrected(connection, generation, query)[1].values()) == list(names[:5])


def test_five_thousand_unknown_words_are_answered(connection: Connection) -> None:
    generation = counted(connection, {"word": 1})
    names = ["".join(letters) for letters in product("bcdfghjklmnpqrstvz", repeat=3)][:5000]
    query = " ".join(f"word{name}" for name in names)
    parsed, corrections = corrected(connection, generation, query)
    assert len(parsed.lexemes) == len(parsed.clauses) == 5000
    assert corrections == {}
