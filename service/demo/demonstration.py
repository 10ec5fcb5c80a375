"""The demonstration: one question at a time, answered in four ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from service.cli.client import ServiceClient
from service.collections.collection import (
    CollectionPlan,
    Generation,
    active_generation,
    create_collection,
)
from service.db.connection import Connection
from service.demo.standard_library import standard_library_documents
from service.errors import NotFoundError
from service.ingest.documents import Document, upsert_documents

COLLECTION: Final = "python-docs"

QUESTIONS: Final = (
    "how do I run a command with a timeout",
    "cache the results of an expensive function",
    "compare two files and show what changed",
    "get a list of all files in a folder and below",
    "how can I find out which type of exception was raised",
)

#: The four ways, from the simplest to the whole path.
RUNS: Final[dict[str, dict[str, Any]]] = {
    "full-text search": {"mode": "lexical", "rerank": False},
    "vectors": {"mode": "vector", "rerank": False},
    "hybrid": {"mode": "hybrid", "rerank": False},
    "hybrid, reranked": {"mode": "hybrid", "rerank": True},
}

_SHOWN = 5
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """What one way of searching returned: ids best first, milliseconds by stage, remarks."""

    run: str
    documents: list[str]
    timings: dict[str, float]
    remarks: list[str]


def ensure_collection(connection: Connection) -> Generation:
    """Return the demonstration's collection, made if it is not there."""
    try:
        return active_generation(connection, COLLECTION)
    except NotFoundError:
        create_collection(connection, CollectionPlan(COLLECTION))
        return active_generation(connection, COLLECTION)


def load_documents(connection: Connection, generation: Generation) -> Iterator[tuple[int, int]]:
    """Load the standard library's documentation, a transaction a batch.

    Yields, batch by batch, how many documents were read and how many were new or changed.
    """
    for documents in _batches(standard_library_documents()):
        changed = upsert_documents(connection, generation, documents)
        connection.commit()
        yield len(documents), changed


def ask(client: ServiceClient, question: str) -> list[Answer]:
    """Ask one question in all four ways."""
    answers = []
    for run, choice in RUNS.items():
        body = {"query": question, "k": _SHOWN, **choice}
        answer = client.post(f"/collections/{COLLECTION}/search", body)
        answers.append(
            Answer(
                run,
                [result["id"] for result in answer["results"]],
                answer["timings"],
                _remarks(answer),
            )
        )
    return answers


def _remarks(answer: dict[str, Any]) -> list[str]:
    remarks = [f"without {item['stage']}: {item['reason']}" for item in answer["degraded"]]
    reranked = answer["reranked"]
    if reranked is not None:
        remarks.append(f"{reranked['scored']} of {reranked['of']} reranked")
    return remarks


def _batches(records: Iterable[Any]) -> Iterator[list[Document]]:
    remaining = iter(records)
    while batch := [
        Document(record.id, record.text, record.title, record.metadata)
        for record in islice(remaining, _BATCH)
    ]:
        yield batch
