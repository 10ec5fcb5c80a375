"""Quotes that nobody meant as a demand do not leave a search without an answer."""

import pytest

from service.db.connection import Connection
from tests.support.collections import (
    chunk,
    explained,
    found,
    make_collection,
    replace_chunks,
    search,
)


@pytest.fixture
def papers(connection: Connection) -> Connection:
    generation = make_collection(connection)
    replace_chunks(
        connection,
        generation,
        [chunk("keys", "rotate the access keys"), chunk("doors", "keys of the old doors")],
    )
    return connection


def test_a_phrase_that_stands_somewhere_is_demanded(papers: Connection) -> None:
    assert found(search(papers, '"access keys" doors')) == ["keys"]
    assert explained(papers)["relaxed"] is False


def test_a_phrase_that_stands_nowhere_is_answered_by_its_words(papers: Connection) -> None:
    assert set(found(search(papers, '"keys access"'))) == {"keys", "doors"}
    assert explained(papers)["relaxed"] is True


def test_the_words_of_a_relaxed_phrase_are_searched_under_the_same_exclusions(
    papers: Connection,
) -> None:
    assert found(search(papers, '"keys access" -doors')) == ["keys"]


def test_an_excluded_phrase_is_never_relaxed(papers: Connection) -> None:
    for query in (
        'keys -"access keys" -"old doors"',
        'keys -text:"access keys" -"old doors"',
        '"keys access" -"access keys" -“old doors”',
    ):
        assert search(papers, query) == [], query
    search(papers, 'keys -"access keys" -"old doors"')
    assert explained(papers)["relaxed"] is False


def test_without_quotes_nothing_is_relaxed(papers: Connection) -> None:
    assert search(papers, "heading:keys") == []
    assert explained(papers)["relaxed"] is False


def test_quotes_in_a_long_sentence_ask_for_nothing(papers: Connection) -> None:
    sentence = 'how would one of us ever open "old keys" if not by rotate'
    assert set(found(search(papers, sentence))) == {"keys", "doors"}
    assert explained(papers)["relaxed"] is False


def test_quotes_in_a_long_sentence_with_an_operator_are_a_demand(papers: Connection) -> None:
    sentence = 'how would one of us ever open "access keys" if not by rotate -doors'
    assert found(search(papers, sentence)) == ["keys"]
