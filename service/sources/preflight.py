"""Preflight: what attaching a relation will find, cost and take, told before the first row."""

import math
import time
from dataclasses import dataclass
from typing import Any, Final

import redis
from psycopg.rows import class_row

from service.db.connection import Connection
from service.db.statements import load_statements
from service.search.task_sender import NoAnswerError, TaskSender, read_pulses
from service.sources.source import SourcePlan, register_source
from service.task_names import EMBED_QUEUE, SAMPLE_DOCUMENTS

_SQL = load_statements(__file__)

#: Rows that are read, and characters of them at most: enough for a share to within some points.
SAMPLE_ROWS: Final = 400
_SAMPLE_CHARACTERS: Final = 2_000_000
#: Rows up to which they are counted rather than estimated.
_COUNTED_ROWS: Final = 200_000
#: Seconds to wait for a worker, which may be in the middle of a batch.
_WORKER_SECONDS: Final = 30.0
#: Of English under a WordPiece vocabulary; other languages have fewer characters a token.
_CHARACTERS_PER_TOKEN: Final = 4.4


@dataclass(frozen=True, slots=True)
class Found:
    """What of the relation was found; ``sync`` is "triggers" or "comparison"."""

    relation: str
    key_columns: list[str]
    title_column: str | None
    text_columns: list[str]
    template: str | None
    text_format: str
    filter_columns: list[str]
    condition: str | None
    sync: str
    compare_every: str
    row_security: bool
    embedding_model: str
    embedding_dimension: int
    chunk_tokens: int
    overlap_tokens: int
    storage_type: str
    hnsw_m: int


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found, and what all of it will cost.

    Shares are of the sampled rows. ``seconds`` is None where no worker could be asked; tokens and
    chunks are then estimated from characters, and ``measured`` is False.
    """

    found: Found
    rows: int
    counted: bool
    sampled: int
    split_share: float
    empty_share: float
    chunks: int
    tokens: int
    disk_bytes: int
    memory_bytes: int
    seconds: float | None
    chunks_per_second: float | None
    workers: int
    measured: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found, how many rows belong, and titles and texts of some of them."""

    found: Found
    rows: int
    counted: bool
    sample: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Cut:
    """How the sample was cut; ``characters`` are those of the chunks, headings included."""

    chunk_counts: list[int]
    tokens: int
    characters: int
    chunks_per_second: float | None = None
    workers: int = 0


def inspect_source(connection: Connection, plan: SourcePlan) -> Inspection:
    """Find what attaching will find, and read a sample; nothing is attached, and nothing stays.

    Everything that attach checks is checked. The relation is not locked against writes.

    Args:
        connection: in no transaction.
        plan: what is to be attached.

    Raises:
        RankgresError: attaching would fail for the same reason.
    """
    with connection.transaction(force_rollback=True):
        values: dict[str, Any] = {"collection_id": register_source(connection, plan)}
        with connection.cursor(row_factory=class_row(Found)) as cursor:
            found = cursor.execute(_SQL["found"], values).fetchone()
        assert found is not None
        rows = connection.execute(_SQL["rows"], values | {"limit": _COUNTED_ROWS}).fetchone()
        assert rows is not None
        return Inspection(found, rows[0], rows[1], _read_sample(connection, values))


def measure_sample(inspection: Inspection, sender: TaskSender | None) -> Preflight:
    """Have a worker cut and embed the sample, and tell what all rows will cost.

    Needs no connection to Postgres. Where there is no Redis (``sender`` is None) or no worker
    answers, everything but time is estimated from characters.
    """
    cut = (sender and _ask_worker(sender, inspection)) or _estimate(inspection)
    return _extrapolate(inspection, cut)


