"""Further pages of a search, by the cursor of its answer."""

from typing import Any

import httpx
import pytest

from service.db.connection import connect
from tests.support.stack import RealStack

AMPLE = {"candidates": 50, "budget_ms": 30_000}
QUERY = "how does ice move slowly downhill"


def ask(http: httpx.Client, collection: str, **body: Any) -> httpx.Response:
    return http.post(f"/collections/{collection}/search", json={"rerank": False, **body})


def answered(http: httpx.Client, collection: str, **body: Any) -> Any:
    answer = ask(http, collection, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(results: list[Any]) -> list[Any]:
    """Return the results without the snippets that a budget in milliseconds decides."""
    for result in results:
        for passage in result["passages"]:
            if passage["snippet_source"] != "words":
                del passage["snippet"], passage["snippet_source"]
    return results


def ids(answer: Any) -> list[str]:
    return [result["id"] for result in answer["results"]]


@pytest.mark.parametrize("size", [1, 2, 4, 100])
@pytest.mark.parametrize("rerank", [False, AMPLE], ids=["fused", "reranked"])
def test_pages_are_disjoint_and_complete(
    http: httpx.Client, library: str, size: int, rerank: Any
) -> None:
    whole = answered(http, library, query=QUERY, k=100, rerank=rerank)
    assert whole["next_cursor"] is None
    page = answered(http, library, query=QUERY, k=size, rerank=rerank, page=True)
    seen = told(page["results"])
    while page["next_cursor"] is not None:
        page = answered(http, library, cursor=page["next_cursor"], k=size)
        assert (page["gone"], page["complete"], page["corrections"]) == (0, True, {})
        seen = seen + told(page["results"])
    assert seen == told(whole["results"])


def test_a_document_deleted_meanwhile_is_counted_and_left_out(
    http: httpx.Client, collection: str
) -> None:
    address = f"/collections/{collection}/documents"
    documents = [{"id": name, "text": f"The {name} of the bell."} for name in ("a", "b", "c", "d")]
    http.post(address, json={"documents": documents, "wait": True})
    first = answered(http, collection, query="bell", k=1, page=True)
    second = answered(http, collection, cursor=first["next_cursor"], k=1)
    gone = ids(second)
    deleted = http.post(f"{address}/delete", json={"ids": gone, "wait": True})
    assert deleted.status_code == 200, deleted.text
    rest = answered(http, collection, cursor=first["next_cursor"], k=100)
    assert rest["gone"] == 1
    assert {*ids(first), *gone, *ids(rest)} == {"a", "b", "c", "d"}
    assert [result["rank"] for result in rest["results"]] == [3, 4]


def test_a_cursor_whose_list_is_not_kept_is_gone(
    http: httpx.Client, stack: RealStack, library: str
) -> None:
    cursor = answered(http, library, query=QUERY, k=1, page=True)["next_cursor"]
    with connect(stack.record.database_url) as connection:
        connection.execute("UPDATE rankgres.search_snapshot SET expires_at = clock_timestamp()")
    problem = ask(http, library, cursor=cursor)
    assert problem.status_code == 410
    assert problem.json()["type"] == "/problems/cursor-expired"
    assert "search again" in problem.json()["mend"]


def test_a_cursor_is_of_one_collection_and_unchanged(
    http: httpx.Client, library: str, collection: str
) -> None:
    cursor = answered(http, library, query=QUERY, k=1, page=True)["next_cursor"]
    assert ask(http, collection, cursor=cursor).status_code == 410
    problem = ask(http, library, cursor=cursor[1:])
    assert (problem.status_code, problem.json()["field"]) == (422, "cursor")
