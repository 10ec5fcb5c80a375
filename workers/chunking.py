"""Chunking: cuts documents into pieces that fit a model's input whole, in that model's tokens.

One tokenization pass over a batch of documents tells where every token starts; cuts are then
chosen among those places by the document's structure (`service.ingest.document_structure`).
Why not a library: docs/adr/0003-own-chunker.md.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

from tokenizers import Encoding, Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from service.errors import InvalidInputError
from service.ingest.document_structure import (
    Outline,
    character_edge,
    first_boundary,
    last_boundary,
    outline,
)
from workers.heading_paths import Heading, fit_heading, heading_path, joined_path, shared_path

#: A chunk below this part of the budget takes the next section in.
_TINY_PART: Final = 4
#: The heading path may take one part in this many of the budget.
_HEADING_PART: Final = 4
#: Characters of a chunk per token of the budget. English has 4 or 5; beyond this bound stand
#: runs that a tokenizer reads as one unknown word, and stretches of blanks.
_CHARACTERS_PER_TOKEN: Final = 16
#: Tokens kept free where a piece's own tokens may differ from those it had inside the document.
_MARGIN: Final = 4
_SMALLEST_BODY: Final = 8
_NONSPACE: Final = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a document: ``text`` is exactly ``document[start:end]``.

    ``heading`` is the path of title and headings, joined by " > ". ``token_count`` is the length
    of the model's input: prompt, heading, text and special tokens.
    """

    position: int
    heading: str
    text: str
    start: int
    end: int
    token_count: int


def embedded_text(chunk: Chunk) -> str:
    """Return what the encoder reads of a chunk, without the model's prompt."""
    return _embedded(chunk.heading, chunk.text)


def _embedded(heading: str, text: str) -> str:
    return f"{heading}\n{text}" if heading and text else heading or text


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring sections that are cut together; ``last`` is the path of the last of them."""

    start: int
    end: int
    path: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A chunk whose token count may still be an estimate (None: to be counted)."""

    document: "_Document"
    heading: Heading
    start: int
    end: int
    tokens: int | None

    @property
    def text(self) -> str:
        return self.document.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class _Document:
    title: str
    text: str
    encoding: Encoding
    outline: Outline

    def tokens_before(self, position: int) -> int:
        """Return the number of tokens that start before a character position."""
        character_span = self.encoding.token_to_chars
        return bisect_left(
            range(len(self.encoding)),
            position,
            key=lambda token: (character_span(token) or (0,))[0],
        )

    def token_start(self, token: int) -> int:
        """Return the character position of a token; past the last one, the text's length."""
        if token >= len(self.encoding):
            return len(self.text)
        span = self.encoding.token_to_chars(max(0, token))
        return span[0] if span else 0

    def tokens_between(self, start: int, end: int) -> int:
        return self.tokens_before(end) - self.tokens_before(start)


