"""``rankgres recall`` against a running stack."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.db.connection import Connection, connect
from tests.cli.conftest import Run, shown
from tests.support.stack import RealStack


@pytest.fixture
def database(stack: RealStack) -> Iterator[Connection]:
    """A connection that commits at once."""
    with connect(stack.record.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def filled(http: httpx.Client, collection: str) -> str:
    """A collection of thirty documents: too few for an index."""
    documents = [{"id": f"n{number}", "text": f"Note {number} on tides."} for number in range(30)]
    body = {"documents": documents, "wait": True}
    assert http.post(f"/collections/{collection}/documents", json=body).json()["waiting"] == 0
    return collection


def test_recall_is_measured_by_chunks_of_the_collection(run: Run, filled: str) -> None:
    measured = run("recall", filled, "--sample", "10", "--k", "5")
    assert measured.returncode == 0, measured.stderr
    first, second, third = measured.stdout.splitlines()
    assert first == f"recall@5 of {filled}: 1.000 on average, 1.00 at worst"
    assert second.startswith("10 queries against all 30 chunks; searched by exact 10; median ")
    assert third == "there is no HNSW index yet, so every search is exact: nothing is stored"


def test_recall_is_measured_by_real_queries(run: Run, filled: str, tmp_path: Path) -> None:
    lines = [json.dumps({"_id": f"{number}", "text": f"tides {number}"}) for number in range(3)]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines))
    measured = run("recall", filled, "--queries", "queries.jsonl", "--json")
    assert measured.returncode == 0, measured.stderr
    report = json.loads(measured.stdout)
    assert (report["queries"], report["recall"], report["mend"]) == (3, 1, [])


def test_a_recall_under_the_target_is_shown_with_a_warning(
    run: Run, http: httpx.Client, database: Connection, filled: str
) -> None:
    generation = shown(http, filled)["generation_id"]
    assert shown(http, filled)["recall"] is None
    database.execute(
        "UPDATE rankgres.generation SET recall = 0.9, recall_k = 100 WHERE id = %s", [generation]
    )
    assert (shown(http, filled)["recall"], shown(http, filled)["recall_k"]) == (0.9, 100)
    printed = run("collection", "show", filled).stdout
    warning = f"warning: recall@100 of {filled} is 0.900, under 0.95"
    assert f"{warning}: 'rankgres recall {filled}' says what mends it" in printed
    assert warning in run("collection", "list").stdout


def test_a_collection_that_cannot_be_measured_is_named(run: Run, collection: str) -> None:
    empty = run("recall", collection)
    assert empty.returncode == 2
    assert empty.stderr.startswith(f"error: {collection} holds no chunk to measure with\n mend: ")
    assert "there is no collection 'nope'" in run("recall", "nope").stderr
