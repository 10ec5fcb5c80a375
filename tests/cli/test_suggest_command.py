import json
from collections.abc import Iterator

import httpx
import pytest

from tests.cli.conftest import Run

DOCUMENTS = [
    {"id": "moss", "title": "Mosses [green]", "text": "Moss grows on stones and stony walls."},
    {"id": "stone", "title": "Stones & rocks", "text": "A stone rolls where no moss grows."},
]


@pytest.fixture(scope="module")
def filled(http: httpx.Client) -> Iterator[str]:
    """A collection of two documents."""
    http.post("/collections", json={"name": "garden"})
    body = {"documents": DOCUMENTS, "wait": True}
    assert http.post("/collections/garden/documents", json=body).json()["waiting"] == 0
    yield "garden"
    http.delete("/collections/garden")


def test_completions_are_shown_with_their_kind_and_chunks(run: Run, filled: str) -> None:
    shown = run("suggest", filled, "Sto")
    assert shown.returncode == 0, shown.stderr
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["Stones", "&", "rocks", "heading", "1"],
        ["stone", "lexeme", "2"],
        ["stoni", "lexeme", "1"],
    ]
    assert shown.stderr == ""


def test_words_that_look_like_markup_are_shown_as_they_are(run: Run, filled: str) -> None:
    assert "Mosses [green]" in run("suggest", filled, "mosses").stdout


def test_json_is_the_answer_of_the_service(run: Run, filled: str, http: httpx.Client) -> None:
    shown = run("suggest", filled, "sto & m", "--json", "-n", "1")
    answer = http.get(
        f"/collections/{filled}/suggest", params={"prefix": "sto & m", "suggestions": 1}
    )
    assert json.loads(shown.stdout) == answer.json()
    assert answer.json()["suggestions"] == [
        {"suggestion": "sto & moss", "kind": "lexeme", "chunk_count": 2}
    ]


def test_nothing_that_begins_so_says_so(run: Run, filled: str) -> None:
    shown = run("suggest", filled, "xylophone")
    assert shown.returncode == 0
    assert shown.stdout == "nothing begins so\n"


def test_an_unknown_collection_is_an_error_with_its_mend(run: Run) -> None:
    shown = run("suggest", "nope", "a")
    assert shown.returncode == 2
    assert "there is no collection 'nope'" in shown.stderr
    assert "mend:" in shown.stderr
