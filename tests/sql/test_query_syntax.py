"""The syntax of queries: what each form asks of a match, and that no text is an error."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from service.db.connection import Connection
from tests.support.collections import chunk, make_collection, replace_chunks, value
from tests.support.queries import parse

#: What a person, a program or a cat on the keyboard may send.
pieces = st.sampled_from(
    ['"', "-", "--", " ", "\n", "OR", "title:", "heading:", "text:", "(", ")", "'", "\\", "&", "|",
     "!", ":*", "<->", "<b>", "%s", "$1", "\u201c", "\u201d", "\u3000", "\u00a0", "中文分词", "ไทย",
     "word", "state-of-the-art", "http://a.b/c", "10:30", "-5", "é", "the", "\U0001f600"]
)  # fmt: skip
anything = st.lists(
    pieces | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    max_size=25,
).map("".join)
#: Nothing in it is an operator.
plain = st.lists(
    st.from_regex(
        r"[A-Za-z0-9][A-Za-z0-9'.,;/@_]{0,7}(-[A-Za-z]{1,6})?[?!.]?", fullmatch=True
    ).filter(lambda word: word != "OR"),
    max_size=12,
).map(" ".join)
same_connection = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def quoted(*words: str) -> str:
    return " & ".join(f"'{word}'" for word in words)


def satisfying(connection: Connection, generation: int, query: str) -> list[str]:
    """Return the documents whose chunks satisfy a query's condition."""
    rows = connection.execute(
        sql.SQL(
            "SELECT document_id FROM {} AS chunk, rankgres.query_parse_v1(%s, %s) AS parsed "
            "WHERE coalesce(chunk.lexemes @@ (parsed).condition, true) ORDER BY document_id"
        ).format(sql.Identifier("rankgres", f"chunk_{generation}")),
        [generation, query],
    )
    return [name for (name,) in rows]


def analysed(connection: Connection, text: str) -> dict[str, int]:
    """Return the lexemes of an English document, with how often it has each."""
    rows = connection.execute(
        "SELECT lexeme, cardinality(positions) FROM unnest(rankgres.lexemes_v1('english', %s))",
        [text],
    )
    return dict(rows.fetchall())


@pytest.fixture
def english(connection: Connection) -> int:
    """A generation of four English documents."""
    generation = make_collection(connection, text_search_config="english")
    replace_chunks(
        connection,
        generation,
        [
            chunk("keys", "Rotate a key before its old version expires.", heading="Access keys"),
            chunk("rings", "The lord of the rings rotates nothing.", heading="Books > Rotation"),
            chunk("lord", "A lord of rings. A version that is old.", heading="Books"),
            chunk("design", "State-of-the-art design", heading="Title: none"),
        ],
    )
    return generation


EVERYTHING = ["design", "keys", "lord", "rings"]


def test_plain_words_score_and_none_has_to_be_there(connection: Connection, english: int) -> None:
    parsed = parse(connection, english, "How do I rotate keys, and which key rotates?")
    assert parsed.lexemes == {"rotat": 2, "key": 2}
    assert parsed.clauses == {"'rotat'", "'key'"}
    assert parsed.condition is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('"lord of the rings"', ["rings"]),
        ('"lord of rings"', ["lord"]),
        ('"rings lord"', []),
        ('books "old version"', ["keys"]),
        ('"old version" "lord of"', []),
        ("-version", ["design", "rings"]),
        ('-"old version"', ["design", "lord", "rings"]),
        ("-version -design", ["rings"]),
        ("-rotating", ["design", "lord"]),
        ('version -"old version"', ["design", "lord", "rings"]),
        ('"old version" OR "lord of the rings"', ["keys", "rings"]),
        ('design OR "old version"', ["design", "keys"]),
        ("rotate OR design", EVERYTHING),
        ("heading:rotation", ["rings"]),
        ("title:rotation", ["rings"]),
        ("Title:Books", ["lord", "rings"]),
        ("text:rotation", ["keys", "rings"]),
        ('heading:"access keys"', ["keys"]),
        ('text:"access keys"', []),
        ("heading:books OR text:design", ["design", "lord", "rings"]),
        ("-heading:books", ["design", "keys"]),
        ('-title:"access keys" -text:design', ["lord", "rings"]),
        ('"state of the art"', ["design"]),
        ('"state-of-the-art design"', ["design"]),
        ("-state-of-the-art", ["keys", "lord", "rings"]),
        ("“lord of rings”", ["lord"]),
        ('"the of"', EVERYTHING),
        ("-the -of", EVERYTHING),
        ("title:the", EVERYTHING),
    ],
)
def test_a_match_satisfies_the_operators(
    connection: Connection, english: int, query: str, expected: list[str]
) -> None:
    assert satisfying(connection, english, query) == expected


