"""Search profiles: the parameters that searches of a collection use unless they say otherwise."""

from typing import Annotated, Any, Literal

from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.collections.collection import active_generation
from service.db.connection import Connection
from service.db.statements import load_statements
from service.errors import InvalidInputError
from service.storable import JsonObject, Text

_SQL = load_statements(__file__)

_Fusion = Literal["convex", "relative_score", "theoretical", "zscore", "distribution", "rrf"]
_Score = Annotated[float, Field(allow_inf_nan=False)]
#: As large as an integer of Postgres.
_Count = Annotated[int, Field(ge=1, lt=2**31)]


class SearchProfile(BaseModel):
    """Parameters of ``rankgres.search_candidates`` by their names there; None: the built-in one.

    What can be told without a database is checked here; the rest is tried when it is written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    fusion: _Fusion | None = Field(None, description="how the two lists become one")
    lexical_weight: float | None = Field(None, ge=0, le=1, description="the lexical list's share")
    rrf_k: _Count | None = Field(None, description="of fusion rrf")
    candidates: _Count | None = Field(None, description="documents returned")
    stage_candidates: _Count | None = Field(None, description="documents that each stage offers")
    posting_budget: _Count | None = Field(None, description="postings that the lexical stage reads")
    ef_search: int | None = Field(None, ge=1, le=1000, description="of the HNSW search")
    heading_weight: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="of a heading's words, the text's being 1"
    )
    match: str | None = Field(
        None,
        pattern=r"^(any|all|[1-9][0-9]{0,5}|(100|[1-9]?[0-9])%)$",
        description="words that have to match: any, all, a number such as 3, or 75%",
    )
    language: Text | None = Field(None, description="text-search configuration of queries")
    correct: bool | None = Field(None, description="whether misspelled words are corrected")
    min_lexical_score: _Score | None = Field(None, description="least score of the lexical stage")
    min_vector_score: _Score | None = Field(None, description="least score of the vector stage")
    min_score: _Score | None = Field(None, description="least fused score")
    autocut: int | None = Field(None, ge=0, lt=2**31, description="falls in score allowed; 0: any")
    recency: JsonObject | None = Field(None, description="boost of what is new")
    boosts: list[JsonObject] | None = Field(None, description="boosts by numbers of the metadata")
    diversity: float | None = Field(None, ge=0, le=1, description="0 none, 1 nothing else")
    deadline_ms: _Count | None = Field(None, description="after which a scan ends early")

    def as_json(self) -> dict[str, Any]:
        """Return what is set."""
        return self.model_dump(exclude_none=True)


def parse_profile(values: dict[str, Any]) -> SearchProfile:
    """Return the values as a profile.

    Raises:
        InvalidInputError: names the parameter that is not known or out of its range.
    """
    try:
        return SearchProfile.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        field = SearchProfile.model_fields.get(name)
        raise InvalidInputError(
            f"{name}: {first['msg']}" if field else f"there is no parameter {name!r}",
            field=name,
            value=values[name],
            mend=f"it is {field.description}; unset it, or choose another value"
            if field
            else f"use one of {', '.join(SearchProfile.model_fields)}",
        ) from None


def read_profile(connection: Connection, collection: str) -> SearchProfile:
    """Return a collection's profile.

    Raises:
        NotFoundError: there is no such collection.
    """
    generation = active_generation(connection, collection)
    row = connection.execute(_SQL["read"], {"collection_id": generation.collection_id}).fetchone()
    assert row is not None
    return parse_profile(row[0])


def write_profile(connection: Connection, collection: str, profile: SearchProfile) -> None:
    """Replace a collection's profile; searches that begin after the commit use it.

    It is tried on a search before it stands, for what the database alone can tell, such as a boost
    of an unknown shape.

    Args:
        connection: in a transaction, which is to be rolled back on an error.
        collection: the collection's name.
        profile: what is to be; what it leaves out is the built-in one again.

    Raises:
        NotFoundError: there is no such collection.
        InvalidInputError: a search with the profile fails.
    """
    generation = active_generation(connection, collection)
    values = {"collection_id": generation.collection_id, "profile": Jsonb(profile.as_json())}
    connection.execute(_SQL["write"], values)
    connection.execute(_SQL["try"], {"collection": collection})
