"""Recall of a generation's vector search: how much of what exact search finds the HNSW index finds.

Recall@k of a query is the share of the k nearest documents, by exact search, that are among the
first k of the search; documents as near as the k-th count as well. Without queries of their own,
collections are asked for chunks of theirs with noise added, and the chunk's document is left out of
both lists. The noise is 0.7 times as long as the embedding, so that a query is about as far from
its nearest document as questions are.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg.rows import class_row

from service.collections.exact_neighbours import NearestChunks, Neighbours, read_embeddings
from service.db.connection import Connection
from service.db.statements import load_statements
from service.errors import InvalidInputError

_SQL = load_statements(__file__)

#: Under this a collection is warned about.
RECALL_TARGET = 0.95
#: What a new index is measured by: few queries, because every search waits for the same processors.
_JANITOR_SAMPLE = 50
_K = 100
_NOISE = 0.7
_SEED = 1
#: Rows of the sample's pages for every row wanted, so that few come from one page.
_SPREAD = 50
_BATCH = 5000
#: Half precision is measured in single precision by both; they may add in another order.
_TOLERANCE = 1e-5
_MAX_EF_SEARCH = 1000
_FACTORS = (1.5, 2, 3, 5, 8)


@dataclass(frozen=True, slots=True)
class RecallReport:
    """How a search compares with exact search, over some queries.

    ``plans`` counts the queries by how they were searched; ``ef_search`` is None where none used
    the index. ``milliseconds`` is the median of the searches.
    """

    collection: str
    generation_id: int
    k: int
    queries: int
    recall: float
    worst: float
    plans: dict[str, int]
    ef_search: int | None
    milliseconds: float


@dataclass(frozen=True, slots=True)
class _Generation:
    id: int
    collection: str
    embedding_dimension: int
    storage_type: str
    distance: str
    hnsw_state: str
    ef_search: int | None
    chunks: int
    documents: int


@dataclass(frozen=True, slots=True)
class _Query:
    """An embedding, and the document it was made of, if any."""

    embedding: NDArray[np.float32]
    document_id: str | None


class RecallMeasurement:
    """Queries of one generation with their exact answers, to compare searches with.

    Args:
        connection: in no transaction; all embeddings are read through it once.
        generation_id: the generation.
        k: documents of a list that count.
        sample: how many chunks to make queries of.
        queries: embeddings of real queries instead, shape (queries, dimension).
        on_rows: called with the number of embeddings read since the last call.

    Raises:
        InvalidInputError: there is nothing to search.
    """

    def __init__(
        self,
        connection: Connection,
        generation_id: int,
        *,
        k: int = _K,
        sample: int = 200,
        queries: NDArray[np.float32] | None = None,
        on_rows: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._k = k
        self._generation = generation = _generation(connection, generation_id)
        self._queries = (
            _noisy_chunks(connection, generation, sample)
            if queries is None
            else [_Query(embedding, None) for embedding in queries]
        )
        if not self._queries:
            raise InvalidInputError(
                f"{generation.collection} holds no chunk to measure with",
                field="collection",
                value=generation.collection,
                mend="fill it first: 'rankgres ingest' or the documents of its HTTP address",
            )
        self._truth = _exact_lists(connection, generation, self._queries, k + 1, on_rows)

    @property
    def chunks(self) -> int:
        """Return how many chunks the exact lists are chosen from."""
        return self._generation.chunks

    @property
    def indexed(self) -> bool:
        """Return whether the generation has an HNSW index."""
        return self._generation.hnsw_state == "ready"

    def measure(self, ef_search: int | None = None) -> RecallReport:
        """Search every query and compare; None searches as the collection's searches do."""
        recalls, milliseconds, widths = [], [], []
        plans: Counter[str] = Counter()
        for query, truth in zip(self._queries, self._truth, strict=True):
            started = time.perf_counter()
            found, explained = self._search(query, ef_search or self._generation.ef_search)
            milliseconds.append(1000 * (time.perf_counter() - started))
            recalls.append(_recall(query, truth, found, self._k))
            plans[explained["plan"]] += 1
            if explained["ef_search"]:
                widths.append(explained["ef_search"])
        return RecallReport(
            collection=self._generation.collection,
            generation_id=self._generation.id,
            k=self._k,
            queries=len(recalls),
            recall=float(np.mean(recalls)),
            worst=float(np.min(recalls)),
            plans=dict(plans),
            ef_search=max(widths, default=None),
            milliseconds=float(np.median(milliseconds)),
        )

    def widened(self, report: RecallReport, target: float) -> RecallReport | None:
        """Return the report of the least ef_search tried that reaches the target, or None."""
        if report.ef_search is None:
            return None
        tried = {min(_MAX_EF_SEARCH, round(report.ef_search * factor)) for factor in _FACTORS}
        for ef_search in sorted(tried - {report.ef_search}):
            wider = self.measure(ef_search)
            if wider.recall >= target:
                return wider
        return None

    def _search(self, query: _Query, ef_search: int | None) -> tuple[Neighbours, dict[str, Any]]:
        values = {
            "generation_id": self._generation.id,
            "query_embedding": Vector(query.embedding),
            "candidates": self._k + 1,
            "ef_search": ef_search,
        }
        with self._connection.transaction():
            rows = self._connection.execute(_SQL["search"], values).fetchall()
            explained = self._connection.execute(_SQL["explain"]).fetchone()
        assert explained is not None
        scores = np.array([score for _, score in rows], dtype=np.float32)
        return Neighbours([document for document, _ in rows], scores), explained[0]


