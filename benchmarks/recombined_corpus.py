"""A corpus of any size out of a smaller real one: sentences recombined, embeddings mixed.

Word frequencies, repetition inside a text and the lie of the embeddings stay those of real text;
made-up words have none of these. A chunk is sentences of one passage and of another near it in the
file, 60 to 220 words in all; its embedding lies between those of two real passages, with a little
noise, at length 1.
"""

import random
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.db.connection import Connection
from service.ingest.files import RecordReader
from service.ingest.records import Fields, Record
from service.model_cards import DEFAULT_ENCODER
from service.settings import get_settings
from workers.inference.encoder import load_encoder

#: Header of a binary COPY, and its end; see the manual's page on COPY.
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_COPY_END = struct.pack(">h", -1)
_ENCODED_AT_ONCE = 256
_WORDS = (60, 220)
_FROM_THE_FIRST = 0.6
_NEIGHBOURS = 200
_NOISE = 0.02

Embeddings = NDArray[np.float32]


def read_passages(corpus: Path) -> list[tuple[str, list[str]]]:
    """Return title and sentences of every passage of a JSON Lines corpus."""
    records = (item for item in RecordReader([corpus], Fields()) if isinstance(item, Record))
    return [(record.title, _sentences(record.text)) for record in records]


def encode(texts: Sequence[str], role: str = "document") -> Embeddings:
    """Return the embeddings of the texts, shape (texts, dimension), by the default encoder."""
    encoder = load_encoder(DEFAULT_ENCODER, get_settings())
    try:
        parts = [
            encoder.encode(
                texts[first : first + _ENCODED_AT_ONCE],
                "query" if role == "query" else "document",
            ).embeddings
            for first in range(0, len(texts), _ENCODED_AT_ONCE)
        ]
    finally:
        encoder.close()
    return np.concatenate(parts)


def copy_chunks(
    connection: Connection,
    passages: Sequence[tuple[str, list[str]]],
    embeddings: Embeddings,
    chunks: int,
) -> None:
    """Fill public.source (id, heading, text, embedding) with chunks, the same every time."""
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY public.source FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.write(_COPY_HEAD)
        for row in _rows(passages, embeddings, chunks):
            copy.write(row)
        copy.write(_COPY_END)


def _rows(
    passages: Sequence[tuple[str, list[str]]], embeddings: Embeddings, chunks: int
) -> Iterator[bytes]:
    chance = random.Random(1)
    noise = np.random.default_rng(1)
    dimension = embeddings.shape[1]
    for number in range(chunks):
        first = chance.randrange(len(passages))
        other = first + chance.randrange(-_NEIGHBOURS, _NEIGHBOURS)
        other = min(max(other, 0), len(passages) - 1)
        heading, text = passages[first][0], _text(chance, passages[first][1], passages[other][1])
        share = chance.uniform(0.3, 0.9)
        mixed = share * embeddings[_spread(first, embeddings)]
        mixed += (1 - share) * embeddings[_spread(other, embeddings)]
        mixed += noise.normal(0, _NOISE, dimension)
        halves = (mixed / np.linalg.norm(mixed)).astype(">f2").tobytes()
        fields = (
            struct.pack(">i", number),
            heading.encode(),
            text.encode(),
            struct.pack(">hh", dimension, 0) + halves,
        )
        yield struct.pack(">h", len(fields)) + b"".join(
            struct.pack(">i", len(field)) + field for field in fields
        )


def _spread(passage: int, embeddings: Embeddings) -> int:
    """Return which embedding stands for a passage, where fewer were encoded than there are."""
    return passage * 7919 % len(embeddings)


def _text(chance: random.Random, sentences: list[str], others: list[str]) -> str:
    wanted, words, chosen = chance.randint(*_WORDS), 0, []
    while words < wanted:
        chosen.append(chance.choice(sentences if chance.random() < _FROM_THE_FIRST else others))
        words += len(chosen[-1].split())
    return " ".join(chosen)


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text.replace("\0", " ").strip() or "nothing")
