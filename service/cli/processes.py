"""Commands that run one process of the stack, for those who supervise by other means."""

import os
import sys
from enum import StrEnum
from typing import Annotated, NoReturn

import typer

from service.cli.terminal import console
from service.local.endpoints import database_url
from service.settings import get_settings


class Queue(StrEnum):
    """What a worker serves."""

    EMBED = "embed"
    ENCODE = "encode"
    RERANK = "rerank"


def migrate(
    *,
    revision: Annotated[
        str, typer.Option(help="Revision to go to: head for the newest, base for none.")
    ] = "head",
    down: Annotated[
        bool, typer.Option("--down", help="Go back to an older revision; what it lacks is lost.")
    ] = False,
) -> None:
    """Bring the database's schema to this version of Rankgres.

    Works on RANKGRES_DATABASE_URL or the running stack. Needs Postgres 16 to 18 with pgvector 0.8
    and a role that may create a schema. Safe beside live traffic and to run twice; several at once
    wait for each other. Connect straight to Postgres for this, not through a pooler.
    """
    from service.db import migration

    url = database_url()
    if down:
        migration.downgrade(url, revision)
    else:
        migration.upgrade(url, revision)
    console.print(f"the schema rankgres is at revision {revision}")


def serve(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Unset: RANKGRES_SERVICE_HOST.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on. Unset: RANKGRES_SERVICE_PORT."),
    ] = None,
) -> None:
    """Run the HTTP service in the foreground.

    Finds Postgres and Redis by RANKGRES_DATABASE_URL and RANKGRES_REDIS_URL, or by the running
    stack. The API is described at /docs once it answers.
    """
    import uvicorn

    from service.http.app import create_app
    from service.logs import set_up_logs

    settings = get_settings()
    set_up_logs(settings, "service")
    uvicorn.run(
        create_app(),
        host=host or settings.service_host,
        port=settings.service_port if port is None else port,
        log_config=None,
        # The log names what went wrong; /metrics counts the rest.
        access_log=False,
    )


def worker(
    queue: Annotated[Queue, typer.Argument(help="The queue to serve, with one model.")],
) -> None:
    """Run one worker in the foreground, with one model in its process.

    embed turns queued documents into searchable chunks, encode embeds queries, rerank scores
    candidates. Run as many of each as you like, on any machine that reaches Postgres and Redis.
    """
    _become_worker(queue.value)


def relay() -> None:
    """Run the relay in the foreground: it wakes workers for queued documents.

    It also builds each collection's HNSW index after its first load and keeps the statistics of
    BM25 short. Any number may run. Needs a straight connection to Postgres (LISTEN).
    """
    _become_worker("relay")


def _become_worker(role: str) -> NoReturn:
    # The service never imports a worker: this process becomes one. -P: a folder named workers in
    # the current folder must not stand in for ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "workers", role])  # noqa: S606  no shell is meant
