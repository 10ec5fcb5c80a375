"""Who says how much a reranker counts: the first that says it, part by part."""

import pytest

from service.collections.learned import RerankProfile
from service.model_cards import DEFAULT_RERANKER, reranker_card
from service.search.blend import Blend, blend_of
from service.search.request import RerankRequest
from service.settings import Settings

CARD = reranker_card(DEFAULT_RERANKER)
SETTINGS = Settings(rerank_weight=0.9)


@pytest.mark.parametrize(
    ("asked", "profile", "blend"),
    [
        ({}, {}, Blend(CARD.weight or 0, CARD.feedback)),
        ({}, {"weight": 0.2, "feedback": 0.3}, Blend(0.2, 0.3)),
        ({"weight": 0, "feedback": 0}, {"weight": 0.2, "feedback": 0.3}, Blend(0, 0)),
        ({"weight": 5}, {"feedback": 0.3}, Blend(5, 0.3)),
    ],
    ids=["the card", "the collection", "the request", "each its part"],
)
def test_the_first_who_says_it_decides(
    asked: dict[str, float], profile: dict[str, float], blend: Blend
) -> None:
    said = RerankRequest.model_validate(asked), RerankProfile.model_validate(profile)
    assert blend_of(DEFAULT_RERANKER, SETTINGS, *said) == blend


def test_a_model_without_a_card_is_weighed_by_the_setting() -> None:
    assert blend_of("somebody/unheard-of", SETTINGS) == Blend(0.9, 0.0)
