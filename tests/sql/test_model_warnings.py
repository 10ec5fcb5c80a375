"""What a model's card does to a collection: warnings about its embeddings, and its distance."""

from typing import Literal

import pytest

from service.collections.collection import (
    CollectionPlan,
    Generation,
    active_generation,
    create_collection,
)
from service.collections.model_warnings import model_warnings
from service.db.connection import Connection
from service.local.redis import EmbeddedRedis
from service.model_cards import DEFAULT_ENCODER
from service.settings import Settings
from service.task_names import EMBED_QUEUE, ENCODE_QUEUE
from tests.support.collections import make_collection, value
from workers.pulse import Heart

SETTINGS = Settings(truncated_share_limit=0.25)


@pytest.fixture
def generation(connection: Connection) -> Generation:
    make_collection(connection, embedding_model=DEFAULT_ENCODER, embedding_dimension=384)
    found = active_generation(connection, "papers")
    for number, tokens in enumerate([10, 100, 256, 257]):
        connection.execute(
            "INSERT INTO rankgres.chunk (generation_id, document_id, position, token_count, "
            "start_offset, end_offset, lexical_length, heading, text, filters, lexemes) "
            "VALUES (%s, %s, 0, %s, 0, 1, 1, '', 'x', '{}', '')",
            [found.id, str(number), tokens],
        )
    return found


def test_a_share_of_cut_chunks_above_the_limit_is_told(
    connection: Connection, generation: Generation
) -> None:
    assert model_warnings(connection, generation, None, SETTINGS) == []
    connection.execute("UPDATE rankgres.chunk SET token_count = 300 WHERE document_id = '2'")
    told = model_warnings(connection, generation, None, SETTINGS)
    assert len(told) == 1
    assert "2 of 4 chunks (50.0%) are longer than the 256 tokens" in told[0]


def test_an_empty_collection_needs_no_warning(connection: Connection) -> None:
    make_collection(connection, embedding_model=DEFAULT_ENCODER, embedding_dimension=384)
    generation = active_generation(connection, "papers")
    assert model_warnings(connection, generation, None, Settings()) == []


def test_a_model_whose_card_is_gone_is_told(connection: Connection) -> None:
    make_collection(connection, embedding_model="nobody/gone", embedding_dimension=384)
    told = model_warnings(connection, active_generation(connection, "papers"), None, SETTINGS)
    assert told == ["no model card for the embedding model 'nobody/gone'"]


def test_what_workers_say_of_the_collections_model_is_repeated_once(
    connection: Connection, generation: Generation, redis_server: EmbeddedRedis
) -> None:
    said = [f"{DEFAULT_ENCODER} is used with query_prompt ''", "other/model is wrong"]
    hearts = [
        Heart(redis_server.url, queue, DEFAULT_ENCODER, "any", warn=lambda: said)
        for queue in (EMBED_QUEUE, ENCODE_QUEUE)
    ]
    try:
        for heart in hearts:
            heart.beat()
        assert model_warnings(connection, generation, redis_server.url, SETTINGS) == said[:1]
    finally:
        for heart in hearts:
            heart.stop()


def test_without_redis_workers_say_nothing(connection: Connection, generation: Generation) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    assert model_warnings(connection, generation, nowhere, SETTINGS) == []


@pytest.mark.parametrize(("said", "used"), [(None, "l2"), ("cosine", "cosine")])
def test_the_distance_is_that_of_the_models_card_unless_another_is_said(
    connection: Connection, said: Literal["cosine"] | None, used: str
) -> None:
    plan = CollectionPlan("papers", embedding_model="allenai/specter2_base", distance=said)
    create_collection(connection, plan)
    assert value(connection, "SELECT distance FROM rankgres.generation") == used
