"""Document structure: where a text's sections, code fences and best places to cut are.

Reads Markdown, and the underlined headings of reStructuredText and of plain text. All positions
are character offsets into the text as it was given.
"""

import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with all that follows it up to the next heading; no headings: the preamble.

    ``headings`` is the path from the outermost heading down to the section's own.
    """

    start: int
    end: int
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """The sections of a text, in order and without gaps, and its code fences as offset pairs."""

    sections: tuple[Section, ...]
    fences: tuple[tuple[int, int], ...] = ()

    def fence_around(self, position: int) -> tuple[int, int] | None:
        """Return the code fence that a cut at ``position`` would break, if any."""
        index = bisect_left(self.fences, (position,)) - 1
        if index >= 0 and position < self.fences[index][1]:
            return self.fences[index]
        return None


_STRUCTURE: Final = re.compile(
    r"""
    (?P<matter>\A---[ \t\r]*\n (?:(?![ \t\r]*\n)[^\n]*\n)*? (?:---|\.\.\.)[ \t\r]*$)
    | ^[ ]{0,3}(?P<hashes>\#{1,6})[ \t]+(?P<atx>\S[^\n]{0,199}?)(?:[ \t]{1,9}+\#++)?[ \t\r]{0,99}+$
    | (?<![^\n\r]\n)(?<![^\n\r]\r\n)                      # a line that follows an empty one
      ^(?:(?P<over>[=*~^])(?P=over){2,}[ \t\r]*\n[ \t]*)?
      (?![-*+>|][ \t])(?P<title>[^\s`][^\n]{0,199})\n
      (?P<rule>(?P<mark>[=\-*~^])(?P=mark){2,})[ \t\r]*$
    | ^[ ]{0,3}(?P<fence>`{3,}+(?![^`\n]*`)|~{3,}+)[^\n]*\n
      (?:[^\n]*\n)*? (?:[ ]{0,3}(?P=fence)[`~]*[ \t\r]*$ | [^\n]*\Z)
    """,
    re.MULTILINE | re.VERBOSE,
)
#: One of these is in every text that _STRUCTURE finds anything in; looking for them is far faster.
_MARKERS: Final = ("#", "\n===", "\n---", "\n***", "~~~", "\n^^^", "```", "---\n", "---\r")
#: Outermost first. In Markdown ``=`` is above ``-``; the rest is the usual order elsewhere.
_UNDERLINES: Final = "*=-~^"
_WHITESPACE: Final = re.compile(r"\s+")


def outline(text: str) -> Outline:
    """Find the sections and code fences of a text.

    A text without a heading is one section with no headings. Lines inside code fences and YAML
    front matter are never read as headings.
    """
    if not any(marker in text for marker in _MARKERS):
        return Outline((Section(0, len(text), ()),))
    sections: list[Section] = []
    fences: list[tuple[int, int]] = []
    open_levels: list[tuple[int, str]] = []
    section_start, position = 0, 0
    while found := _STRUCTURE.search(text, position):
        position = found.end()
        if found["fence"] or found["matter"]:
            fences.append(found.span())
            continue
        heading = _heading(found)
        if heading is None:
            position = found.start("rule")
            continue
        if found.start() > section_start:
            path = tuple(name for _, name in open_levels)
            sections.append(Section(section_start, found.start(), path))
        while open_levels and open_levels[-1][0] >= heading[0]:
            open_levels.pop()
        open_levels.append(heading)
        section_start = found.start()
    path = tuple(name for _, name in open_levels)
    sections.append(Section(section_start, len(text), path))
    return Outline(tuple(sections), tuple(fences))


def _heading(found: re.Match[str]) -> tuple[int, str] | None:
    """Return level and text of a matched heading, or None where the match is none."""
    if found["hashes"]:
        return len(found["hashes"]), _WHITESPACE.sub(" ", found["atx"])
    title = found["title"].rstrip()
    # Below a line of text, ~~~ may open a code fence and *** be a rule: a heading's underline
    # is as long as its text.
    if found["mark"] in "~^*" and len(found["rule"]) < len(title):
        return None
    return _UNDERLINES.index(found["mark"]), _WHITESPACE.sub(" ", title)


_PARAGRAPH: Final = re.compile(r"\n[ \t\r]*\n")
_LIST_ITEM: Final = re.compile(r"\n(?=[ \t]*(?:[-*+\u2022]|\d{1,9}[.)])[ \t]+\S)")
# The character class comes first so that the search skips to it; abbreviations are then ruled out.
_SENTENCE: Final = re.compile(
    r"""
    [.!?\u2026\u061f\u06d4\u0964\u3002\uff01\uff1f\uff61]
    (?:
      (?<=[\u3002\uff01\uff1f\uff61])["'\u201d\u2019\uff09\u300d\u300f]*\s*
    | (?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bcf\.)(?<!\bvs\.)(?<!\bal\.)(?<!\bFig\.)(?<!\bDr\.)
      (?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bProf\.)
      ["'\u201d\u2019)\]]*\s+(?=["'\u201c\u2018(\[*`_]?[^\Wa-z_])
    )
    """,
    re.VERBOSE,
)


def last_boundary(text: str, low: int, high: int, structure: Outline) -> int | None:
    """Return the strongest boundary after ``low`` and up to ``high``, the last of its kind.

    From strong to weak: before a code fence, paragraph, list item, sentence, line, word. None
    when the whole stretch is one unbroken word.
    """
    fence = structure.fence_around(high)
    if fence is not None:
        if fence[0] > low:
            return fence[0]
        return _last_of(text, "\n", low, high) or _last_of(text, " ", low, high)
    has_lines = text.find("\n", low, high) >= 0
    patterns = (_PARAGRAPH, _LIST_ITEM, _SENTENCE) if has_lines else (_SENTENCE,)
    for pattern in patterns:
        ends = [
            found.end()
            # Two characters more, because a sentence's end looks at what begins the next.
            for found in pattern.finditer(text, low, min(high + 2, len(text)))
            if low < found.end() <= high and not structure.fence_around(found.end())
        ]
        if ends:
            return ends[-1]
    return _last_of(text, "\n", low, high) or _last_of(text, " \t", low, high)


def _last_of(text: str, characters: str, low: int, high: int) -> int | None:
    """Return the position after the last of these characters, or None where none stands."""
    last = max(text.rfind(character, low, high) for character in characters)
    return last + 1 if last >= low else None


def first_boundary(text: str, low: int, high: int) -> int | None:
    """Return where the first sentence, line or word at or after ``low`` starts, before ``high``.

    Sentences come before lines and lines before words; None when all is one unbroken word.
    """
    before = max(0, low - 4)
    for found in _SENTENCE.finditer(text, before, high):
        if low <= found.end() < high:
            return found.end()
    for characters in ("\n", " \t"):
        starts = [text.find(character, max(0, low - 1), high - 1) for character in characters]
        if found_starts := [start + 1 for start in starts if start >= 0]:
            return min(found_starts)
    return None


_JOINER: Final = "\u200d"
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)
#: A longer pile of combining marks is cut; without a bound, noise would be walked over and over.
_MAX_MARKS: Final = 32


def character_edge(text: str, position: int) -> int:
    """Return the nearest position at or before ``position`` that parts no composed character.

    Letters keep their combining marks, emoji their joiners, selectors and skin tones.
    """
    for edge in range(position, max(0, position - _MAX_MARKS), -1):
        if edge >= len(text) or not _joins_previous(text, edge):
            return edge
    return position


def _joins_previous(text: str, position: int) -> bool:
    """Tell whether the character at ``position`` belongs to the one before it."""
    character = text[position]
    if character < "\u0300":
        return False
    return (
        character == _JOINER
        or text[position - 1] == _JOINER
        or ord(character) in _SKIN_TONES
        or unicodedata.category(character) in {"Mn", "Mc", "Me"}
    )