@pytest.mark.parametrize(
    ("query", "lexemes"),
    [
        ("http: host", {"http", "host"}),
        ("std::vector", {"std", "vector"}),
        ("10:30", {"10", "30"}),
        ('author:"old version"', {"author", "old", "version"}),
        ("title: none", {"titl", "none"}),
        ("git commit --amend", {"git", "commit", "amend"}),
        ("state-of-the-art", {"state-of-the-art", "state", "art"}),
        ("lord - rings", {"lord", "ring"}),
        ("-", set()),
        ("lord -", {"lord"}),
        ('5" nail', {"5", "nail"}),
        ('5" nail 7" wood', {"5", "nail", "7", "wood"}),
        ('lord "rings', {"lord", "ring"}),
        ('"', set()),
        ('""', set()),
        ('-""', set()),
        ('-"', set()),
        ("lord or rings", {"lord", "ring"}),
        ("OR lord", {"lord"}),
        ("lord OR", {"lord"}),
        ("OR OR OR", set()),
        ("", set()),
        (None, set()),
    ],
)
def test_what_only_looks_like_an_operator_is_text(
    connection: Connection, english: int, query: str | None, lexemes: set[str]
) -> None:
    parsed = parse(connection, english, query)
    assert set(parsed.lexemes) == lexemes
    assert parsed.condition is None


def test_alternatives_are_one_clause(connection: Connection, english: int) -> None:
    parsed = parse(connection, english, "rotate OR renew OR replaces keys OR the")
    assert parsed.clauses == {"'renew' | 'replac' | 'rotat'", "'key'"}
    assert parsed.condition is None
    assert parse(connection, english, 'ring OR "old version"').clauses == {
        "'ring' | 'old' <-> 'version'"
    }


@pytest.mark.parametrize("query", ["a OR -b", "-b OR a", "OR a", "a OR", "a OR OR", '-"b" OR a'])
def test_or_between_anything_but_alternatives_is_a_word(connection: Connection, query: str) -> None:
    parsed = parse(connection, make_collection(connection), query)
    assert set(parsed.lexemes) == {"a", "or"}
    assert parsed.clauses == {"'a'", "'or'"}


@pytest.mark.parametrize(
    ("query", "lexemes"),
    [
        ("rivers of Asia (excluding the Ganges) and lakes", {"river", "asia", "lake"}),
        ("themes, excluding the trial. What else?", {"theme", "els"}),
        ("taxes but not tariffs", {"tax"}),
        ("Every planet with the exception of Mars, please", {"everi", "planet", "pleas"}),
        # What always stands beside the wanted, or inside a phrase, counts.
        ("besides Mars, what other than dust", {"besid", "mar", "dust"}),
        ('"price excluding tax"', {"price", "exclud", "tax"}),
        # A query of operators says itself what it does not want.
        ("price excluding tax -draft", {"price", "exclud", "tax"}),
        # Else nothing would be left.
        ("Excluding tariffs", {"exclud", "tariff"}),
    ],
)
def test_what_a_question_is_not_about_does_not_score(
    connection: Connection, english: int, query: str, lexemes: set[str]
) -> None:
    parsed = parse(connection, english, query)
    assert set(parsed.lexemes) == lexemes


