"""POST /collections/{collection}/search."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response
from pydantic import ConfigDict, Field

from service.errors import InvalidInputError
from service.http import metrics
from service.http.error_responses import PROBLEMS
from service.http.runtime import Runtime
from service.search.deadline import Deadline
from service.search.request import PageRequest, RerankRequest, SearchOptions, SearchRequest
from service.search.results import SearchResponse
from service.storable import Text

router = APIRouter(tags=["search"])


class SearchBody(SearchOptions):
    """A search as HTTP callers write it; what is left out suits most.

    Parameters without a default of their own are taken from the collection's search profile.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "how do I run a command with a timeout"},
                {
                    "query": "parse a date",
                    "mode": "hybrid",
                    "k": 5,
                    "filter": {"kind": {"in": ["function", "method"]}},
                    "rerank": {"candidates": 50, "budget_ms": 200},
                    "timeout_ms": 500,
                    "min_relevance": 0.2,
                    "explain": True,
                },
                {
                    "query": '"release notes" -draft',
                    "match": "75%",
                    "correct": True,
                    "diversity": 0.3,
                    "page": True,
                },
            ]
        },
    )

    rerank: RerankRequest | bool = Field(
        True,
        description="How much to rerank; true for the defaults, false for none. "
        "Only hybrid searches are reranked by default.",
    )
    cursor: Text | None = Field(
        None,
        description="next_cursor of an answer: returns the next k documents of its list. Of the "
        "other fields, none counts then.",
    )

    def for_collection(self, collection: str) -> SearchRequest:
        """Return the search this body asks for.

        Raises:
            InvalidInputError: there is no query, or the reranking's numbers do not go together.
        """
        if self.query is None:
            raise InvalidInputError(
                "query: required where there is no cursor",
                field="query",
                mend="give at least one word",
            )
        values = self.model_dump(exclude={"rerank", "cursor"})
        rerank = self._reranking()
        if rerank is not None:
            rerank.check(self.k)
        return SearchRequest(collection=collection, rerank=rerank, **values)

    def _reranking(self) -> RerankRequest | None:
        if isinstance(self.rerank, RerankRequest):
            return self.rerank
        asked = "rerank" in self.model_fields_set
        wanted = self.rerank and (asked or self.mode == "hybrid")
        return RerankRequest() if wanted else None


# async, so that it runs at once: a request that waits for a thread has its deadline from before.
async def _now() -> float:
    return time.monotonic()


Began = Annotated[float, Depends(_now)]
#: As a gateway before us may say it, for whatever it passes on.
Timeout = Annotated[
    int | None,
    Header(
        alias="X-Request-Timeout-Ms",
        ge=1,
        le=600_000,
        description="Milliseconds that the whole search may take; the shorter of this and the "
        "body's timeout_ms counts.",
    ),
]


@router.post(
    "/collections/{collection}/search",
    response_model=SearchResponse,
    responses={410: {**PROBLEMS[404], "description": "The list of a cursor is kept no more."}},
)
def search(
    collection: Text, body: SearchBody, runtime: Runtime, began: Began, timeout_ms: Timeout = None
) -> Response:
    """Search a collection: candidates by BM25 and embeddings, fused, then reranked.

    A stage that cannot answer in time is left out and named in `degraded`; the rest still answers.
    """
    timeouts = [each for each in (body.timeout_ms, timeout_ms) if each is not None]
    deadline = Deadline.after(min(timeouts, default=None), began)
    if body.cursor is not None:
        page = PageRequest(collection=collection, cursor=body.cursor, k=body.k)
        answer = runtime.next_page(page, deadline)
    else:
        answer = runtime.search(body.for_collection(collection), deadline)
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
