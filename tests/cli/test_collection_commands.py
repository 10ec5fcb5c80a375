import json

import pytest

from tests.cli.conftest import Run


def test_a_collection_is_created_listed_shown_and_dropped(run: Run) -> None:
    created = run("collection", "create", "cli-life", "--chunk-tokens", "64")
    assert created.returncode == 0
    assert (
        created.stdout == "created cli-life, embedded by sentence-transformers/all-MiniLM-L6-v2\n"
    )
    listed = json.loads(run("collection", "list", "--json").stdout)
    assert "cli-life" in [status["collection"] for status in listed]
    assert "cli-life" in run("collection", "list").stdout
    shown = json.loads(run("collection", "show", "cli-life", "--json").stdout)
    assert (shown["documents"], shown["dead"]) == (0, 0)
    assert "cli-life" in run("collection", "show", "cli-life").stdout
    dropped = run("collection", "drop", "cli-life", "--yes")
    assert (dropped.returncode, dropped.stdout) == (0, "dropped cli-life\n")
    assert run("collection", "show", "cli-life").returncode == 2


def test_dropping_asks_where_a_terminal_is_and_wants_a_yes_where_none_is(
    run: Run, collection: str
) -> None:
    refused = run("collection", "drop", collection)
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: dropping needs a yes, and there is no terminal to ask\n mend: add --yes\n"
    )
    listed = json.loads(run("collection", "list", "--json").stdout)
    assert collection in [status["collection"] for status in listed]


@pytest.mark.parametrize(
    ("arguments", "error", "mend"),
    [
        (["create", "No Good"], "'No Good' cannot name a collection", "lower-case letter"),
        (["create", "a", "--chunk-tokens", "999"], "999 is more than", "use at most 256"),
        (["create", "a", "--embedding-model", "x"], "no model card", "ready are: "),
        (["create", "a", "--text-search-config", "x"], '"x" does not exist', "use one of"),
        (["create", "a", "--bm25-b", "2"], "bm25_b", "0 to 1"),
        (["show", "nope"], "there is no collection 'nope'", "rankgres collection list"),
        (["show", "\udcff"], "there is no collection", "rankgres collection list"),
        (["drop", "nope", "--yes"], "there is no collection 'nope'", "rankgres collection list"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_name_the_mend(run: Run, arguments: list[str], error: str, mend: str) -> None:
    failed = run("collection", *arguments)
    assert failed.returncode == 2
    assert failed.stdout == ""
    first, second = failed.stderr.splitlines()
    assert first.startswith("error: ")
    assert error in first
    assert second.startswith(" mend: ")
    assert mend in second


def test_a_name_that_is_taken_is_refused(run: Run, collection: str) -> None:
    again = run("collection", "create", collection)
    assert again.returncode == 2
    assert "error: a collection of that name exists" in again.stderr
