"""The command that compares an index with its source."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.terminal import console
from service.db.connection import connect
from service.local.endpoints import database_url
from service.sources.verification import KINDS, Verification, verify_collection


def verify(
    collection: Annotated[str, typer.Argument(help="Collection to verify.")],
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Queue exactly the documents that differ.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare a collection's index with its source, and report every difference by kind.

    Reads the hashes of the whole source. What is queued already is no difference. The relay does
    the same by itself, with repair, every RANKGRES_VERIFY_HOURS. Ends with 1 when differences
    remain: without --repair, any; with it, those that queueing cannot mend (dead letters).

    Example: rankgres verify articles --repair
    """
    with connect(database_url()) as connection:
        verification = verify_collection(connection, collection, repair=repair)
    if json:
        counts = {
            "differences": verification.differences,
            "queued": verification.queued,
            "remaining": verification.remaining,
        }
        console.print_json(data=asdict(verification) | counts)
    else:
        _print(verification)
    if verification.remaining:
        raise typer.Exit(1)


def _print(verification: Verification) -> None:
    name = verification.collection
    if verification.findings:
        table = Table(box=None)
        table.add_column("kind")
        table.add_column("documents", justify="right")
        table.add_column("such as")
        for found in verification.findings:
            told = ", ".join(found.examples[:4])
            table.add_row(
                found.kind,
                f"{found.documents:,}",
                f"{escape(told)}\n[dim]{KINDS[found.kind]}[/dim]",
            )
        console.print(table)
    if not verification.differences:
        console.print(f"the index of {name} equals its source")
        return
    if verification.queued:
        console.print(
            f"{verification.queued:,} documents queued; 'rankgres wait {name}' follows them"
        )
    if not verification.remaining:
        return
    if verification.repaired:
        mend = f"'rankgres dead {name}' says why, 'rankgres retry {name}' tries again"
    else:
        mend = f"'rankgres verify {name} --repair' queues what differs"
    console.print(
        f"[yellow]{verification.remaining:,} differences remain[/yellow]; {mend}", soft_wrap=True
    )