def test_phrases_and_field_words_score_and_exclusions_do_not(
    connection: Connection, english: int
) -> None:
    parsed = parse(connection, english, 'ring "old version" title:book -lord -"a thing"')
    assert parsed.lexemes == {"ring": 1, "old": 1, "version": 1, "book": 1}
    assert parsed.clauses == {"'ring'", "'old' <-> 'version'", "'book':A"}


def test_exclusions_alone_score_nothing(connection: Connection, english: int) -> None:
    parsed = parse(connection, english, "-lord -rings")
    assert parsed.lexemes == {}
    assert parsed.clauses == set()
    assert satisfying(connection, english, "-lord -rings") == ["design", "keys"]


def test_a_word_of_many_lexemes_asks_for_all_its_parts(
    connection: Connection, english: int
) -> None:
    parsed = parse(connection, english, "state-of-the-art 10:30 x-ray-")
    assert parsed.clauses == {quoted("art", "state"), quoted("10", "30"), quoted("ray", "x")}


def test_addresses_are_text(connection: Connection, english: int) -> None:
    for query in ("http://host.org/path", "mailto:a@b.org", "file:///etc/hosts -", "//host"):
        parsed = parse(connection, english, query)
        assert parsed.condition is None
        assert parsed.lexemes == analysed(connection, query)


def test_words_are_stemmed_once(connection: Connection, english: int) -> None:
    # The stem of 'refugees' is 'refuge', and the stem of that is 'refug'.
    for query in ('"refugees"', "title:refugees", "-refugees", "refugees"):
        parsed = parse(connection, english, query)
        assert "'refuge'" in f"{parsed.condition} {parsed.clauses}", query


@pytest.mark.parametrize(
    "mark", ["'", "\\", "''", "\\'", " & ", "!", ":*", "%1$s", "$1", "| (", ":A"]
)
def test_lexemes_of_quotes_backslashes_and_operators_are_found(
    connection: Connection, mark: str
) -> None:
    # A configuration that keeps what stands between words as lexemes.
    connection.execute("CREATE TEXT SEARCH CONFIGURATION public.marks (COPY = pg_catalog.simple)")
    connection.execute(
        "ALTER TEXT SEARCH CONFIGURATION public.marks ADD MAPPING FOR blank WITH simple"
    )
    generation = make_collection(connection, text_search_config="public.marks")
    replace_chunks(
        connection, generation, [chunk("there", f"left{mark}right"), chunk("other", "left right")]
    )
    assert satisfying(connection, generation, f'"left{mark}right"') == ["there"]
    assert satisfying(connection, generation, f'-"left{mark}right"') == ["other"]


def test_pairs_of_letters_are_words_of_their_own(connection: Connection) -> None:
    generation = make_collection(connection)
    replace_chunks(connection, generation, [chunk("a", "中文分词"), chunk("b", "分词中文")])
    parsed = parse(connection, generation, "中文分词")
    assert parsed.lexemes == {"中文": 1, "文分": 1, "分词": 1}
    assert parsed.clauses == {"'中文'", "'文分'", "'分词'"}
    assert parse(connection, generation, "中文分词 -x").clauses == parsed.clauses
    assert satisfying(connection, generation, '"中文分词"') == ["a"]
    assert satisfying(connection, generation, "中文 -中文分词") == ["b"]
    assert satisfying(connection, generation, "中文\u3000-文分") == ["b"]


def generation_of_languages(connection: Connection, *configs: str) -> int:
    generation = make_collection(connection, text_search_config="auto")
    for config in configs:
        connection.execute(
            "INSERT INTO rankgres.generation_language VALUES (%s, %s)", [generation, config]
        )
    return generation


def test_a_word_has_an_alternative_for_every_configuration(connection: Connection) -> None:
    generation = generation_of_languages(connection, "english", "simple")
    parsed = parse(connection, generation, "running dogs running")
    assert parsed.lexemes == {"run": 2, "running": 2, "dog": 1, "dogs": 1}
    assert parsed.clauses == {"'run' | 'running'", "'dog' | 'dogs'"}
    assert parse(connection, generation, '-"running dogs"').condition == (
        "!( 'run' <-> 'dog' | 'running' <-> 'dogs' )"
    )
    assert parse(connection, generation, "running", "en").lexemes == {"run": 1}


