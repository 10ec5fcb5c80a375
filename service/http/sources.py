"""/collections/{collection}/…: attach and detach tables, pause, verify, dead letters, retry."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from service.collections.collection import show_collection
from service.db.connection import transaction
from service.errors import RankgresError
from service.http.collections import CollectionView, view_of
from service.http.runtime import Runtime
from service.sources.dead_letters import list_dead_letters, retry_documents
from service.sources.preflight import inspect_source, measure_sample
from service.sources.source import (
    SourcePlan,
    attach_source,
    detach_source,
    pause_collection,
    resume_collection,
)
from service.sources.verification import verify_collection
from service.storable import Text

#: What SQL, which has reserved words, calls fields of a body.
_OTHER_NAMES: Final = {"where": "condition", "rows_per_second": "backfill_rows_per_second"}

router = APIRouter(prefix="/collections/{collection}", tags=["sources"])


class AttachBody(BaseModel):
    """A relation of yours, which of its rows belong, and what of them is searched."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "relation": "public.articles",
                    "title": "title",
                    "text": ["summary", "body"],
                    "text_format": "html",
                    "filters": ["tenant_id", "published_at", "tags"],
                    "where": "published_at IS NOT NULL",
                }
            ]
        },
    )

    relation: Text = Field(description="As SQL writes it, such as shop.product.")
    key: list[Text] | None = Field(None, description="Columns. Unset: the primary key.")
    title: Text | None = Field(None, description="Column that is the title.")
    text: list[Text] | None = Field(
        None, description="Columns of the text; several are joined by a blank line."
    )
    template: Text | None = Field(
        None, description="The text as a template instead: '{name} by {maker}'."
    )
    text_format: Literal["plain", "html", "markdown"] = Field(
        "plain", description="What the text columns hold; marks are taken off."
    )
    filters: list[Text] = Field(
        default_factory=list, description="Columns that searches filter by."
    )
    where: Text | None = Field(None, description="SQL condition of the rows that belong.")
    compare_every: Text | None = Field(
        None,
        description="How often source and index are compared, such as '10 minutes'. Unset: 1 day; "
        "5 minutes where no triggers can be.",
    )
    row_security: bool = Field(
        False, description="Searches in SQL show only rows that the searching role can read."
    )
    rows_per_second: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Index rows that are there no faster."
    )
    embedding_model: Text | None = Field(None, description="Unset: RANKGRES_EMBEDDING_MODEL.")
    chunk_tokens: int | None = Field(
        None, ge=16, description="Tokens of a chunk, heading included. Unset: what the model reads."
    )
    overlap_tokens: int = Field(32, ge=0, description="Tokens that neighbouring chunks share.")
    storage_type: Literal["halfvec", "vector", "bit"] = Field(
        "halfvec", description="halfvec halves the memory of vector; bit searches signs first."
    )
    text_search_config: Text = Field(
        "english", description="A text-search configuration of Postgres, or auto."
    )


class FoundView(BaseModel):
    """What was found of the relation, and how it will be indexed."""

    relation: str
    key_columns: list[str]
    title_column: str | None
    text_columns: list[str]
    template: str | None
    text_format: str
    filter_columns: list[str]
    condition: str | None
    sync: Literal["triggers", "comparison"]
    compare_every: str
    row_security: bool
    embedding_model: str
    embedding_dimension: int
    chunk_tokens: int
    overlap_tokens: int
    storage_type: str
    hnsw_m: int


class PreflightView(BaseModel):
    """What attaching will find, cost and take; shares are of the sampled rows."""

    found: FoundView
    rows: int
    counted: bool = Field(description="False: as the planner estimates it.")
    sampled: int
    split_share: float = Field(description="Too long for one chunk, and cut into several.")
    empty_share: float = Field(description="Without text.")
    chunks: int
    tokens: int
    disk_bytes: int
    memory_bytes: int = Field(description="Of the HNSW graph, to be searched in memory.")
    seconds: float | None = Field(description="null: no worker could be asked.")
    chunks_per_second: float | None
    workers: int
    measured: bool = Field(description="False: estimated from characters.")


class DetachBody(BaseModel):
    """What becomes of the index."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"keep": False}]})

    keep: bool = Field(False, description="Keep what is indexed, searchable as it is now.")


class VerifyBody(BaseModel):
    """Whether to repair."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"repair": True}]})

    repair: bool = Field(False, description="Queue exactly the documents that differ.")


