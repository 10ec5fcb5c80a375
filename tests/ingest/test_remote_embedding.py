"""Indexing with a model that somebody else runs: whose fault a refusal is."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.collections.collection import Generation, active_generation
from service.db.connection import Pool, open_pool, transaction
from service.ingest.documents import Document, upsert_documents
from service.ingest.outbox import claim_documents
from service.model_cards import DEFAULT_ENCODER, EncoderCard
from service.settings import Settings
from tests.support.collections import OutboxRow, make_collection, outbox
from tests.support.model_endpoint import ModelEndpoint, Refusal
from workers import embed_documents
from workers.embed_documents import Batch
from workers.inference.remote_encoder import load_remote_encoder

DIMENSION = 4


def embeddings(body: Any) -> Any:
    """Embed by a real rule: how many of four letters a text has."""
    rows = [[float(text.count(letter)) for letter in "aeio"] for text in body["input"]]
    return {"data": [{"index": index, "embedding": row} for index, row in enumerate(rows)]}


@pytest.fixture
def endpoint() -> Iterator[ModelEndpoint]:
    with ModelEndpoint(embeddings) as endpoint:
        yield endpoint
    embed_documents._busy_until.clear()


@pytest.fixture
def newest_pool(newest_database_url: str) -> Iterator[Pool]:
    with open_pool(newest_database_url) as pool:
        yield pool


@pytest.fixture
def generation(newest_pool: Pool) -> Generation:
    with transaction(newest_pool) as connection:
        make_collection(
            connection,
            embedding_model="openai:small",
            embedding_dimension=DIMENSION,
            chunk_tokens=32,
            text_search_config="english",
        )
        return active_generation(connection, "papers")


def index(pool: Pool, generation: Generation, endpoint: ModelEndpoint) -> dict[str, OutboxRow]:
    """Index one batch of whatever is due, and return what is left of it in the outbox."""
    settings = Settings(embedding_url=endpoint.url)
    card = EncoderCard("openai:small", DIMENSION, 32, kind="remote", tokenizer=DEFAULT_ENCODER)
    model = load_remote_encoder(card, settings)
    endpoint.callers.callback(model.close)
    with transaction(pool) as connection:
        lease = claim_documents(connection, generation.id, settings)
    assert lease is not None
    Batch(pool, settings, generation, model).index(lease)
    with transaction(pool) as connection:
        return outbox(connection, generation.id)


def put(pool: Pool, generation: Generation, *documents: Document) -> None:
    with transaction(pool) as connection:
        upsert_documents(connection, generation, documents)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (Refusal(429, {"Retry-After": "30"}), "busy"),
        (Refusal(503), "busy"),
        (Refusal(401, text="no such key"), "no such key"),
        (Refusal(500, text="on fire"), "on fire"),
    ],
)
def test_an_endpoint_that_cannot_answer_is_waited_for_at_no_attempt(
    newest_pool: Pool, generation: Generation, endpoint: ModelEndpoint, refusal: Refusal, told: str
) -> None:
    put(newest_pool, generation, Document("a", "one"), Document("b", "two"))
    endpoint.refusals.append(refusal)
    rows = index(newest_pool, generation, endpoint)
    assert len(endpoint.bodies) == 1  # not split: each part would ask again
    assert {(row.lease, row.attempts) for row in rows.values()} == {(None, 0)}
    assert all(told in (row.last_error or "") for row in rows.values())


def test_a_text_that_the_endpoint_refuses_is_its_own_documents_fault(
    newest_pool: Pool, generation: Generation, endpoint: ModelEndpoint
) -> None:
    def refuse_poison(body: Any) -> Any:
        poisoned = any("poison" in text for text in body["input"])
        return Refusal(400, text="not that one") if poisoned else embeddings(body)

    endpoint.answer = refuse_poison
    documents = [Document(name, f"the text of {name}") for name in ("a", "b", "poison", "d")]
    put(newest_pool, generation, *documents)
    rows = index(newest_pool, generation, endpoint)
    assert {name: row.attempts for name, row in rows.items()} == {"poison": 1}
    assert "InputRefusedError" in (rows["poison"].last_error or "")
