"""Candidates: what the one SQL function of the candidate stage returns, as Python sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from service.db.connection import Connection
from service.db.statements import load_statements
from service.search.request import SearchRequest

_SQL = load_statements(__file__)

#: Of the request, what goes to the candidate stage as it is, by the names there.
_PASSED_ON = (
    "collection",
    "query",
    "fusion",
    "lexical_weight",
    "rrf_k",
    "stage_candidates",
    "passages",
    "ef_search",
    "match",
    "language",
    "correct",
    "heading_weight",
    "min_lexical_score",
    "min_vector_score",
    "min_score",
    "autocut",
    "deadline_ms",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One passage of one candidate document, with every rank and score of the candidate stage.

    ``rank`` counts documents from 1, ``passage`` a document's passages from 1; ``score`` is fused.
    A stage that did not list the document may have scored it all the same: its rank is None then.
    """

    rank: int
    passage: int
    document_id: str
    position: int
    heading: str
    text: str
    start_offset: int
    end_offset: int
    metadata: dict[str, Any]
    score: float
    lexical_rank: int | None
    lexical_score: float | None
    vector_rank: int | None
    vector_score: float | None


@dataclass(frozen=True, slots=True)
class FoundCandidates:
    """The passages of the best candidates, and what the candidate stage says of itself.

    ``diversity`` is what is left for after reranking; 0 where the list is as diverse as asked.
    ``wanted`` is the query without what it says it is not about: no reranker of moderate size knows
    what to make of "but not", and puts first what has most of the words.
    """

    passages: list[Candidate]
    explained: dict[str, Any]
    diversity: float
    wanted: str

    @property
    def corrections(self) -> dict[str, str]:
        """Return which lexeme of the query became which."""
        return self.explained.get("corrections") or {}


def find_candidates(
    connection: Connection,
    request: SearchRequest,
    mode: str,
    vector: NDArray[np.float32] | None,
    *,
    candidates: int,
    time_left_ms: int | None,
) -> FoundCandidates:
    """Return the candidates of a search.

    Args:
        connection: in a transaction of its own.
        request: the search.
        mode: the request's mode, or "lexical" where the vector could not be had.
        vector: the query's embedding, shape (dimension,).
        candidates: documents to offer.
        time_left_ms: what a deadline of the whole search leaves; the candidate stage's own may be
            shorter.
    """
    reranked = request.rerank is not None
    values = {name: getattr(request, name) for name in _PASSED_ON} | {
        "candidates": candidates,
        "time_left_ms": time_left_ms,
        "query_embedding": None if vector is None else Vector(vector),
        "filter": None if request.filter is None else Jsonb(request.filter),
        "mode": mode,
        "recency": None if request.recency is None else Jsonb(request.recency),
        "boosts": None if request.boosts is None else Jsonb(request.boosts),
        # Reranking would undo it: it comes after that.
        "diversity": 0 if reranked else request.diversity,
    }
    with connection.cursor(row_factory=class_row(Candidate)) as cursor:
        passages = cursor.execute(_SQL["search"], values).fetchall()
    told = connection.execute(
        _SQL["explain"],
        {
            "collection": request.collection,
            "meaning": request.meaning,
            "reranked": reranked,
            "diversity": request.diversity,
        },
    ).fetchone()
    assert told is not None
    return FoundCandidates(passages, *told)


def mark_snippets(
    connection: Connection,
    generation_id: int,
    query: str,
    texts: Sequence[str],
    *,
    marks: tuple[str, str],
    language: str | None = None,
    further_lexemes: Sequence[str] = (),
) -> list[str]:
    """Return an excerpt of each text with the query's words between the two marks.

    Args:
        connection: any.
        generation_id: the generation that was searched.
        query: as it was typed.
        texts: the passages.
        marks: what stands before and after a word.
        language: the query's, as it was searched for.
        further_lexemes: to be marked too, such as those that misspelled words became.
    """
    values = {
        "generation_id": generation_id,
        "query": query,
        "language": language,
        "further_lexemes": list(further_lexemes),
        "texts": list(texts),
        "start": marks[0],
        "stop": marks[1],
    }
    return [row[0] for row in connection.execute(_SQL["snippets"], values)]
