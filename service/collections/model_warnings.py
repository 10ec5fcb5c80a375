"""What is wrong with how a collection is embedded: texts that were cut, cards that are wrong."""

from typing import Final

import redis

from service.collections.collection import Generation
from service.db.connection import Connection
from service.db.statements import load_statements
from service.errors import InvalidInputError
from service.model_cards import encoder_card
from service.search.task_sender import connect_redis, read_pulses
from service.settings import Settings
from service.task_names import EMBED_QUEUE, ENCODE_QUEUE

_SQL = load_statements(__file__)
#: Chunks that are looked at: a share needs no more, and a million would take seconds.
_LOOKED_AT: Final = 100_000


def model_warnings(
    connection: Connection, generation: Generation, redis_url: str | None, settings: Settings
) -> list[str]:
    """Return what makes embeddings of the collection worse than they could be, in words.

    That is a share of its chunks, above the settings' limit, that are longer than the model reads;
    and whatever running workers say of the model's card and its own files.
    """
    return [
        *_truncation(connection, generation, settings.truncated_share_limit),
        *_told_by_workers(generation.embedding_model, redis_url),
    ]


def _truncation(connection: Connection, generation: Generation, limit: float) -> list[str]:
    try:
        card = encoder_card(generation.embedding_model)
    except InvalidInputError as error:
        return [error.detail]
    row = connection.execute(
        _SQL["truncated"],
        {"id": generation.id, "max_tokens": card.max_tokens, "most": _LOOKED_AT},
    ).fetchone()
    looked_at, truncated = row or (0, 0)
    if not looked_at or truncated / looked_at <= limit:
        return []
    told = (
        f"{truncated:,} of {looked_at:,} chunks ({truncated / looked_at:.1%}) are longer than the "
        f"{card.max_tokens} tokens that {card.name} reads, and what is beyond was not embedded: "
        f"make a collection whose chunk_tokens are at most {card.max_tokens}"
    )
    return [told]


def _told_by_workers(model: str, redis_url: str | None) -> list[str]:
    if redis_url is None:
        return []
    try:
        client = connect_redis(redis_url)
        pulses = [
            pulse for queue in (EMBED_QUEUE, ENCODE_QUEUE) for pulse in read_pulses(client, queue)
        ]
    except redis.RedisError:
        return []
    told = (warning for pulse in pulses for warning in pulse.warnings)
    return list(dict.fromkeys(each for each in told if each.startswith(f"{model} ")))
