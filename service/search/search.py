"""A search, from top to bottom: embed the query, find candidates, rerank, present.

A stage that cannot do its part in time is left out and named in ``degraded``; only Postgres being
down is an error.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.collections.collection import Generation, active_generation, find_generation
from service.collections.learned import read_learned
from service.db.connection import Connection, Pool, transaction
from service.errors import CursorExpiredError, InvalidInputError
from service.search.candidates import FoundCandidates, find_candidates, mark_snippets
from service.search.deadline import (
    CANDIDATES_SHARE,
    EMBED_SHARE,
    FACETS_SHARE,
    RERANK_SHARE,
    SNIPPETS_SHARE,
    Deadline,
)
from service.search.diversity import diversify
from service.search.facets import count_facets
from service.search.feedback import Embeddings, read_embeddings
from service.search.judging import judge
from service.search.pages import load_page, save_snapshot
from service.search.query_embedding import QueryEmbedding, embed_query
from service.search.ranking import RankedDocument, group_documents
from service.search.request import PageRequest, SearchRequest
from service.search.rerank import Reranking, RerankPlan, rerank
from service.search.rerank_plan import plan_reranking
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
from service.search.worker_pace import WorkerPace
from service.settings import Settings
from service.task_names import RERANK_QUEUE


@dataclass(frozen=True, slots=True)
class Searcher:
    """What a search needs of its process; one serves many threads."""

    pool: Pool
    sender: TaskSender
    settings: Settings
    pace: WorkerPace = field(init=False)

    def __post_init__(self) -> None:
        """Look after the pace of the rerank workers from now on."""
        object.__setattr__(self, "pace", WorkerPace(self.sender, RERANK_QUEUE))

    def search(self, request: SearchRequest, deadline: Deadline | None = None) -> SearchResponse:
        """Answer one search.

        Args:
            request: the search.
            deadline: when the caller goes; None: what the request says, from now.

        Raises:
            NotFoundError: no such collection.
            InvalidInputError: the filter or another parameter cannot be understood.
            DatabaseUnavailableError: Postgres is down.
        """
        deadline = deadline or Deadline.after(request.timeout_ms)
        trace = Trace()
        with trace.stage("total"):
            with trace.stage("plan"), trace.sql(), transaction(self.pool) as connection:
                generation = active_generation(connection, request.collection)
                learned = read_learned(connection, generation)
            plan = plan_reranking(request, learned.rerank_profile, self.settings)
            embedding = self._embed(request.mode, request.meaning, generation, deadline, trace)
            found = self._find(request, plan, embedding, deadline, trace)
            documents, reranking = self._rerank(plan, generation, found, deadline, trace)
            documents, cut = judge(request, learned, documents, hybrid=embedding is not None)
            if found.diversity > 0:
                with trace.stage("diversify"), trace.sql(), transaction(self.pool) as connection:
                    documents = diversify(connection, generation.id, documents, found.diversity)
            facets = self._count(request, found, deadline, trace)
            with trace.stage("present"):
                top = [document.shown() for document in documents[: request.k]]
                kept = _kept(request, found)
                with trace.sql(), transaction(self.pool) as connection:
                    marked = _mark(connection, generation, kept, top)
                    next_cursor = None
                    if request.page:
                        next_cursor = save_snapshot(
                            connection, generation.id, kept, documents, shown=len(top)
                        )
                snippets = self._choose(
                    generation, embedding, top, marked, deadline=deadline, trace=trace
                )
                results = present(top, snippets)
        answer = SearchResponse(
            results=results,
            degraded=trace.degraded,
            complete=kept["complete"],
            incomplete_reason=kept["incomplete_reason"],
            corrections=kept["corrections"],
            relaxed=kept["relaxed"],
            reranked=summarise(reranking),
            cut=cut,
            facets=facets,
            next_cursor=next_cursor,
            timings=trace.timings(),
            explain=trace.explain(generation, found.explained) if request.explain else None,
        )
        return answer.embedded(cached=trace.query_embedding_cached)

    def next_page(self, request: PageRequest, deadline: Deadline) -> SearchResponse:
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
                shown = [document.shown() for document in page.documents]
                marked = _mark(connection, generation, kept, shown)
            # For the snippets alone: the search before has told what it went without.
            embedding = self._embed(kept["mode"], kept["meaning"], generation, deadline, trace)
            with trace.stage("present"):
                snippets = self._choose(
                    generation, embedding, shown, marked, deadline=deadline, trace=trace
                )
                results = present(shown, snippets, page.ranks)
        answer = SearchResponse(
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
        return answer.embedded(cached=trace.query_embedding_cached)

    def _embed(
        self, mode: str, query: str, generation: Generation, deadline: Deadline, trace: Trace
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
                    timeout_ms=deadline.part_ms(EMBED_SHARE, self.settings.encode_timeout_ms),
                )
        except NoAnswerError as error:
            trace.degrade("vector", error.reason, error.retry_after_ms)
            return None
        if embedding.truncated:
            trace.degrade("vector", "query_truncated")
        trace.model_ms += embedding.model_ms
        trace.query_embedding_cached = embedding.cached
        return embedding

    def _find(
        self,
        request: SearchRequest,
        plan: RerankPlan | None,
        embedding: QueryEmbedding | None,
        deadline: Deadline,
        trace: Trace,
    ) -> FoundCandidates:
        mode = request.mode if embedding is not None else "lexical"
        with trace.stage("candidates"), trace.sql(), transaction(self.pool) as connection:
            return find_candidates(
                connection,
                request,
                mode,
                embedding.vector if embedding else None,
                candidates=request.candidates(plan.most if plan else 0),
                time_left_ms=deadline.part_whole_ms(CANDIDATES_SHARE),
            )

    def _rerank(
        self,
        plan: RerankPlan | None,
        generation: Generation,
        found: FoundCandidates,
        deadline: Deadline,
        trace: Trace,
    ) -> tuple[list[RankedDocument], Reranking | None]:
        documents = group_documents(found.passages)
        if plan is None:
            return documents, None
        budget_ms = deadline.part_ms(RERANK_SHARE, plan.budget_ms)
        plan = plan.asking(found.wanted, budget_ms)

        def read(reranked: Sequence[RankedDocument]) -> Embeddings:
            with trace.stage("feedback"), trace.sql(), transaction(self.pool) as connection:
                return read_embeddings(
                    connection,
                    generation.id,
                    [document.best.document_id for document in reranked],
                    [document.best.position for document in reranked],
                )

        with trace.stage("rerank"):
            ranked, reranking = rerank(self.sender, plan, documents, self.pace.now(), read)
        trace.reranked(reranking, plan.budget_ms)
        return ranked, reranking

    def _count(
        self, request: SearchRequest, found: FoundCandidates, deadline: Deadline, trace: Trace
    ) -> dict[str, list[FacetValue]] | None:
        if request.facets is None:
            return None
        query = None
        if request.mode != "vector":
            # Before the rest, where no open quote can take them in; any of the words counts.
            query = " ".join([*found.corrections.values(), request.query])
        if deadline.part_ms(FACETS_SHARE) < 1:
            trace.degrade("facets", "timeout")
            return None
        try:
            with trace.stage("facets"), trace.sql(), transaction(self.pool) as connection:
                counts = count_facets(
                    connection,
                    request.collection,
                    request.facets,
                    filter=request.filter,
                    query=query,
                    timeout_ms=deadline.part_whole_ms(FACETS_SHARE),
                )
        except TimeoutError:
            trace.degrade("facets", "timeout")
            return None
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
        *,
        deadline: Deadline,
        trace: Trace,
    ) -> list[Snippet]:
        """Return a snippet of each passage, in the documents' order.

        Sentences are compared of the best passage of a document alone: what it is known by.
        """
        passages = [passage for document in documents for passage in document.passages]
        best = [place for place, passage in enumerate(passages) if passage.passage == 1]
        budget_ms = deadline.part_ms(SNIPPETS_SHARE, self.settings.snippet_budget_ms)
        compared = embedding if budget_ms > 0 else None
        started = time.perf_counter()
        choice = choose_snippets(
            self.sender,
            generation.embedding_model,
            compared.vector if compared else None,
            [passages[place].text for place in best],
            [marked[place] for place in best],
            marks=RAW_MARKS,
            budget_ms=budget_ms,
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
