"""GET /collections/{collection}/suggest."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from service.db.connection import transaction
from service.http.runtime import Runtime
from service.search.suggest import suggest
from service.storable import Text

router = APIRouter(tags=["search"])


class SuggestionView(BaseModel):
    """One way to complete the prefix."""

    suggestion: str = Field(description="The title, or the prefix with its last word completed.")
    kind: Literal["heading", "lexeme"]
    chunk_count: int = Field(description="Chunks it stands in; of a title, at most 1000.")


class SuggestResponse(BaseModel):
    """The ways found, best first, titles and lexemes in turn."""

    suggestions: list[SuggestionView]


@router.get("/collections/{collection}/suggest")
def complete(
    collection: Text,
    runtime: Runtime,
    prefix: Annotated[
        Text, Query(min_length=1, max_length=1024, description="What was typed so far.")
    ],
    suggestions: Annotated[int, Query(ge=1, le=100, description="Suggestions to return.")] = 10,
) -> SuggestResponse:
    """Complete what somebody types: titles that begin so, and lexemes for the last word.

    Lexemes are words as the collection's text-search configuration leaves them, often stems.
    """
    with transaction(runtime.pool) as connection:
        found = suggest(connection, collection, prefix, suggestions)
    return SuggestResponse(suggestions=[SuggestionView(**asdict(way)) for way in found])
