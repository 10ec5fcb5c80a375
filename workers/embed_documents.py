"""Task: turn due documents of a generation into searchable chunks, until none is due.

Lease, read, chunk, embed with no transaction open, then write and finish in one transaction.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from celery import shared_task
from celery.signals import worker_shutting_down

from service.collections.collection import Generation, find_generation
from service.db.connection import Pool, open_pool, transaction
from service.db.driver_errors import translated
from service.errors import DatabaseUnavailableError
from service.ingest.chunks import EmbeddedChunk, write_chunks
from service.ingest.documents import Document, fetch_documents
from service.ingest.outbox import (
    Lease,
    claim_documents,
    extend_lease,
    fail_documents,
    release_documents,
)
from service.local.endpoints import database_url
from service.settings import Settings, get_settings
from service.task_names import EMBED_DOCUMENTS
from workers.chunking import Chunk, Chunker, embedded_text
from workers.inference.document_language import language_of
from workers.inference.encoder import Encoder
from workers.loaded_models import encoder

log = logging.getLogger(__name__)

#: One wake-up works this long, then leaves its thread to the next generation's.
_TURN_SECONDS = 20.0
#: Chunks embedded between two looks at the lease.
_CHUNKS_AT_ONCE = 128

_stopping = threading.Event()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # Celery has no annotations
def _stop(**_: object) -> None:
    _stopping.set()


# Nobody waits for a result: what was done stands in Postgres.
@shared_task(name=EMBED_DOCUMENTS, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery has no annotations
def embed_documents(generation_id: int) -> None:
    """Index due documents of the generation for one turn; what is left gets another wake-up."""
    settings = get_settings()
    pool = _pool()
    with transaction(pool) as connection:
        generation = find_generation(connection, generation_id)
    if generation is None:
        return
    # Before any lease: a model that cannot be had is no fault of the documents.
    model = encoder(generation.embedding_model)
    turn_ends = time.monotonic() + _TURN_SECONDS
    while not _stopping.is_set() and time.monotonic() < turn_ends:
        with transaction(pool) as connection:
            lease = claim_documents(connection, generation_id, settings)
        if lease is None:
            return
        Batch(pool, settings, generation, model).index(lease)


@cache
def _pool() -> Pool:
    return open_pool(database_url())


@cache
def _chunker(model: str, max_tokens: int, overlap_tokens: int) -> Chunker:
    loaded = encoder(model)
    return Chunker(
        loaded.tokenizer,
        max_tokens=max_tokens,
        overlap_tokens=overlap_tokens,
        prompt=loaded.card.document_prompt,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """How the leased documents of one generation are indexed."""

    pool: Pool
    settings: Settings
    generation: Generation
    encoder: Encoder

    def index(self, lease: Lease) -> None:
        """Make the leased documents searchable as they are now.

        A batch that fails is split until each culprit is alone; culprits are put off with their
        error and hold nothing else up. When the worker is told to stop, leases are given back.
        """
        try:
            with transaction(self.pool) as connection:
                found = fetch_documents(connection, self.generation, lease.document_ids)
            documents = list(found.values())
            chunks = self._embed(lease, self._split(documents), self._languages(documents))
            if chunks is None:
                with transaction(self.pool) as connection:
                    release_documents(connection, lease)
                return
            with translated(), self.pool.connection() as connection:
                write_chunks(connection, lease, chunks)
        except DatabaseUnavailableError:
            # No document's fault either: the lease runs out and is claimed again.
            raise
        except Exception as error:  # noqa: BLE001  whatever a document sets off is its own
            self._isolate(lease, error)

    def _isolate(self, lease: Lease, error: Exception) -> None:
        ids = lease.document_ids
        if len(ids) > 1:
            middle = len(ids) // 2
            self.index(lease.only(ids[:middle]))
            self.index(lease.only(ids[middle:]))
            return
        log.warning("document %r of %s failed", ids[0], self.generation.collection, exc_info=error)
        with transaction(self.pool) as connection:
            message = f"{type(error).__name__}: {error}"
            fail_documents(connection, lease, {ids[0]: message}, self.settings)

    def _split(self, documents: Sequence[Document]) -> list[tuple[Document, Chunk]]:
        generation = self.generation
        chunker = _chunker(
            generation.embedding_model, generation.chunk_tokens, generation.overlap_tokens
        )
        parts = chunker.split_batch([(document.title, document.text) for document in documents])
        return [
            (document, chunk)
            for document, chunks in zip(documents, parts, strict=True)
            for chunk in chunks
        ]

    def _languages(self, documents: Sequence[Document]) -> dict[str, str | None]:
        if not self.generation.detects_languages:
            return {}
        return {document.id: language_of(document) for document in documents}

    def _embed(
        self,
        lease: Lease,
        pieces: Sequence[tuple[Document, Chunk]],
        languages: Mapping[str, str | None],
    ) -> list[EmbeddedChunk] | None:
        """Return the embedded chunks, or None when the worker is to stop."""
        embedded: list[EmbeddedChunk] = []
        keep = _every(self.settings.lease_seconds / 3, partial(self._extend, lease))
        for first in range(0, len(pieces), _CHUNKS_AT_ONCE):
            if _stopping.is_set():
                return None
            keep()
            part = pieces[first : first + _CHUNKS_AT_ONCE]
            encoding = self.encoder.encode([embedded_text(chunk) for _, chunk in part], "document")
            embedded.extend(
                EmbeddedChunk(
                    document_id=document.id,
                    position=chunk.position,
                    token_count=chunk.token_count,
                    start=chunk.start,
                    end=chunk.end,
                    heading=chunk.heading,
                    text=chunk.text,
                    filters=document.metadata,
                    embedding=vector,
                    language=languages.get(document.id),
                )
                for (document, chunk), vector in zip(part, encoding.embeddings, strict=True)
            )
        return embedded

    def _extend(self, lease: Lease) -> None:
        with transaction(self.pool) as connection:
            extend_lease(connection, lease, self.settings)


def _every(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
    """Return a function that runs the action, at most once in so many seconds."""
    last = time.monotonic()

    def act() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            action()

    return act
