"""Weak labels: queries that the documents themselves hold, with the passages that answer them.

Two kinds. A heading asks for the passage below it. A question that stands in a passage asks for
the rest of it: the sentence is taken out first, as in the inverse cloze task (Lee, Chang,
Toutanova, "Latent Retrieval for Weakly Supervised Open Domain Question Answering", ACL 2019), or
copying would be all there is to learn.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from service.db.connection import Connection
from service.db.statements import load_statements
from workers.training.labelled_queries import KnownPassage, LabelledQuery

_SQL = load_statements(__file__)

_FEWEST_WORDS: Final = 2
_MOST_WORDS: Final = 20
#: What is left of a passage must say something.
_FEWEST_PASSAGE_WORDS: Final = 20
#: A heading of more documents than this is one of a form, such as "Summary".
_MOST_DOCUMENTS: Final = 2
_QUESTION: Final = re.compile(r"(?:^|(?<=[.!?:\n])\s*)([A-Z][^.!?\n]{8,200}\?)(?=\s|$)")
_PART_SEPARATOR: Final = " > "
_ELLIPSIS: Final = "\u2026"


class StoredChunk(NamedTuple):
    """A chunk as it stands in the database."""

    document_id: str
    position: int
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class WeakLabels:
    """Headings and questions of a collection's own passages, ``limit`` of them at most.

    Where there are more, those are taken whose passages come first in the order of their hash,
    so that every document has the same chance, and the same ones are taken every time.
    """

    connection: Connection
    generation_id: int
    limit: int

    @property
    def description(self) -> str:
        """Return a line for the model's card."""
        return (
            "weak labels of the collection itself, judged by nobody: headings with their passage, "
            "questions with the passage that they stand in"
        )

    @property
    def identity(self) -> object:
        """Return the generation and the bound."""
        return [self.generation_id, self.limit]

    def read(self) -> Iterator[LabelledQuery]:
        """Yield the queries, headings and questions mixed."""
        formal = self._formal_headings()
        taken: set[str] = set()
        with self.connection.transaction(), self.connection.cursor("weak_labels") as cursor:
            rows = cursor.execute(_SQL["chunks"], {"generation_id": self.generation_id})
            for row in rows:
                for query in weak_queries(StoredChunk(*row), formal):
                    key = query.text.casefold()
                    if key in taken:
                        continue
                    taken.add(key)
                    yield query
                    if len(taken) >= self.limit:
                        return

    def _formal_headings(self) -> set[str]:
        """Return the headings that several documents have: they ask for nothing of their own."""
        rows = self.connection.execute(
            _SQL["headings"], {"generation_id": self.generation_id}
        ).fetchall()
        documents: Counter[str] = Counter()
        for _, headings in rows:
            documents.update({last_part(heading).casefold() for heading in headings})
        return {name for name, count in documents.items() if count > _MOST_DOCUMENTS}


def weak_queries(chunk: StoredChunk, formal: set[str]) -> Iterator[LabelledQuery]:
    """Yield what a chunk's heading and its own questions ask for.

    Args:
        chunk: any of a collection.
        formal: headings, case folded, that are left out.
    """
    place = f"{chunk.document_id} {chunk.position}"
    heading = last_part(chunk.heading)
    if (
        heading
        and heading.casefold() not in formal
        and not heading.endswith(_ELLIPSIS)
        and _FEWEST_WORDS <= len(heading.split()) <= _MOST_WORDS
        and _says_something(chunk.text)
    ):
        known = {chunk.document_id: KnownPassage(chunk.position, chunk.text)}
        yield LabelledQuery(
            f"heading {place}", heading, {chunk.document_id: 1.0}, known, with_headings=False
        )
    for number, found in enumerate(_QUESTION.finditer(chunk.text)):
        question = found[1]
        if not _FEWEST_WORDS < len(question.split()) <= _MOST_WORDS:
            continue
        rest = f"{chunk.text[: found.start(1)]}{chunk.text[found.end(1) :]}".strip()
        if _says_something(rest):
            known = {chunk.document_id: KnownPassage(chunk.position, rest)}
            yield LabelledQuery(
                f"question {place} {number}", question, {chunk.document_id: 1.0}, known
            )


def last_part(heading: str) -> str:
    """Return the innermost heading of a path."""
    return heading.rpartition(_PART_SEPARATOR)[2].strip()


def _says_something(text: str) -> bool:
    return len(text.split()) >= _FEWEST_PASSAGE_WORDS