def store_recall(connection: Connection, report: RecallReport) -> None:
    """Write what was measured to the generation, if it has an index; the last one stands."""
    values = {"generation_id": report.generation_id, "recall": report.recall, "k": report.k}
    connection.execute(_SQL["store"], values)
    connection.commit()


def measure_new_index(connection: Connection, generation_id: int) -> RecallReport:
    """Measure a generation by few queries, and store it: what janitors do after a build."""
    measurement = RecallMeasurement(connection, generation_id, sample=_JANITOR_SAMPLE)
    report = measurement.measure()
    store_recall(connection, report)
    return report


def _generation(connection: Connection, generation_id: int) -> _Generation:
    with connection.cursor(row_factory=class_row(_Generation)) as cursor:
        values = {"generation_id": generation_id}
        generation = cursor.execute(_SQL["generation"], values).fetchone()
    if generation is None:
        raise InvalidInputError(
            f"generation {generation_id} was dropped", field="generation", value=generation_id
        )
    return generation


def _noisy_chunks(connection: Connection, generation: _Generation, sample: int) -> list[_Query]:
    values = {
        "generation_id": generation.id,
        "sample": sample,
        "percent": min(100.0, 100 * _SPREAD * sample / max(1, generation.chunks)),
    }
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_SQL["sample"], values).fetchall()
    embeddings = read_embeddings(
        (sent for _, sent in rows), generation.storage_type, generation.embedding_dimension
    )
    noise = np.random.default_rng(_SEED).normal(size=embeddings.shape).astype(np.float32)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    noise *= _NOISE * lengths / np.linalg.norm(noise, axis=1, keepdims=True)
    return [
        _Query(embedding, document)
        for (document, _), embedding in zip(rows, embeddings + noise, strict=True)
    ]


def _exact_lists(
    connection: Connection,
    generation: _Generation,
    queries: list[_Query],
    count: int,
    on_rows: Callable[[int], object],
) -> list[Neighbours]:
    chunks_of_one = max(1, generation.chunks / max(1, generation.documents))
    # A document may take several places: what is left is exact, and nearly always enough.
    embedded = np.stack([query.embedding for query in queries])
    if generation.storage_type != "vector":
        # Postgres compares with the query in half precision: so near equals come in one order.
        embedded = embedded.astype(np.float16).astype(np.float32)
    nearest = NearestChunks(
        embedded,
        round(3 * chunks_of_one * count),
        generation.distance,
    )
    with (
        connection.transaction(),
        connection.cursor(name="every_embedding", binary=True) as cursor,
    ):
        cursor.execute(_SQL["embeddings"], {"generation_id": generation.id})
        while rows := cursor.fetchmany(_BATCH):
            embeddings = read_embeddings(
                (sent for _, sent in rows), generation.storage_type, generation.embedding_dimension
            )
            nearest.show([document for document, _ in rows], embeddings)
            on_rows(len(rows))
    return nearest.documents()


def _recall(query: _Query, truth: Neighbours, found: Neighbours, k: int) -> float:
    expected = _without(truth, query.document_id).scores[:k]
    if not len(expected):
        return 1.0
    kth = expected[-1]
    near = _without(found, query.document_id).scores[:k] >= kth - _TOLERANCE * max(1, abs(kth))
    return min(1.0, float(near.sum()) / len(expected))


def _without(neighbours: Neighbours, document_id: str | None) -> Neighbours:
    if document_id is None:
        return neighbours
    kept = [place for place, name in enumerate(neighbours.document_ids) if name != document_id]
    return Neighbours([neighbours.document_ids[place] for place in kept], neighbours.scores[kept])
