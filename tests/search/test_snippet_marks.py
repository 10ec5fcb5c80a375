"""The snippets of an answer are those of the SQL function, with the query analysed once."""

from service.db.connection import Connection
from service.search.candidates import mark_snippets
from tests.support.collections import make_collection, value

TEXTS = [
    "A cat sleeps on the mat. " * 20,
    "Dogs bark at night, cats do not.",
    "Nothing of it is in here.",
    "",
]


def test_a_snippet_is_that_of_the_sql_function(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="english")
    query = 'sleeping cats "do not" -mouse'
    marked = mark_snippets(connection, generation, query, TEXTS, marks=("[", "]"))
    alone = "SELECT rankgres.snippet_v2(%s, %s, %s, '[', ']')"
    assert marked == [value(connection, alone, (generation, query, text)) for text in TEXTS]
    assert ["[" in snippet for snippet in marked] == [True, True, False, False]


def test_further_lexemes_are_marked_too(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="english")
    (marked,) = mark_snippets(
        connection, generation, "dgos", TEXTS[1:2], marks=("[", "]"), further_lexemes=["dog"]
    )
    assert marked == "[Dogs] bark at night, cats do not."


def test_a_query_is_marked_in_its_language(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    texts = ["Las casas viejas del puerto"]
    for language, expected in (("es", "Las [casas] viejas del puerto"), ("de", texts[0])):
        marked = mark_snippets(
            connection, generation, "casa", texts, marks=("[", "]"), language=language
        )
        assert marked == [expected]
