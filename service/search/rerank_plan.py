"""How a search reranks: what it asks for, what its collection learned, what the settings say."""

from service.collections.learned import RerankProfile
from service.search.blend import blend_of
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

    return RerankPlan(
        query=request.meaning,
        k=request.k,
        most=asked.most(request.k, profile.candidates),
        budget_ms=asked.budget_ms,
        blend=lambda model: blend_of(model, settings, asked, profile),
        depth=asked.depth,
        policy=profile.policy if asked.adaptive else None,
        second=settings.rerank_second_candidates if settings.rerank_second_model else 0,
    )