class FindingView(BaseModel):
    """So many documents of one kind; of statistics they are lexemes."""

    kind: str
    documents: int
    examples: list[str]


class VerificationView(BaseModel):
    """How the index differs from its source; what is queued anyway does not."""

    collection: str
    findings: list[FindingView]
    repaired: bool
    differences: int
    queued: int
    remaining: int = Field(description="Neither queued nor put right.")


class DeadLetterView(BaseModel):
    """A document that failed: for good since dead_at, or until next_try_at."""

    document_id: str
    attempts: int
    last_error: str | None
    enqueued_at: datetime
    dead_at: datetime | None
    next_try_at: datetime | None


class RetryBody(BaseModel):
    """Which documents to try again."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"ids": ["17", "42"]}, {}]}
    )

    ids: list[Text] | None = Field(
        None, max_length=10_000, description="Unset: every dead letter of the collection."
    )


class RetryAnswer(BaseModel):
    """How many documents are tried again."""

    retried: int


@router.post("/preflight")
def preflight(collection: Text, body: AttachBody, runtime: Runtime) -> PreflightView:
    """Tell what attaching would find, cost and take, and attach nothing."""
    with _names_of_body(), transaction(runtime.pool) as connection:
        inspection = inspect_source(connection, _plan(collection, body))
    return PreflightView.model_validate(asdict(measure_sample(inspection, runtime.sender)))


@router.post("/attach", status_code=201)
def attach(collection: Text, body: AttachBody, runtime: Runtime) -> CollectionView:
    """Attach a table: its rows become searchable, and stay so as they change."""
    with _names_of_body(), transaction(runtime.pool) as connection:
        attach_source(connection, _plan(collection, body))
        return view_of(show_collection(connection, collection))


@router.post("/detach", status_code=204)
def detach(collection: Text, body: DetachBody, runtime: Runtime) -> None:
    """Detach a collection from its table, which is then as it was before."""
    with transaction(runtime.pool) as connection:
        detach_source(connection, collection, keep=body.keep)


@router.post("/pause")
def pause(collection: Text, runtime: Runtime) -> CollectionView:
    """Pause indexing: changes are queued, and searchable once it is resumed."""
    with transaction(runtime.pool) as connection:
        pause_collection(connection, collection)
        return view_of(show_collection(connection, collection))


@router.post("/resume")
def resume(collection: Text, runtime: Runtime) -> CollectionView:
    """Resume indexing."""
    with transaction(runtime.pool) as connection:
        resume_collection(connection, collection)
        return view_of(show_collection(connection, collection))


@router.post("/verify")
def verify(collection: Text, body: VerifyBody, runtime: Runtime) -> VerificationView:
    """Compare the index with its source; of a million rows this takes some minutes."""
    with transaction(runtime.pool) as connection:
        verification = verify_collection(connection, collection, repair=body.repair)
    return VerificationView(
        **asdict(verification),
        differences=verification.differences,
        queued=verification.queued,
        remaining=verification.remaining,
    )


@router.get("/dead")
def dead(
    collection: Text, runtime: Runtime, limit: Annotated[int, Query(ge=1, le=10_000)] = 100
) -> list[DeadLetterView]:
    """List documents that failed, the dead first: attempts, last error, next try."""
    with transaction(runtime.pool) as connection:
        letters = list_dead_letters(connection, collection, limit)
    return [DeadLetterView(**asdict(letter)) for letter in letters]


@router.post("/retry")
def retry(collection: Text, body: RetryBody, runtime: Runtime) -> RetryAnswer:
    """Try documents that failed again at once; those that have not failed are passed over."""
    with transaction(runtime.pool) as connection:
        return RetryAnswer(retried=retry_documents(connection, collection, body.ids))


def _plan(collection: str, body: AttachBody) -> SourcePlan:
    given = {_OTHER_NAMES.get(name, name): value for name, value in body.model_dump().items()}
    return SourcePlan(collection=collection, **given)


@contextmanager
def _names_of_body() -> Iterator[None]:
    """Have errors name fields as they were sent."""
    try:
        yield
    except RankgresError as error:
        for sent, name in _OTHER_NAMES.items():
            if error.field == name:
                error.field = sent
        raise
