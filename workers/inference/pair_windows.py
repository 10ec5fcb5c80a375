"""Query and passage as a cross-encoder reads them; a passage too long for it becomes windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from workers.inference.backend import TokenSequence

Ids = NDArray[np.int64]

#: What part of a window it shares with the next: what one cuts in two, the other has whole.
_OVERLAP = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A query with a passage or a part of it; ``place`` is that part, in characters."""

    sequence: TokenSequence
    place: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Tokens that stand around the texts of a pair, with their segments."""

    ids: Ids
    type_ids: Ids


class PairReader:
    """Reads pairs into windows of at most ``max_tokens``; safe to share between threads.

    The query is read once for all of its passages, and the tokenizer's own frame of special tokens
    is put around: the sequences are those that it makes of pairs, in half of the time.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._tokenizer = tokenizer
        self._before, self._between, self._after, self._segments = _frame(tokenizer)

    def read(self, query: str, passages: Sequence[str]) -> list[list[Window]]:
        """Return each passage's windows, in the order of its text; a short one has one.

        A query longer than half of ``max_tokens`` is cut to that half, so that a passage always has
        room. Nothing of a passage is left out: windows overlap by a quarter, the last ends with it.
        """
        head = self._head(query)
        room = self.max_tokens - len(head.ids) - len(self._after.ids)
        read = self._tokenizer.encode_batch_fast(list(passages), add_special_tokens=False)
        return [
            [Window(self._sequence(head, np.array(encoding.ids, dtype=np.int64)))]
            if len(encoding) <= room
            else self._windows(head, passage, room)
            for passage, encoding in zip(passages, read, strict=True)
        ]

    def _head(self, query: str) -> _Part:
        """Return all that stands before the passage."""
        ids = self._tokenizer.encode(query, add_special_tokens=False).ids[: self.max_tokens // 2]
        return _Part(
            np.concatenate([self._before.ids, np.array(ids, dtype=np.int64), self._between.ids]),
            np.concatenate(
                [
                    self._before.type_ids,
                    np.full(len(ids), self._segments[0]),
                    self._between.type_ids,
                ]
            ),
        )

    def _sequence(self, head: _Part, passage: Ids) -> TokenSequence:
        ids = np.concatenate([head.ids, passage, self._after.ids])
        segment = np.full(len(passage), self._segments[1])
        type_ids = np.concatenate([head.type_ids, segment, self._after.type_ids])
        return TokenSequence(ids, type_ids, len(ids))

    def _windows(self, head: _Part, passage: str, room: int) -> list[Window]:
        # Only the long ones are read for where their tokens stand, which takes longer.
        encoding = self._tokenizer.encode(passage, add_special_tokens=False)
        ids, offsets = np.array(encoding.ids, dtype=np.int64), encoding.offsets
        step = max(1, room - int(_OVERLAP * room))
        last = len(ids) - room
        return [
            Window(
                self._sequence(head, ids[start : start + room]),
                (offsets[start][0], offsets[start + room - 1][1]),
            )
            for start in [*range(0, last, step), last]
        ]


def _frame(tokenizer: Tokenizer) -> tuple[_Part, _Part, _Part, tuple[int, int]]:
    """Return the special tokens before, between and after the texts, and the texts' segments."""
    pair = tokenizer.encode("a", "b")
    texts = pair.sequence_ids
    first, second = texts.index(0), texts.index(1)
    ends = len(texts) - texts[::-1].index(0), len(texts) - texts[::-1].index(1)

    def part(start: int, end: int) -> _Part:
        return _Part(
            np.array(pair.ids[start:end], dtype=np.int64),
            np.array(pair.type_ids[start:end], dtype=np.int64),
        )

    return (
        part(0, first),
        part(ends[0], second),
        part(ends[1], len(texts)),
        (pair.type_ids[first], pair.type_ids[second]),
    )
