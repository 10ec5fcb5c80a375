"""Task: turn due documents of a generation into searchable chunks, until none is due.

Lease, read, chunk, embed with no transaction open, then write and finish in one transaction.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import islice

import numpy as np
from celery import shared_task
from celery.signals import worker_shutting_down
from numpy.typing import NDArray
from psycopg import errors

from service.collections.collection import Generation, find_generation
from service.db.connection import Pool, open_pool, transaction
from service.db.driver_errors import translated
from service.errors import (
    DatabaseUnavailableError,
    ModelUnavailableError,
    RankgresError,
    SourceUnreadableError,
)
from service.ingest.chunks import EmbeddedChunk, kept_embeddings, write_chunks
from service.ingest.documents import (
    Document,
    SourceDocument,
    TextFormat,
    fetch_to_index,
    text_format,
)
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
from workers.batch_pace import BatchPace
from workers.bulk_turns import BulkTurns
from workers.chunking import Chunk, Chunker, embedded_text
from workers.inference.backend import ModelBusyError
from workers.inference.document_language import language_of
from workers.inference.encoder import Encoder
from workers.lease_keeper import LeaseKeeper, longest_silence
from workers.loaded_models import encoder
from workers.plain_text import plain_text

log = logging.getLogger(__name__)

#: One turn works this long, then the next generation has its own.
_TURN_SECONDS = 2.0
#: Threads that do bulk work: one chunks and writes while the other's batch is in the model.
BULK_THREADS = 2
#: Chunks, and their tokens, that the model gets at once: between two such calls the worker looks
#: whether it is to stop, and gives a sign that it works.
_CHUNKS_AT_ONCE = 128
_TOKENS_AT_ONCE = 32_768
#: Changes that somebody waits for go before bulk work that came to the model up to so much earlier.
_HEAD_START_SECONDS = 2.0
#: Until documents are tried again whose model cannot be had, whose source cannot be read, or that
#: met a lock of others.
_MODEL_PAUSE_SECONDS = 10.0
_SOURCE_PAUSE_SECONDS = 10.0
_LOCK_PAUSE_SECONDS = 1.0
#: Between two tries to write what is embedded to a Postgres that went away.
_WRITE_PAUSE_SECONDS = 0.5

#: What happens between sessions, and is no document's fault.
_LOCKED = (errors.DeadlockDetected, errors.SerializationFailure)

_stopping = threading.Event()
_turns = BulkTurns(BULK_THREADS)
#: Until when on the clock of ``time.monotonic`` a model wants to be left alone.
_busy_until: dict[str, float] = {}


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # Celery has no annotations
def _stop(**_: object) -> None:
    _stopping.set()


# Nobody waits for a result: what was done stands in Postgres.
@shared_task(name=EMBED_DOCUMENTS, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery has no annotations
def embed_documents(generation_id: int, bulk: bool = True) -> None:
    """Index due documents of the generation for one turn; what is left gets another wake-up.

    Not ``bulk``: only changes that somebody waits for. Bulk work takes the worker's threads for it
    in turns, generation by generation.
    """
    if not bulk:
        take_turn(generation_id, bulk=False)
        return
    if not _turns.join(generation_id):
        return
    try:
        while (turn := _turns.next()) is not None and not _stopping.is_set():
            try:
                take_turn(turn, bulk=True)
            except RankgresError as error:
                log.warning("a turn of generation %d ended: %s", turn, error.detail)
    finally:
        _turns.leave()


def take_turn(generation_id: int, *, bulk: bool) -> None:
    """Index batches of due documents for some seconds, or until none is due."""
    settings, pool = get_settings(), _pool()
    with transaction(pool) as connection:
        generation = find_generation(connection, generation_id)
        if generation is None:
            return
        written_as = text_format(connection, generation.collection_id)
    # Before any lease: a model that cannot be had is no fault of the documents.
    model = encoder(generation.embedding_model)
    pace = _pace(generation.embedding_model, settings.embed_batch_documents)
    turn_ends = time.monotonic() + _TURN_SECONDS
    while not _stopping.is_set() and (now := time.monotonic()) < turn_ends:
        if now < _busy_until.get(generation.embedding_model, now):
            return
        with transaction(pool) as connection:
            lease = claim_documents(connection, generation_id, settings, pace.documents, bulk=bulk)
        if lease is None:
            return
        Batch(pool, settings, generation, model, text_format=written_as, bulk=bulk).index(lease)
        pace.note(len(lease.versions), time.monotonic() - now)


@cache
def _pool() -> Pool:
    return open_pool(database_url())


@cache
def _pace(model: str, most: int) -> BatchPace:  # noqa: ARG001  each model has its own
    return BatchPace(most)


@cache
def _chunker(model: Encoder, max_tokens: int, overlap_tokens: int) -> Chunker:
    return Chunker(
        model.tokenizer,
        max_tokens=max_tokens,
        overlap_tokens=overlap_tokens,
        prompt=model.card.document_prompt,
    )


def _end_process() -> None:
    """End the worker at once: nothing else frees a thread that is inside a model."""
    os._exit(70)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A chunk, its document, and the hash of the text that is embedded; ``kept``: it is already."""

    document: SourceDocument
    chunk: Chunk
    embedded: str
    digest: bytes
    kept: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """How the leased documents of one generation are indexed.

    ``vectors`` holds what was embedded of them, by the text's hash: a batch that is split after a
    failure embeds nothing twice.
    """

    pool: Pool
    settings: Settings
    generation: Generation
    encoder: Encoder
    text_format: TextFormat = "plain"
    bulk: bool = True
    on_silence: Callable[[], None] = _end_process
    vectors: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)

    def index(self, lease: Lease) -> None:
        """Make the leased documents searchable as they are now.

        A batch that fails is split until each culprit is alone; culprits are put off with their
        error and hold nothing else up. When the worker is told to stop, leases are given back.
        """
        try:
            with LeaseKeeper(self.pool, self.settings, lease, self.on_silence) as keeper:
                self._index(lease, keeper)
        except DatabaseUnavailableError:
            # No document's fault either: the lease runs out and is claimed again.
            raise
        except ModelBusyError as busy:
            _busy_until[self.generation.embedding_model] = time.monotonic() + busy.seconds
            self._give_back(lease, busy.seconds, busy)
        except ModelUnavailableError as error:
            # A remote one that is down, or refuses the key: no document's fault, and it may pass.
            _busy_until[self.generation.embedding_model] = time.monotonic() + _MODEL_PAUSE_SECONDS
            self._give_back(lease, _MODEL_PAUSE_SECONDS, error)
        except SourceUnreadableError as error:
            self._give_back(lease, _SOURCE_PAUSE_SECONDS, error)
        except _LOCKED as error:
            self._give_back(lease, _LOCK_PAUSE_SECONDS, error)
        except Exception as error:  # noqa: BLE001  whatever a document sets off is its own
            self._isolate(lease, error)

    def _index(self, lease: Lease, keeper: LeaseKeeper) -> None:
        with transaction(self.pool) as connection:
            found = fetch_to_index(connection, self.generation.collection_id, lease.document_ids)
            if found.left_out:
                release_documents(connection, lease.only(found.left_out))
                lease = lease.only(sorted(set(lease.versions) - set(found.left_out)))
                keeper.narrow(lease)
            kept = kept_embeddings(connection, self.generation.id, lease.document_ids)
        pieces = self._split(found.documents, kept)
        keeper.sign()
        if not self._embed(pieces, keeper):
            with transaction(self.pool) as connection:
                release_documents(connection, lease)
            return
        self._write(lease, found.documents, pieces, keeper)

    def _isolate(self, lease: Lease, error: Exception) -> None:
        with transaction(self.pool) as connection:
            if find_generation(connection, self.generation.id) is None:
                log.info("%s was dropped while it was indexed", self.generation.collection)
                return
        ids = lease.document_ids
        if len(ids) > 1:
            # The second half waits for the first.
            with transaction(self.pool) as connection:
                extend_lease(connection, lease, self.settings)
            middle = len(ids) // 2
            self.index(lease.only(ids[:middle]))
            self.index(lease.only(ids[middle:]))
            return
        log.warning("document %r of %s failed", ids[0], self.generation.collection, exc_info=error)
        with transaction(self.pool) as connection:
            fail_documents(connection, lease, {ids[0]: _told(error)}, self.settings)

    def _give_back(self, lease: Lease, seconds: float, error: Exception) -> None:
        log.warning(
            "%d documents of %s are tried again in %.0f s: %s",
            len(lease.versions),
            self.generation.collection,
            seconds,
            error,
        )
        with transaction(self.pool) as connection:
            release_documents(connection, lease, pause_seconds=seconds, reason=_told(error))

    def _split(
        self, documents: Sequence[SourceDocument], kept: set[tuple[str, bytes]]
    ) -> list[_Piece]:
        generation = self.generation
        chunker = _chunker(self.encoder, generation.chunk_tokens, generation.overlap_tokens)
        texts = [(each.title, plain_text(each.text, self.text_format)) for each in documents]
        pieces = []
        for document, chunks in zip(documents, chunker.split_batch(texts), strict=True):
            for chunk in chunks:
                embedded = embedded_text(chunk)
                digest = sha256(embedded.encode()).digest()
                pieces.append(
                    _Piece(document, chunk, embedded, digest, (document.id, digest) in kept)
                )
        return pieces

    def _embed(self, pieces: Sequence[_Piece], keeper: LeaseKeeper) -> bool:
        """Embed what is not yet; return whether it came to that before the worker is to stop."""
        wanted = {piece.digest: piece for piece in pieces if not piece.kept}
        missing = [piece for digest, piece in wanted.items() if digest not in self.vectors]
        for part in _portions(missing):
            if _stopping.is_set():
                return False
            deadline = time.monotonic() + longest_silence(self.settings)
            encoding = self.encoder.encode(
                [piece.embedded for piece in part],
                "document",
                deadline + _HEAD_START_SECONDS if self.bulk else deadline,
            )
            keeper.sign()
            self._note_truncation(encoding.truncated)
            digests = (piece.digest for piece in part)
            self.vectors.update(zip(digests, encoding.embeddings, strict=True))
        return True

    def _note_truncation(self, truncated: Sequence[bool]) -> None:
        """Say in the log that texts were cut; 'rankgres ingest' says it of the whole collection."""
        cut = sum(truncated)
        if cut > self.settings.truncated_share_limit * len(truncated):
            log.warning(
                "%d of %d texts of %s are longer than the %d tokens that %s reads",
                cut,
                len(truncated),
                self.generation.collection,
                self.encoder.card.max_tokens,
                self.encoder.card.name,
            )

    def _write(
        self,
        lease: Lease,
        documents: Sequence[SourceDocument],
        pieces: Sequence[_Piece],
        keeper: LeaseKeeper,
    ) -> None:
        """Write and finish; what is embedded waits for a Postgres that went away, for one lease."""
        languages = self._languages(documents)
        chunks = [
            EmbeddedChunk(
                document_id=piece.document.id,
                position=piece.chunk.position,
                token_count=piece.chunk.token_count,
                start=piece.chunk.start,
                end=piece.chunk.end,
                heading=piece.chunk.heading,
                text=piece.chunk.text,
                filters=piece.document.metadata,
                embedding=None if piece.kept else self.vectors[piece.digest],
                language=languages.get(piece.document.id),
            )
            for piece in pieces
        ]
        hashes = {document.id: document.content_hash for document in documents}
        give_up = time.monotonic() + self.settings.lease_seconds
        while True:
            try:
                with translated(), self.pool.connection() as connection:
                    write_chunks(connection, lease, chunks, hashes, before_finish=keeper.stop)
            except DatabaseUnavailableError:
                if time.monotonic() > give_up or _stopping.wait(_WRITE_PAUSE_SECONDS):
                    raise
            else:
                return

    def _languages(self, documents: Sequence[SourceDocument]) -> dict[str, str | None]:
        if not self.generation.detects_languages:
            return {}
        return {
            each.id: language_of(
                Document(each.id, each.text, each.title, json.loads(each.metadata))
            )
            for each in documents
        }


def _portions(pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """Yield the pieces in portions for one call of the model each."""
    left = iter(pieces)
    while portion := list(islice(left, _CHUNKS_AT_ONCE)):
        first, tokens = 0, 0
        for place, piece in enumerate(portion):
            tokens += piece.chunk.token_count
            if tokens > _TOKENS_AT_ONCE and place > first:
                yield portion[first:place]
                first, tokens = place, piece.chunk.token_count
        yield portion[first:]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
