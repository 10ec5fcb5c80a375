from typing import Any

import httpx
import pytest


def names(http: httpx.Client) -> list[str]:
    return [found["collection"] for found in http.get("/collections").json()]


def test_a_collection_is_made_listed_shown_and_dropped(http: httpx.Client) -> None:
    made = http.post("/collections", json={"name": "shelf"})
    assert made.status_code == 201
    view = made.json()
    assert view == view | {
        "collection": "shelf",
        "embedding_model": "sentence-transformers/all-MiniLM-L6-v2",
        "hnsw_state": "absent",
        "documents": 0,
        "chunks": 0,
        "pending": 0,
        "leased": 0,
        "dead": 0,
        "oldest_seconds": None,
    }
    assert http.get("/collections/shelf").json() == view
    assert "shelf" in names(http)

    assert http.delete("/collections/shelf").status_code == 204
    assert "shelf" not in names(http)
    assert http.get("/collections/shelf").status_code == 404
    assert http.delete("/collections/shelf").status_code == 404


def test_collections_are_listed_by_name(http: httpx.Client) -> None:
    for name in ("z-last", "a-first"):
        http.post("/collections", json={"name": name})
    listed = names(http)
    assert listed == sorted(listed)
    assert {"a-first", "z-last"} <= set(listed)
    for name in ("z-last", "a-first"):
        http.delete(f"/collections/{name}")


def test_a_dropped_name_can_be_used_again_and_is_empty(http: httpx.Client, collection: str) -> None:
    documents = [{"id": "a", "text": "some words"}]
    http.post(f"/collections/{collection}/documents", json={"documents": documents, "wait": True})
    assert http.get(f"/collections/{collection}").json()["chunks"] == 1
    http.delete(f"/collections/{collection}")
    http.post("/collections", json={"name": collection})
    assert http.get(f"/collections/{collection}").json()["documents"] == 0
    found = http.post(f"/collections/{collection}/search", json={"query": "words"})
    assert found.json()["results"] == []


@pytest.mark.parametrize(
    "options",
    [
        {"storage_type": "vector"},
        {"storage_type": "bit"},
        {"distance": "l2"},
        {"distance": "inner_product"},
        {"text_search_config": "german"},
        {"chunk_tokens": 16, "overlap_tokens": 0},
        {"bm25_k1": 0, "bm25_b": 0},
    ],
    ids=str,
)
def test_a_collection_of_any_kind_can_be_filled_and_searched(
    http: httpx.Client, collection: str, options: dict[str, Any]
) -> None:
    http.delete(f"/collections/{collection}")
    assert http.post("/collections", json={"name": collection, **options}).status_code == 201
    documents = [
        {"id": "a", "text": "Der Hund schläft unter dem Tisch."},
        {"id": "b", "text": "A ship sails before the wind."},
    ]
    put = http.post(
        f"/collections/{collection}/documents", json={"documents": documents, "wait": True}
    )
    assert put.json()["waiting"] == 0
    answer = http.post(
        f"/collections/{collection}/search", json={"query": "ship", "rerank": False}
    ).json()
    assert [result["id"] for result in answer["results"]] == ["b", "a"]
    assert answer["degraded"] == []
