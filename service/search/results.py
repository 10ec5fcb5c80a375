"""Results as every caller sees them: over HTTP, on the command line, in JSON."""

import html
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from service.search.candidates import Candidate
from service.search.facets import FacetCount
from service.search.rerank import RankedDocument, Reranking
from service.search.semantic_snippets import Snippet, SnippetSource

#: What stands around marked words until the text is escaped: private-use characters.
RAW_MARKS = ("\ue000", "\ue001")


class StageScore(BaseModel):
    """Where one stage put a document: rank from 1, score comparable in this answer only."""

    rank: int | None = Field(
        description="Null where the stage scored a document that its own list does not have."
    )
    score: float


class Stages(BaseModel):
    """Every stage's rank and score of a document; null where the stage did not score it."""

    lexical: StageScore | None
    vector: StageScore | None
    fused: StageScore
    rerank: StageScore | None


class Passage(BaseModel):
    """A passage of a document; offsets count characters of the document's text."""

    heading: str
    text: str
    start: int
    end: int
    snippet: str = Field(
        description="HTML-escaped excerpt; in <mark> the query's words, else the sentence nearest "
        "to it in meaning."
    )
    snippet_source: SnippetSource = Field(
        description="What chose the excerpt: words of the query in it, its meaning, or nothing but "
        "that the passage begins with it."
    )


class SearchResult(BaseModel):
    """One document with its best passages, best first."""

    rank: int
    id: str
    score: float
    metadata: dict[str, Any]
    passages: list[Passage]
    stages: Stages


class Degradation(BaseModel):
    """A stage that could not do its part, and why."""

    stage: Literal["vector", "rerank"]
    reason: str = Field(
        description="no_worker, timeout, redis_down, worker_error or query_truncated."
    )


class FacetValue(BaseModel):
    """How many of the matching documents have a value of a field."""

    value: Any
    documents: int
    exact: bool = Field(description="False: estimated from a sample of the collection.")


class RerankSummary(BaseModel):
    """How much was reranked."""

    state: Literal["full", "partial", "none"]
    scored: int
    of: int
    model: str | None


class SearchResponse(BaseModel):
    """The answer to one search."""

    results: list[SearchResult]
    degraded: list[Degradation]
    complete: bool = Field(
        description="False where the candidate stage ended before it had all that it was to find."
    )
    incomplete_reason: str | None = Field(description="Why, where it is not complete.")
    corrections: dict[str, str] = Field(
        description="Which words of the query, as the index has them, were searched for as which."
    )
    relaxed: bool = Field(
        description="True where nothing has the quoted phrases: their words were searched for."
    )
    reranked: RerankSummary | None
    facets: dict[str, list[FacetValue]] | None = Field(
        None, description="The most frequent values of each field asked for, those first."
    )
    next_cursor: str | None = Field(
        None, description="Goes on with this list; null where nothing follows, or page is false."
    )
    gone: int = Field(0, description="Documents of this page that were deleted since the search.")
    timings: dict[str, float] = Field(description="Milliseconds of each stage and in all.")
    explain: dict[str, Any] | None = None


def summarise(reranking: Reranking | None) -> RerankSummary | None:
    """Return what the answer says of the reranking."""
    if reranking is None:
        return None
    return RerankSummary(
        state=reranking.state,
        scored=reranking.scored,
        of=reranking.of,
        model=reranking.model,
    )


def present_facets(
    counts: Mapping[str, Sequence[FacetCount]],
) -> dict[str, list[FacetValue]]:
    """Return the counts of each field as the answer has them."""
    return {
        field: [
            FacetValue(value=count.value, documents=count.documents, exact=count.exact)
            for count in values
        ]
        for field, values in counts.items()
    }


def present(
    documents: Sequence[RankedDocument],
    snippets: Sequence[Snippet],
    ranks: Sequence[int] | None = None,
) -> list[SearchResult]:
    """Return results in the documents' order.

    Args:
        documents: what is shown.
        snippets: one a passage.
        ranks: the place of each document in the whole list; None: they are its beginning.
    """
    remaining = iter(snippets)
    return [
        SearchResult(
            rank=rank,
            id=document.best.document_id,
            score=document.score,
            metadata=document.best.metadata,
            passages=[_passage(passage, next(remaining)) for passage in document.passages],
            stages=_stages(document),
        )
        for rank, document in zip(ranks or range(1, len(documents) + 1), documents, strict=True)
    ]


def _passage(passage: Candidate, snippet: Snippet) -> Passage:
    return Passage(
        heading=passage.heading,
        text=passage.text,
        start=passage.start_offset,
        end=passage.end_offset,
        snippet=_marked(snippet.text),
        snippet_source=snippet.source,
    )


def _marked(raw: str) -> str:
    escaped = html.escape(raw, quote=False)
    return escaped.replace(RAW_MARKS[0], "<mark>").replace(RAW_MARKS[1], "</mark>")


def _stages(document: RankedDocument) -> Stages:
    best = document.best
    return Stages(
        lexical=_stage(best.lexical_rank, best.lexical_score),
        vector=_stage(best.vector_rank, best.vector_score),
        fused=StageScore(rank=best.rank, score=best.score),
        rerank=_stage(document.rerank_rank, document.rerank_score),
    )


def _stage(rank: int | None, score: float | None) -> StageScore | None:
    if score is None:
        return None
    return StageScore(rank=rank, score=score)
