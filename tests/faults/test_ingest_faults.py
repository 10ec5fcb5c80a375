"""Whatever is killed during an ingest, afterwards the index equals its source.

Each test proves that it struck in the middle: something was searchable by then, and something
still waited.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import redis

from service.search.task_sender import read_pulses
from tests.faults.conftest import make_documents, put
from tests.support.index_truth import Connection, IndexTruth, progress, wait_drained
from tests.support.stack import RealStack, rankgres
from tests.support.waiting import eventually


def wait_for_more(database: Connection, collection: str, documents: int) -> None:
    """Wait until so many documents are searchable, while others still wait."""

    def enough() -> bool:
        searchable, waiting = progress(database, collection)
        assert waiting > 0, "the ingest was over before the fault"
        return searchable >= documents

    eventually(enough, f"{documents} documents are searchable")


def test_killing_the_worker_again_and_again_loses_no_document_and_doubles_no_chunk(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    truth: IndexTruth,
) -> None:
    put(http, collection, make_documents(600))
    for kill in range(3):
        searchable, _ = progress(database, collection)
        wait_for_more(database, collection, searchable + 20)
        dead = fragile.kill("worker-embed")
        assert progress(database, collection)[1] > 0, f"kill {kill} came too late"
        fragile.wait_back("worker-embed", dead)
    wait_drained(database, collection)
    assert truth.assert_index_equals_source(database, collection) == 600
    assert http.get(f"/collections/{collection}").json()["dead"] == 0


def test_a_redis_that_dies_and_comes_back_empty_loses_no_document_and_doubles_no_chunk(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    truth: IndexTruth,
) -> None:
    put(http, collection, make_documents(300))
    wait_for_more(database, collection, 20)
    with fragile.held_down("redis"):
        # Writing needs no Redis.
        more = [document | {"id": f"more-{document['id']}"} for document in make_documents(200, 1)]
        put(http, collection, more)
    wait_drained(database, collection)
    assert truth.assert_index_equals_source(database, collection) == 500


def test_documents_written_while_redis_is_down_are_indexed_when_it_is_back(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    truth: IndexTruth,
) -> None:
    with fragile.held_down("redis"):
        put(http, collection, make_documents(50))
        assert progress(database, collection) == (0, 50)
    wait_drained(database, collection)
    assert truth.assert_index_equals_source(database, collection) == 50


def test_a_crash_of_postgres_loses_no_document_and_doubles_no_chunk(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    truth: IndexTruth,
) -> None:
    put(http, collection, make_documents(400))
    wait_for_more(database, collection, 20)
    # An immediate shutdown: nothing is written, the next start recovers from the log.
    dead = fragile.send("postgres", signal.SIGQUIT)
    fragile.wait_back("postgres", dead)
    with psycopg.connect(fragile.record.database_url, autocommit=True) as again:
        assert progress(again, collection)[1] > 0, "the crash came too late"
        wait_drained(again, collection)
        assert truth.assert_index_equals_source(again, collection) == 400


def test_a_relay_that_was_killed_is_not_missed(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    truth: IndexTruth,
) -> None:
    with fragile.held_down("relay"):
        put(http, collection, make_documents(50))
        assert progress(database, collection) == (0, 50)
    wait_drained(database, collection)
    assert truth.assert_index_equals_source(database, collection) == 50


def test_documents_that_change_and_go_while_they_are_ingested_end_as_they_are(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    truth: IndexTruth,
) -> None:
    # Twice as many batches as turns: there is one to see whenever the test looks.
    documents = {document["id"]: document for document in make_documents(600)}
    put(http, collection, list(documents.values()))
    seen: set[UUID] = set()
    for turn in range(20):
        found = eventually(lambda: new_lease(database, seen), "a worker begins a batch")
        assert found is not None
        lease, held = found
        seen.add(lease)
        # Twice: one of them comes after the worker has read the documents.
        for edition in (1, 2):
            text = f"Edition {turn}.{edition}."
            put(http, collection, [documents[id_] | {"text": text} for id_ in held[:4]])
        if gone := held[4:6]:
            http.post(f"/collections/{collection}/documents/delete", json={"ids": gone})
        if turn == 10:
            fragile.wait_back("worker-embed", fragile.kill("worker-embed"))
    wait_drained(database, collection)
    truth.assert_index_equals_source(database, collection)

    # Once more when all of it stands: long ones become short, others go.
    put(http, collection, [documents[f"d{number:04}"] | {"text": "Short."} for number in range(80)])
    gone = [f"d{number:04}" for number in range(80, 120)]
    http.post(f"/collections/{collection}/documents/delete", json={"ids": gone})
    wait_drained(database, collection)
    assert truth.assert_index_equals_source(database, collection) <= 560


def new_lease(database: Connection, seen: set[UUID]) -> tuple[UUID, list[str]] | None:
    """Return a lease that runs and was not seen before, with the documents it holds."""
    return database.execute(
        "SELECT lease, array_agg(document_id ORDER BY random()) FROM rankgres.outbox "
        "WHERE due_at > clock_timestamp() AND lease <> ALL (%s) GROUP BY lease LIMIT 1",
        [list(seen)],
    ).fetchone()


def test_a_dropped_collection_leaves_nothing_behind_while_it_is_ingested(
    http: httpx.Client, database: Connection, collection: str
) -> None:
    put(http, collection, make_documents(200))
    wait_for_more(database, collection, 20)
    generation = http.get(f"/collections/{collection}").json()["generation_id"]
    assert http.delete(f"/collections/{collection}").status_code == 204
    left = database.execute("SELECT to_regclass(%s)", [f"rankgres.chunk_{generation}"]).fetchone()
    assert left == (None,)

    def swept() -> bool:
        left = database.execute(
            "SELECT FROM rankgres.outbox WHERE generation_id = %(id)s "
            "UNION ALL SELECT FROM rankgres.lexeme WHERE generation_id = %(id)s "
            "UNION ALL SELECT FROM rankgres.lexeme_change WHERE generation_id = %(id)s "
            "UNION ALL SELECT FROM rankgres.chunk_total WHERE generation_id = %(id)s "
            "UNION ALL SELECT FROM rankgres.chunk_total_change WHERE generation_id = %(id)s",
            {"id": generation},
        )
        return left.rowcount == 0

    eventually(swept, "nothing of the dropped generation is left", 90.0)


@contextmanager
def started(stack: RealStack, *arguments: str) -> Iterator[None]:
    """Run another process of the stack beside its own."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    process = subprocess.Popen(
        command, env=stack.whole_environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_two_relays_and_two_workers_at_once_double_no_chunk(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    truth: IndexTruth,
) -> None:
    with ExitStack() as processes, redis.Redis.from_url(fragile.record.redis_url) as client:
        processes.enter_context(started(fragile, "relay"))
        processes.enter_context(started(fragile, "worker", "embed"))
        eventually(
            lambda: len(read_pulses(client, "embed")) == len(read_pulses(client, "relay")) == 2,
            "two of each",
        )
        put(http, collection, make_documents(300))
        wait_drained(database, collection)
    assert truth.assert_index_equals_source(database, collection) == 300


