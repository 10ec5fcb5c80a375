"""Blend: how much a reranker counts beside the fused score, and who says so."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol

from pydantic import Field

from service.model_cards import reranker_card
from service.settings import Settings

#: What a caller or a collection may give for either part.
GivenPart = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
#: What of a blend is said, and learned, by itself.
Part = Literal["weight", "feedback"]


@dataclass(frozen=True, slots=True)
class Blend:
    """What the reranker counts beside the fused score, and likeness to the best after that."""

    weight: float
    feedback: float

    def part(self, name: Part) -> float:
        """Return one of both."""
        return self.weight if name == "weight" else self.feedback

    def with_part(self, name: Part, value: float) -> "Blend":
        """Return the blend with one of both replaced."""
        return replace(self, **{name: value})


#: Leaves the fused order as it is.
FUSED = Blend(0.0, 0.0)


class Said(Protocol):
    """Somebody who may say what counts how much; None leaves it to the next."""

    @property
    def weight(self) -> float | None:
        """Of the reranker."""

    @property
    def feedback(self) -> float | None:
        """Of likeness to the best."""


def blend_of(reranker: str, settings: Settings, *said: Said) -> Blend:
    """Return what counts: what is said, first come; else what the model's card has.

    A card without a weight leaves it to the setting; one without feedback has none.
    """
    card = reranker_card(reranker)
    weights = (*(each.weight for each in said), card.weight, settings.rerank_weight)
    feedbacks = (*(each.feedback for each in said), card.feedback)
    return Blend(_first(weights), _first(feedbacks))


def _first(values: tuple[float | None, ...]) -> float:
    return next(value for value in values if value is not None)
