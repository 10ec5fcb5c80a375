"""Excerpts: what is marked, in every script, and where they begin and end."""

import pytest

from service.db.connection import Connection
from tests.support.collections import chunk, make_collection, replace_chunks, value

FILLER = " ".join(f"Filler sentence number {number} says nothing much." for number in range(20))


def snippet(
    connection: Connection, generation: int, query: str, passage: str, language: str | None = None
) -> str:
    return str(
        value(
            connection,
            "SELECT rankgres.snippet_v2(%s, %s, %s, '[', ']', %s)",
            [generation, query, passage, language],
        )
    )


@pytest.mark.parametrize(
    ("config", "query", "passage", "expected"),
    [
        ("english", "rotating keys", "We rotate the key.", "We [rotate] the [key]."),
        ("english", "string", "a List<String> b", "a List<[String]> b"),
        ("english", "path", "use os.path.join/Path.", "use os.[path].join/[Path]."),
        ("english", "keys -rotate", "rotate keys", "rotate [keys]"),
        ("english", '"rotate keys"', "to rotate keys", "to [rotate] [keys]"),
        ("german", "Haus", "„Häuser“ … Hausbau", "„[Häuser]“ … Hausbau"),
        ("english", "分词", "我用Python写中文分词。", "我用Python写中文[分词]。"),
        ("english", "python 中文分词", "我用Python写中文分词。", "我用[Python]写[中文分词]。"),
        ("english", "น้ำ", "ประเทศไทยมีน้ำ ปี", "ประเทศไทยมี[น้ำ] ปี"),
        ("english", "학교", "학교에서 공부", "[학교]에서 공부"),
        ("unaccent+english", "cafe grosse", "Das Café (Größe 5)", "Das [Café] ([Größe] 5)"),
        ("unaccent+english", "art", "über state-of-the-art", "über state-of-the-[art]"),
    ],
)
def test_words_of_the_query_are_marked(
    connection: Connection, config: str, query: str, passage: str, expected: str
) -> None:
    generation = make_collection(connection, text_search_config=config)
    assert snippet(connection, generation, query, passage) == expected


def test_a_passage_is_marked_in_the_language_it_is_in(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    value(
        connection,
        "SELECT count(*) FROM (SELECT rankgres.chunk_replace_v3("
        "%s, '{a,b}', '{}', '{a,b}', '{0,0}', '{1,1}', '{0,0}', '{1,1}', '{\"\",\"\"}', '{x,x}', "
        '\'{"{}","{}"}\', \'{"[1,0,0,0]","[1,0,0,0]"}\', \'{english,german}\')) AS written',
        [generation],
    )
    assert snippet(connection, generation, "Haus", "Viele Häuser stehen dort") == (
        "Viele [Häuser] stehen dort"
    )
    assert snippet(connection, generation, "house", "Many houses stand there") == (
        "Many [houses] stand there"
    )
    assert snippet(connection, generation, "Haus", "Viele Häuser", language="en") == "Viele Häuser"


def test_a_passage_found_by_its_meaning_gives_its_beginning(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="english")
    assert snippet(connection, generation, "zebra", "short one") == "short one"
    excerpt = snippet(connection, generation, "zebra", FILLER)
    assert 100 < len(excerpt) <= 200
    assert excerpt.endswith("number 3 says nothing much.")
    words = snippet(connection, generation, "zebra", "word " * 100)
    assert words.endswith("word …")
    assert len(words) <= 202
    assert snippet(connection, generation, "斑马", "中文分词很好用。" * 30).endswith("用。")
    assert snippet(connection, generation, "zebra", "x" * 300) == "x" * 201 + "…"


@pytest.mark.parametrize("query", ["", "the of", "-rotate", "水", '"'])
def test_a_query_that_marks_nothing_gives_the_beginning(connection: Connection, query: str) -> None:
    generation = make_collection(connection, text_search_config="english")
    assert snippet(connection, generation, query, "We rotate the key.") == "We rotate the key."
    assert snippet(connection, generation, query, "") == ""


def test_a_long_passage_shows_where_different_words_stand(connection: Connection) -> None:
    passage = f"{FILLER} Here we rotate things. {FILLER} And keys, of all kinds. {FILLER}"
    for config in ("english", "unaccent+english"):
        generation = make_collection(
            connection, config.replace("+", "-"), text_search_config=config
        )
        excerpt = snippet(connection, generation, "rotate keys", passage)
        assert "we [rotate] things" in excerpt
        assert " … " in excerpt
        assert "And [keys], of" in excerpt
        assert len(excerpt) < 500


def test_a_long_passage_without_blanks_shows_a_part(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="simple")
    passage = "没有什么。" * 60 + "这里写中文分词程序。" + "没有什么。" * 60
    excerpt = snippet(connection, generation, "分词", passage)
    assert "写中文[分词]程序" in excerpt
    assert excerpt.startswith("… ")
    assert excerpt.endswith(" …")
    assert len(excerpt) < 100


def test_nothing_of_a_short_passage_is_lost(connection: Connection) -> None:
    passage = "\tA <b>tag</b> & “quotes” \u2014 中文分词\n\nand a.b/c, é … l'été\u00a0: fin"
    for config in ("simple", "unaccent+simple"):
        generation = make_collection(
            connection, config.replace("+", "-"), text_search_config=config
        )
        excerpt = snippet(connection, generation, "tag 分词 fin", passage)
        assert excerpt.replace("[", "").replace("]", "") == passage
        assert excerpt.count("[") >= 3


def test_a_chunk_that_matches_has_a_mark(connection: Connection) -> None:
    """Whatever the index finds by one word, the excerpt shows."""
    texts = {
        "dots": "see example.org/x and so on",
        "curly": "it\u2019s “quoted”…",
        "german": "Straßenbahnhaltestelle",
        "mixed": "版本v2发布",
        "compound": "a well-known fact",
    }
    queries = {"dots": "example", "curly": "quoted", "german": "straßenbahnhaltestelle",
               "mixed": "发布", "compound": "well-known"}  # fmt: skip
    generation = make_collection(connection, text_search_config="simple")
    replace_chunks(connection, generation, [chunk(name, text) for name, text in texts.items()])
    for name, query in queries.items():
        assert value(
            connection,
            "SELECT lexemes && FROM rankgres.chunk WHERE document_id = %s".replace(
                "lexemes &&",
                "tsvector_to_array(lexemes) && (rankgres.query_parse_v1(%s, %s)).lexemes",
            ),
            [generation, query, name],
        )
        assert "[" in snippet(connection, generation, query, texts[name])
