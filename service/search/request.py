"""A search as it is asked for."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.settings import get_settings


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
    query: str = Field(max_length=65_536)
    mode: Literal["lexical", "vector", "hybrid"] = "hybrid"
    k: int = Field(10, ge=1, le=1000)
    rerank: RerankRequest | None = None
    filter: dict[str, Any] | None = None
    fusion: Literal["convex", "rrf"] = "convex"
    lexical_weight: float = Field(0.5, ge=0, le=1)
    passages: int = Field(3, ge=1, le=10)
    explain: bool = False

    @model_validator(mode="after")
    def _can_be_searched(self) -> "SearchRequest":
        if not self.query.strip():
            raise ValueError("query is empty; give at least one word")
        if "\x00" in self.query:
            raise ValueError("query holds a NUL character; remove \\x00")
        return self

    @property
    def candidates(self) -> int:
        """Return how many documents the candidate stage has to offer."""
        return max(self.k, self.rerank.candidates if self.rerank else 0)
