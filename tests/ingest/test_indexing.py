"""Indexing leased documents: what is embedded, what is kept, and whose fault a failure is."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from service.collections.collection import Generation, active_generation, drop_collection
from service.db.connection import Pool, transaction
from service.errors import InvalidInputError
from service.ingest.documents import (
    Document,
    delete_documents,
    fetch_to_index,
    upsert_documents,
    wait_until_searchable,
)
from service.ingest.outbox import Lease, claim_documents, fold_source_changes, step_backfill
from service.model_cards import DEFAULT_ENCODER
from service.settings import Settings
from tests.support.collections import OutboxRow, make_collection, outbox
from tests.support.counting_encoder import CountingEncoder
from tests.support.index_truth import assert_statistics_are_true
from tests.support.waiting import eventually
from workers import embed_documents, lease_keeper
from workers.embed_documents import Batch
from workers.inference.backend import ModelBusyError

SETTINGS = Settings(lease_seconds=60, max_attempts=3)
PARAGRAPHS = [
    f"Paragraph {number} tells of {word}s, at some length, so that no two of them fit together."
    for number, word in enumerate(["amber", "basin", "cedar", "delta", "ember", "fjord"])
]


class ModelBrokenError(Exception):
    """What a broken model raises."""


@pytest.fixture
def generation(pool: Pool) -> Generation:
    """An empty collection of the real model's tokens, cut small."""
    with transaction(pool) as connection:
        make_collection(
            connection,
            embedding_model=DEFAULT_ENCODER,
            embedding_dimension=384,
            chunk_tokens=32,
            text_search_config="english",
        )
        return active_generation(connection, "papers")


@pytest.fixture
def attached(pool: Pool) -> Generation:
    """A collection attached to a table of HTML with one row, indexed."""
    with transaction(pool) as connection:
        connection.execute("CREATE TABLE public.page (id int PRIMARY KEY, body text, year int)")
        connection.execute("INSERT INTO public.page VALUES (1, '<p>One &amp; two</p>', 2020)")
        connection.execute(
            "INSERT INTO rankgres.embedding_model (name, dimension, max_tokens, is_default) "
            "VALUES (%s, 384, 256, true) ON CONFLICT DO NOTHING",
            [DEFAULT_ENCODER],
        )
        connection.execute(
            "SELECT rankgres.attach('pages', 'public.page', text => '{body}', "
            "text_format => 'html', filters => '{year}')"
        )
        generation = active_generation(connection, "pages")
        assert step_backfill(connection, generation.id, 100, 100) == 1
    index(pool, generation, CountingEncoder(), text_format="html")
    return generation


def put(pool: Pool, generation: Generation, *documents: Document) -> None:
    with transaction(pool) as connection:
        upsert_documents(connection, generation, documents)


def claimed(pool: Pool, generation: Generation, settings: Settings = SETTINGS) -> Lease:
    with transaction(pool) as connection:
        lease = claim_documents(connection, generation.id, settings)
    assert lease is not None
    return lease


def index(
    pool: Pool, generation: Generation, encoder: CountingEncoder, **options: str
) -> CountingEncoder:
    """Index one batch of whatever is due."""
    lease = claimed(pool, generation)
    batch = Batch(pool, SETTINGS, generation, encoder, **options)  # type: ignore[arg-type]  # text_format
    batch.index(lease)
    return encoder


def queued(pool: Pool, generation: Generation) -> dict[str, OutboxRow]:
    with transaction(pool) as connection:
        return outbox(connection, generation.id)


def texts(pool: Pool, generation: Generation) -> dict[str, list[str]]:
    """The texts of chunks by document, in order."""
    found: dict[str, list[str]] = {}
    with transaction(pool) as connection:
        assert_statistics_are_true(connection, generation.id)
        for document, text in connection.execute(
            "SELECT document_id, text FROM rankgres.chunk WHERE generation_id = %s "
            "ORDER BY document_id, position",
            [generation.id],
        ):
            found.setdefault(document, []).append(text)
    return found


def test_editing_one_paragraph_embeds_that_one_alone(pool: Pool, generation: Generation) -> None:
    put(pool, generation, Document("doc", "\n\n".join(PARAGRAPHS)))
    assert index(pool, generation, CountingEncoder()).texts == PARAGRAPHS
    edited = PARAGRAPHS.copy()
    edited[2] = edited[2].replace("cedars", "cypresses and their many cones")
    put(pool, generation, Document("doc", "\n\n".join(edited)))
    assert index(pool, generation, CountingEncoder()).texts == [edited[2]]
    assert texts(pool, generation) == {"doc": edited}
    moved = [PARAGRAPHS[2], *edited[::-1]]
    put(pool, generation, Document("doc", "\n\n".join(moved)))
    assert index(pool, generation, CountingEncoder()).texts == [PARAGRAPHS[2]]
    assert texts(pool, generation) == {"doc": moved}
    with transaction(pool) as connection:
        counts = connection.execute(
            "SELECT chunks_embedded, chunks_reused FROM rankgres.indexing_activity "
            "ORDER BY finished_at"
        ).fetchall()
    assert counts == [(6, 0), (1, 5), (1, 6)]