class Chunker:
    """Cuts documents by structure into chunks of at most ``max_tokens`` tokens of one model.

    ``max_tokens`` is the model's whole input: prompt, heading path, text and special tokens.
    Within a section, a chunk repeats up to ``overlap_tokens`` of the one before it.

    Raises:
        InvalidInputError: the prompt leaves too little room, or the overlap is above a quarter.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, max_tokens: int, overlap_tokens: int, prompt: str = ""
    ) -> None:
        # A copy, because the encoder that owns the original truncates and pads with it.
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # BERT's tokenizers read each word alone, so counts add up wherever white space is cut.
        self._adds_up = (
            isinstance(self._tokenizer.pre_tokenizer, BertPreTokenizer)
            and isinstance(self._tokenizer.normalizer, BertNormalizer)
            and (not prompt or prompt[-1] in " \n")
        )
        self._prompt = prompt
        self._max_tokens = max_tokens
        self._overlap_tokens = overlap_tokens
        self._fixed = len(self._tokenizer.encode(prompt).ids)
        self._room = max_tokens - self._fixed - (0 if self._adds_up else _MARGIN)
        self._heading_limit = min(max_tokens // _HEADING_PART, self._room - _SMALLEST_BODY)
        self._max_characters = _CHARACTERS_PER_TOKEN * max_tokens
        _check_budget(max_tokens, overlap_tokens, self._heading_limit)

    def split_batch(self, documents: Sequence[tuple[str, str]]) -> list[list[Chunk]]:
        """Cut a batch of (title, text) pairs; one list of chunks for each, in order.

        Every character of a text that is not white space is in at least one chunk. A document
        with a title alone gives one chunk with empty text, an empty one gives none.
        """
        titles = [" ".join(title.split()) for title, _ in documents]
        outlines = [outline(text) for _, text in documents]
        paths = {
            heading_path(title, section.headings): None
            for title, structure in zip(titles, outlines, strict=True)
            for section in structure.sections
        }
        texts = [text for _, text in documents]
        may_be_whole = list(map(self._may_be_whole, texts, outlines))
        # Without offsets, which are what most of the time goes into.
        counted = self._tokenizer.encode_batch_fast(
            [joined_path(path) for path in paths] + list(compress(texts, may_be_whole)),
            add_special_tokens=False,
        )
        headings = {
            path: fit_heading(self._tokenizer, path, self._heading_limit, len(encoding))
            for path, encoding in zip(paths, counted, strict=False)
        }
        counts = iter(counted[len(paths) :])
        drafts = [
            self._whole(_Document(title, text, next(counts), structure), headings) if whole else []
            for title, text, structure, whole in zip(
                titles, texts, outlines, may_be_whole, strict=True
            )
        ]
        to_cut = [place for place, found in enumerate(drafts) if not found]
        encodings = self._tokenizer.encode_batch(
            [texts[place] for place in to_cut], add_special_tokens=False
        )
        for place, encoding in zip(to_cut, encodings, strict=True):
            document = _Document(titles[place], texts[place], encoding, outlines[place])
            drafts[place] = self._drafts(document, headings)
        return self._counted(drafts)

    def _may_be_whole(self, text: str, structure: Outline) -> bool:
        """Tell whether a text is likely to be one chunk, so that its tokens need only be counted.

        Most tokens of English have 4 letters or more, some scripts have a token a letter.
        """
        likely = 3 * self._room if text.isascii() else self._room
        return self._adds_up and len(text) <= likely and len(structure.sections) == 1

    def _whole(self, document: _Document, headings: dict[tuple[str, ...], Heading]) -> list[_Draft]:
        """Return the one chunk that a document of one section is, or none where it is none."""
        text = document.text
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        if start >= end or end - start > self._max_characters or not _stands_free(text, start, end):
            return []
        heading = headings[heading_path(document.title, document.outline.sections[0].headings)]
        tokens = heading.tokens + len(document.encoding)
        if tokens > self._room:
            return []
        return [_Draft(document, heading, start, end, self._fixed + tokens)]

    def _drafts(
        self, document: _Document, headings: dict[tuple[str, ...], Heading]
    ) -> list[_Draft]:
        """Cut one document; token counts that cannot be added up are left open."""
        if not _NONSPACE.search(document.text):
            return self._title_alone(document)
        drafts = []
        for group in self._groups(document):
            path = heading_path(document.title, group.path)
            if path not in headings:  # what joined sections share is no section's own path
                headings[path] = fit_heading(self._tokenizer, path, self._heading_limit)
            heading = headings[path]
            for start, end in self._pieces(document, group, self._room - heading.tokens):
                drafts.append(self._draft(document, heading, start, end))
        return drafts

    def _draft(self, document: _Document, heading: Heading, start: int, end: int) -> _Draft:
        """Make a draft of a piece, without the white space at its edges."""
        end = start + len(document.text[start:end].rstrip())
        tokens = None
        if self._adds_up and _stands_free(document.text, start, end):
            tokens = self._fixed + heading.tokens + document.tokens_between(start, end)
        return _Draft(document, heading, start, end, tokens)

    def _title_alone(self, document: _Document) -> list[_Draft]:
        """Return the one chunk of a document without text; its title may fill the whole input."""
        if not document.title:
            return []
        heading = fit_heading(self._tokenizer, (document.title,), self._room)
        return [_Draft(document, heading, 0, 0, None)]

    def _groups(self, document: _Document) -> list[_Group]:
        """Join tiny sections with the ones that follow, so that few chunks are a heading alone."""
        tiny = self._max_tokens // _TINY_PART
        limit = self._room - self._heading_limit
        groups: list[_Group] = []
        for section in document.outline.sections:
            path = section.headings
            if groups and document.tokens_between(groups[-1].start, groups[-1].end) < tiny:
                group = groups[-1]
                introduces = group.path == group.last == path[: len(group.path)]
                if introduces or document.tokens_between(group.start, section.end) <= limit:
                    joined = path if introduces else shared_path(group.path, path)
                    groups[-1] = _Group(group.start, section.end, joined, path)
                    continue
            groups.append(_Group(section.start, section.end, path, path))
        return groups

    def _pieces(self, document: _Document, group: _Group, budget: int) -> Iterator[tuple[int, int]]:
        """Yield start and end of each chunk of a group, at most ``budget`` tokens long."""
        text, end = document.text, group.end
        start = cut = group.start
        while found := _NONSPACE.search(text, start, end):
            start = found.start()
            fits = document.tokens_between(start, end) <= budget
            if fits and end - start <= self._max_characters:
                yield start, end
                return
            previous, cut = cut, self._cut(document, start, end, cut, budget)
            if not _NONSPACE.search(text, max(start, previous), cut):
                start = cut  # the overlap and blanks alone: bring no chunk of their own
                continue
            yield start, cut
            if not _NONSPACE.search(text, cut, end):
                return
            start = max(start + 1, self._overlap_start(document, start, cut, budget))

    def _cut(self, document: _Document, start: int, end: int, previous: int, budget: int) -> int:
        """Choose where the chunk from ``start`` ends: a boundary in the second half, if any.

        It ends after ``previous``, the cut before it, so that every chunk brings new text.
        """
        first = document.tokens_before(start)
        farthest = min(end, start + self._max_characters)
        high = min(max(document.token_start(first + budget), start + 1), farthest)
        low = document.token_start(first + budget // 2)
        if not start <= low < high:
            low = start + (high - start) // 2
        low = max(low, previous)
        boundary = last_boundary(document.text, low, high, document.outline)
        if boundary is not None:
            return boundary
        edge = min(document.token_start(first + budget - _MARGIN), high)
        edge = character_edge(document.text, edge)
        return edge if edge > start else high

    def _overlap_start(self, document: _Document, start: int, cut: int, budget: int) -> int:
        """Return where the chunk after ``cut`` starts; ``cut`` itself where nothing overlaps."""
        tokens = min(self._overlap_tokens, budget // 3)
        low = document.token_start(document.tokens_before(cut) - tokens)
        if not tokens or low <= start + (cut - start) // 2:
            return cut
        boundary = first_boundary(document.text, low, cut)
        return character_edge(document.text, low) if boundary is None else boundary

    def _counted(self, batches: list[list[_Draft]]) -> list[list[Chunk]]:
        """Count what could not be added up, in one pass, and halve what came out too long."""
        open_drafts = [draft for drafts in batches for draft in drafts if draft.tokens is None]
        counts = iter(self._input_lengths(open_drafts))
        chunks: list[list[Chunk]] = []
        for drafts in batches:
            settled: list[tuple[_Draft, int]] = []
            for draft in drafts:
                tokens = next(counts) if draft.tokens is None else draft.tokens
                settled.extend(self._halved(draft, tokens))
            chunks.append(
                [
                    Chunk(position, draft.heading.text, draft.text, draft.start, draft.end, tokens)
                    for position, (draft, tokens) in enumerate(settled)
                ]
            )
        return chunks

    def _halved(self, draft: _Draft, tokens: int) -> list[tuple[_Draft, int]]:
        """Return the draft with its count, or as many parts of it as fit the budget."""
        length = draft.end - draft.start
        if tokens <= self._max_tokens or length <= 1:
            return [(draft, tokens)]
        text = draft.document.text
        low, high = draft.start + length // 4, draft.end - length // 4 - 1
        cut = last_boundary(text, low, high, draft.document.outline)
        if cut is None:
            middle = draft.start + length // 2
            edge = character_edge(text, middle)
            cut = edge if edge > draft.start else middle
        halves = []
        for start, end in ((draft.start, cut), (cut, draft.end)):
            if found := _NONSPACE.search(text, start, end):
                halves.append(self._draft(draft.document, draft.heading, found.start(), end))
        lengths = self._input_lengths(halves)
        return [
            part
            for half, count in zip(halves, lengths, strict=True)
            for part in self._halved(half, count)
        ]

    def _input_lengths(self, drafts: Sequence[_Draft]) -> list[int]:
        """Count the tokens of whole model inputs, special tokens included."""
        inputs = [self._prompt + _embedded(draft.heading.text, draft.text) for draft in drafts]
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(inputs)]


def _check_budget(max_tokens: int, overlap_tokens: int, heading_limit: int) -> None:
    """Raise InvalidInputError where a chunk could hold nothing or never end."""
    if heading_limit < 1:
        raise InvalidInputError(
            f"{max_tokens} tokens leave no room for text beside prompt and special tokens",
            field="max_tokens",
            value=max_tokens,
            mend="raise max_tokens or shorten the prompt",
        )
    if not 0 <= overlap_tokens <= max_tokens // 4:
        raise InvalidInputError(
            f"overlap_tokens is {overlap_tokens}, outside 0 to {max_tokens // 4}",
            field="overlap_tokens",
            value=overlap_tokens,
            mend="choose at most a quarter of max_tokens",
        )


def _stands_free(text: str, start: int, end: int) -> bool:
    """Tell whether a span is bordered by white space that every BERT tokenizer splits at."""
    return (start == 0 or text[start - 1] in " \t\r\n") and (
        end == len(text) or text[end] in " \t\r\n"
    )
