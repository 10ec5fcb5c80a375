"""A search as it is asked for."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from service.settings import get_settings
from service.storable import JsonObject, Text


def _require_words(query: str) -> str:
    if not query.strip():
        raise PydanticCustomError("empty", "no word in it", {"mend": "give at least one word"})
    return query


#: What is searched for.
Query = Annotated[Text, Field(max_length=65_536), AfterValidator(_require_words)]


class RerankRequest(BaseModel):
    """How much to rerank: as many of the first ``candidates`` as fit ``budget_ms``, best first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: int = Field(
        default_factory=lambda: get_settings().rerank_candidates,
        ge=1,
        le=1000,
        description="Documents offered to the cross-encoder, at least k.",
    )
    budget_ms: int = Field(
        default_factory=lambda: get_settings().rerank_budget_ms,
        ge=1,
        le=60_000,
        description="Milliseconds the whole reranking stage may take.",
    )


class SearchRequest(BaseModel):
    """One search of one collection; immutable, so nothing leaks from one query into the next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str
    query: Query
    mode: Literal["lexical", "vector", "hybrid"] = "hybrid"
    k: int = Field(10, ge=1, le=1000)
    rerank: RerankRequest | None = None
    filter: JsonObject | None = None
    fusion: Literal["convex", "rrf"] = "convex"
    lexical_weight: float = Field(0.5, ge=0, le=1, allow_inf_nan=False)
    passages: int = Field(3, ge=1, le=10)
    explain: bool = False

    @property
    def candidates(self) -> int:
        """Return how many documents the candidate stage has to offer."""
        return max(self.k, self.rerank.candidates if self.rerank else 0)
