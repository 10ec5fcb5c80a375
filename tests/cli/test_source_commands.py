"""Attaching and trusting a table from the command line, against a running stack."""

import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from service.db.connection import Connection, connect
from tests.cli.conftest import Run, found, shown
from tests.support.stack import RealStack
from tests.support.waiting import eventually

NOWHERE = "redis://127.0.0.1:1/0"
OPTIONS = ("--title", "name", "--text", "body", "--filter", "kind", "--where", "kind <> 'draft'")


@pytest.fixture
def database(stack: RealStack) -> Iterator[Connection]:
    """A connection that commits at once, as another application's."""
    with connect(stack.record.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def garden(database: Connection) -> Iterator[Connection]:
    """A table of plants: thirty that belong, and a draft."""
    database.execute("CREATE SCHEMA garden")
    database.execute(
        "CREATE TABLE garden.plant (id integer PRIMARY KEY, name text, body text, kind text)"
    )
    database.execute(
        "INSERT INTO garden.plant "
        "SELECT number, 'Plant ' || number, 'Grows by the wall, number ' || number, 'herb' "
        "FROM generate_series(1, 30) AS number "
        "UNION ALL SELECT 31, 'Draft', 'Not told yet', 'draft'"
    )
    yield database
    database.execute("DROP SCHEMA garden CASCADE")


@pytest.fixture
def name(http: httpx.Client) -> Iterator[str]:
    """The name of a collection to be, dropped at the end."""
    name = f"garden-{uuid4().hex[:8]}"
    yield name
    http.delete(f"/collections/{name}")


@pytest.fixture
def attached(run: Run, garden: Connection, name: str) -> str:  # noqa: ARG001  its table
    """The garden, attached and searchable."""
    done = run("attach", name, "garden.plant", *OPTIONS, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    return name


@pytest.mark.usefixtures("garden")
def test_attach_tells_what_it_finds_and_costs_then_follows_until_searchable(
    run: Run, http: httpx.Client, name: str
) -> None:
    done = run("attach", name, "garden.plant", *OPTIONS, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    told = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines()}
    assert told["source"] == "garden.plant"
    assert told["key"] == "id"
    assert told["text"] == "body"
    assert told["filters"] == "kind"
    assert told["followed"].startswith("by triggers; compared every")
    assert told["rows"] == "30"
    assert told["sample"].startswith("30 rows: 0% are too long")
    assert "chunks/s by 1 worker" in told["time"]
    assert told["disk"].startswith("about ")
    assert told["attached"] == f"garden.plant as {name}"
    assert "30 documents, 30 chunks are searchable" in done.stdout
    assert len(found(http, name, "wall")) == 10


@pytest.mark.usefixtures("garden")
def test_without_a_worker_costs_are_estimated_and_said_to_be(run: Run, name: str) -> None:
    asked = run("attach", name, "garden.plant", *OPTIONS, RANKGRES_REDIS_URL=NOWHERE)
    assert asked.returncode == 2
    # A terminal is only so wide.
    told = " ".join(asked.stdout.split())
    assert "estimated from characters: no embedding worker answers" in told
    assert "not known without a worker" in told
    # There is no terminal to ask.
    assert "add --yes" in asked.stderr


@pytest.mark.usefixtures("garden")
def test_without_a_yes_nothing_is_attached(run: Run, http: httpx.Client, name: str) -> None:
    asked = run("attach", name, "garden.plant", *OPTIONS)
    assert asked.returncode == 2
    assert "attaching needs a yes" in asked.stderr
    assert http.get(f"/collections/{name}").status_code == 404


@pytest.mark.usefixtures("garden")
def test_attach_need_not_be_waited_for(run: Run, http: httpx.Client, name: str) -> None:
    done = run("attach", name, "garden.plant", *OPTIONS, "--yes", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "searchable" not in done.stdout
    waited = run("wait", name)
    assert waited.returncode == 0
    assert "30 documents, 30 chunks are searchable" in waited.stdout
    view = shown(http, name)
    assert view["backfill_done"] == view["backfill_total"]


@pytest.mark.usefixtures("garden")
def test_a_template_and_a_composite_key(run: Run, http: httpx.Client, name: str) -> None:
    with_template = ("--template", "{name}: {body} {{{kind}}}", "--key", "id")
    done = run("attach", name, "garden.plant", *with_template, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert found(http, name, "draft") == ["31"]


@pytest.mark.usefixtures("garden")
@pytest.mark.parametrize(
    ("arguments", "wrong", "mend"),
    [
        (["garden.tree"], "relation garden.tree does not exist", "write it as in SQL"),
        (["garden.plant", "--text", "boddy"], "boddy", "body"),
        (["garden.plant", "--text", "body", "--where", "id > random()"], "condition", "immutable"),
        (["garden.plant"], "no column is named that holds the text", "name one or more"),
    ],
)
def test_what_cannot_be_attached_is_told_with_the_mend(
    run: Run, name: str, arguments: list[str], wrong: str, mend: str
) -> None:
    failed = run("attach", name, *arguments, "--yes")
    assert failed.returncode == 2, failed.stdout
    error, mended = failed.stderr.split(" mend: ")
    assert error.startswith("error: ")
    assert wrong in error
    assert mend in mended


def test_files_are_not_ingested_into_an_attached_collection(
    run: Run, attached: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("files") / "more.jsonl"
    file.write_text('{"id": "x", "text": "x"}\n')
    failed = run("ingest", attached, file)
    assert failed.returncode == 2
    assert "is attached to garden.plant" in failed.stderr


def test_status_tells_how_far_collections_are(run: Run, stack: RealStack, attached: str) -> None:
    for arguments in (["collection", "show", attached], ["status"]):
        told = run(*arguments, RANKGRES_HOME=str(stack.home)).stdout
        for word in ("garden.plant", "backfill", "waiting", "rate", "left", "lag", "done"):
            assert word in told, arguments
    listed = json.loads(run("status", "--json", RANKGRES_HOME=str(stack.home)).stdout)
    [mine] = [each for each in listed["collections"] if each["collection"] == attached]
    assert (mine["source"], mine["documents"]) == ("garden.plant", 30)


def test_pause_holds_and_resume_goes_on(
    run: Run, http: httpx.Client, garden: Connection, attached: str
) -> None:
    assert run("pause", attached).returncode == 0
    garden.execute("UPDATE garden.plant SET body = 'Blooms late' WHERE id = 7")
    eventually(lambda: shown(http, attached)["pending"] == 1, "the change is queued")
    waited = run("wait", attached)
    assert waited.returncode == 1
    assert f"{attached} is paused; 'rankgres resume {attached}' goes on" in waited.stdout
    assert "(paused)" in run("collection", "show", attached).stdout
    assert run("resume", attached).returncode == 0
    assert run("wait", attached).returncode == 0
    assert found(http, attached, "blooms") == ["7"]


def test_verify_ends_with_1_when_differences_remain(
    run: Run, garden: Connection, attached: str
) -> None:
    equal = run("verify", attached)
    assert equal.returncode == 0, equal.stdout
    assert f"the index of {attached} equals its source" in equal.stdout
    garden.execute("ALTER TABLE garden.plant DISABLE TRIGGER USER")
    garden.execute("DELETE FROM garden.plant WHERE id = 3")
    garden.execute("UPDATE garden.plant SET name = 'Renamed' WHERE id IN (4, 5)")
    differs = run("verify", attached, "--json")
    assert differs.returncode == 1
    told = json.loads(differs.stdout)
    assert {each["kind"]: each["examples"] for each in told["findings"]} == {
        "gone": ["3"],
        "stale": ["4", "5"],
    }
    assert (told["differences"], told["queued"], told["remaining"]) == (3, 0, 3)
    shown_table = run("verify", attached)
    assert shown_table.returncode == 1
    assert f"'rankgres verify {attached} --repair' queues what differs" in shown_table.stdout
    repaired = run("verify", attached, "--repair")
    assert repaired.returncode == 0
    assert "3 documents queued" in repaired.stdout
    assert run("wait", attached).returncode == 0
    assert run("verify", attached).returncode == 0


def test_dead_letters_are_listed_and_tried_again(
    run: Run, http: httpx.Client, garden: Connection, attached: str
) -> None:
    assert f"no document of {attached} has failed" in run("dead", attached).stdout
    run("pause", attached)
    garden.execute("UPDATE garden.plant SET body = 'Thorny' WHERE id IN (1, 2)")
    queued = "SELECT FROM rankgres.outbox WHERE document_id IN ('1', '2')"
    eventually(lambda: garden.execute(queued).rowcount == 2, "the changes are queued")
    garden.execute(
        "UPDATE rankgres.outbox SET attempts = 5, last_error = 'it has [thorns]', dead_at = now() "
        "WHERE document_id IN ('1', '2') AND generation_id = %s",
        [shown(http, attached)["generation_id"]],
    )
    listed = run("dead", attached).stdout.splitlines()
    assert [line.split() for line in listed[1:]] == [
        ["1", "5", "dead", "it", "has", "[thorns]"],
        ["2", "5", "dead", "it", "has", "[thorns]"],
    ]
    letters = json.loads(run("dead", attached, "--json").stdout)
    assert [letter["document_id"] for letter in letters] == ["1", "2"]
    # Queueing again does not mend what is broken.
    unmended = run("verify", attached, "--repair")
    assert unmended.returncode == 1
    assert f"'rankgres retry {attached}' tries again" in unmended.stdout
    assert "1 documents are tried again" in run("retry", attached, "1", "17").stdout
    assert "1 documents are tried again" in run("retry", attached).stdout
    run("resume", attached)
    assert run("wait", attached).returncode == 0
    assert sorted(found(http, attached, "thorny")) == ["1", "2"]


def test_detach_asks_and_leaves_the_table_as_it_was(
    run: Run, http: httpx.Client, garden: Connection, attached: str
) -> None:
    asked = run("detach", attached)
    assert asked.returncode == 2
    assert "add --yes" in asked.stderr
    done = run("detach", attached, "--keep", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"detached {attached} from garden.plant" in done.stdout
    garden.execute("UPDATE garden.plant SET body = 'Unseen' WHERE id = 1")
    assert shown(http, attached)["pending"] == 0
    assert len(found(http, attached, "wall")) == 10
    again = run("detach", attached, "--yes")
    assert again.returncode == 2
    assert "is not attached to anything" in again.stderr


def test_a_collection_that_is_not_there_is_named(run: Run) -> None:
    for command in (
        ["detach", "nope", "--yes"], ["pause", "nope"], ["resume", "nope"], ["verify", "nope"],
        ["dead", "nope"], ["retry", "nope"],
    ):  # fmt: skip
        failed = run(*command)
        assert failed.returncode == 2, command
        assert "nope" in failed.stderr
