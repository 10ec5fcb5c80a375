"""Candidates: what the one SQL function of the candidate stage returns, as Python sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from service.collections.collection import Generation
from service.db.connection import Connection
from service.db.statements import load_statements
from service.search.request import SearchRequest

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One passage of one candidate document, with every rank and score of the candidate stage.

    ``rank`` counts documents from 1, ``passage`` a document's passages from 1; ``score`` is fused.
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


def find_candidates(
    connection: Connection,
    request: SearchRequest,
    mode: str,
    vector: NDArray[np.float32] | None,
) -> tuple[list[Candidate], dict[str, Any]]:
    """Return the passages of the best candidates, and what the stage says of itself.

    Args:
        connection: in a transaction of its own.
        request: the search.
        mode: the request's mode, or "lexical" where the vector could not be had.
        vector: the query's embedding, shape (dimension,).
    """
    values = {
        "collection": request.collection,
        "query": request.query,
        "query_embedding": None if vector is None else Vector(vector),
        "candidates": request.candidates,
        "filter": None if request.filter is None else Jsonb(request.filter),
        "mode": mode,
        "fusion": request.fusion,
        "lexical_weight": request.lexical_weight,
        "passages": request.passages,
    }
    with connection.cursor(row_factory=class_row(Candidate)) as cursor:
        candidates = cursor.execute(_SQL["search"], values).fetchall()
    explained = connection.execute(_SQL["explain"]).fetchone()
    assert explained is not None
    return candidates, explained[0]


def mark_snippets(
    connection: Connection,
    generation: Generation,
    query: str,
    texts: Sequence[str],
    marks: tuple[str, str],
) -> list[str]:
    """Return an excerpt of each text with the query's words between the two marks."""
    values = {
        "generation_id": generation.id,
        "query": query,
        "texts": list(texts),
        "start": marks[0],
        "stop": marks[1],
    }
    return [row[0] for row in connection.execute(_SQL["snippets"], values)]
