"""The command that checks everything and says what to do."""

from typing import Annotated

import redis
import typer
from rich.markup import escape
from rich.table import Table

from service.cli.terminal import console
from service.local.endpoints import redis_url
from service.search.task_sender import connect_redis
from service.settings import get_settings
from service.task_names import ALIVE_PREFIX

_MARKS = {
    "ok": "[green]ok[/green]",
    "warning": "[yellow]look[/yellow]",
    "wrong": "[red]wrong[/red]",
}


def doctor(
    *,
    worker: Annotated[
        str | None,
        typer.Option(
            help="Only ask whether a worker (embed, encode, rerank) or the relay lives; "
            "for health checks."
        ),
    ] = None,
) -> None:
    """Check Postgres, pgvector, the schema, Redis, models and workers, and say what to do.

    Ends with 1 when something is wrong.
    """
    if worker is not None:
        raise typer.Exit(0 if _lives(worker) else 1)
    from service.diagnosis import diagnose

    table = Table(box=None, show_header=False)
    wrong = False
    for finding in diagnose(get_settings()):
        mend = f"\n[dim]{escape(finding.mend)}[/dim]" if finding.mend else ""
        table.add_row(_MARKS[finding.verdict], finding.subject, escape(finding.detail) + mend)
        wrong = wrong or finding.verdict == "wrong"
    console.print(table)
    if wrong:
        raise typer.Exit(1)


def _lives(worker: str) -> bool:
    try:
        return bool(connect_redis(redis_url()).exists(f"{ALIVE_PREFIX}{worker}"))
    except redis.RedisError:
        return False
