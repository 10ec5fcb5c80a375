"""The command that completes what was typed."""

from typing import Annotated
from urllib.parse import quote, urlencode

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.client import ServiceClient
from service.cli.terminal import console
from service.local.endpoints import service_url


def suggest(
    collection: Annotated[str, typer.Argument(help="Collection to take words and titles from.")],
    prefix: Annotated[str, typer.Argument(help="What was typed so far.")],
    *,
    suggestions: Annotated[
        int, typer.Option("-n", "--suggestions", min=1, max=100, help="Suggestions to show.")
    ] = 10,
    json: Annotated[
        bool, typer.Option("--json", help="Print the service's answer as JSON.")
    ] = False,
) -> None:
    """Complete a prefix to titles of the collection, and its last word to frequent lexemes.

    Example: rankgres suggest articles "rotate k"
    """
    # An argument of the shell may hold bytes that are no text.
    values = urlencode({"prefix": prefix, "suggestions": suggestions}, errors="replace")
    name = quote(collection, safe="", errors="replace")
    with ServiceClient(service_url()) as client:
        answer = client.get(f"/collections/{name}/suggest?{values}")
    if json:
        console.print_json(data=answer)
        return
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column("suggestion", overflow="fold")
    table.add_column("kind", style="dim")
    table.add_column("chunks", justify="right", style="dim")
    for way in answer["suggestions"]:
        table.add_row(escape(way["suggestion"]), way["kind"], f"{way['chunk_count']:,}")
    console.print(table if answer["suggestions"] else "nothing begins so")
