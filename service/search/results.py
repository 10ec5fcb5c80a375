"""Results as every caller sees them: over HTTP, on the command line, in JSON."""

import html
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from service.search.rerank import RankedDocument, Reranking

#: What stands around marked words until the text is escaped: private-use characters.
RAW_MARKS = ("\ue000", "\ue001")


class StageScore(BaseModel):
    """Where one stage put a document: rank from 1, score comparable in this answer only."""

    rank: int
    score: float


class Stages(BaseModel):
    """Every stage's rank and score of a document; null where the stage did not have it."""

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
    snippet: str = Field(description="HTML-escaped excerpt, the query's words in <mark>.")


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
    reranked: RerankSummary | None
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


def present(documents: Sequence[RankedDocument], snippets: Sequence[str]) -> list[SearchResult]:
    """Return results in the documents' order; ``snippets`` has one raw excerpt a passage."""
    remaining = iter(snippets)
    return [
        SearchResult(
            rank=rank,
            id=document.best.document_id,
            score=document.score,
            metadata=document.best.metadata,
            passages=[
                Passage(
                    heading=passage.heading,
                    text=passage.text,
                    start=passage.start_offset,
                    end=passage.end_offset,
                    snippet=_marked(next(remaining)),
                )
                for passage in document.passages
            ],
            stages=_stages(document),
        )
        for rank, document in enumerate(documents, start=1)
    ]


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
    if rank is None or score is None:
        return None
    return StageScore(rank=rank, score=score)
