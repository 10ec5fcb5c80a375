"""A search, from top to bottom: embed the query, find candidates, rerank, present.

A stage that cannot do its part in time is left out and named in ``degraded``; only Postgres being
down is an error.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from service.collections.collection import Generation, active_generation
from service.db.connection import Pool, transaction
from service.search.candidates import find_candidates, mark_snippets
from service.search.query_embedding import QueryEmbedding, embed_query
from service.search.request import SearchRequest
from service.search.rerank import RankedDocument, Reranking, group_documents, rerank
from service.search.results import RAW_MARKS, Degradation, SearchResponse, present, summarise
from service.search.task_sender import NoAnswerError, TaskSender
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Searcher:
    """What a search needs of its process; one serves many threads."""

    pool: Pool
    sender: TaskSender
    settings: Settings

    def search(self, request: SearchRequest) -> SearchResponse:
        """Answer one search.

        Raises:
            NotFoundError: no such collection.
            InvalidInputError: the filter cannot be understood.
            DatabaseUnavailableError: Postgres is down.
        """
        trace = _Trace()
        with trace.stage("total"):
            with trace.stage("plan"), trace.sql(), transaction(self.pool) as connection:
                generation = active_generation(connection, request.collection)
            embedding = self._embed(request, generation, trace)
            documents, explained = self._find(request, embedding, trace)
            documents, reranking = self._rerank(request, documents, trace)
            with trace.stage("present"):
                top = documents[: request.k]
                snippets = self._snippets(request, generation, top, trace)
                results = present(top, snippets)
        return SearchResponse(
            results=results,
            degraded=trace.degraded,
            reranked=summarise(reranking),
            timings=trace.timings(),
            explain=trace.explain(generation, explained) if request.explain else None,
        )

    def _embed(
        self, request: SearchRequest, generation: Generation, trace: "_Trace"
    ) -> QueryEmbedding | None:
        if request.mode == "lexical":
            return None
        try:
            with trace.stage("embed"):
                embedding = embed_query(
                    self.sender,
                    self.settings,
                    generation.embedding_model,
                    generation.embedding_dimension,
                    request.query,
                )
        except NoAnswerError as error:
            trace.degrade("vector", error.reason)
            return None
        if embedding.truncated:
            trace.degrade("vector", "query_truncated")
        trace.model_ms += embedding.model_ms
        trace.query_embedding_cached = embedding.cached
        return embedding

    def _find(
        self, request: SearchRequest, embedding: QueryEmbedding | None, trace: "_Trace"
    ) -> tuple[list[RankedDocument], dict[str, Any]]:
        mode = request.mode if embedding is not None else "lexical"
        with trace.stage("candidates"), trace.sql(), transaction(self.pool) as connection:
            candidates, explained = find_candidates(
                connection, request, mode, embedding.vector if embedding else None
            )
        return group_documents(candidates), explained

    def _rerank(
        self, request: SearchRequest, documents: list[RankedDocument], trace: "_Trace"
    ) -> tuple[list[RankedDocument], Reranking | None]:
        if request.rerank is None:
            return documents, None
        with trace.stage("rerank"):
            ranked, reranking = rerank(
                self.sender,
                request.rerank,
                request.query,
                documents,
                self.settings.rerank_weight,
            )
        if reranking.reason is not None:
            trace.degrade("rerank", reranking.reason)
        trace.model_ms += reranking.model_ms
        return ranked, reranking

    def _snippets(
        self,
        request: SearchRequest,
        generation: Generation,
        documents: list[RankedDocument],
        trace: "_Trace",
    ) -> list[str]:
        texts = [passage.text for document in documents for passage in document.passages]
        with trace.sql(), transaction(self.pool) as connection:
            return mark_snippets(connection, generation, request.query, texts, RAW_MARKS)


@dataclass(slots=True)
class _Trace:
    """What happened in one search: stage times, time in Postgres and in models, degradations."""

    degraded: list[Degradation] = field(default_factory=list)
    model_ms: float = 0.0
    sql_ms: float = 0.0
    query_embedding_cached: bool | None = None
    _stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._stages[name] = 1000 * (time.perf_counter() - started)

    @contextmanager
    def sql(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.sql_ms += 1000 * (time.perf_counter() - started)

    def degrade(self, stage: Literal["vector", "rerank"], reason: str) -> None:
        self.degraded.append(Degradation(stage=stage, reason=reason))

    def explain(self, generation: Generation, candidates: dict[str, Any]) -> dict[str, Any]:
        return {
            "embedding_model": generation.embedding_model,
            "query_embedding_cached": self.query_embedding_cached,
            "candidates": candidates,
            "sql_ms": round(self.sql_ms, 3),
            "model_ms": round(self.model_ms, 3),
        }

    def timings(self) -> dict[str, float]:
        return {name: round(milliseconds, 3) for name, milliseconds in self._stages.items()}