def _read_sample(connection: Connection, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Read rows until they are enough, or have so many characters that a message has enough."""
    documents: list[tuple[str, str]] = []
    characters = 0
    with connection.cursor() as cursor:
        for title, text in cursor.execute(_SQL["sample"], values | {"sample_rows": SAMPLE_ROWS}):
            documents.append((title, text))
            characters += len(title) + len(text)
            if characters >= _SAMPLE_CHARACTERS:
                break
    return documents


def _ask_worker(sender: TaskSender, inspection: Inspection) -> _Cut | None:
    """Have an embedding worker cut the sample and embed some of it; None where none answers."""
    found = inspection.found
    request = {
        "model": found.embedding_model,
        "documents": inspection.sample,
        "text_format": found.text_format,
        "chunk_tokens": found.chunk_tokens,
        "overlap_tokens": found.overlap_tokens,
    }
    deadline = time.time() + _WORKER_SECONDS
    try:
        answer = sender.call(SAMPLE_DOCUMENTS, EMBED_QUEUE, request, deadline)
        workers = len(read_pulses(sender.redis, EMBED_QUEUE))
    except (NoAnswerError, redis.RedisError):
        return None
    counts = answer["chunk_counts"]
    seconds_a_chunk = answer["chunk_seconds"] / max(1, sum(counts))
    if answer["embedded"]:
        seconds_a_chunk += answer["embed_seconds"] / answer["embedded"]
    return _Cut(
        counts,
        answer["tokens"],
        answer["characters"],
        chunks_per_second=1 / seconds_a_chunk if answer["embedded"] else None,
        workers=max(1, workers),
    )


def _estimate(inspection: Inspection) -> _Cut:
    """Guess by characters how the sample would be cut."""
    found = inspection.found
    counts, tokens, characters = [], 0, 0
    for title, text in inspection.sample:
        if not text.strip():
            # Of a document without text, the title is the one chunk.
            counts.append(1 if title.strip() else 0)
            continue
        needed = len(text) / _CHARACTERS_PER_TOKEN
        # The title, or the heading, stands before every chunk; some tokens are the model's own.
        heading = min(len(title) / _CHARACTERS_PER_TOKEN, found.chunk_tokens / 4) + 4
        room = found.chunk_tokens - heading
        step = room - min(found.overlap_tokens, room / 2)
        count = 1 if needed <= room else 1 + math.ceil((needed - room) / step)
        counts.append(count)
        overlap = (count - 1) * (room - step)
        tokens += round(needed + overlap + count * heading)
        characters += round(len(text) + (overlap + count * heading) * _CHARACTERS_PER_TOKEN)
    return _Cut(counts, tokens, characters)


def _extrapolate(inspection: Inspection, cut: _Cut) -> Preflight:
    found, rows, sampled = inspection.found, inspection.rows, len(inspection.sample)
    factor = rows / max(1, sampled)
    chunks = round(sum(cut.chunk_counts) * factor)
    characters = cut.characters / max(1, sum(cut.chunk_counts))
    graph = _graph_bytes(found)
    rate = None if cut.chunks_per_second is None else cut.chunks_per_second * cut.workers
    return Preflight(
        found=found,
        rows=rows,
        counted=inspection.counted,
        sampled=sampled,
        split_share=sum(count > 1 for count in cut.chunk_counts) / max(1, sampled),
        empty_share=sum(count == 0 for count in cut.chunk_counts) / max(1, sampled),
        chunks=chunks,
        tokens=round(cut.tokens * factor),
        disk_bytes=round(chunks * (_row_bytes(found, characters) + graph)),
        memory_bytes=round(chunks * graph),
        seconds=None if rate is None else chunks / rate,
        chunks_per_second=rate,
        workers=cut.workers,
        measured=cut.workers > 0,
    )


def _row_bytes(found: Found, characters: float) -> float:
    """Return the bytes of a chunk in the table and in its indexes but HNSW.

    The text, its lexemes with their positions, and GIN over them: fitted to four collections of
    prose, abstracts and reference documentation, of which it is within a tenth.
    """
    return 700 + 2.7 * characters + _vector_bytes(found.storage_type, found.embedding_dimension)


def _graph_bytes(found: Found) -> float:
    """Return the bytes of a chunk in the HNSW index: its vector, its links, and page overhead."""
    stored = (
        found.embedding_dimension / 8
        if found.storage_type == "bit"
        else _vector_bytes(found.storage_type, found.embedding_dimension)
    )
    links = 6 * 2 * found.hnsw_m
    return 1.08 * (stored + links + 130)


def _vector_bytes(storage_type: str, dimension: int) -> float:
    return 8 + dimension * (4 if storage_type == "vector" else 2)
