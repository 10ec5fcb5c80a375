"""/collections/{collection}/documents: bulk upsert, get, delete."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from service.collections.collection import active_generation
from service.db.connection import transaction
from service.http.runtime import Runtime
from service.ingest.documents import (
    Document,
    Indexed,
    delete_documents,
    get_document,
    upsert_documents,
    wait_until_searchable,
)
from service.storable import Text

router = APIRouter(prefix="/collections/{collection}/documents", tags=["documents"])


class DocumentBody(BaseModel):
    """One document."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, description="Yours, up to 1,024 bytes; unique in a collection.")
    text: str = Field(description="Plain text or Markdown, of any length.")
    title: str = Field("", description="Stands before every chunk, and counts more than the text.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="To filter by; comes back with the results."
    )


class UpsertBody(BaseModel):
    """Documents to be inserted, or updated where their id is there already."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "documents": [
                        {
                            "id": "hnsw",
                            "title": "HNSW",
                            "text": "A graph index for nearest neighbours.",
                            "metadata": {"year": 2016},
                        }
                    ],
                    "wait": True,
                }
            ]
        },
    )

    documents: list[DocumentBody] = Field(
        min_length=1, max_length=10_000, description="Written all together or not at all."
    )
    wait: bool = Field(False, description="Answer only when the changes can be searched.")
    wait_seconds: float = Field(
        30.0, gt=0, le=600, allow_inf_nan=False, description="The longest such wait."
    )


class UpsertAnswer(BaseModel):
    """What was written; ``waiting`` and ``failed`` are told where the caller waited."""

    received: int
    changed: int = Field(description="Documents that differ from what was there.")
    waiting: int | None = Field(None, description="Changes not searchable yet.")
    failed: list[str] | None = Field(None, description="Ids of dead letters among them.")


class DeleteBody(BaseModel):
    """Ids of documents to be deleted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": ["hnsw"]}]})

    ids: list[Text] = Field(
        min_length=1, max_length=10_000, description="One that is not there is passed over."
    )
    wait: bool = Field(False, description="Answer only when they are gone from searches.")
    wait_seconds: float = Field(
        30.0, gt=0, le=600, allow_inf_nan=False, description="The longest such wait."
    )


class DeleteAnswer(BaseModel):
    """How many of the documents there were."""

    deleted: int
    waiting: int | None = None
    failed: list[str] | None = None


@router.post("")
def upsert(collection: Text, body: UpsertBody, runtime: Runtime) -> UpsertAnswer:
    """Insert or update documents, all or none of them."""
    documents = [Document(**document.model_dump()) for document in body.documents]
    with transaction(runtime.pool) as connection:
        generation = active_generation(connection, collection)
        changed = upsert_documents(connection, generation, documents)
    answer = UpsertAnswer(received=len(documents), changed=changed)
    if body.wait:
        ids = [document.id for document in documents]
        state = wait_until_searchable(runtime.pool, generation, ids, body.wait_seconds)
        answer.waiting, answer.failed = _waited(state)
    return answer


@router.post("/delete")
def delete_many(collection: Text, body: DeleteBody, runtime: Runtime) -> DeleteAnswer:
    """Delete documents by id."""
    with transaction(runtime.pool) as connection:
        generation = active_generation(connection, collection)
        deleted = delete_documents(connection, generation, body.ids)
    answer = DeleteAnswer(deleted=deleted)
    if body.wait:
        state = wait_until_searchable(runtime.pool, generation, body.ids, body.wait_seconds)
        answer.waiting, answer.failed = _waited(state)
    return answer


@router.get("/{document_id:path}")
def get(collection: Text, document_id: Text, runtime: Runtime) -> DocumentBody:
    """Return one document as it was given."""
    with transaction(runtime.pool) as connection:
        generation = active_generation(connection, collection)
        return DocumentBody(**asdict(get_document(connection, generation, document_id)))


@router.delete("/{document_id:path}", status_code=204)
def delete(collection: Text, document_id: Text, runtime: Runtime) -> None:
    """Delete one document; it leaves searches moments later."""
    with transaction(runtime.pool) as connection:
        generation = active_generation(connection, collection)
        get_document(connection, generation, document_id)
        delete_documents(connection, generation, [document_id])


def _waited(state: Indexed) -> tuple[int, list[str]]:
    return state.waiting, state.dead
