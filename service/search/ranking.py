"""Documents in their final order: by the fused score alone, or summed with the cross-encoder's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.search.candidates import Candidate
from service.search.relevance import UNJUDGED, Judged

#: Where the best-scored part of a passage begins and ends, in characters.
Window = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ModelScore:
    """What one cross-encoder gave a document: its raw score, and the place by it, from 1."""

    model: str
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """A candidate document in its final place, with its passages best first.

    ``score`` is what the order follows among documents of the same kind: the weighted sum of
    z-scores where the document was reranked, its likeness to the best among them where feedback
    counts; the fused score where it was not. ``rerank`` is what
    the first cross-encoder said, ``second`` what the second did. ``window`` is the part of the best
    passage that earned the score, None for all of it.
    """

    passages: tuple[Candidate, ...]
    score: float
    rerank: ModelScore | None = None
    second: ModelScore | None = None
    window: Window | None = None
    judged: Judged = UNJUDGED

    @property
    def best(self) -> Candidate:
        """Return the best passage, whose ranks and scores are the document's."""
        return self.passages[0]

    @property
    def passage_text(self) -> str:
        """Return what a cross-encoder reads of the document."""
        return f"{_heading(self.best)}{self.best.text}"

    def at_window(self, read: Window | None) -> "RankedDocument":
        """Return the document with the window that was found in ``passage_text``."""
        if read is None:
            return replace(self, window=None)
        before, length = len(_heading(self.best)), len(self.best.text)
        start, end = max(0, read[0] - before), min(length, max(0, read[1] - before))
        whole = start >= end or (start, end) == (0, length)
        return replace(self, window=None if whole else (start, end))

    def shown(self) -> "RankedDocument":
        """Return the document as it is shown: of its best passage the window alone."""
        best = self.best
        # A passage that was read anew, for a further page, may have become shorter.
        if self.window is None or self.window[1] > len(best.text):
            return self
        start, end = self.window
        narrowed = replace(best, text=best.text[start:end])
        # Where markup was stripped, characters of the text are not those of the document.
        if best.end_offset - best.start_offset == len(best.text):
            narrowed = replace(
                narrowed,
                start_offset=best.start_offset + start,
                end_offset=best.start_offset + end,
            )
        return replace(self, passages=(narrowed, *self.passages[1:]))


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


def rerank_by(
    documents: Sequence[RankedDocument],
    scores: Sequence[float | None],
    model: str,
    weight: float,
    *,
    second: bool = False,
) -> list[RankedDocument]:
    """Return the documents with those first that were scored, by the sum of z-scores.

    Each model's scores are put beside what the documents were ordered by before, and never beside
    another model's: the z-score of that counts 1, the z-score of the model ``weight``.

    Args:
        documents: in their order so far.
        scores: of the first of them, raw; None where none was made.
        model: the name of what scored them.
        weight: of the model.
        second: whether it is the second model of a cascade.
    """
    pairs = [
        (document, score)
        for document, score in zip(documents, scores, strict=False)
        if score is not None
    ]
    unscored = [
        document
        for place, document in enumerate(documents)
        if place >= len(scores) or scores[place] is None
    ]
    before = z_scores([document.score for document, _ in pairs])
    judged = z_scores([score for _, score in pairs])
    by_judgement = sorted(range(len(pairs)), key=lambda place: -pairs[place][1])
    ranks = {place: rank for rank, place in enumerate(by_judgement, start=1)}
    ranked = []
    for place, (document, score) in enumerate(pairs):
        scored = ModelScore(model, score, ranks[place])
        ranked.append(
            replace(
                document,
                score=before[place] + weight * judged[place],
                rerank=document.rerank if second else scored,
                second=scored if second else None,
            )
        )
    # A stable sort: ties keep the order so far, which breaks its own ties by id.
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


def _heading(passage: Candidate) -> str:
    return f"{passage.heading}. " if passage.heading else ""
