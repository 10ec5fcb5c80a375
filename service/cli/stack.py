"""Commands for the stack on this machine: up, down, status."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.amounts import duration
from service.cli.progress_table import progress_table
from service.cli.terminal import console
from service.cli.worker_figures import read_cache_use, read_workers, worker_table
from service.collections.collection import CollectionStatus, list_collections
from service.db.connection import connect
from service.db.driver_errors import translated
from service.errors import RankgresError, StackNotRunningError
from service.settings import get_settings

if TYPE_CHECKING:  # psutil, which it needs, is not installed with the service alone
    from service.local.stack import ProcessStatus

_MB = 1024**2


def up(
    *,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            "-d",
            help="Run in the background: the command returns when everything is ready, "
            "'rankgres down' stops it. Without this, Ctrl-C does.",
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the service; 0 picks a free one. "
            "Unset: RANKGRES_SERVICE_PORT, which is 8433 unless set.",
        ),
    ] = None,
) -> None:
    """Start Postgres, Redis, the workers and the service on this machine.

    Everything lives in RANKGRES_HOME; another RANKGRES_HOME is another stack, and several run
    side by side. Where RANKGRES_DATABASE_URL or RANKGRES_REDIS_URL is set, that server is used
    and none is started. A process that dies is started again and named here and in the logs.
    The first start makes the database and exports the models, which takes a minute; later ones
    take seconds. If a stack is running already, this says so and changes nothing.
    """
    from service.local import stack

    stack.up(get_settings(), port=port, detach=detach, tell=timed_lines())


def down() -> None:
    """Stop the stack of RANKGRES_HOME, every process of it; its data stay.

    Also cleans up after a stack that was killed. Does nothing where nothing runs.
    """
    from service.local import stack

    home = get_settings().home
    stopped = stack.down(home, timed_lines())
    console.print("stopped" if stopped else f"nothing is running in {escape(str(home))}")


def status(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Show the stack's processes and addresses, what its models do, and how far collections are.

    'waiting' means that a process died and will be started again. Ends with an error where no
    stack runs, so that a script can ask.
    """
    from service.local import stack

    home = get_settings().home
    found = stack.status(home)
    if found is None:
        raise StackNotRunningError(
            f"no stack is running in {home}", mend="start one with 'rankgres up'"
        )
    record = found.record
    collections = [] if record is None else _collections(record.database_url)
    workers = [] if record is None else read_workers(record.redis_url)
    cache = None if record is None else read_cache_use(record.service_url)
    if json:
        told = {
            "collections": [asdict(each) for each in collections],
            "workers": [asdict(each) for each in workers],
            "query_cache": cache and asdict(cache),
        }
        console.print_json(data=asdict(found) | told, default=str)
        return
    console.print(_process_table(found.processes))
    console.print(f"home      {escape(str(found.home))}", soft_wrap=True)
    if found.record:
        console.print(f"service   {found.record.service_url}", soft_wrap=True)
        console.print(f"database  {escape(found.record.database_url)}", soft_wrap=True)
        console.print(f"redis     {escape(found.record.redis_url)}", soft_wrap=True)
    if workers:
        console.print(worker_table(workers))
    if cache is not None:
        console.print(f"query cache  {cache.told}", highlight=False)
    if collections:
        console.print(progress_table(collections))


def _collections(url: str) -> list[CollectionStatus]:
    """Return how far the collections are; none while Postgres or its schema is not there."""
    try:
        with translated(), connect(url) as connection:
            return list_collections(connection)
    except RankgresError:
        return []


def timed_lines() -> Callable[[str], None]:
    """Return a function that prints an event after the seconds since now."""
    began = time.monotonic()

    def tell(event: str) -> None:
        seconds = time.monotonic() - began
        console.print(f"[dim]{seconds:6.1f} s[/dim]  {escape(event)}", soft_wrap=True)

    return tell


def _process_table(processes: "tuple[ProcessStatus, ...]") -> Table:
    table = Table("process", "state", "pid", "up", "restarts", "memory", "last exit", box=None)
    for process in processes:
        table.add_row(
            process.name,
            process.state,
            str(process.pid or ""),
            "" if process.uptime_seconds is None else duration(process.uptime_seconds),
            str(process.restarts),
            "" if process.memory_bytes is None else f"{process.memory_bytes // _MB} MB",
            process.last_exit,
        )
    return table
