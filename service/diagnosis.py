"""Checks of everything Rankgres needs, each with what to do about it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import redis

from service.collections.collection import list_collections
from service.db.connection import Connection, connect
from service.db.migration import MIN_PGVECTOR, MIN_POSTGRES, current_revision, newest_revision
from service.errors import RankgresError
from service.local.endpoints import database_url, redis_url
from service.model_cards import Card, encoder_cards, known_reranker_card, split_prefix
from service.search.task_sender import connect_redis, read_pulses
from service.settings import Settings
from service.task_names import QUEUES

Verdict = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``mend`` says what to do where it is not ok."""

    subject: str
    verdict: Verdict
    detail: str
    mend: str = ""


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Check Postgres, the schema, Redis, the models and the workers, one after the other."""
    yield from _check_postgres(settings)
    yield from _check_redis(settings)
    yield from _check_models(settings)


def _check_postgres(settings: Settings) -> Iterator[Finding]:
    try:
        connection = connect(database_url(settings), autocommit=True)
    except RankgresError as error:
        yield Finding("Postgres", "wrong", error.detail, error.mend or "")
        return
    with connection:
        yield _postgres_version(connection)
        yield _pgvector_version(connection)
        schema = _schema_revision(connection)
        yield schema
        if schema.verdict == "ok":
            yield from _outbox(connection)


def _postgres_version(connection: Connection) -> Finding:
    version = connection.info.server_version // 10000
    if version < MIN_POSTGRES:
        return Finding("Postgres", "wrong", f"version {version}", f"use {MIN_POSTGRES} or newer")
    return Finding("Postgres", "ok", f"version {version}")


def _pgvector_version(connection: Connection) -> Finding:
    row = connection.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    ).fetchone()
    if row is None:
        return Finding("pgvector", "wrong", "not in this database", "run 'rankgres migrate'")
    if tuple(int(part) for part in row[0].split(".")[:2]) < MIN_PGVECTOR:
        mend = "install 0.8 or newer, then: ALTER EXTENSION vector UPDATE"
        return Finding("pgvector", "wrong", f"version {row[0]}", mend)
    return Finding("pgvector", "ok", f"version {row[0]}")


def _schema_revision(connection: Connection) -> Finding:
    found, wanted = current_revision(connection), newest_revision()
    if found != wanted:
        detail = f"revision {found or 'none'}, this version needs {wanted}"
        return Finding("schema", "wrong", detail, "run 'rankgres migrate'")
    return Finding("schema", "ok", f"revision {found}")


def _outbox(connection: Connection) -> Iterator[Finding]:
    for status in list_collections(connection):
        subject = f"collection {status.collection}"
        if status.dead:
            yield Finding(
                subject,
                "warning",
                f"{status.dead:,} documents failed for good",
                f"'rankgres dead {status.collection}' says why; "
                f"'rankgres retry {status.collection}' tries them again",
            )
        else:
            detail = f"{status.documents:,} documents searchable, {status.waiting:,} on their way"
            yield Finding(subject, "ok", detail)


def _check_redis(settings: Settings) -> Iterator[Finding]:
    try:
        client = connect_redis(redis_url(settings))
        version = client.info("server")["redis_version"]
    except RankgresError as error:
        yield Finding("Redis", "wrong", error.detail, error.mend or "")
        return
    except redis.RedisError as error:
        mend = "start it, or set RANKGRES_REDIS_URL; searches are lexical until then"
        yield Finding("Redis", "wrong", f"no answer: {error}", mend)
        return
    yield Finding("Redis", "ok", f"version {version}")
    for queue in QUEUES:
        yield _workers(client, queue)


def _workers(client: redis.Redis, queue: str) -> Finding:
    pulses = read_pulses(client, queue)
    if not pulses:
        mend = f"start one with 'rankgres worker {queue}', or all with 'rankgres up'"
        return Finding(f"worker {queue}", "wrong", "none is running", mend)
    seen = ", ".join(f"{pulse.model} by {pulse.backend} on {pulse.host}" for pulse in pulses)
    told = dict.fromkeys(warning for pulse in pulses for warning in pulse.warnings)
    if told:
        mend = "mend its card in RANKGRES_MODEL_CARDS; 'rankgres model probe' makes a right one"
        return Finding(f"worker {queue}", "warning", "; ".join(told), mend)
    return Finding(f"worker {queue}", "ok", seen)


def _check_models(settings: Settings) -> Iterator[Finding]:
    missing = [name for name in ("onnxruntime", "tokenizers") if find_spec(name) is None]
    if missing:
        yield Finding(
            "models",
            "warning",
            f"{', '.join(missing)} not installed here",
            "fine where only the service runs; for workers: pip install 'rankgres[onnx]'",
        )
        return
    for role, model in (
        ("encoder", settings.embedding_model),
        ("reranker", settings.reranker_model),
    ):
        prefix, folder = split_prefix(model)
        if prefix in {"", "late"}:
            yield _model(role, folder)
        else:
            yield _remote(role, model, settings)


def _remote(role: str, model: str, settings: Settings) -> Finding:
    """Return where a remote model is asked; it is not asked now, for that may cost money."""
    card: Card | None
    if role == "encoder":
        card = next((card for card in encoder_cards() if card.name == model), None)
        url, variable = settings.embedding_url, "RANKGRES_EMBEDDING_URL"
    else:
        card = known_reranker_card(model)
        url, variable = settings.rerank_url, "RANKGRES_RERANK_URL"
    if url is None and (card is None or card.url is None):
        return Finding(role, "wrong", f"where {model} is was not said", f"set {variable}")
    return Finding(role, "ok", f"{model}, asked over HTTP")


def _model(role: str, model: str) -> Finding:
    # In a process of its own: the service never imports what touches models. Offline: a doctor
    # does not fetch gigabytes.
    found = subprocess.run(
        [sys.executable, "-P", "-m", "workers.inference.model_files", model],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    detail, _, mend = found.stdout.strip().partition("\n")
    if found.returncode:
        return Finding(role, "warning", detail or found.stderr.strip(), mend)
    return Finding(role, "ok", f"{model} in {detail}")
