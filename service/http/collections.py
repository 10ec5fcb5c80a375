"""/collections: create, list, show, drop."""

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from service.collections.collection import (
    CollectionPlan,
    CollectionStatus,
    create_collection,
    drop_collection,
    list_collections,
    show_collection,
)
from service.db.connection import transaction
from service.http.runtime import Runtime
from service.storable import Text

router = APIRouter(prefix="/collections", tags=["collections"])


class CollectionBody(BaseModel):
    """A collection to be made; what is left out suits most."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "articles"}, {"name": "artikel", "text_search_config": "german"}]
        },
    )

    name: Text = Field(description="A lower-case letter, then up to 62 of a-z, 0-9, _ and -.")
    embedding_model: Text | None = Field(None, description="Unset: RANKGRES_EMBEDDING_MODEL.")
    chunk_tokens: int | None = Field(
        None, ge=16, description="Tokens of a chunk, heading included. Unset: what the model reads."
    )
    overlap_tokens: int = Field(32, ge=0, description="Tokens that neighbouring chunks share.")
    storage_type: Literal["halfvec", "vector", "bit"] = Field(
        "halfvec", description="halfvec halves the memory of vector; bit searches signs first."
    )
    distance: Literal["cosine", "inner_product", "l2"] | None = Field(
        None, description="Distance between embeddings. Unset: the one of the model's card."
    )
    text_search_config: Text = Field(
        "english",
        description="A text-search configuration of Postgres: english, german, simple …; auto "
        "detects each document's language; unaccent+ before it takes accents off.",
    )
    bm25_k1: float = Field(
        1.2, ge=0, allow_inf_nan=False, description="How soon repeating a word stops counting."
    )
    bm25_b: float = Field(
        0.75, ge=0, le=1, allow_inf_nan=False, description="How much long chunks are held back."
    )
    lexical_index: Literal["gin", "pg_textsearch"] = Field(
        "gin", description="pg_textsearch needs that extension in the database."
    )


class CollectionView(BaseModel):
    """How far a collection is."""

    collection: str
    generation_id: int
    embedding_model: str
    hnsw_state: str
    documents: int
    chunks: int
    pending: int
    leased: int
    dead: int
    oldest_seconds: float | None
    recall: float | None = Field(
        description="Of the HNSW search against exact search, over recall_k; null: not measured."
    )
    recall_k: int | None
    paused: bool = Field(description="No worker takes its documents; changes are queued.")
    source: str | None = Field(description="The attached relation; null: documents live here.")
    backfill_done: int | None = Field(description="Rows of before it was attached, indexed.")
    backfill_total: int | None
    rate: float = Field(description="Documents per second, of the last minute.")
    seconds_left: float | None = Field(description="At that rate, until nothing waits.")
    lag_seconds: float | None = Field(
        description="Age of the oldest change not searchable yet, backfill and repair aside."
    )


@router.post("", status_code=201)
def create(body: CollectionBody, runtime: Runtime) -> CollectionView:
    """Create an empty collection."""
    with transaction(runtime.pool) as connection:
        create_collection(connection, CollectionPlan(**body.model_dump()))
        return view_of(show_collection(connection, body.name))


@router.get("")
def list_all(runtime: Runtime) -> list[CollectionView]:
    """List every collection, by name."""
    with transaction(runtime.pool) as connection:
        return [view_of(status) for status in list_collections(connection)]


@router.get("/{collection}")
def show(collection: Text, runtime: Runtime) -> CollectionView:
    """Show how far a collection is."""
    with transaction(runtime.pool) as connection:
        return view_of(show_collection(connection, collection))


@router.delete("/{collection}", status_code=204)
def drop(collection: Text, runtime: Runtime) -> None:
    """Drop a collection with everything in it."""
    with transaction(runtime.pool) as connection:
        drop_collection(connection, collection)


def view_of(status: CollectionStatus) -> CollectionView:
    """Return a status as it is sent."""
    return CollectionView(**asdict(status))
