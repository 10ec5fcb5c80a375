from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest

from tests.support.stack import RealStack


def put(http: httpx.Client, collection: str, *documents: dict[str, Any]) -> Any:
    answer = http.post(
        f"/collections/{collection}/documents", json={"documents": documents, "wait": True}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def found(http: httpx.Client, collection: str, query: str) -> list[str]:
    answer = http.post(
        f"/collections/{collection}/search", json={"query": query, "mode": "lexical"}
    )
    return [result["id"] for result in answer.json()["results"]]


def test_what_is_waited_for_can_be_searched(http: httpx.Client, collection: str) -> None:
    answer = put(http, collection, {"id": "a", "text": "walrus"}, {"id": "b", "text": "penguin"})
    assert answer == {"received": 2, "changed": 2, "waiting": 0, "failed": []}
    assert found(http, collection, "walrus") == ["a"]


def test_without_waiting_the_answer_says_nothing_of_searching(
    http: httpx.Client, collection: str
) -> None:
    body = {"documents": [{"id": "a", "text": "walrus"}]}
    answer = http.post(f"/collections/{collection}/documents", json=body)
    assert answer.json() == {"received": 1, "changed": 1, "waiting": None, "failed": None}


def test_an_unchanged_document_is_not_embedded_again(
    http: httpx.Client, collection: str, stack: RealStack
) -> None:
    document = {"id": "a", "title": "T", "text": "walrus", "metadata": {"a": 1, "b": [2]}}
    put(http, collection, document)

    def written() -> Any:
        with psycopg.connect(stack.record.database_url) as connection:
            return connection.execute(
                "SELECT chunk.xmin::text, chunk.ctid::text FROM rankgres.chunk "
                "JOIN rankgres.collection_status USING (generation_id) WHERE collection = %s",
                [collection],
            ).fetchall()

    before = written()
    assert len(before) == 1
    reordered = {"metadata": {"b": [2], "a": 1.0}, "text": "walrus", "title": "T", "id": "a"}
    answer = put(http, collection, reordered)
    assert answer == {"received": 1, "changed": 0, "waiting": 0, "failed": []}
    assert written() == before


def test_an_update_takes_the_place_of_what_was_there(http: httpx.Client, collection: str) -> None:
    put(http, collection, {"id": "a", "text": "walrus"})
    assert put(http, collection, {"id": "a", "text": "penguin"})["changed"] == 1
    assert found(http, collection, "walrus") == []
    assert found(http, collection, "penguin") == ["a"]


def test_changed_metadata_alone_reaches_the_index(http: httpx.Client, collection: str) -> None:
    put(http, collection, {"id": "a", "text": "walrus", "metadata": {"sea": "north"}})
    put(http, collection, {"id": "a", "text": "walrus", "metadata": {"sea": "south"}})
    for sea, expected in (("north", []), ("south", ["a"])):
        body = {"query": "walrus", "mode": "lexical", "filter": {"sea": sea}}
        answer = http.post(f"/collections/{collection}/search", json=body).json()
        assert [result["id"] for result in answer["results"]] == expected


def test_of_an_id_given_twice_the_last_wins(http: httpx.Client, collection: str) -> None:
    answer = put(http, collection, {"id": "a", "text": "walrus"}, {"id": "a", "text": "penguin"})
    assert (answer["received"], answer["changed"]) == (2, 1)
    assert http.get(f"/collections/{collection}/documents/a").json()["text"] == "penguin"


def test_a_document_comes_back_as_it_was_given(http: httpx.Client, collection: str) -> None:
    document = {
        "id": "a",
        "title": "Ein Titel",
        "text": "  Zeilen\r\n\tund Zeichen: \u00e9 e\u0301 \U0001f600 \u2028 \ufeff \x1b ",
        "metadata": {"deep": {"list": [1, 2.5, None, True, "x"]}, "\u00fc": "\u00df"},
    }
    put(http, collection, document)
    assert http.get(f"/collections/{collection}/documents/a").json() == document


@pytest.mark.parametrize(
    "document_id", ["a/b", "..", "a b?c#d%e", "\u00e9\U0001f600", "delete", "\\"]
)
def test_any_id_can_be_written_read_and_deleted(
    http: httpx.Client, collection: str, document_id: str
) -> None:
    put(http, collection, {"id": document_id, "text": "walrus"})
    address = (
        f"/collections/{collection}/documents/{quote(document_id, safe='').replace('.', '%2E')}"
    )
    assert http.get(address).json()["id"] == document_id
    assert http.delete(address).status_code == 204
    assert http.get(address).status_code == 404


def test_a_deleted_document_leaves_searches(http: httpx.Client, collection: str) -> None:
    documents = [{"id": name, "text": f"walrus {name}"} for name in "abc"]
    put(http, collection, *documents)
    assert http.delete(f"/collections/{collection}/documents/a").status_code == 204
    assert http.delete(f"/collections/{collection}/documents/a").status_code == 404
    body = {"ids": ["a", "b", "missing"], "wait": True}
    answer = http.post(f"/collections/{collection}/documents/delete", json=body)
    assert answer.json() == {"deleted": 1, "waiting": 0, "failed": []}
    assert found(http, collection, "walrus") == ["c"]
    view = http.get(f"/collections/{collection}").json()
    assert (view["documents"], view["chunks"]) == (1, 1)


def test_a_title_alone_can_be_found_and_an_empty_document_harms_nothing(
    http: httpx.Client, collection: str
) -> None:
    answer = put(
        http,
        collection,
        {"id": "title", "title": "Walrus", "text": ""},
        {"id": "none", "text": " "},
    )
    assert answer["waiting"] == 0
    assert found(http, collection, "walrus") == ["title"]


def test_a_batch_with_one_bad_document_writes_nothing(http: httpx.Client, collection: str) -> None:
    documents = [{"id": "good", "text": "walrus"}, {"id": "bad", "text": "a\x00b"}]
    answer = http.post(f"/collections/{collection}/documents", json={"documents": documents})
    assert answer.status_code == 422
    assert http.get(f"/collections/{collection}/documents/good").status_code == 404


def test_waiting_ends_when_its_time_is_over(
    http: httpx.Client, collection: str, stack: RealStack
) -> None:
    with stack.paused("worker-embed"):
        body = {"documents": [{"id": "a", "text": "walrus"}], "wait": True, "wait_seconds": 0.2}
        answer = http.post(f"/collections/{collection}/documents", json=body)
        assert answer.json() == {"received": 1, "changed": 1, "waiting": 1, "failed": []}