@pytest.fixture
def poison(database: Connection, collection: str) -> None:
    """Have Postgres refuse every chunk that says so, as it would one that breaks a constraint.

    Nothing that a caller can write makes the product itself fail, so the test adds a reason.
    """
    generation = database.execute(
        "SELECT generation_id FROM rankgres.collection_status WHERE collection = %s", [collection]
    ).fetchone()
    assert generation is not None
    database.execute(
        f"ALTER TABLE rankgres.chunk_{generation[0]} "
        "ADD CONSTRAINT no_poison CHECK (text NOT LIKE '%hemlock%')".encode()
    )


@pytest.mark.usefixtures("poison")
def test_a_document_that_fails_for_good_becomes_a_dead_letter_and_holds_nothing_up(
    fragile: RealStack,
    http: httpx.Client,
    database: Connection,
    collection: str,
    truth: IndexTruth,
) -> None:
    documents = make_documents(40)
    documents[17]["text"] = "A cup of hemlock."
    put(http, collection, documents)
    # The thirty-nine others get through although they shared batches with it.
    eventually(lambda: progress(database, collection) == (39, 1), "the others are searchable")

    def died() -> bool:
        # In place of waiting out the pauses between tries.
        database.execute(
            "UPDATE rankgres.outbox SET due_at = clock_timestamp() "
            "WHERE lease IS NULL AND dead_at IS NULL"
        )
        return bool(http.get(f"/collections/{collection}").json()["dead"] == 1)

    eventually(died, "the document is a dead letter")
    [letter] = database.execute(
        "SELECT document_id, attempts, last_error FROM rankgres.outbox WHERE dead_at IS NOT NULL"
    ).fetchall()
    assert letter[:2] == ("d0017", 5)
    assert "no_poison" in letter[2]

    # Whoever looks or waits is told.
    show = rankgres("collection", "show", collection, environment=fragile.environment)
    header, line = (text.split() for text in show.stdout.splitlines())
    assert line[header.index("dead")] == "1"
    waited = rankgres("wait", collection, environment=fragile.environment)
    assert waited.returncode == 1
    assert "1 documents failed for good" in waited.stdout
    same = http.post(
        f"/collections/{collection}/documents",
        json={"documents": [documents[17]], "wait": True},
    ).json()
    assert same == {"received": 1, "changed": 0, "waiting": 0, "failed": ["d0017"]}

    # A new version gets a new chance.
    documents[17]["text"] = "A cup of tea."
    revived = http.post(
        f"/collections/{collection}/documents",
        json={"documents": [documents[17]], "wait": True},
    ).json()
    assert revived == {"received": 1, "changed": 1, "waiting": 0, "failed": []}
    assert http.get(f"/collections/{collection}").json()["dead"] == 0
    assert truth.assert_index_equals_source(database, collection) == 40


def test_texts_that_look_as_if_they_could_break_something_are_indexed(
    http: httpx.Client, database: Connection, collection: str, truth: IndexTruth
) -> None:
    texts = [
        "x" * 50_000,
        "word " * 2_000,
        "\u0301" * 2_000,
        "\U0001f469\u200d\U0001f469\u200d\U0001f467" * 100,
        "\u200b\ufeff\u2028\x01\x1b",
        "\ufffe\uffff \U0010ffff",
        "'; DROP TABLE rankgres.chunk; --",
        "\\' %s %(query)s {} {0} $1 :name",
        "<script>" * 200,
        "```\n" * 300,
        "#" * 2_000,
        "\n" * 10_000 + "end",
        "\u4e2d\u6587\u6ca1\u6709\u7a7a\u683c" * 100,
        "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645 " * 50,
    ]
    documents: list[dict[str, Any]] = [
        {"id": f"{kind}{number}", "title": text[:titled], "text": text}
        for number, text in enumerate(texts)
        for kind, titled in (("text", 0), ("title", 3000))
    ]
    documents.append({"id": "deep", "text": "x", "metadata": {"k" * 3000: ["v" * 9000] * 3}})
    put(http, collection, documents)
    wait_drained(database, collection)
    dead = database.execute(
        "SELECT document_id, last_error FROM rankgres.outbox WHERE dead_at IS NOT NULL"
    ).fetchall()
    assert dead == []
    assert truth.assert_index_equals_source(database, collection) == len(documents)
