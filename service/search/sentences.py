"""Sentences of a passage, found by their ends, in any script; and an excerpt around one of them."""

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

#: From and to: characters of the passage.
Span: TypeAlias = tuple[int, int]

#: A piece longer than this is no sentence that anybody would show: tables, code, and scripts that
#: end none (Thai). It is cut at a blank.
_LONGEST = 300
#: A piece of fewer bytes says too little to stand alone: "Yes." or a numeral. It joins the one
#: before. Bytes, because a sign of Chinese says as much as three letters, and has three of them.
_SHORTEST = 16

#: Full stop, ! and ? of Chinese and Japanese, wide and narrow; danda and double danda of Indian
#: scripts; full stop of Ethiopic. They end a sentence wherever they stand.
_ENDS = "\u3002\uff01\uff1f\uff61\u0964\u0965\u1362"
#: Ellipsis, question mark of Arabic, full stop of Urdu. These end one before a blank alone.
_ENDS_BEFORE_BLANKS = ".!?\u2026\u061f\u06d4"
#: Quotation marks and brackets that may follow an end.
_CLOSING = "\"')\\]\u2019\u201d\u00bb\u300d\u300f\uff09"

#: An empty line, or the end of a line before a list's next item; or an end of those above. A stop
#: after an initial or one of a few abbreviations ends nothing, nor does one before a lower-case
#: letter: "e.g. this" goes on.
_END = re.compile(
    rf"""
    \n\s*\n | \n(?=\s*(?:[-*\u2022|>]|\d+[.)])\s)
    | [{_ENDS}]+ [{_CLOSING}]*
    | (?<!\b[A-Za-z]) (?<!\b(?:Dr|Mr|Ms|St|vs)) (?<!\b(?:Mrs|Fig|etc))
      [{_ENDS_BEFORE_BLANKS}]+ [{_CLOSING}]* (?=\s) (?!\s+[a-z\u00df-\u00ff])
    """,
    re.VERBOSE,
)


def split_sentences(text: str) -> list[Span]:
    """Return where the sentences of the text stand, without the blanks around them, in order."""
    spans: list[Span] = []
    for piece in _pieces(text):
        for start, end in _cut(text, piece):
            short = len(text[start:end].encode(errors="surrogatepass")) < _SHORTEST
            if spans and short and end - spans[-1][0] <= _LONGEST:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
    return spans


def excerpt(
    text: str, sentences: Sequence[Span], chosen: int, marks: tuple[str, str], width: int = 240
) -> str:
    """Return the chosen sentence between the two marks, with as much around it as the width lets.

    What follows explains more than what came before, so it is taken first. Sentences stay whole.

    Args:
        text: the passage.
        sentences: all of them, as ``split_sentences`` found them.
        chosen: the index of the one to show.
        marks: what stands before and after it.
        width: characters to fill; a longer sentence is shown alone.
    """
    first = last = chosen
    start, end = sentences[chosen]
    while last + 1 < len(sentences) and sentences[last + 1][1] - start <= width:
        last += 1
    while first > 0 and sentences[last][1] - sentences[first - 1][0] <= width:
        first -= 1
    before = text[sentences[first][0] : start]
    after = text[end : sentences[last][1]]
    opening = "… " if first > 0 else ""
    closing = " …" if last + 1 < len(sentences) else ""
    return f"{opening}{before}{marks[0]}{text[start:end]}{marks[1]}{after}{closing}"


def _pieces(text: str) -> Iterator[Span]:
    start = 0
    for match in _END.finditer(text):
        yield start, match.end()
        start = match.end()
    yield start, len(text)


def _cut(text: str, piece: Span) -> Iterator[Span]:
    """Yield a piece without the blanks around it, in parts where it is too long."""
    start, end = piece
    while start < end:
        while start < end and text[start].isspace():
            start += 1
        part = min(end, start + _LONGEST)
        if part < end:
            blank = max(text.rfind(" ", start, part), text.rfind("\n", start, part))
            # No blank in the second half: cut within a word, or where there are none.
            part = blank if blank > start + _LONGEST // 2 else part
        stop = part
        while stop > start and text[stop - 1].isspace():
            stop -= 1
        if stop > start:
            yield start, stop
        start = part
