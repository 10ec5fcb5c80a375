"""POST /collections/{collection}/search."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from service.http import metrics
from service.http.runtime import Runtime
from service.search.request import Query, RerankRequest, SearchRequest
from service.search.results import SearchResponse
from service.storable import JsonObject, Text

router = APIRouter(tags=["search"])


class SearchBody(BaseModel):
    """A search as HTTP callers write it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"query": "how do I run a command with a timeout"},
                {
                    "query": "parse a date",
                    "mode": "hybrid",
                    "k": 5,
                    "filter": {"kind": {"in": ["function", "method"]}},
                    "rerank": {"candidates": 50, "budget_ms": 200},
                    "explain": True,
                },
            ]
        },
    )

    query: Query = Field(description="Words, or a question as one would ask it.")
    mode: Literal["lexical", "vector", "hybrid"] = Field(
        "hybrid", description="BM25 alone, nearest embeddings alone, or both fused."
    )
    k: int = Field(10, ge=1, le=1000, description="Documents to return.")
    rerank: RerankRequest | bool = Field(
        True,
        description="How much to rerank; true for the defaults, false for none. "
        "Only hybrid searches are reranked by default.",
    )
    filter: JsonObject | None = Field(
        None,
        description='Over metadata: {"lang": "en"}, {"year": {"gte": 2020}}, '
        '{"lang": {"in": ["en", "de"]}}, {"draft": {"exists": false}}, and/or/not of these.',
    )
    fusion: Literal["convex", "rrf"] = Field("convex", description="How the stages are fused.")
    lexical_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The lexical stage's share; the vector stage has the rest.",
    )
    passages: int = Field(3, ge=1, le=10, description="Passages to show of a document, at most.")
    explain: bool = Field(False, description="Also return what happened inside.")

    def for_collection(self, collection: str) -> SearchRequest:
        """Return the search this body asks for."""
        values = self.model_dump(exclude={"rerank"})
        return SearchRequest(collection=collection, rerank=self._reranking(), **values)

    def _reranking(self) -> RerankRequest | None:
        if isinstance(self.rerank, RerankRequest):
            return self.rerank
        asked = "rerank" in self.model_fields_set
        wanted = self.rerank and (asked or self.mode == "hybrid")
        return RerankRequest() if wanted else None


@router.post("/collections/{collection}/search", response_model=SearchResponse)
def search(collection: Text, body: SearchBody, runtime: Runtime) -> Response:
    """Search a collection: candidates by BM25 and embeddings, fused, then reranked.

    A stage that cannot answer in time is left out and named in `degraded`; the rest still answers.
    """
    answer = runtime.search(body.for_collection(collection))
    metrics.record_search(answer)
    timings = ", ".join(
        f"{stage};dur={milliseconds:.1f}" for stage, milliseconds in answer.timings.items()
    )
    # Written as it is: FastAPI would check our own answer once more, at a millisecond a search.
    return Response(
        answer.model_dump_json(),
        media_type="application/json",
        headers={"Server-Timing": timings},
    )
