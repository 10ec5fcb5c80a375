"""Every error is a problem document (RFC 9457) that names the field, the value and the mend."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

SEARCH = "/collections/library/search"
DOCUMENTS = "/collections/library/documents"
DEEP = 5000


@dataclass(frozen=True)
class Wrong:
    """A request that cannot be served: what is sent, and what the problem must say."""

    path: str
    body: object
    field: str
    value: object = None
    says: str = ""
    status: int = 422
    method: str = "POST"


def document(**members: Any) -> dict[str, Any]:
    return {"documents": [{"id": "a", "text": "b", **members}]}


def nested(levels: int) -> str:
    return '{"not":' * levels + "{}" + "}" * levels


SEARCHES = {
    "unknown collection": Wrong(
        "/collections/nope/search", {"query": "a"}, "collection", "nope", "no collection", 404
    ),
    "NUL in the collection": Wrong(
        "/collections/a%00b/search", {"query": "a"}, "collection", "a\0b", "NUL"
    ),
    "empty query": Wrong(SEARCH, {"query": ""}, "query", "", "no word"),
    "blank query": Wrong(SEARCH, {"query": " \n"}, "query", " \n", "no word"),
    "no query": Wrong(SEARCH, {}, "query", says="required"),
    "NUL in the query": Wrong(SEARCH, {"query": "a\0b"}, "query", "a\0b", "NUL"),
    "half a surrogate pair in the query": Wrong(
        SEARCH, {"query": "a\ud800"}, "query", "a\ud800", "surrogate"
    ),
    "query too long": Wrong(SEARCH, {"query": "a" * 65_537}, "query", "a" * 200, "65536"),
    "query of another type": Wrong(SEARCH, {"query": 5}, "query", 5, "string"),
    "k of 0": Wrong(SEARCH, {"query": "a", "k": 0}, "k", 0, "1"),
    "k above 1000": Wrong(SEARCH, {"query": "a", "k": 1001}, "k", 1001, "1000"),
    "unknown mode": Wrong(SEARCH, {"query": "a", "mode": "fuzzy"}, "mode", "fuzzy", "hybrid"),
    "a field too many": Wrong(SEARCH, {"query": "a", "top": 3}, "top", 3, "not permitted"),
    "a field too many below": Wrong(
        SEARCH, {"query": "a", "rerank": {"deep": 3}}, "rerank.deep", 3, "not permitted"
    ),
    "a depth below k": Wrong(
        SEARCH, {"query": "a", "rerank": {"depth": 3}}, "rerank.depth", 3, "unscored"
    ),
    "budget of 0": Wrong(
        SEARCH, {"query": "a", "rerank": {"budget_ms": 0}}, "rerank.budget_ms", 0, "1"
    ),
    "weight that is no number": Wrong(
        SEARCH, {"query": "a", "lexical_weight": float("nan")}, "lexical_weight", "nan", "finite"
    ),
    "weight above 1": Wrong(
        SEARCH, {"query": "a", "lexical_weight": 1.5}, "lexical_weight", 1.5, "1"
    ),
    "filter of another type": Wrong(
        SEARCH, {"query": "a", "filter": ["b"]}, "filter", "a list", "dictionary"
    ),
    "unknown operator in the filter": Wrong(
        SEARCH, {"query": "a", "filter": {"year": {"over": 3}}}, "filter", says='operator "over"'
    ),
    "list in the filter": Wrong(
        SEARCH, {"query": "a", "filter": {"year": [3]}}, "filter", says="cannot equal a list"
    ),
    "NUL in the filter": Wrong(
        SEARCH, {"query": "a", "filter": {"year": {"in": ["\0"]}}}, "filter.year.in[0]", says="NUL"
    ),
    "NUL in a field of the filter": Wrong(
        SEARCH, {"query": "a", "filter": {"\0": 1}}, "filter.field name", says="NUL"
    ),
    "surrogate in the filter": Wrong(
        SEARCH, {"query": "a", "filter": {"year": "\udfff"}}, "filter.year", says="surrogate"
    ),
    "infinity in the filter": Wrong(
        SEARCH, {"query": "a", "filter": {"year": float("inf")}}, "filter.year", says="no JSON"
    ),
    "body that ends early": Wrong(SEARCH, b'{"query": "a"', "body", says="at character 13"),
    "body that is a list": Wrong(SEARCH, [], "body", "a list", "dictionary"),
    "no body": Wrong(SEARCH, b"", "body", says="required"),
    "body that is not UTF-8": Wrong(SEARCH, b'{"query": "\xff"}', "body", says="UTF-8", status=400),
    "body that nests too deep": Wrong(
        SEARCH,
        f'{{"query": "a", "filter": {nested(DEEP)}}}'.encode(),
        "body",
        says="deep",
        status=400,
    ),
}
COLLECTIONS = {
    "bad name": Wrong("/collections", {"name": "No Blanks"}, "name", "No Blanks", "cannot name"),
    "half a surrogate pair in a name": Wrong(
        "/collections", {"name": "\ud800"}, "name", "\ud800", "surrogate"
    ),
    "name that is taken": Wrong("/collections", {"name": "library"}, "name", status=409),
    "unknown model": Wrong(
        "/collections", {"name": "a", "embedding_model": "b"}, "embedding_model", "b", "card"
    ),
    "more tokens than the model reads": Wrong(
        "/collections", {"name": "a", "chunk_tokens": 999}, "chunk_tokens", 999, "more than"
    ),
    "overlap of more than half": Wrong(
        "/collections", {"name": "a", "chunk_tokens": 64, "overlap_tokens": 60}, "overlap_tokens"
    ),
    "unknown text-search configuration": Wrong(
        "/collections", {"name": "a", "text_search_config": "klingon"}, "text_search_config"
    ),
    "infinite k1": Wrong(
        "/collections", {"name": "a", "bm25_k1": float("inf")}, "bm25_k1", "inf", "finite"
    ),
    "show of none": Wrong(
        "/collections/nope", None, "collection", "nope", status=404, method="GET"
    ),
    "drop of none": Wrong(
        "/collections/nope", None, "collection", "nope", status=404, method="DELETE"
    ),
}
WRITES = {
    "unknown collection to write to": Wrong(
        "/collections/nope/documents", document(), "collection", "nope", status=404
    ),
    "no documents": Wrong(DOCUMENTS, {"documents": []}, "documents", "a list", "at least 1"),
    "empty id": Wrong(DOCUMENTS, document(id=""), "documents.0.id", "", "at least 1"),
    "blank id": Wrong(DOCUMENTS, document(id=" "), "id", "' '", "empty"),
    "id too long": Wrong(DOCUMENTS, document(id="\u00e9" * 513), "id", says="1,024 bytes"),
    "NUL in the text": Wrong(DOCUMENTS, document(text="a\0b"), "text", "'a'", "NUL"),
    "NUL in the title": Wrong(DOCUMENTS, document(title="a\0b"), "title", "'a'", "NUL"),
    "NUL in the id": Wrong(DOCUMENTS, document(id="a\0b"), "id", says="NUL"),
    "half a surrogate pair in the text": Wrong(
        DOCUMENTS, document(text="\ud800"), "text", "'a'", "surrogate"
    ),
    "NUL in metadata": Wrong(
        DOCUMENTS, document(metadata={"b": [{"c": "\0"}]}), "metadata.b[0].c", "'a'", "NUL"
    ),
    "surrogate in metadata": Wrong(
        DOCUMENTS, document(metadata={"b": "\ud800"}), "metadata.b", "'a'", "surrogate"
    ),
    "NaN in metadata": Wrong(
        DOCUMENTS, document(metadata={"b": float("nan")}), "metadata.b", "'a'", "no JSON number"
    ),
    "metadata that is a list": Wrong(
        DOCUMENTS, document(metadata=[1]), "documents.0.metadata", "a list", "dictionary"
    ),
    "a field too many in a document": Wrong(
        DOCUMENTS, document(body="c"), "documents.0.body", "c", "not permitted"
    ),
    "no time to wait": Wrong(
        DOCUMENTS, document() | {"wait_seconds": 0}, "wait_seconds", 0, "greater"
    ),
    "NUL in an id to delete": Wrong(f"{DOCUMENTS}/delete", {"ids": ["\0"]}, "ids.0", "\0", "NUL"),
    "get of none": Wrong(f"{DOCUMENTS}/nope", None, "id", "nope", status=404, method="GET"),
    "get of an id with NUL": Wrong(
        f"{DOCUMENTS}/a%00b", None, "document_id", "a\0b", "NUL", method="GET"
    ),
    "delete of none": Wrong(f"{DOCUMENTS}/nope", None, "id", "nope", status=404, method="DELETE"),
}
CASES = SEARCHES | COLLECTIONS | WRITES
TITLES = {400: "The body cannot be read.", 404: "What the caller named does not exist."}


def held(http: httpx.Client, collection: str) -> dict[str, Any]:
    """Return what the service says of a collection, but for the rate, which falls with time."""
    view: dict[str, Any] = http.get(f"/collections/{collection}").json()
    del view["rate"]
    return view


@pytest.fixture
def unharmed(http: httpx.Client, library: str) -> Iterator[None]:
    """The library, and the proof that what a test sent left it as it was."""
    before = held(http, library)
    yield
    assert held(http, library) == before
    assert "a" not in {found["collection"] for found in http.get("/collections").json()}


@pytest.mark.parametrize("wrong", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("unharmed")
def test_what_cannot_be_served_is_a_problem_that_names_its_mend(
    http: httpx.Client, wrong: Wrong
) -> None:
    content = wrong.body if isinstance(wrong.body, bytes) else json.dumps(wrong.body).encode()
    answer = http.request(
        wrong.method,
        wrong.path,
        content=None if wrong.body is None else content,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == wrong.status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == wrong.status
    assert problem["title"] == TITLES.get(wrong.status, problem["title"])
    assert problem["type"].startswith("/problems/")
    assert problem["field"] == wrong.field
    assert wrong.says in problem["detail"]
    if wrong.value is not None:
        assert problem["value"] == wrong.value
    assert problem["mend"]


@pytest.mark.usefixtures("library")
def test_the_hint_of_the_sql_function_is_the_mend(http: httpx.Client) -> None:
    body = {"query": "a", "filter": {"year": {"over": 3}}}
    problem = http.post(SEARCH, json=body).json()
    assert problem["detail"] == 'filter field "year": unknown operator "over"'
    assert "eq|ne|gt|gte|lt|lte" in problem["mend"]


@pytest.mark.usefixtures("library")
def test_every_wrong_field_is_listed(http: httpx.Client) -> None:
    problem = http.post(SEARCH, json={"query": "", "k": 0, "mode": "x"}).json()
    assert [error["field"] for error in problem["errors"]] == ["query", "mode", "k"]
    assert all(error["mend"] for error in problem["errors"])


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nope", 404), ("PUT", "/collections", 405)]
)
def test_addresses_and_methods_that_are_not_there_are_problems_too(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["mend"]
