"""The command that searches."""

import json as json_module
from enum import StrEnum
from typing import Annotated, Any

import typer

from service.cli.client import ServiceClient, search_path
from service.cli.search_answer import print_answer
from service.cli.terminal import console
from service.errors import InvalidInputError
from service.local.endpoints import service_url


class Mode(StrEnum):
    """Which stages find candidates."""

    LEXICAL = "lexical"
    VECTOR = "vector"
    HYBRID = "hybrid"


class Fusion(StrEnum):
    """How the two lists become one."""

    THEORETICAL = "theoretical"
    CONVEX = "convex"
    RELATIVE_SCORE = "relative_score"
    ZSCORE = "zscore"
    DISTRIBUTION = "distribution"
    RRF = "rrf"


_MATCHING = "Matching"
_RANKING = "Ranking"
_SHOWING = "Showing"


def search(
    collection: Annotated[str, typer.Argument(help="Collection to search.")],
    query: Annotated[
        str | None,
        typer.Argument(
            help='Words, or a question as one would ask it; also "a phrase", -excluded, one OR '
            "another, heading:word. Left out with --cursor.",
            show_default=False,
        ),
    ] = None,
    *,
    mode: Annotated[
        Mode,
        typer.Option(
            help="BM25 alone, nearest embeddings alone, or both fused.", rich_help_panel=_MATCHING
        ),
    ] = Mode.HYBRID,
    filter: Annotated[  # noqa: A002  what it is called everywhere else
        str | None,
        typer.Option(
            help='JSON over metadata, such as \'{"year": {"gte": 2020}}\'.',
            rich_help_panel=_MATCHING,
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            help="How many of the query's words BM25 demands: any, all, 3 or 75%. [default: any]",
            rich_help_panel=_MATCHING,
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="The query's language, such as de or german, where each document has its own.",
            rich_help_panel=_MATCHING,
        ),
    ] = None,
    correct: Annotated[
        bool | None,
        typer.Option(
            "--correct/--no-correct",
            help="Correct misspelled words that no document has.",
            rich_help_panel=_MATCHING,
            show_default=False,
        ),
    ] = None,
    fusion: Annotated[
        Fusion | None,
        typer.Option(
            help="How both lists become one. [default: theoretical]", rich_help_panel=_RANKING
        ),
    ] = None,
    lexical_weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of BM25 in the fused score. [default: 0.5]",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(help="Least fused score of a result.", rich_help_panel=_RANKING),
    ] = None,
    autocut: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Stop before the score falls sharply for so many times; 0: never.",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    diversity: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Put what resembles earlier results further back: 0.3 is a beginning.",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    recency: Annotated[
        str | None,
        typer.Option(
            help='JSON: raise what is new, \'{"field": "published_at", "scale": "30 days"}\'.',
            rich_help_panel=_RANKING,
        ),
    ] = None,
    boosts: Annotated[
        str | None,
        typer.Option(
            help='JSON: raise by numbers of the metadata, \'[{"field": "stars"}]\'.',
            rich_help_panel=_RANKING,
        ),
    ] = None,
    rerank: Annotated[
        bool | None,
        typer.Option(
            help="Rerank the candidates. Unset: hybrid searches are, others are not.",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(min=1, help="Candidates reranked at the most.", rich_help_panel=_RANKING),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Candidates to rerank exactly, at least k. [default: what the budget allows]",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    budget_ms: Annotated[
        int | None,
        typer.Option(min=1, help="Milliseconds that reranking may take.", rich_help_panel=_RANKING),
    ] = None,
    adaptive: Annotated[
        bool | None,
        typer.Option(
            "--adaptive/--no-adaptive",
            help="Rerank fewer where both stages agree, by the collection's rules, if it has any.",
            rich_help_panel=_RANKING,
            show_default=False,
        ),
    ] = None,
    weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="What the reranker counts beside the fused score. [default: the "
            "collection's, else the model's]",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    feedback: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="What likeness to the best counts after that; 0: nothing. [default: the "
            "collection's, else the model's]",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    min_relevance: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Least relevance of a result.", rich_help_panel=_RANKING),
    ] = None,
    timeout_ms: Annotated[
        int | None,
        typer.Option(
            min=1, help="Milliseconds that the whole search may take.", rich_help_panel=_RANKING
        ),
    ] = None,
    k: Annotated[
        int,
        typer.Option("-k", min=1, max=1000, help="Documents to show.", rich_help_panel=_SHOWING),
    ] = 10,
    facet: Annotated[
        list[str] | None,
        typer.Option(
            help="Field of the metadata whose values to count; may be repeated.",
            rich_help_panel=_SHOWING,
        ),
    ] = None,
    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Keep the list, and print a cursor for more.", rich_help_panel=_SHOWING
        ),
    ] = False,
    cursor: Annotated[
        str | None,
        typer.Option(
            help="Show what follows in a kept list; -k alone counts.", rich_help_panel=_SHOWING
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Also show every stage's ranks, and the times.",
            rich_help_panel=_SHOWING,
        ),
    ] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the service's answer as JSON.", rich_help_panel=_SHOWING
        ),
    ] = False,
) -> None:
    """Search a collection, and print the best documents with the passage that matched.

    What is unset is taken from the collection's search profile.

    Example: rankgres search articles "how do I rotate a key" --filter '{"lang": "en"}'
    """
    given = {
        "query": query,
        "cursor": cursor,
        "filter": _parse("filter", filter, '{"lang": "en"}'),
        "match": match,
        "language": language,
        "correct": correct,
        "fusion": fusion and fusion.value,
        "lexical_weight": lexical_weight,
        "min_score": min_score,
        "autocut": autocut,
        "diversity": diversity,
        "recency": _parse("recency", recency, '{"field": "day", "scale": "30 days"}'),
        "boosts": _parse("boosts", boosts, '[{"field": "stars"}]'),
        "rerank": _reranking(
            rerank,
            candidates=candidates,
            depth=depth,
            budget_ms=budget_ms,
            adaptive=adaptive,
            weight=weight,
            feedback=feedback,
        ),
        "min_relevance": min_relevance,
        "timeout_ms": timeout_ms,
        "facets": facet,
    }
    body = {name: value for name, value in given.items() if value is not None}
    body |= {"mode": mode.value, "k": k, "page": page, "explain": explain}
    with ServiceClient(service_url()) as client:
        answer = client.post(search_path(collection), body)
    if json:
        console.print_json(data=answer)
        return
    print_answer(answer, collection, explain=explain)


def _reranking(wanted: bool | None, **options: float | None) -> dict[str, float] | bool | None:
    given = {name: value for name, value in options.items() if value is not None}
    return given or wanted


def _parse(option: str, text: str | None, example: str) -> Any:
    """Return the JSON of an option, None where it was not given."""
    if text is None:
        return None
    try:
        return json_module.loads(text)
    except ValueError as error:
        raise InvalidInputError(
            f"the {option} is not JSON: {error}",
            field=option,
            value=text,
            mend=f"write it like '{example}', in single quotes for the shell",
        ) from None
