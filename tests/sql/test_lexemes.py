"""The one analysis of text: scripts without blanks, accents, markup, and text of any length."""

import pytest

from service.db.connection import Connection
from tests.support.collections import value


def lexemes(connection: Connection, text: str, config: str = "simple") -> dict[str, list[int]]:
    """Return the positions of every lexeme of a text."""
    rows = connection.execute(
        "SELECT lexeme, positions::int [] FROM unnest(rankgres.lexemes_v1(%s, %s))", [config, text]
    )
    return dict(rows.fetchall())


def in_order(connection: Connection, text: str, config: str = "simple") -> list[str]:
    """Return the lexemes of a text as they follow each other."""
    found = lexemes(connection, text, config)
    return [
        name
        for _, name in sorted((place, name) for name, places in found.items() for place in places)
    ]


def test_plain_text_is_analysed_as_postgres_does(connection: Connection) -> None:
    text = "The cats' state-of-the-art toys cost 3.50, version 1.2.3: x = 4; (e-mail) 10:30, 5 %."
    assert value(
        connection,
        "SELECT rankgres.lexemes_v1('english', %s) = to_tsvector('english', %s)",
        [text, text],
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("中文分词", ["中文", "文分", "分词"]),
        ("水", ["水"]),
        ("水。火", ["水", "火"]),
        ("我用Python写代码", ["我用", "python", "写代", "代码"]),
        ("東京タワーに行く", ["東京", "京タ", "タワ", "ワー", "ーに", "に行", "行く"]),
        ("\uff83\uff7d\uff84 \uff30\uff59\uff54\uff48\uff4f\uff4e", ["テス", "スト", "python"]),
        ("학교에서 공부", ["학교", "교에", "에서", "공부"]),
        # Vowels and tones belong to the letter before them; am is typed as one letter.
        ("มีน้ำ", ["มีน้", "น้ำ"]),
        ("น้\u0e4d\u0e32", ["น้ำ"]),
        ("ភាសា", ["ភាសា"]),
        ("ພາສາ", ["ພາ", "າສ", "ສາ"]),
        ("မြန်မာ", ["မြန်", "န်မာ"]),
        ("\U00020bb7野家", ["\U00020bb7野", "野家"]),
    ],
)
def test_scripts_without_blanks_are_cut_into_pairs(
    connection: Connection, text: str, expected: list[str]
) -> None:
    assert in_order(connection, text) == expected


def test_pairs_keep_their_places_so_that_phrases_are_found(connection: Connection) -> None:
    text = "我用Python写中文分词程序"
    assert lexemes(connection, text)["分词"] == [6]
    for phrase, holds in (("中文分词", True), ("中文程序", False), ("Python写中", True)):
        asked = " <-> ".join(in_order(connection, phrase))
        assert (
            value(
                connection, "SELECT rankgres.lexemes_v1('simple', %s) @@ %s::tsquery", [text, asked]
            )
            is holds
        )


def test_what_is_cut_already_is_not_cut_again(connection: Connection) -> None:
    for text in ("我用Python写中文分词。水", "ประเทศไทยมีน้ำ ปี 2020", "Größe “día” List<String>"):
        once = value(connection, "SELECT rankgres.lexemes_words_v1(%s, false)", [text])
        assert in_order(connection, once) == in_order(connection, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("List<String> x", ["list", "string", "x"]),
        ("if a<b and c>d", ["if", "a", "b", "and", "c", "d"]),
        ("größe <b>fett</b>", ["größe", "b", "fett", "/b"]),
        ("os.path.join(a.b)", ["os", "path", "join", "a", "b"]),
        ("größe.maß", ["größe", "maß"]),
        ('and/or "/usr/bin"', ["and", "or", "usr", "bin"]),
        ("länge/breite /größe", ["länge", "breite", "größe"]),
        ("https://example.org/toys?id=7", ["example", "org", "toys", "id", "7"]),
        ("3.14 v1.2.3 e.g.", ["3.14", "v1.2.3", "e", "g"]),
    ],
)
def test_words_of_programs_and_paths_are_found_one_by_one(
    connection: Connection, text: str, expected: list[str]
) -> None:
    assert in_order(connection, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“día” \u2013 ¿qué? «niño»…", ["día", "qué", "niño"]),
        ("السلام، عليكم؟", ["السلام", "عليكم"]),
        ("don\u2019t", ["don", "t"]),
        ("co\u00adoperate", ["cooperate"]),
        ("ﬁnd Java™", ["find", "java"]),
        ("cafe\u0301", ["café"]),
        ("Ünï Ärger", ["ünï", "ärger"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
    ],
)
def test_words_beyond_ascii_are_the_same_on_every_server(
    connection: Connection, text: str, expected: list[str]
) -> None:
    """Of the two servers here, one has the locale C: its parser takes “ and … for letters."""
    assert in_order(connection, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Crème brûlée", ["creme", "brulee"]),
        ("Größe Łódź Ærø", ["grosse", "lodz", "aero"]),
        ("Việt Nam", ["viet", "nam"]),
        ("й ё", ["й", "\u0435"]),
        ("プール", ["プー", "ール"]),
        ("plain", ["plain"]),
    ],
)
def test_accents_are_taken_off_on_request(
    connection: Connection, text: str, expected: list[str]
) -> None:
    assert in_order(connection, text, "unaccent+simple") == expected


def test_accents_are_taken_off_before_stemming(connection: Connection) -> None:
    assert in_order(connection, "administración", "unaccent+spanish") == in_order(
        connection, "administracion", "unaccent+spanish"
    )


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (" ".join(f"word{number}" for number in range(200_000)), "word0"),
        (" ".join(f"größe{number}" for number in range(100_000)), "größe0"),
        (" ".join(f"a{number}-b{number}" for number in range(100_000)), "a0"),
        (f"word {'x' * 3000} other", "word"),
    ],
    ids=["ascii", "accents", "compounds", "long word"],
)
def test_text_of_any_length_is_no_error(connection: Connection, text: str, first: str) -> None:
    found = value(
        connection,
        "SELECT rankgres.lexemes_v1('simple', %(text)s)::text",
        {"text": text},
    )
    assert f"'{first}'" in found


def test_as_much_of_a_long_text_is_kept_that_a_long_heading_fits_beside_it(
    connection: Connection,
) -> None:
    text = " ".join(f"a{number:x}-b{number:x}" for number in range(100_000))
    for length in (65_536, 65_537, 300_000, len(text)):
        assert value(
            connection,
            "SELECT length(rankgres.lexemes_v1('simple', %(text)s) "
            "|| rankgres.lexemes_v1('simple', 'x' || replace(%(text)s, ' ', ' x')))",
            {"text": text[:length]},
        )


def test_no_text_has_no_lexemes(connection: Connection) -> None:
    assert value(connection, "SELECT rankgres.lexemes_v1('english', NULL)") is None
    assert lexemes(connection, "") == {}
    assert lexemes(connection, "<> … 。") == {}
