"""Task: cut and embed some rows of a table that is to be attached, to tell what all will cost."""

import time
from typing import Any, Literal

from celery import shared_task

from service.task_names import SAMPLE_DOCUMENTS
from workers.chunking import Chunker, embedded_text
from workers.deadline import to_monotonic
from workers.inference.backend import DeadlineExceededError, ModelBusyError
from workers.loaded_models import encoder
from workers.plain_text import plain_text

#: Chunks embedded between two looks at the clock.
_CHUNKS_AT_ONCE = 32
#: Seconds of embedding that tell a rate well enough.
_MEASURED_SECONDS = 3.0


@shared_task(name=SAMPLE_DOCUMENTS)  # type: ignore[untyped-decorator]  # Celery has no annotations
def sample_documents(
    *,
    model: str,
    documents: list[tuple[str, str]],
    text_format: Literal["plain", "html", "markdown"],
    chunk_tokens: int,
    overlap_tokens: int,
    deadline: float,
) -> dict[str, Any]:
    """Return each document's number of chunks, and how fast they are cut and embedded.

    ``documents`` are titles and texts as they stand in the source. Only as many chunks are embedded
    as the rate takes to be told; at the deadline (seconds since the epoch) it stops with what it
    has.
    """
    started = time.monotonic()
    loaded = encoder(model)
    chunker = Chunker(
        loaded.tokenizer,
        max_tokens=chunk_tokens,
        overlap_tokens=overlap_tokens,
        prompt=loaded.card.document_prompt,
    )
    began = time.monotonic()
    parts = chunker.split_batch(
        [(title, plain_text(text, text_format)) for title, text in documents]
    )
    cutting = time.monotonic() - began
    chunks = [chunk for part in parts for chunk in part]
    end = min(to_monotonic(deadline), time.monotonic() + _MEASURED_SECONDS)
    embedded, embedding = 0, 0.0
    began = time.monotonic()
    while embedded < len(chunks) and time.monotonic() < end:
        texts = [embedded_text(chunk) for chunk in chunks[embedded : embedded + _CHUNKS_AT_ONCE]]
        try:
            loaded.encode(texts, "document", deadline=to_monotonic(deadline))
        except (DeadlineExceededError, ModelBusyError):
            break
        embedded += len(texts)
        embedding = time.monotonic() - began
    return {
        "chunk_counts": [len(part) for part in parts],
        "tokens": sum(chunk.token_count for chunk in chunks),
        "characters": sum(len(chunk.heading) + len(chunk.text) for chunk in chunks),
        "chunk_seconds": cutting,
        "embedded": embedded,
        "embed_seconds": embedding,
        "seconds": time.monotonic() - started,
    }