def test_a_change_of_metadata_embeds_nothing(pool: Pool, generation: Generation) -> None:
    put(pool, generation, Document("doc", "\n\n".join(PARAGRAPHS), metadata={"year": 2020}))
    index(pool, generation, CountingEncoder())
    put(pool, generation, Document("doc", "\n\n".join(PARAGRAPHS), metadata={"year": 2024}))
    assert index(pool, generation, CountingEncoder()).texts == []
    with transaction(pool) as connection:
        years = connection.execute("SELECT DISTINCT filters FROM rankgres.chunk").fetchall()
    assert years == [({"year": 2024},)]


def test_a_text_that_stands_in_many_documents_is_embedded_once(
    pool: Pool, generation: Generation
) -> None:
    put(pool, generation, *(Document(name, "The same.") for name in "abc"))
    assert index(pool, generation, CountingEncoder()).texts == ["The same."]
    assert texts(pool, generation) == {name: ["The same."] for name in "abc"}


def test_a_document_that_is_gone_leaves_nothing(pool: Pool, generation: Generation) -> None:
    put(pool, generation, Document("a", "text"), Document("b", "text"))
    index(pool, generation, CountingEncoder())
    with transaction(pool) as connection:
        delete_documents(connection, generation, ["a"])
    index(pool, generation, CountingEncoder())
    assert set(texts(pool, generation)) == {"b"}
    with transaction(pool) as connection:
        left = connection.execute("SELECT document_id FROM rankgres.indexed_document").fetchall()
    assert left == [("b",)]


def test_a_batch_that_cannot_be_written_is_split_and_embeds_nothing_twice(
    pool: Pool, generation: Generation
) -> None:
    with transaction(pool) as connection:
        connection.execute(
            f"ALTER TABLE rankgres.chunk_{generation.id} "
            "ADD CONSTRAINT no_poison CHECK (text NOT LIKE '%hemlock%')".encode()
        )
    put(pool, generation, *(Document(f"d{n}", f"Number {n}.") for n in range(8)))
    put(pool, generation, Document("d5", "A cup of hemlock."))
    encoder = index(pool, generation, CountingEncoder())
    assert len(encoder.texts) == len(set(encoder.texts)) == 8
    assert len(texts(pool, generation)) == 7
    [row] = queued(pool, generation).values()
    assert (row.document_id, row.attempts, row.lease) == ("d5", 1, None)
    assert "no_poison" in (row.last_error or "")


def test_a_document_that_breaks_the_model_fails_alone(pool: Pool, generation: Generation) -> None:
    def refuse(given: Sequence[str]) -> None:
        if any("hemlock" in text for text in given):
            raise ModelBrokenError("not this one")

    put(pool, generation, *(Document(f"d{n}", f"Number {n}.") for n in range(8)))
    put(pool, generation, Document("d5", "A cup of hemlock."))
    index(pool, generation, CountingEncoder(refuse))
    assert len(texts(pool, generation)) == 7
    [row] = queued(pool, generation).values()
    assert (row.document_id, row.last_error) == ("d5", "ModelBrokenError: not this one")


@pytest.fixture
def _nobody_busy() -> Iterator[None]:
    yield
    embed_documents._busy_until.clear()


@pytest.mark.usefixtures("_nobody_busy")
def test_a_collection_that_is_dropped_meanwhile_is_no_documents_fault(
    pool: Pool, generation: Generation, caplog: pytest.LogCaptureFixture
) -> None:
    put(pool, generation, Document("a", "amber"), Document("b", "basin"))
    lease = claimed(pool, generation)
    with transaction(pool) as connection:
        drop_collection(connection, generation.collection)
    with caplog.at_level("INFO", logger=embed_documents.__name__):
        Batch(pool, SETTINGS, generation, CountingEncoder()).index(lease)
    assert [record.getMessage() for record in caplog.records] == [
        "papers was dropped while it was indexed"
    ]


def test_a_model_that_is_busy_is_waited_for_at_no_attempt(
    pool: Pool, generation: Generation
) -> None:
    calls = []

    def busy(given: Sequence[str]) -> None:
        calls.append(len(given))
        raise ModelBusyError(seconds=30)

    put(pool, generation, Document("a", "one"), Document("b", "two"))
    index(pool, generation, CountingEncoder(busy))
    # The batch is not split: each part would ask again.
    assert calls == [2]
    rows = queued(pool, generation)
    assert {(row.lease, row.attempts) for row in rows.values()} == {(None, 0)}
    assert all("busy" in (row.last_error or "") for row in rows.values())
    with transaction(pool) as connection:
        assert claim_documents(connection, generation.id, SETTINGS) is None


