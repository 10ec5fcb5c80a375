"""Documents in their own languages: how each is analysed, and what a query is analysed under."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.collections.collection import CollectionPlan, create_collection, find_generation
from service.db.connection import Connection, connect
from service.db.driver_errors import translated
from service.errors import InvalidInputError
from tests.support.collections import chunk, generation_of, make_collection, replace_chunks, value


def configs(connection: Connection, generation: int, language: str | None = None) -> list[str]:
    found: list[str] = value(
        connection, "SELECT rankgres.generation_configs_v1(%s, %s)", [generation, language]
    )
    return found


def write(connection: Connection, generation: int, *texts: tuple[str, str, str | None]) -> None:
    """Write documents of one chunk, each given as its id, text and language."""
    replace_chunks(
        connection,
        generation,
        [replace(chunk(name, text), language=language) for name, text, language in texts],
    )


def lexemes(connection: Connection, generation: int, document_id: str) -> list[str]:
    return list(
        value(
            connection,
            "SELECT tsvector_to_array(lexemes) FROM rankgres.chunk "
            "WHERE generation_id = %s AND document_id = %s",
            [generation, document_id],
        )
    )


def matching(
    connection: Connection, generation: int, query: str, language: str | None = None
) -> Sequence[str]:
    """Return the documents with any lexeme of the query, by id."""
    rows = connection.execute(
        "SELECT document_id FROM rankgres.chunk, "
        "LATERAL unnest((rankgres.query_parse_v1(%(generation)s, %(query)s, %(language)s)).lexemes)"
        " AS lexeme "
        "WHERE generation_id = %(generation)s AND lexeme = ANY (tsvector_to_array(lexemes)) "
        "GROUP BY document_id ORDER BY document_id",
        {"generation": generation, "query": query, "language": language},
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("language", "config"),
    [
        ("de", "german"),
        ("DE", "german"),
        ("de-AT", "german"),
        ("de_CH", "german"),
        ("deu", "german"),
        ("german", "german"),
        ("nb", "norwegian"),
        ("pt-BR", "portuguese"),
        ("zh", "simple"),
        ("ja-JP", "simple"),
        ("simple", "simple"),
        ("klingon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_language_has_a_configuration(
    connection: Connection, language: str | None, config: str | None
) -> None:
    assert value(connection, "SELECT rankgres.language_config_v1(%s)", [language]) == config


def test_every_configuration_of_the_server_has_its_codes(connection: Connection) -> None:
    codes = "ar hy eu ca da nl en et fi fr de el hi hu id ga it lt ne no pt ro ru sr es sv ta tr yi"
    unreached = connection.execute(
        "SELECT cfgname FROM pg_ts_config WHERE cfgname <> 'simple' AND cfgname::text <> ALL ("
        "ARRAY(SELECT rankgres.language_config_v1(code) FROM unnest(%s::text []) AS code))",
        [codes.split()],
    ).fetchall()
    # A newer server may know more; name its codes in language_config.
    assert unreached == []


def test_each_document_is_analysed_in_its_language(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    write(
        connection,
        generation,
        ("english", "running the houses", "en"),
        ("german", "die Häuser laufen", "de"),
        ("chinese", "中文分词", "zh"),
        ("unknown", "the houses", None),
    )
    assert lexemes(connection, generation, "english") == ["hous", "run"]
    assert lexemes(connection, generation, "german") == ["haus", "lauf"]
    assert lexemes(connection, generation, "chinese") == ["中文", "分词", "文分"]
    assert lexemes(connection, generation, "unknown") == ["houses", "the"]


def test_headings_are_analysed_in_the_language_too(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    given = replace(chunk("a", "x", heading="Die Häuser"), language="de")
    replace_chunks(connection, generation, [given])
    assert lexemes(connection, generation, "a") == ["haus", "x"]


def test_a_query_is_analysed_in_every_language_that_was_written(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    assert configs(connection, generation) == ["simple"]
    write(connection, generation, ("a", "houses", "en"), ("b", "Häuser", "de"), ("c", "x", None))
    assert configs(connection, generation) == ["english", "german", "simple"]
    write(connection, generation, ("d", "more houses", "en"))
    assert configs(connection, generation) == ["english", "german", "simple"]

    assert matching(connection, generation, "house") == ["a", "d"]
    assert matching(connection, generation, "Häusern") == ["b"]
    assert matching(connection, generation, "Häusern", "de") == ["b"]
    assert matching(connection, generation, "Häusern", "en") == []


def test_a_language_given_with_the_query_is_the_only_one(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    write(connection, generation, ("a", "houses", "en"))
    assert configs(connection, generation, "de-AT") == ["german"]
    assert configs(connection, generation, "zh") == ["simple"]
    with pytest.raises(InvalidInputError) as raised, translated():
        configs(connection, generation, "klingon")
    assert raised.value.field == "language"
    assert (raised.value.mend or "").startswith("use a code such as de")


def test_a_generation_with_a_configuration_has_that_one_alone(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="german")
    write(connection, generation, ("a", "Häuser", None))
    assert lexemes(connection, generation, "a") == ["haus"]
    assert configs(connection, generation) == ["german"]
    assert configs(connection, generation, "en") == ["german"]
    assert value(connection, "SELECT count(*) FROM rankgres.generation_language") == 0


def test_a_chunk_may_have_another_configuration_than_its_generation(
    connection: Connection,
) -> None:
    generation = make_collection(connection, text_search_config="german")
    write(connection, generation, ("a", "Häuser", None), ("b", "the houses", "en"))
    assert lexemes(connection, generation, "b") == ["hous"]
    assert configs(connection, generation) == ["german", "english"]
    assert matching(connection, generation, "house") == ["b"]


def test_accents_come_off_documents_and_queries(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="unaccent+auto")
    write(connection, generation, ("a", "la administración", "es"), ("b", "Größe", "de"))
    assert configs(connection, generation) == ["unaccent+german", "unaccent+spanish"]
    assert configs(connection, generation, "fr") == ["unaccent+french"]
    assert matching(connection, generation, "administracion") == ["a"]
    assert matching(connection, generation, "grosse") == ["b"]

    generation = make_collection(connection, "menu", text_search_config="unaccent+french")
    write(connection, generation, ("a", "Crème brûlée", None))
    assert configs(connection, generation) == ["unaccent+french"]
    assert matching(connection, generation, "creme") == ["a"]


def test_two_workers_that_bring_the_same_language_do_not_wait_for_each_other(
    database_url: str,
) -> None:
    with connect(database_url) as first, connect(database_url) as second:
        generation = make_collection(first, text_search_config="auto")
        first.commit()
        second.execute("SET lock_timeout = '1s'")
        write(first, generation, ("a", "houses", "en"))
        write(second, generation, ("b", "houses", "en"))
        second.commit()
        first.commit()
        assert configs(first, generation) == ["english"]
        assert matching(first, generation, "house") == ["a", "b"]


@pytest.mark.parametrize(
    "config", ["auto", "unaccent+auto", "unaccent+german", "pg_catalog.german"]
)
def test_a_plan_may_name_them(connection: Connection, config: str) -> None:
    create_collection(connection, CollectionPlan("papers", text_search_config=config))
    generation = find_generation(connection, generation_of(connection, "papers"))
    assert generation is not None
    assert generation.text_search_config == config
    assert generation.detects_languages is config.endswith("auto")


@pytest.mark.parametrize("config", ["unaccent", "unaccent+", "unaccent+klingon", "auto+german"])
def test_a_plan_with_another_is_refused(connection: Connection, config: str) -> None:
    with pytest.raises(InvalidInputError) as raised, translated():
        create_collection(connection, CollectionPlan("papers", text_search_config=config))
    assert raised.value.field == "text_search_config"
    assert "auto" in (raised.value.mend or "")
    assert "unaccent+" in (raised.value.mend or "")


def test_what_was_noted_goes_with_the_collection(connection: Connection) -> None:
    generation = make_collection(connection, text_search_config="auto")
    write(connection, generation, ("a", "houses", "en"))
    assert value(connection, "SELECT count(*) FROM rankgres.generation_language") == 1
    connection.execute("SELECT rankgres.collection_drop_v2('papers')")
    assert value(connection, "SELECT count(*) FROM rankgres.generation_language") == 0
