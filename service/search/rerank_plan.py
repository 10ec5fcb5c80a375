"""How a search reranks: what it asks for, what its collection learned, what the settings say."""

from service.collections.learned import RerankProfile
from service.model_cards import reranker_card
from service.search.request import SearchRequest
from service.search.rerank import RerankPlan
from service.settings import Settings


def plan_reranking(
    request: SearchRequest, profile: RerankProfile, settings: Settings
) -> RerankPlan | None:
    """Return how a search reranks, or None where it does not."""
    asked = request.rerank
    if asked is None:
        return None

    def weight(model: str) -> float:
        said = (asked.weight, profile.weight, reranker_card(model).weight)
        return next((each for each in said if each is not None), settings.rerank_weight)

    def feedback(model: str) -> float:
        said = (asked.feedback, profile.feedback)
        return next((each for each in said if each is not None), reranker_card(model).feedback)

    return RerankPlan(
        query=request.meaning,
        k=request.k,
        most=asked.most(request.k, profile.candidates),
        budget_ms=asked.budget_ms,
        weight=weight,
        feedback=feedback,
        depth=asked.depth,
        policy=profile.policy if asked.adaptive else None,
        second=settings.rerank_second_candidates if settings.rerank_second_model else 0,
    )