def test_a_lease_is_kept_while_a_model_works_and_given_up_when_it_hangs(
    pool: Pool, generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough to be extended in time on a busy machine; so there are three, not ten.
    settings = SETTINGS.model_copy(update={"lease_seconds": 1.5})
    monkeypatch.setattr(lease_keeper, "_SILENT_LEASES", 3)
    released, silent = threading.Event(), threading.Event()
    put(pool, generation, Document("doc", "text"))

    def hang(_: Sequence[str]) -> None:
        released.wait()

    hung = CountingEncoder(hang)
    batch = Batch(pool, settings, generation, hung, on_silence=silent.set)
    lease = claimed(pool, generation, settings)
    thread = threading.Thread(target=batch.index, args=(lease,))
    thread.start()
    try:
        claims = []
        while not silent.wait(0.05):
            with transaction(pool) as connection:
                claims.append(claim_documents(connection, generation.id, settings))
        # It lasted three leases, and nobody got the document.
        assert set(claims) == {None}
        other = eventually(lambda: _claim(pool, generation), "the lease has ended")
        assert other is not None
        Batch(pool, SETTINGS, generation, CountingEncoder()).index(other)
        assert queued(pool, generation) == {}
        with transaction(pool) as connection:
            upsert_documents(connection, generation, [Document("doc", "newer")])
    finally:
        released.set()
        thread.join()
    # The one that hung came too late.
    assert texts(pool, generation) == {"doc": ["text"]}
    index(pool, generation, CountingEncoder())
    assert texts(pool, generation) == {"doc": ["newer"]}


def _claim(pool: Pool, generation: Generation) -> Lease | None:
    with transaction(pool) as connection:
        return claim_documents(connection, generation.id, SETTINGS)


def test_no_more_is_read_at_once_than_fits_into_memory(pool: Pool, generation: Generation) -> None:
    put(pool, generation, *(Document(name, "x" * 1000) for name in "abcde"))
    with transaction(pool) as connection:
        found = fetch_to_index(connection, generation.collection_id, list("abcdef"), 2500)
        assert [document.id for document in found.documents] == ["a", "b"]
        assert found.left_out == ["c", "d", "e"]
        alone = fetch_to_index(connection, generation.collection_id, list("abcdef"), 10)
        assert [document.id for document in alone.documents] == ["a"]


def test_html_of_a_table_is_indexed_as_text(pool: Pool, attached: Generation) -> None:
    assert texts(pool, attached) == {"1": ["One & two"]}


def test_a_source_that_cannot_be_read_is_waited_for_at_no_attempt(
    pool: Pool, attached: Generation
) -> None:
    with transaction(pool) as connection:
        connection.execute("UPDATE public.page SET body = 'changed'")
        assert fold_source_changes(connection, 10) == 1
    with transaction(pool) as connection:
        connection.execute("ALTER TABLE public.page RENAME COLUMN body TO content")
    assert index(pool, attached, CountingEncoder()).texts == []
    [row] = queued(pool, attached).values()
    assert (row.lease, row.attempts) == (None, 0)
    assert "no column body any more" in (row.last_error or "")
    assert texts(pool, attached) == {"1": ["One & two"]}


def test_a_change_counts_as_waiting_before_the_relay_has_seen_it(
    pool: Pool, attached: Generation
) -> None:
    def waiting(*ids: str) -> int:
        return wait_until_searchable(pool, attached, ids, 0.0).waiting

    assert waiting("1", "2") == 0
    with transaction(pool) as connection:
        connection.execute("UPDATE public.page SET body = 'changed'")
    assert waiting("1", "2") == 1
    with transaction(pool) as connection:
        fold_source_changes(connection, 10)
    assert waiting("1", "2") == 1
    index(pool, attached, CountingEncoder(), text_format="html")
    assert waiting("1", "2") == 0
    with transaction(pool) as connection:
        connection.execute("TRUNCATE public.page")
    # Which documents that touched is not known yet.
    assert waiting("1", "2") == 2


def test_documents_of_an_attached_collection_are_written_to_its_table(
    pool: Pool, attached: Generation
) -> None:
    with (
        pytest.raises(InvalidInputError, match="attached to page"),
        transaction(pool) as connection,
    ):
        upsert_documents(connection, attached, [Document("1", "text")])
    with (
        pytest.raises(InvalidInputError, match="attached to page"),
        transaction(pool) as connection,
    ):
        delete_documents(connection, attached, ["1"])
