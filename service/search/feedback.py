"""Feedback among reranked documents: what resembles the best of them moves up.

A judgement of one pair at a time knows nothing of the other candidates, yet documents that are
relevant to the same query resemble each other (van Rijsbergen 1979, "Information Retrieval",
chapter 3: the cluster hypothesis). So the best passages are taken for relevant, and each document
is compared with their mean, as pseudo-relevance feedback does with a second query (Rocchio 1971;
with embeddings Li et al. 2022, "Pseudo Relevance Feedback with Deep Language Models and Dense
Retrievers", section 3.2). Nothing is searched again: the embeddings are those that are stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.db.connection import Connection
from service.db.statements import load_statements
from service.search.ranking import RankedDocument, z_scores

_SQL = load_statements(__file__)

#: How many of the best are taken for relevant, and how fast their say falls with their scores, in
#: standard deviations. Chosen with the feedback on the bundled reranker's card, on hybrid orders of
#: 179 lists graded by reading; 3 or 10 of them, or a scale of 1, lose up to a tenth of the gain.
_BEST: Final = 5
_SCALE: Final = 0.5
_EQUAL: Final = 1e-5
#: Of fewer documents, all are the best: none moves.
LEAST_FED: Final = 3

Embeddings = NDArray[np.float32]
#: Reads the embeddings of the best passages of documents: shape (documents, dimension).
ReadEmbeddings = Callable[[Sequence[RankedDocument]], Embeddings]


def read_embeddings(
    connection: Connection,
    generation_id: int,
    document_ids: Sequence[str],
    positions: Sequence[int],
) -> Embeddings:
    """Return the embeddings of passages, of length 1: shape (passages, dimension).

    That of a passage which is no longer there is all zeros; where none is there, of dimension 1.

    Args:
        connection: any; nothing is written.
        generation_id: the generation that was searched.
        document_ids: the document of each passage; of none, nothing is asked.
        positions: the place of each among its document's passages, from 0.
    """
    if not document_ids:
        return np.zeros((0, 1), dtype=np.float32)
    rows: list[Any] = connection.execute(
        _SQL["embeddings"],
        {
            "generation_id": generation_id,
            "document_ids": list(document_ids),
            "positions": list(positions),
        },
        # As text, every number of every embedding would be parsed in Python: ten times as long.
        binary=True,
    ).fetchall()
    if not rows:
        return np.zeros((len(document_ids), 1), dtype=np.float32)
    found = np.zeros((len(document_ids), rows[0][1].dimensions()), dtype=np.float32)
    for number, embedding in rows:
        found[number - 1] = embedding.to_numpy()
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    np.divide(found, lengths, out=found, where=lengths > 0)
    return found


def excludes_something(connection: Connection, meaning: str) -> bool:
    """Return whether a question says what it is not about: a search then gives no feedback."""
    row = connection.execute(_SQL["excludes"], {"meaning": meaning}).fetchone()
    return bool(row and row[0])


def feed_back(
    documents: Sequence[RankedDocument], read: ReadEmbeddings, weight: float
) -> list[RankedDocument]:
    """Return the documents with those that were reranked in a new order, by the sum of z-scores.

    The z-score of the order so far counts 1, that of a document's likeness to the best ``weight``.
    Those that were not reranked follow, as they did.

    Args:
        documents: in their order so far, those that were reranked first.
        read: reads embeddings; not called where nothing would move.
        weight: 0 leaves the order as it is.
    """
    count = sum(document.rerank is not None for document in documents)
    if weight == 0 or count < LEAST_FED:
        return list(documents)
    reranked = documents[:count]
    scores = feedback_scores([document.score for document in reranked], read(reranked), weight)
    moved = [
        replace(document, score=score) for document, score in zip(reranked, scores, strict=True)
    ]
    # A stable sort: ties keep the order so far.
    moved.sort(key=lambda document: -document.score)
    return moved + list(documents[count:])


def feedback_scores(scores: Sequence[float], embeddings: Embeddings, weight: float) -> list[float]:
    """Return the scores that ``feed_back`` orders by.

    Args:
        scores: of documents, in their order so far.
        embeddings: of the same documents, of length 1 each.
        weight: of the likeness to the best.
    """
    before = z_scores(scores)
    best = np.array(before[:_BEST])
    shares = np.exp((best - best.max()) / _SCALE)
    centre = (shares / shares.sum()) @ embeddings[: len(best)]
    near = embeddings @ centre
    # What single precision leaves between equals must not be stretched to a difference.
    likeness = z_scores(near.tolist()) if np.ptp(near) > _EQUAL else [0.0] * len(before)
    return [one + weight * other for one, other in zip(before, likeness, strict=True)]
