"""Reranking: the cross-encoder's scores over the first candidates, summed with the fused score."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.search.candidates import Candidate
from service.search.request import RerankRequest
from service.search.task_sender import NoAnswerError, TaskSender
from service.task_names import RERANK_CANDIDATES, RERANK_QUEUE

#: Kept of the budget for the answer's way back, and for a last run that took longer than expected:
#: an answer that comes late is lost whole.
_RETURN_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """A candidate document in its final place, with its passages best first.

    ``score`` is what the order follows among documents of the same kind: the weighted sum of
    z-scores where the document was reranked, the fused score where it was not.
    """

    passages: tuple[Candidate, ...]
    score: float
    rerank_score: float | None = None
    rerank_rank: int | None = None

    @property
    def best(self) -> Candidate:
        """Return the best passage, whose ranks and scores are the document's."""
        return self.passages[0]


@dataclass(frozen=True, slots=True)
class Reranking:
    """What became of a reranking: how many of how many candidates were scored.

    "partial" is what a budget is for; ``reason`` is set where nothing at all was scored.
    """

    state: Literal["full", "partial", "none"]
    scored: int
    of: int
    model: str | None = None
    model_ms: float = 0.0
    reason: str | None = None


def group_documents(candidates: Sequence[Candidate]) -> list[RankedDocument]:
    """Gather the passages of each document, in fused order."""
    documents: list[RankedDocument] = []
    for candidate in candidates:
        if documents and documents[-1].best.document_id == candidate.document_id:
            last = documents.pop()
            documents.append(replace(last, passages=(*last.passages, candidate)))
        else:
            documents.append(RankedDocument((candidate,), candidate.score))
    return documents


def rerank(
    sender: TaskSender,
    request: RerankRequest,
    query: str,
    documents: Sequence[RankedDocument],
    weight: float,
) -> tuple[list[RankedDocument], Reranking]:
    """Return the documents in their final order, and what was reranked.

    The first ``request.candidates`` are scored, best first, for as long as the budget lasts. Scored
    documents come first, in the order of z(fused) + weight * z(reranker); the rest follow in fused
    order. With no answer in time the fused order stands.
    """
    offered = documents[: request.candidates]
    if not offered:
        return list(documents), Reranking("full", 0, 0)
    deadline = time.time() + request.budget_ms / 1000
    try:
        answer = sender.call(
            RERANK_CANDIDATES,
            RERANK_QUEUE,
            {"query": query, "passages": [_passage_text(document) for document in offered]},
            # The worker stops earlier than we stop waiting, so that what it scored still arrives.
            deadline,
            worker_deadline=deadline - _RETURN_SHARE * request.budget_ms / 1000,
        )
    except NoAnswerError as error:
        return list(documents), Reranking("none", 0, len(offered), reason=error.reason)
    scores: list[float | None] = answer["scores"]
    scored = sum(score is not None for score in scores)
    state: Literal["full", "partial", "none"] = (
        "full" if scored == len(offered) else "partial" if scored else "none"
    )
    summary = Reranking(
        state,
        scored,
        len(offered),
        answer["model"],
        answer["model_ms"],
        "timeout" if state == "none" else None,
    )
    return _reorder(documents, scores, weight), summary


def _passage_text(document: RankedDocument) -> str:
    best = document.best
    return f"{best.heading}. {best.text}" if best.heading else best.text


def _reorder(
    documents: Sequence[RankedDocument], scores: Sequence[float | None], weight: float
) -> list[RankedDocument]:
    pairs = [
        (document, score)
        for document, score in zip(documents, scores, strict=False)
        if score is not None
    ]
    unscored = [
        document
        for index, document in enumerate(documents)
        if index >= len(scores) or scores[index] is None
    ]
    fused = z_scores([document.score for document, _ in pairs])
    judged = z_scores([score for _, score in pairs])
    by_judgement = sorted(range(len(pairs)), key=lambda index: -pairs[index][1])
    places = {index: place for place, index in enumerate(by_judgement, start=1)}
    ranked = [
        replace(
            document,
            score=fused[index] + weight * judged[index],
            rerank_score=score,
            rerank_rank=places[index],
        )
        for index, (document, score) in enumerate(pairs)
    ]
    # A stable sort: ties keep fused order, which breaks its own ties by id.
    ranked.sort(key=lambda document: -document.score)
    return ranked + unscored


def z_scores(values: Sequence[float]) -> list[float]:
    """Return how many standard deviations each value is above the mean; all 0 where all agree."""
    if not values:
        return []
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    # Rounding leaves a deviation of about 1e-17 between equals.
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return [0.0] * len(values)
    return [(value - mean) / deviation for value in values]
