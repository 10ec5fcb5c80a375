"""Labelled queries: what is asked, and which documents answer it; what every source gives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from service.evaluation.judgements import read_judgements


@dataclass(frozen=True, slots=True)
class KnownPassage:
    """The passage that a source means: its place in the document, and the text to learn from."""

    position: int
    text: str


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query and the grades of documents: above 0 relevant, 0 judged and not relevant.

    ``known`` has the passage of a document where the source knows it; of the others the passage
    nearest to the query is taken. Where ``with_headings`` is False, passages are shown without
    their headings, because the query was made of one: with it, copying would be all there is to
    learn.
    """

    id: str
    text: str
    grades: Mapping[str, float]
    known: Mapping[str, KnownPassage] = field(default_factory=dict)
    with_headings: bool = True

    @property
    def relevant(self) -> dict[str, float]:
        """Return the documents that answer, best first."""
        graded = {name: grade for name, grade in self.grades.items() if grade > 0}
        return dict(sorted(graded.items(), key=lambda item: -item[1]))


class QuerySource(Protocol):
    """Where labelled queries come from."""

    @property
    def description(self) -> str:
        """Return a line for the model's card."""

    @property
    def identity(self) -> object:
        """Return what changes when the source does; JSON."""

    def read(self) -> Iterator[LabelledQuery]:
        """Yield the queries, in the same order in every call."""


@dataclass(frozen=True, slots=True)
class JudgedQueries:
    """Judgements in BEIR's or TREC's form, as ``rankgres eval`` reads them."""

    queries: Path
    qrels: Path

    @property
    def description(self) -> str:
        """Return a line for the model's card."""
        return f"judgements: {self.queries.name} with {self.qrels.name}"

    @property
    def identity(self) -> object:
        """Return the files and their sizes."""
        return [[path.name, path.stat().st_size] for path in (self.queries, self.qrels)]

    def read(self) -> Iterator[LabelledQuery]:
        """Yield every query that has a relevant document."""
        judgements = read_judgements(self.queries, self.qrels)
        for name, text in judgements.queries.items():
            grades = {
                document: float(max(0, score))
                for document, score in judgements.relevance[name].items()
            }
            yield LabelledQuery(f"judged {name}", text, grades)
