"""What a search answered, as it is printed."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from service.cli.terminal import console, error_console

_MARK = re.compile(r"</?mark>")


def print_answer(answer: Mapping[str, Any], collection: str, *, explain: bool) -> None:
    """Print the results and what goes with them; what is missing goes to standard error."""
    for typed, searched in answer["corrections"].items():
        console.print(
            f"searched for [bold]{escape(repr(searched))}[/bold] instead of {escape(repr(typed))}",
            highlight=False,
        )
    if answer["relaxed"]:
        console.print("nothing has the quoted phrases: searched for their words")
    console.print(_results(answer["results"], explain=explain) or "nothing found")
    if answer["facets"]:
        console.print(_facets(answer["facets"]))
    _warn(answer)
    console.print(f"[dim]{_summary(answer, explain=explain)}[/dim]", soft_wrap=True)
    if answer["next_cursor"] is not None:
        # On a line of its own and never folded, so that it can be copied.
        console.print(
            f"[dim]more: rankgres search {collection} --cursor={answer['next_cursor']}[/dim]",
            soft_wrap=True,
            highlight=False,
        )


def _results(results: Sequence[Mapping[str, Any]], *, explain: bool) -> Table | None:
    table = Table(box=None, padding=(0, 1), show_header=explain)
    table.add_column("", justify="right", style="dim")
    table.add_column("document", overflow="fold")
    stages = ("lexical", "vector", "fused", "rerank") if explain else ()
    if explain and any(result["stages"]["rerank_second"] for result in results):
        stages = (*stages, "rerank_second")
    judged = any(result["relevance"] is not None for result in results)
    if judged:
        table.add_column("relevance", justify="right", style="dim")
    for stage in stages:
        table.add_column(stage, justify="right", style="dim")
    for result in results:
        places = [result["stages"][stage] for stage in stages]
        table.add_row(
            str(result["rank"]),
            _document_cell(result),
            *([_relevance_cell(result["relevance"])] if judged else []),
            *(_rank_cell(place) for place in places),
        )
    return table if results else None


def _relevance_cell(relevance: float | None) -> str:
    return "" if relevance is None else f"{relevance:.2f}"


def _rank_cell(place: Mapping[str, Any] | None) -> str:
    return "" if place is None or place["rank"] is None else str(place["rank"])


def _document_cell(result: Mapping[str, Any]) -> str:
    passage = result["passages"][0]
    heading = passage["heading"] or result["id"]
    return f"[bold]{escape(heading)}[/bold]  [dim]{escape(result['id'])}[/dim]\n{_snippet(passage)}"


def _snippet(passage: Mapping[str, Any]) -> str:
    parts = _MARK.split(passage["snippet"].replace("\n", " "))
    texts = [escape(html.unescape(part)) for part in parts]
    # Odd parts stood between marks: words of the query, or a sentence that says the same.
    style = "italic" if passage["snippet_source"] == "meaning" else "cyan"
    return "".join(f"[{style}]{text}[/{style}]" if i % 2 else text for i, text in enumerate(texts))


def _facets(facets: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=True, header_style="dim")
    table.add_column("field")
    table.add_column("value", overflow="fold")
    table.add_column("documents", justify="right")
    for field, counts in facets.items():
        for number, count in enumerate(counts):
            value = count["value"]
            table.add_row(
                "" if number else escape(field),
                escape(value if isinstance(value, str) else json.dumps(value)),
                f"{'' if count['exact'] else 'about '}{count['documents']:,}",
            )
    return table


def _warn(answer: Mapping[str, Any]) -> None:
    for degradation in answer["degraded"]:
        retry = degradation["retry_after_ms"]
        hint = "" if retry is None else f", try again in {retry / 1000:.1f} s"
        error_console.print(
            f"[yellow]without {degradation['stage']}: {degradation['reason']}{hint}[/yellow]"
        )
    if not answer["complete"]:
        error_console.print(f"[yellow]not complete: {answer['incomplete_reason']}[/yellow]")
    if answer["cut"]:
        error_console.print(f"[yellow]below the least relevance: {answer['cut']}[/yellow]")
    if answer["gone"]:
        error_console.print(f"[yellow]deleted since the search: {answer['gone']}[/yellow]")


def _summary(answer: Mapping[str, Any], *, explain: bool) -> str:
    timings = answer["timings"]
    parts = [f"{timings['total']:.0f} ms"]
    if explain:
        parts = [f"{stage} {milliseconds:.1f} ms" for stage, milliseconds in timings.items()]
    reranked = answer["reranked"]
    if reranked is not None:
        told = [f"{model['scored']} of {model['of']}" for model in reranked["models"]]
        parts.append(f"reranked {', then '.join(told)}")
        if explain:
            parts.append(f"depth by {answer['explain']['rerank']['reason']}")
    return ", ".join(parts)
