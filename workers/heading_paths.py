"""Heading paths: what stands before a chunk's text, short enough to leave the text its room."""

from dataclasses import dataclass
from typing import Final

from tokenizers import Tokenizer

from service.ingest.document_structure import character_edge

_ELLIPSIS: Final = "\u2026"
_SEPARATOR: Final = " > "
#: A heading that a tokenizer reads as one unknown word is cut at this many characters a token.
_CHARACTERS_PER_TOKEN: Final = 16


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading path as it is embedded, and its length in tokens."""

    text: str
    tokens: int


def heading_path(title: str, headings: tuple[str, ...]) -> tuple[str, ...]:
    """Put the title before the headings, once: many documents repeat it as their first heading."""
    if title and headings and headings[0].casefold() == title.casefold():
        headings = headings[1:]
    return (title, *headings) if title else headings


def shared_path(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the outer headings that two paths share."""
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    return one[:shared]


def joined_path(path: tuple[str, ...]) -> str:
    """Return a path in one line, outermost heading first."""
    return _SEPARATOR.join(path)


def fit_heading(
    tokenizer: Tokenizer, path: tuple[str, ...], limit: int, whole_tokens: int | None = None
) -> Heading:
    """Return a path of at most ``limit`` tokens: outer parts give way first, then the last's end.

    What gave way is marked by an ellipsis. ``whole_tokens`` is the length of the joined path,
    where the caller has counted it already.
    """
    name = joined_path(path)
    tokens = _count(tokenizer, name) if whole_tokens is None else whole_tokens
    if tokens <= limit:
        return Heading(name, tokens)
    for first in range(1, len(path)):
        name = joined_path((_ELLIPSIS, *path[first:]))
        if (tokens := _count(tokenizer, name)) <= limit:
            return Heading(name, tokens)
    return _beginning(tokenizer, path[-1], limit)


def _beginning(tokenizer: Tokenizer, heading: str, limit: int) -> Heading:
    """Return the longest beginning of a heading that fits together with its ellipsis."""
    encoding = tokenizer.encode(heading, add_special_tokens=False)
    for kept in range(min(limit, len(encoding) - 1), 0, -1):
        span = encoding.token_to_chars(kept)
        end = min(span[0] if span else 0, limit * _CHARACTERS_PER_TOKEN)
        name = heading[: character_edge(heading, end)].rstrip() + _ELLIPSIS
        if (tokens := _count(tokenizer, name)) <= limit:
            return Heading(name, tokens)
    return Heading("", 0)


def _count(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False))
