"""The relevance of each hit, by what was fitted for whatever scored it, and the cut on it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.collections.learned import Learned
from service.model_cards import reranker_card
from service.search.ranking import ModelScore, RankedDocument
from service.search.relevance import Calibration, Calibrations
from service.search.request import SearchRequest

#: What makes fused scores mean another thing than they did when they were calibrated.
_RESCALING = (
    "match",
    "language",
    "correct",
    "heading_weight",
    "fusion",
    "lexical_weight",
    "rrf_k",
    "stage_candidates",
    "min_lexical_score",
    "min_vector_score",
    "recency",
    "boosts",
)


def judge(
    request: SearchRequest,
    learned: Learned,
    documents: Sequence[RankedDocument],
    *,
    hybrid: bool,
) -> tuple[list[RankedDocument], int]:
    """Return the documents with their relevance, and how many ``min_relevance`` left out.

    Args:
        request: the search.
        learned: the collection's calibrations.
        documents: in their final order.
        hybrid: whether the query's embedding was at hand.
    """
    fused = (
        hybrid
        and request.mode == "hybrid"
        and all(getattr(request, name) is None for name in _RESCALING)
    )
    said = [scored for document in documents if (scored := _last(document)) is not None]
    calibrations = {
        model: learned.calibrations(model, _shipped(model), fused=fused)
        for model in {None, *(scored.model for scored in said)}
    }
    judged = [_judged(document, calibrations) for document in documents]
    least = request.min_relevance
    if least is None:
        return judged, 0
    kept = [
        document
        for document in judged
        if document.judged.relevance is not None and document.judged.relevance >= least
    ]
    return kept, len(judged) - len(kept)


def _judged(
    document: RankedDocument, calibrations: Mapping[str | None, Calibrations]
) -> RankedDocument:
    scored = _last(document)
    model, score = (None, None) if scored is None else (scored.model, scored.score)
    return replace(document, judged=calibrations[model].judge(document.best.score, score))


def _last(document: RankedDocument) -> ModelScore | None:
    """Return what the last model said that read the document."""
    return document.rerank if document.second is None else document.second


def _shipped(model: str | None) -> Calibration | None:
    """Return the calibration on a model's card."""
    fitted = None if model is None else reranker_card(model).calibration
    return None if fitted is None else Calibration(*fitted)
