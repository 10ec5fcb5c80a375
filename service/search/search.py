"""A search, from top to bottom: embed the query, find candidates, rerank, present.

A stage that cannot do its part in time is left out and named in ``degraded``; only Postgres being
down is an error.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.collections.collection import Generation, active_generation, find_generation
from service.db.connection import Connection, Pool, transaction
from service.errors import CursorExpiredError, InvalidInputError
from service.search.candidates import FoundCandidates, find_candidates, mark_snippets
from service.search.diversity import diversify
from service.search.facets import count_facets
from service.search.pages import load_page, save_snapshot
from service.search.query_embedding import QueryEmbedding, embed_query
from service.search.request import PageRequest, SearchRequest
from service.search.rerank import RankedDocument, Reranking, group_documents, rerank
from service.search.results import (
    RAW_MARKS,
    FacetValue,
    SearchResponse,
    present,
    present_facets,
    summarise,
)
from service.search.semantic_snippets import Snippet, choose_snippets
from service.search.task_sender import NoAnswerError, TaskSender
from service.search.trace import Trace
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
            InvalidInputError: the filter or another parameter cannot be understood.
            DatabaseUnavailableError: Postgres is down.
        """
        trace = Trace()
        with trace.stage("total"):
            with trace.stage("plan"), trace.sql(), transaction(self.pool) as connection:
                generation = active_generation(connection, request.collection)
            embedding = self._embed(request.mode, request.meaning, generation, trace)
            found = self._find(request, embedding, trace)
            documents, reranking = self._rerank(request, group_documents(found.passages), trace)
            if found.diversity > 0:
                with trace.stage("diversify"), trace.sql(), transaction(self.pool) as connection:
                    documents = diversify(connection, generation.id, documents, found.diversity)
            facets = self._count(request, found, trace)
            with trace.stage("present"):
                top = documents[: request.k]
                kept = _kept(request, found)
                with trace.sql(), transaction(self.pool) as connection:
                    marked = _mark(connection, generation, kept, top)
                    next_cursor = None
                    if request.page:
                        next_cursor = save_snapshot(
                            connection, generation.id, kept, documents, shown=len(top)
                        )
                snippets = self._choose(generation, embedding, top, marked, trace)
                results = present(top, snippets)
        return SearchResponse(
            results=results,
            degraded=trace.degraded,
            complete=kept["complete"],
            incomplete_reason=kept["incomplete_reason"],
            corrections=kept["corrections"],
            relaxed=kept["relaxed"],
            reranked=summarise(reranking),
            facets=facets,
            next_cursor=next_cursor,
            timings=trace.timings(),
            explain=trace.explain(generation, found.explained) if request.explain else None,
        )

    def next_page(self, request: PageRequest) -> SearchResponse:
        """Answer with more of a list that a search kept: in its order, with the texts of now.

        Raises:
            CursorExpiredError: the list is not kept any more.
            InvalidInputError: what is given is no cursor.
            DatabaseUnavailableError: Postgres is down.
        """
        trace = Trace()
        with trace.stage("total"):
            with trace.stage("page"), trace.sql(), transaction(self.pool) as connection:
                page = load_page(connection, request.collection, request.cursor, request.k)
                kept = page.request
                generation = find_generation(connection, page.generation_id)
                if generation is None:
                    raise CursorExpiredError(
                        "the collection was dropped meanwhile", field="cursor", mend="search again"
                    )
                marked = _mark(connection, generation, kept, page.documents)
            # For the snippets alone: the search before has told what it went without.
            embedding = self._embed(kept["mode"], kept["meaning"], generation, trace)
            with trace.stage("present"):
                snippets = self._choose(generation, embedding, page.documents, marked, trace)
                results = present(page.documents, snippets, page.ranks)
        return SearchResponse(
            results=results,
            degraded=[],
            complete=kept["complete"],
            incomplete_reason=kept["incomplete_reason"],
            corrections=kept["corrections"],
            relaxed=kept["relaxed"],
            reranked=None,
            next_cursor=page.next_cursor,
            gone=page.gone,
            timings=trace.timings(),
        )

    def _embed(
        self, mode: str, query: str, generation: Generation, trace: Trace
    ) -> QueryEmbedding | None:
        if mode == "lexical":
            return None
        try:
            with trace.stage("embed"):
                embedding = embed_query(
                    self.sender,
                    self.settings,
                    generation.embedding_model,
                    generation.embedding_dimension,
                    query,
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
        self, request: SearchRequest, embedding: QueryEmbedding | None, trace: Trace
    ) -> FoundCandidates:
        mode = request.mode if embedding is not None else "lexical"
        with trace.stage("candidates"), trace.sql(), transaction(self.pool) as connection:
            return find_candidates(
                connection, request, mode, embedding.vector if embedding else None
            )

    def _rerank(
        self, request: SearchRequest, documents: list[RankedDocument], trace: Trace
    ) -> tuple[list[RankedDocument], Reranking | None]:
        if request.rerank is None:
            return documents, None
        with trace.stage("rerank"):
            ranked, reranking = rerank(
                self.sender,
                request.rerank,
                request.meaning,
                documents,
                self.settings.rerank_weight,
            )
        if reranking.reason is not None:
            trace.degrade("rerank", reranking.reason)
        trace.model_ms += reranking.model_ms
        return ranked, reranking

    def _count(
        self, request: SearchRequest, found: FoundCandidates, trace: Trace
    ) -> dict[str, list[FacetValue]] | None:
        if request.facets is None:
            return None
        query = None
        if request.mode != "vector":
            # Before the rest, where no open quote can take them in; any of the words counts.
            query = " ".join([*found.corrections.values(), request.query])
        try:
            with trace.stage("facets"), trace.sql(), transaction(self.pool) as connection:
                counts = count_facets(
                    connection,
                    request.collection,
                    request.facets,
                    filter=request.filter,
                    query=query,
                )
        except InvalidInputError as error:
            # What the function calls them.
            if error.field == "fields":
                error.field = "facets"
            raise
        return present_facets(counts)

    def _choose(
        self,
        generation: Generation,
        embedding: QueryEmbedding | None,
        documents: Sequence[RankedDocument],
        marked: Sequence[str],
        trace: Trace,
    ) -> list[Snippet]:
        """Return a snippet of each passage, in the documents' order.

        Sentences are compared of the best passage of a document alone: what it is known by.
        """
        passages = [passage for document in documents for passage in document.passages]
        best = [place for place, passage in enumerate(passages) if passage.passage == 1]
        compared = embedding if self.settings.snippet_budget_ms > 0 else None
        started = time.perf_counter()
        choice = choose_snippets(
            self.sender,
            generation.embedding_model,
            compared.vector if compared else None,
            [passages[place].text for place in best],
            [marked[place] for place in best],
            marks=RAW_MARKS,
            budget_ms=self.settings.snippet_budget_ms,
        )
        trace.choose(choice, 1000 * (time.perf_counter() - started))
        chosen = dict(zip(best, choice.snippets, strict=True))
        return [
            chosen.get(place) or Snippet(text, "words" if RAW_MARKS[0] in text else "beginning")
            for place, text in enumerate(marked)
        ]


def _kept(request: SearchRequest, found: FoundCandidates) -> dict[str, Any]:
    """Return what the further pages need of a search."""
    return {
        "query": request.query,
        "meaning": request.meaning,
        "mode": request.mode,
        "language": request.language,
        "corrections": found.corrections,
        "relaxed": found.explained["relaxed"],
        "complete": found.explained["complete"],
        "incomplete_reason": found.explained["reason"],
    }


def _mark(
    connection: Connection,
    generation: Generation,
    kept: Mapping[str, Any],
    documents: Sequence[RankedDocument],
) -> list[str]:
    return mark_snippets(
        connection,
        generation.id,
        kept["query"],
        [passage.text for document in documents for passage in document.passages],
        marks=RAW_MARKS,
        language=kept["language"],
        further_lexemes=list(kept["corrections"].values()),
    )
