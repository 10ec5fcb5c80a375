"""Windows of passages that are longer than a model reads, where its tokenizer is not at hand."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

#: A token has about four letters in English and fewer elsewhere; less is promised, so that a window
#: fits. From the first of the scripts without spaces on, a character is a token.
_LETTER_TOKENS: Final = 1 / 3
_FIRST_WIDE: Final = "\u2e80"
#: Share of a window that the next one reads again, so that no sentence is read in halves alone.
_OVERLAP: Final = 1 / 8


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a passage, in characters, and what it weighs."""

    passage: int
    start: int
    end: int
    tokens: int


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has, rather more than fewer."""
    return int(_weights(text)[-1]) + 1 if text else 0


def split_passage(passage: int, text: str, tokens: int) -> list[Window]:
    """Return windows of at most so many estimated tokens, which overlap and together are the text.

    A text that fits is one window, also the empty one. Windows end at spaces where there are any.
    """
    weights = _weights(text)
    if not text or weights[-1] <= tokens:
        return [Window(passage, 0, len(text), estimated_tokens(text))]
    found = []
    start = 0
    while True:
        before = weights[start - 1] if start else 0.0
        end = min(bisect_right(weights, before + tokens), len(text))
        end = max(end, start + 1)
        if end < len(text):
            space = text.rfind(" ", start + (end - start) // 2, end)
            end = space if space > 0 else end
        found.append(Window(passage, start, end, int(weights[end - 1] - before) + 1))
        if end == len(text):
            return found
        start = _next_start(text, start, end)


def best_of(
    windows: Sequence[Window], scores: Sequence[float | None], passages: int
) -> tuple[list[float | None], list[tuple[int, int] | None]]:
    """Return each passage's score, that of its best window, and where that stands.

    Args:
        windows: of all passages, in their order.
        scores: of the windows; a passage with a window without one has none either.
        passages: how many there are.
    """
    best: list[float | None] = [None] * passages
    places: list[tuple[int, int] | None] = [None] * passages
    unread = {
        window.passage for window, score in zip(windows, scores, strict=True) if score is None
    }
    several = {window.passage for window in windows if window.start > 0}
    for window, score in zip(windows, scores, strict=True):
        if score is None or window.passage in unread:
            continue
        known = best[window.passage]
        if known is None or score > known:
            best[window.passage] = score
            if window.passage in several:
                places[window.passage] = window.start, window.end
    return best, places


def _next_start(text: str, start: int, end: int) -> int:
    again = max(start + 1, end - int(_OVERLAP * (end - start)))
    space = text.find(" ", again, end)
    return again if space < 0 else space + 1


def _weights(text: str) -> Sequence[float]:
    """Return the tokens up to and with each character."""
    if text.isascii():  # most are, and need no look at every character
        return _AsciiWeights(len(text))
    return list(accumulate(1.0 if letter >= _FIRST_WIDE else _LETTER_TOKENS for letter in text))


class _AsciiWeights(Sequence[float]):
    """As many equal steps as there are letters, without keeping them."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> float:  # type: ignore[override]  # bisect and -1 ask for no slice
        return ((index + self._length) % self._length + 1) * _LETTER_TOKENS