def test_what_one_configuration_has_no_word_for_is_asked_of_no_document(
    connection: Connection,
) -> None:
    generation = generation_of_languages(connection, "english", "german")
    # German documents keep 'the'; English ones cannot be asked for it.
    assert parse(connection, generation, '"the"').condition is None
    assert parse(connection, generation, "the key").clauses == {"'key'"}
    assert parse(connection, generation, "-the").condition == "!'the'"


def test_stop_words_of_the_querys_language_do_not_score_in_others(connection: Connection) -> None:
    generation = generation_of_languages(connection, "english", "german")
    for query, lexemes in (
        ("what is the value of a ring", {"ring", "valu"}),
        ("was ist das für ein ring", {"ring"}),
        # One stop word tells no language, as many in both neither.
        ("die hard", {"die", "hard"}),
        ("die was the", {"die", "the"}),
        # Nothing else is left.
        ("what is this", {"what", "is", "this"}),
    ):
        assert set(parse(connection, generation, query).lexemes) == lexemes, query


@pytest.mark.parametrize(
    ("query", "lexemes", "conditions"),
    [
        (" ".join(f"word{number}" for number in range(5000)), 5000, 0),
        ("word " * 5000, 1, 0),
        (" OR ".join(f"word{number}" for number in range(5000)), 5000, 0),
        (" -".join(f"word{number}" for number in range(5000)), 1, 255),
        (" title:".join(f"word{number}" for number in range(4000)), 4000, 255),
        (" ".join(f'"a{number} b"' for number in range(4000)), 4001, 255),
        ('"' + "word " * 5000 + '"', 1, 1),
        ('"' * 60_000, 0, 0),
        ("- " * 30_000, 0, 0),
        ('-"' * 30_000, 0, 0),
        ("OR " * 20_000, 1, 0),
        ("(" * 60_000, 0, 0),
        ("x" * 1_000_000, 0, 0),
        ("中" * 60_000, 1, 0),
        ("x-" * 30_000, 1, 0),
    ],
    ids=lambda case: str(case)[:12],
)
def test_monsters_are_parsed(
    connection: Connection, query: str, lexemes: int, conditions: int
) -> None:
    generation = make_collection(connection)
    parsed = parse(connection, generation, query)
    assert len(parsed.lexemes) == lexemes
    nodes = value(connection, "SELECT coalesce(%s, '')::tsquery::text", [parsed.condition])
    assert len(nodes.split(" & ")) - (nodes == "") == conditions


def test_one_word_a_thousand_times_counts_as_often_as_a_document_could_say_it(
    connection: Connection, english: int
) -> None:
    assert parse(connection, english, "lord " * 1000).lexemes == {"lord": 255}


@given(query=anything)
@example(query='"word"word')
@same_connection
def test_no_text_is_an_error_and_every_result_can_be_used(
    connection: Connection, query: str
) -> None:
    with connection.transaction(force_rollback=True):
        generation = generation_of_languages(connection, "english", "german", "simple")
        parsed = parse(connection, generation, query)
        assert all(0 < frequency <= 255 for frequency in parsed.lexemes.values())
        connection.execute(
            "SELECT to_tsvector('some words') @@ ALL (%s::tsquery []), "
            "to_tsvector('some words') @@ %s::tsquery, "
            "rankgres.query_correct_v1(%s, rankgres.query_parse_v1(%s, %s))",
            [sorted(parsed.clauses), parsed.condition, generation, generation, query],
        )


@given(query=plain)
@same_connection
def test_text_without_operators_is_analysed_as_documents_are(
    connection: Connection, query: str
) -> None:
    with connection.transaction(force_rollback=True):
        generation = make_collection(connection, text_search_config="english")
        parsed = parse(connection, generation, query)
        assert parsed.lexemes == analysed(connection, query)
    assert parsed.condition is None
