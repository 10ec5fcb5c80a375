"""Results as every caller sees them: over HTTP, on the command line, in JSON."""

import html
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr

from service.search.candidates import Candidate
from service.search.facets import FacetCount
from service.search.ranking import ModelScore, RankedDocument
from service.search.rerank import Reranking
from service.search.semantic_snippets import Snippet, SnippetSource

#: What stands around marked words until the text is escaped: private-use characters.
RAW_MARKS = ("\ue000", "\ue001")


#: What an answer may have to go without.
DegradedStage = Literal["vector", "rerank", "rerank_second", "facets"]


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
    rerank_second: StageScore | None = Field(
        None, description="Of the second cross-encoder of a cascade; not comparable with the first."
    )


class Passage(BaseModel):
    """A passage of a document; offsets count characters of the document's text.

    Of a passage longer than the cross-encoder reads at once, the part that scored best is shown.
    """

    heading: str
    text: str
    position: int = Field(description="Place of the passage among the document's passages, from 0.")
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
    relevance: float | None = Field(
        description="The chance, 0 to 1, that a judge would call this relevant; null where nothing "
        "was fitted to tell."
    )
    relevance_source: str | None = Field(
        description="What relevance was fitted on: the model's card, or the collection's own "
        "judgements."
    )
    metadata: dict[str, Any]
    passages: list[Passage]
    stages: Stages


class Degradation(BaseModel):
    """A stage that could not do its part, and why."""

    stage: DegradedStage
    reason: str = Field(
        description="no_worker, timeout, overloaded, redis_down, worker_error or query_truncated."
    )
    retry_after_ms: float | None = Field(
        None, description="When to ask again, where a worker that is overloaded said so."
    )


class FacetValue(BaseModel):
    """How many of the matching documents have a value of a field."""

    value: Any
    documents: int
    exact: bool = Field(description="False: estimated from a sample of the collection.")


class ModelSummary(BaseModel):
    """How much one cross-encoder scored."""

    model: str | None
    scored: int
    of: int


class RerankSummary(BaseModel):
    """How much was reranked: of so many candidates, as many as there was time for."""

    state: Literal["full", "partial", "none"] = Field(
        description="partial: the budget ended before all were scored; the best candidates were."
    )
    scored: int
    of: int
    model: str | None
    models: list[ModelSummary] = Field(
        description="Each model in turn: the first, and the second where there is a cascade."
    )


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
    cut: int = Field(
        0, description="Documents that were left out because they do not reach min_relevance."
    )
    facets: dict[str, list[FacetValue]] | None = Field(
        None,
        description="The most frequent values of each field asked for, those first; null where "
        "none were asked for, or there was no time.",
    )
    next_cursor: str | None = Field(
        None, description="Goes on with this list; null where nothing follows, or page is false."
    )
    gone: int = Field(0, description="Documents of this page that were deleted since the search.")
    timings: dict[str, float] = Field(description="Milliseconds of each stage and in all.")
    explain: dict[str, Any] | None = None
    _query_embedding_cached: bool | None = PrivateAttr(None)

    def embedded(self, *, cached: bool | None) -> Self:
        """Note whether the query's embedding was remembered, for the metrics; return the answer."""
        self._query_embedding_cached = cached
        return self

    @property
    def query_embedding_cached(self) -> bool | None:
        """Return whether the query's embedding was remembered; None: there is none."""
        return self._query_embedding_cached


def summarise(reranking: Reranking | None) -> RerankSummary | None:
    """Return what the answer says of the reranking."""
    if reranking is None:
        return None
    return RerankSummary(
        state=reranking.state,
        scored=reranking.first.scored,
        of=reranking.first.of,
        model=reranking.first.model,
        models=[
            ModelSummary(model=run.model, scored=run.scored, of=run.of) for run in reranking.runs
        ],
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
            relevance=document.judged.relevance,
            relevance_source=document.judged.source,
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
        position=passage.position,
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
        rerank=_model_stage(document.rerank),
        rerank_second=_model_stage(document.second),
    )


def _stage(rank: int | None, score: float | None) -> StageScore | None:
    if score is None:
        return None
    return StageScore(rank=rank, score=score)


def _model_stage(scored: ModelScore | None) -> StageScore | None:
    return None if scored is None else _stage(scored.rank, scored.score)
