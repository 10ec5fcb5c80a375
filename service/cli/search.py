"""The command that searches."""

import html
import json as json_module
import re
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.client import ServiceClient, search_path
from service.cli.terminal import console, error_console
from service.errors import InvalidInputError
from service.local.endpoints import service_url

_MARK = re.compile(r"</?mark>")


class Mode(StrEnum):
    """Which stages find candidates."""

    LEXICAL = "lexical"
    VECTOR = "vector"
    HYBRID = "hybrid"


def search(
    collection: Annotated[str, typer.Argument(help="Collection to search.")],
    query: Annotated[str, typer.Argument(help="Words, or a question as one would ask it.")],
    *,
    mode: Annotated[
        Mode, typer.Option(help="BM25 alone, nearest embeddings alone, or both fused.")
    ] = Mode.HYBRID,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Documents to show.")] = 10,
    rerank: Annotated[
        bool | None,
        typer.Option(help="Rerank the candidates. Unset: hybrid searches are, others are not."),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="Candidates offered to the reranker.")
    ] = None,
    budget_ms: Annotated[
        int | None, typer.Option(min=1, help="Milliseconds that reranking may take.")
    ] = None,
    filter: Annotated[  # noqa: A002  what it is called everywhere else
        str | None,
        typer.Option(help='JSON over metadata, such as \'{"year": {"gte": 2020}}\'.'),
    ] = None,
    explain: Annotated[
        bool, typer.Option(help="Also show every stage's ranks, and the times.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the service's answer as JSON.")
    ] = False,
) -> None:
    """Search a collection, and print the best documents with the passage that matched.

    Example: rankgres search articles "how do I rotate a key" --filter '{"lang": "en"}'
    """
    body: dict[str, Any] = {"query": query, "mode": mode.value, "k": k, "explain": explain}
    if filter is not None:
        body["filter"] = _parse_filter(filter)
    sizes = {"candidates": candidates, "budget_ms": budget_ms}
    given = {name: value for name, value in sizes.items() if value is not None}
    if given or rerank is not None:
        body["rerank"] = given or rerank
    with ServiceClient(service_url()) as client:
        answer = client.post(search_path(collection), body)
    if json:
        console.print_json(data=answer)
        return
    _print_answer(answer, explain=explain)


def _parse_filter(text: str) -> Any:
    try:
        return json_module.loads(text)
    except ValueError as error:
        raise InvalidInputError(
            f"the filter is not JSON: {error}",
            field="filter",
            value=text,
            mend='write it like \'{"lang": "en"}\', in single quotes for the shell',
        ) from None


def _print_answer(answer: dict[str, Any], *, explain: bool) -> None:
    table = Table(box=None, padding=(0, 1), show_header=explain)
    table.add_column("", justify="right", style="dim")
    table.add_column("document", overflow="fold")
    stages = ("lexical", "vector", "fused", "rerank") if explain else ()
    for stage in stages:
        table.add_column(stage, justify="right", style="dim")
    for result in answer["results"]:
        ranks = [result["stages"][stage] for stage in stages]
        table.add_row(
            str(result["rank"]),
            _document_cell(result),
            *("" if place is None else str(place["rank"]) for place in ranks),
        )
    console.print(table if answer["results"] else "nothing found")
    for degradation in answer["degraded"]:
        error_console.print(
            f"[yellow]without {degradation['stage']}: {degradation['reason']}[/yellow]"
        )
    console.print(f"[dim]{_summary(answer, explain=explain)}[/dim]")


def _document_cell(result: dict[str, Any]) -> str:
    passage = result["passages"][0]
    heading = passage["heading"] or result["id"]
    return f"[bold]{escape(heading)}[/bold]  [dim]{escape(result['id'])}[/dim]\n{_snippet(passage)}"


def _snippet(passage: dict[str, Any]) -> str:
    parts = _MARK.split(passage["snippet"].replace("\n", " "))
    texts = [escape(html.unescape(part)) for part in parts]
    # Odd parts stood between marks.
    return "".join(f"[cyan]{text}[/cyan]" if i % 2 else text for i, text in enumerate(texts))


def _summary(answer: dict[str, Any], *, explain: bool) -> str:
    timings = answer["timings"]
    parts = [f"{timings['total']:.0f} ms"]
    if explain:
        parts = [f"{stage} {milliseconds:.1f} ms" for stage, milliseconds in timings.items()]
    reranked = answer["reranked"]
    if reranked is not None:
        parts.append(f"reranked {reranked['scored']} of {reranked['of']}")
    return ", ".join(parts)
