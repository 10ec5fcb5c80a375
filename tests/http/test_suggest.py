from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("library")

SUGGEST = "/collections/library/suggest"


def suggest(http: httpx.Client, prefix: str, **parameters: Any) -> Any:
    answer = http.get(SUGGEST, params={"prefix": prefix, **parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()["suggestions"]


def test_titles_and_words_complete_what_was_typed(http: httpx.Client) -> None:
    chunks = http.get("/collections/library").json()["chunks"]
    first, second, *_ = suggest(http, "ki")
    assert first["suggestion"] == "Kiln manual"
    assert first["kind"] == "heading"
    assert 1 < first["chunk_count"] < chunks
    assert second == {
        "suggestion": "kiln",
        "kind": "lexeme",
        "chunk_count": first["chunk_count"],
    }


def test_the_last_word_alone_is_completed_to_a_lexeme(http: httpx.Client) -> None:
    words = [way["suggestion"] for way in suggest(http, "cooling the gla")]
    assert "cooling the glaze" in words


def test_no_more_than_asked_for_are_returned(http: httpx.Client) -> None:
    assert len(suggest(http, "s", suggestions=2)) == 2
    assert suggest(http, "s", suggestions=2) == suggest(http, "s")[:2]


def test_nothing_that_begins_so_is_an_empty_list(http: httpx.Client) -> None:
    assert suggest(http, "xyzzy") == []
    assert suggest(http, " ") == []


@pytest.mark.parametrize(
    ("path", "parameters", "status", "field"),
    [
        (SUGGEST, {}, 422, "prefix"),
        (SUGGEST, {"prefix": ""}, 422, "prefix"),
        (SUGGEST, {"prefix": "a" * 1025}, 422, "prefix"),
        (SUGGEST, {"prefix": "a\0b"}, 422, "prefix"),
        (SUGGEST, {"prefix": "a", "suggestions": 0}, 422, "suggestions"),
        (SUGGEST, {"prefix": "a", "suggestions": 101}, 422, "suggestions"),
        (SUGGEST, {"prefix": "a", "suggestions": "many"}, 422, "suggestions"),
        ("/collections/nope/suggest", {"prefix": "a"}, 404, "collection"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_that_names_its_mend(
    http: httpx.Client, path: str, parameters: dict[str, Any], status: int, field: str
) -> None:
    answer = http.get(path, params=parameters)
    assert answer.status_code == status
    problem = answer.json()
    assert problem["field"] == field
    assert problem["mend"]
