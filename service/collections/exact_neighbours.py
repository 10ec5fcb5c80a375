"""Exact nearest documents of many queries at once, by reading every embedding of a generation."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

#: An embedding as Postgres sends it begins with its dimension and two unused bytes.
_HEADER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Documents nearest first, each with the score of its best chunk, shape (documents,)."""

    document_ids: list[str]
    scores: NDArray[np.float32]


def read_embeddings(sent: Iterable[bytes], storage_type: str, dimension: int) -> Vectors:
    """Return what ``halfvec_send`` or ``vector_send`` made of embeddings, shape (count, dimension).

    Args:
        sent: one value an embedding.
        storage_type: the generation's; all but "vector" store half precision.
        dimension: of every embedding.
    """
    dtype = np.dtype(">f4" if storage_type == "vector" else ">f2")
    header = _HEADER_BYTES // dtype.itemsize
    numbers = np.frombuffer(b"".join(sent), dtype=dtype).reshape(-1, header + dimension)
    return numbers[:, header:].astype(np.float32)


def scores(queries: Vectors, embeddings: Vectors, distance: str) -> NDArray[np.float32]:
    """Return the scores of the vector stage, shape (queries, embeddings); higher is nearer."""
    if distance == "cosine":
        queries, embeddings = _normed(queries), _normed(embeddings)
    products: NDArray[np.float32] = queries @ embeddings.T
    if distance != "l2":
        return products
    squares = (queries**2).sum(1)[:, None] + (embeddings**2).sum(1)[None, :] - 2 * products
    lengths: NDArray[np.float32] = np.sqrt(np.maximum(squares, 0))
    return -lengths


class NearestChunks:
    """The nearest chunks of each query among all that were shown, ``count`` at most.

    Args:
        queries: shape (queries, dimension).
        count: chunks to keep of each query.
        distance: the generation's.
    """

    def __init__(self, queries: Vectors, count: int, distance: str) -> None:
        self._queries = queries
        self._count = count
        self._distance = distance
        self._scores = np.empty((len(queries), 0), dtype=np.float32)
        self._ids = np.empty((len(queries), 0), dtype=object)

    def show(self, document_ids: list[str], embeddings: Vectors) -> None:
        """Take more chunks into account, which no earlier call had."""
        shown = scores(self._queries, embeddings, self._distance)
        ids = np.broadcast_to(np.array(document_ids, dtype=object), shown.shape)
        self._scores = np.concatenate([self._scores, shown], axis=1)
        self._ids = np.concatenate([self._ids, ids], axis=1)
        if self._scores.shape[1] > self._count:
            kept = np.argpartition(-self._scores, self._count - 1, axis=1)[:, : self._count]
            self._scores = np.take_along_axis(self._scores, kept, axis=1)
            self._ids = np.take_along_axis(self._ids, kept, axis=1)

    def documents(self) -> list[Neighbours]:
        """Return the documents of each query's chunks: exactly the nearest, however many."""
        return [
            self._best_of_each(query_scores, ids)
            for query_scores, ids in zip(self._scores, self._ids, strict=True)
        ]

    @staticmethod
    def _best_of_each(query_scores: NDArray[np.float32], ids: NDArray[np.object_]) -> Neighbours:
        best: dict[str, float] = {}
        for place in np.argsort(-query_scores, kind="stable"):
            best.setdefault(ids[place], query_scores[place])
        return Neighbours(list(best), np.array(list(best.values()), dtype=np.float32))


def _normed(vectors: Vectors) -> Vectors:
    # An embedding of zeros has no direction: it is far from everything, as in the vector stage.
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)
    lengths[lengths == 0] = np.inf
    return vectors / lengths
