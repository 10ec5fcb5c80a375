"""A comparison while a worker is at a document that it read before: the old content must not win.

Found by the random faults: a table was emptied while a worker embedded some of its rows, the
comparison saw neither rows nor chunks of them, and then the worker wrote what was gone.
"""

from collections.abc import Iterator

import pytest

from service.db.connection import Connection, connect
from service.ingest.chunks import write_chunks
from service.ingest.documents import SourceDocument, fetch_to_index
from service.ingest.outbox import Lease, claim_documents, fold_source_changes
from service.settings import Settings
from service.sources.comparison import compare_due_sources
from tests.support.attached import add_hand_model, attach, backfill, make_articles
from tests.support.collections import chunk, generation_of, value


@pytest.fixture
def database(newest_database_url: str) -> Iterator[Connection]:
    """A database of its own, in which every statement commits, with an attached table."""
    with connect(newest_database_url, autocommit=True) as connection:
        add_hand_model(connection)
        make_articles(connection, rows=3)
        attach(connection, embedding_model="by hand")
        while backfill(connection):
            pass
        yield connection


class HandWorker:
    """An embedding worker, one step at a time."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._generation = generation_of(connection, "articles")
        self._collection = int(value(connection, "SELECT collection_id FROM rankgres.source"))

    def read(self) -> tuple[Lease, list[SourceDocument]] | None:
        """Lease everything that is due and read it."""
        lease = claim_documents(self._connection, self._generation, self._settings)
        if lease is None:
            return None
        found = fetch_to_index(self._connection, self._collection, lease.document_ids)
        return lease, found.documents

    def write(self, lease: Lease, documents: list[SourceDocument]) -> None:
        """Write what was read, as a worker does when it is embedded."""
        chunks = [chunk(document.id, document.text) for document in documents]
        hashes = {document.id: document.content_hash for document in documents}
        write_chunks(self._connection, lease, chunks, hashes)

    def drain(self) -> None:
        """Index until nothing is left to do."""
        while True:
            compare_due_sources(self._connection)
            fold_source_changes(self._connection, 1000)
            # In place of waiting for a lease or a pause to end.
            self._connection.execute("UPDATE rankgres.outbox SET due_at = clock_timestamp()")
            found = self.read()
            if found is None:
                return
            self.write(*found)


@pytest.fixture
def worker(database: Connection, settings: Settings) -> HandWorker:
    """A worker that has indexed nothing yet."""
    return HandWorker(database, settings)


def differences(connection: Connection) -> list[str]:
    rows = connection.execute("SELECT kind FROM rankgres.verify('articles')")
    return [kind for (kind,) in rows]


def test_a_document_that_is_truncated_while_it_is_embedded_is_not_indexed_after_the_comparison(
    database: Connection, worker: HandWorker
) -> None:
    found = worker.read()
    assert found is not None
    database.execute("TRUNCATE public.articles")
    compare_due_sources(database)
    worker.write(*found)
    worker.drain()
    assert value(database, "SELECT count(*) FROM rankgres.chunk") == 0
    assert differences(database) == []


def test_a_change_that_is_not_known_wins_over_what_a_worker_read_before_the_comparison(
    database: Connection, worker: HandWorker
) -> None:
    found = worker.read()
    assert found is not None
    # As a trigger leaves it that failed.
    with database.transaction():
        database.execute("UPDATE public.articles SET body = 'new' WHERE id = 1")
        database.execute(
            "UPDATE rankgres.source_change SET document_ids = NULL, reason = 'it failed'"
        )
    compare_due_sources(database)
    worker.write(*found)
    worker.drain()
    texts = database.execute("SELECT text FROM rankgres.chunk WHERE document_id = '1'").fetchall()
    assert texts == [("new",)]
    assert differences(database) == []


def test_what_a_worker_reads_after_the_comparison_began_is_indexed_once(
    database: Connection, worker: HandWorker
) -> None:
    database.execute("TRUNCATE public.articles")
    database.execute("INSERT INTO public.articles VALUES (7, 't', 'seven', 1, '')")
    compare_due_sources(database)
    fold_source_changes(database, 1000)
    found = worker.read()
    assert found is not None
    worker.write(*found)
    worker.drain()
    assert value(database, "SELECT count(*) FROM rankgres.chunk") == 1
    assert differences(database) == []
