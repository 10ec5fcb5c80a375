"""Commands for documents that could not be indexed: dead, retry."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.terminal import console
from service.db.connection import connect
from service.local.endpoints import database_url
from service.sources.dead_letters import DeadLetter, list_dead_letters, retry_documents


def dead(
    collection: Annotated[str, typer.Argument(help="Collection to look at.")],
    *,
    limit: Annotated[int, typer.Option(min=1, help="Documents to list at most.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the documents that could not be indexed: attempts, last error, next try.

    The dead come first: they failed RANKGRES_MAX_ATTEMPTS times, and wait for 'rankgres retry' or
    for a change. The others are tried again by themselves. None of them holds up any other.
    """
    with connect(database_url()) as connection:
        letters = list_dead_letters(connection, collection, limit)
    if json:
        console.print_json(data=[asdict(letter) for letter in letters], default=str)
    elif letters:
        console.print(_table(letters))
    else:
        console.print(f"no document of {collection} has failed")


def retry(
    collection: Annotated[str, typer.Argument(help="Collection to mend.")],
    ids: Annotated[
        list[str] | None,
        typer.Argument(help="Documents to try again. None: every dead letter.", metavar="[IDS]..."),
    ] = None,
) -> None:
    """Try documents that failed again at once, from the first attempt.

    Example: rankgres retry articles 17 42
    """
    with connect(database_url()) as connection:
        retried = retry_documents(connection, collection, ids or None)
    console.print(f"{retried:,} documents are tried again")


def _table(letters: list[DeadLetter]) -> Table:
    table = Table(box=None)
    table.add_column("document")
    table.add_column("attempts", justify="right")
    table.add_column("next try", justify="right")
    table.add_column("last error")
    now = datetime.now(UTC)
    for letter in letters:
        table.add_row(
            escape(letter.document_id),
            str(letter.attempts),
            _next_try(letter, now),
            escape(letter.last_error or ""),
        )
    return table


def _next_try(letter: DeadLetter, now: datetime) -> str:
    if letter.next_try_at is None:
        return "[red]dead[/red]"
    return f"in {max(0.0, (letter.next_try_at - now).total_seconds()):.0f} s"
