"""Diversity after reranking: results that resemble earlier ones go further back."""

from collections.abc import Sequence

from service.db.connection import Connection
from service.db.statements import load_statements
from service.search.ranking import RankedDocument

_SQL = load_statements(__file__)


def diversify(
    connection: Connection,
    generation_id: int,
    documents: Sequence[RankedDocument],
    diversity: float,
) -> list[RankedDocument]:
    """Return the documents in the order of maximal marginal relevance.

    Only those that were reranked move, unless none was: the scores of the others, which follow, are
    not comparable with theirs.

    Args:
        connection: any; nothing is written.
        generation_id: the generation that was searched.
        documents: in the order of their scores.
        diversity: 0 leaves that order, 1 looks at the similarity of passages alone.
    """
    reranked = sum(document.rerank is not None for document in documents)
    moving = documents[: reranked or None]
    rows = connection.execute(
        _SQL["diversify"],
        {
            "generation_id": generation_id,
            "document_ids": [document.best.document_id for document in moving],
            "positions": [document.best.position for document in moving],
            "scores": [document.score for document in moving],
            "diversity": diversity,
        },
    ).fetchall()
    return [moving[candidate - 1] for (candidate,) in rows] + list(documents[len(moving) :])
