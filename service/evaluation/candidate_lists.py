"""Candidate lists: what the candidate stage returns for judged queries, and how long it takes.

Straight from ``rankgres.search_candidates``, one query after the other on one connection, so that
the times are those of the database and of nothing else.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql

from service.collections.collection import Generation
from service.db.connection import Connection
from service.db.statements import load_statements
from service.errors import ModelUnavailableError
from service.evaluation.fusion import Stage, StageList
from service.evaluation.judgements import Judgements
from service.search.query_embedding import embed_query
from service.search.task_sender import NoAnswerError, TaskSender
from service.settings import Settings

_SQL = load_statements(__file__)

#: Parameters of ``search_candidates`` by name; None leaves one to the collection's profile.
Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AskedQuery:
    """One judged query with its embedding, shape (dimension,)."""

    id: str
    text: str
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StageAnswers:
    """One stage's lists of all queries, in their order, and the milliseconds of each."""

    lists: list[StageList]
    milliseconds: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SearchAnswers:
    """What whole searches returned: documents best first, and milliseconds as the caller waits.

    ``beside_stages`` is what they took beside the two stages: fusion, texts, the way there.
    """

    rankings: dict[str, list[str]]
    milliseconds: NDArray[np.float64]
    beside_stages: NDArray[np.float64]


def embed_queries(
    sender: TaskSender,
    settings: Settings,
    generation: Generation,
    judgements: Judgements,
    on_query: Callable[[], None] = lambda: None,
) -> list[AskedQuery]:
    """Return the queries with their embeddings, by an encode worker or from the cache.

    Raises:
        ModelUnavailableError: no worker answers.
    """
    asked = []
    for name, text in judgements.queries.items():
        try:
            embedding = embed_query(
                sender,
                settings,
                generation.embedding_model,
                generation.embedding_dimension,
                text,
            )
        except NoAnswerError as error:
            raise ModelUnavailableError(
                f"no embedding of the query {name!r}: {error.reason}",
                field="queries",
                value=name,
                mend="'rankgres doctor' says which worker is missing",
            ) from None
        asked.append(AskedQuery(name, text, embedding.vector))
        on_query()
    return asked


class CandidateStage:
    """The candidate stage of one collection, asked every query of a set.

    Args:
        connection: in autocommit mode.
        collection: the collection's name.
        queries: what is asked.
        on_query: called after every answer.
    """

    def __init__(
        self,
        connection: Connection,
        collection: str,
        queries: Sequence[AskedQuery],
        on_query: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._collection = collection
        self._queries = queries
        self._on_query = on_query

    def lists(self, stage: Stage, parameters: Parameters) -> StageAnswers:
        """Return one stage's list for every query, and the time that it took there."""
        lists: list[StageList] = []
        times = []
        for query in self._queries:
            rows, explained, _ = self._ask(query, {"mode": stage, **parameters})
            column = 1 if stage == "lexical" else 2
            lists.append({row[0]: row[column] for row in rows})
            times.append(explained[f"{stage}_ms"])
        return StageAnswers(lists, np.array(times))

    def search(self, parameters: Parameters) -> SearchAnswers:
        """Return what whole searches of every query find, and how long they take."""
        rankings, times, beside = {}, [], []
        for query in self._queries:
            rows, explained, taken = self._ask(query, parameters)
            rankings[query.id] = [row[0] for row in rows]
            times.append(taken)
            beside.append(taken - explained["lexical_ms"] - explained["vector_ms"])
        return SearchAnswers(rankings, np.array(times), np.array(beside))

    def _ask(
        self, query: AskedQuery, parameters: Parameters
    ) -> tuple[list[tuple[Any, ...]], dict[str, Any], float]:
        """Return rows, what the stage says of itself, and the milliseconds that were waited."""
        values = {
            "collection": self._collection,
            "query": query.text,
            "query_embedding": Vector(query.embedding),
        } | {name: value for name, value in parameters.items() if value is not None}
        # Those that are left out take their defaults, so the text is not the same in every call.
        statement = sql.SQL(
            "SELECT document_id, lexical_score, vector_score"
            " FROM rankgres.search_candidates({}) WHERE passage = 1 ORDER BY rank"
        ).format(sql.SQL(", ").join(map(_named, values)))
        with self._connection.transaction():
            started = time.perf_counter()
            rows = self._connection.execute(statement, values).fetchall()
            taken = 1000 * (time.perf_counter() - started)
            explained = self._connection.execute(_SQL["explain"]).fetchone()
        assert explained is not None
        self._on_query()
        return rows, explained[0], taken


def _named(parameter: str) -> sql.Composed:
    return sql.SQL("{} => {}").format(sql.Identifier(parameter), sql.Placeholder(parameter))
