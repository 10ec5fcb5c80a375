"""GET /health/live and /health/ready."""

from typing import Literal

import redis
from fastapi import APIRouter, Response
from pydantic import BaseModel

from service.db.connection import transaction
from service.db.migration import current_revision, newest_revision
from service.errors import RankgresError
from service.http.runtime import Runtime
from service.task_names import ENCODE_QUEUE, RERANK_QUEUE

router = APIRouter(prefix="/health", tags=["operation"])


class Liveness(BaseModel):
    """This process answers."""

    status: Literal["live"] = "live"


class Readiness(BaseModel):
    """What of the stack answers; "degraded" still searches, "unready" does not."""

    status: Literal["ready", "degraded", "unready"]
    postgres: bool
    schema_current: bool
    redis: bool
    encode_worker: bool
    rerank_worker: bool


@router.get("/live")
def live() -> Liveness:
    """Say that the process answers; asks nothing of anything else."""
    return Liveness()


@router.get("/ready", responses={503: {"model": Readiness}})
def ready(runtime: Runtime, response: Response) -> Readiness:
    """Say what can be searched: 200 where at least lexical search works, 503 otherwise."""
    postgres, current = _database(runtime)
    redis_up, encode, rerank = _workers(runtime)
    searchable = postgres and current
    whole = searchable and redis_up and encode and rerank
    if not searchable:
        response.status_code = 503
    return Readiness(
        status="ready" if whole else "degraded" if searchable else "unready",
        postgres=postgres,
        schema_current=current,
        redis=redis_up,
        encode_worker=encode,
        rerank_worker=rerank,
    )


def _database(runtime: Runtime) -> tuple[bool, bool]:
    try:
        with transaction(runtime.pool) as connection:
            return True, current_revision(connection) == newest_revision()
    except RankgresError:
        return False, False


def _workers(runtime: Runtime) -> tuple[bool, bool, bool]:
    try:
        return True, runtime.sender.alive(ENCODE_QUEUE), runtime.sender.alive(RERANK_QUEUE)
    except redis.RedisError:
        return False, False, False
