"""Commands for tables that an application already has: attach, detach, pause, resume."""

from contextlib import closing
from enum import StrEnum
from typing import Annotated

import redis
import typer

from service.cli.indexing_progress import follow_indexing
from service.cli.preflight_table import preflight_table
from service.cli.terminal import console
from service.collections.collection import show_collection
from service.db.connection import connect
from service.errors import InvalidInputError, RankgresError
from service.local.endpoints import database_url, redis_url
from service.search.task_sender import TaskSender
from service.sources.preflight import inspect_source, measure_sample
from service.sources.source import (
    SourcePlan,
    attach_source,
    detach_source,
    pause_collection,
    resume_collection,
)

Name = Annotated[str, typer.Argument(help="Name of the collection.")]

_ROWS = "Which rows, and what of them"
_SYNC = "How they are followed"
_INDEX = "How they are indexed"


class TextFormat(StrEnum):
    """What the text columns hold."""

    PLAIN = "plain"
    HTML = "html"
    MARKDOWN = "markdown"


class StorageType(StrEnum):
    """How embeddings are stored and indexed."""

    HALFVEC = "halfvec"
    VECTOR = "vector"
    BIT = "bit"


def attach(
    collection: Annotated[
        str, typer.Argument(help="A lower-case letter, then up to 62 of a-z, 0-9, _ and -.")
    ],
    relation: Annotated[
        str,
        typer.Argument(
            help="Table, partitioned table, materialised view or foreign table, as SQL writes it: "
            'articles, shop.product, \'"Odd"."Name"\'.'
        ),
    ],
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the key, repeated for several. Unset: the primary key.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Column that is the title.", rich_help_panel=_ROWS)
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the text, repeated for several: they are joined by a blank line.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="The text as a template over columns instead: '{name} by {maker}'; "
            "{{ and }} are braces.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    text_format: Annotated[
        TextFormat,
        typer.Option(
            help="What the text columns hold; marks are taken off.", rich_help_panel=_ROWS
        ),
    ] = TextFormat.PLAIN,
    filter: Annotated[  # noqa: A002  what it is called everywhere else
        list[str] | None,
        typer.Option(
            help="Column that searches filter by, repeated for several.", rich_help_panel=_ROWS
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help="SQL condition of the rows that belong, such as 'published AND NOT deleted'.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    compare_every: Annotated[
        str | None,
        typer.Option(
            help="How often source and index are compared, such as '10 minutes'. "
            "Unset: 1 day; 5 minutes where no triggers can be.",
            rich_help_panel=_SYNC,
        ),
    ] = None,
    row_security: Annotated[
        bool,
        typer.Option(
            "--row-security",
            help="Searches in SQL show only rows that the searching role can read.",
            rich_help_panel=_SYNC,
        ),
    ] = False,
    rows_per_second: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Index the rows that are there no faster. Unset: as fast as workers are.",
            rich_help_panel=_SYNC,
        ),
    ] = None,
    embedding_model: Annotated[
        str | None,
        typer.Option(help="Bi-encoder. Unset: RANKGRES_EMBEDDING_MODEL.", rich_help_panel=_INDEX),
    ] = None,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens of a chunk, heading included. Unset: what the model reads.",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    overlap_tokens: Annotated[
        int,
        typer.Option(help="Tokens that neighbouring chunks share.", rich_help_panel=_INDEX),
    ] = 32,
    storage_type: Annotated[
        StorageType,
        typer.Option(
            help="halfvec halves vector's memory; bit searches signs, then rescores.",
            rich_help_panel=_INDEX,
        ),
    ] = StorageType.HALFVEC,
    text_search_config: Annotated[
        str,
        typer.Option(
            help="Text-search configuration of Postgres: english, german, simple …; "
            "auto detects each document's language; unaccent+ before it takes accents off.",
            rich_help_panel=_INDEX,
        ),
    ] = "english",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask. Needed where no terminal is.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            " /--detach",
            help="Wait until every row can be searched, and show how far it is.",
        ),
    ] = True,
) -> None:
    """Attach a table that you have: its rows become searchable, and stay so as they change.

    First shows what is found in it and what indexing it will cost, measured on a sample, and asks.
    The table gets triggers and nothing else; your writes never wait for Rankgres and never fail
    by it. Needs SELECT and TRIGGER on the table: docs/attach.md says which rights who needs.

    Example: rankgres attach articles public.articles --title title --text body --filter year
    """
    plan = SourcePlan(
        collection=collection,
        relation=relation,
        key=key,
        title=title,
        text=text,
        template=template,
        text_format=text_format.value,
        filters=filter or [],
        condition=where,
        compare_every=compare_every,
        row_security=row_security,
        backfill_rows_per_second=rows_per_second,
        embedding_model=embedding_model,
        chunk_tokens=chunk_tokens,
        overlap_tokens=overlap_tokens,
        storage_type=storage_type.value,
        text_search_config=text_search_config,
    )
    url = database_url()
    # Each step a transaction of its own: a table is locked for the moment in which it gets its
    # triggers, not while somebody thinks.
    with closing(connect(url, autocommit=True)) as connection:
        console.print(preflight_table(measure_sample(inspect_source(connection, plan), _sender())))
        if not yes:
            _ask(f"Attach {relation} as {collection}?", "attaching")
        with connection.transaction():
            attach_source(connection, plan)
    console.print(f"attached {relation} as {collection}", soft_wrap=True)
    if wait and not follow_indexing(url, collection):
        raise typer.Exit(1)


def detach(
    collection: Name,
    *,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep what is indexed: it stays searchable as it is now."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask. Needed where no terminal is.")
    ] = False,
) -> None:
    """Detach a collection from its table: the triggers go, and the table is as it was before.

    The index goes with them, unless it is kept. The table itself loses nothing.
    """
    with connect(database_url()) as connection:
        status = show_collection(connection, collection)
        if not yes:
            kept = "keeping" if keep else "dropping"
            _ask(f"Detach {collection}, {kept} its index of {status.documents:,} documents?", "it")
        detach_source(connection, collection, keep=keep)
    console.print(f"detached {collection} from {status.source}", soft_wrap=True)


def pause(collection: Name) -> None:
    """Pause indexing of a collection: changes are queued, and searchable once it is resumed."""
    with connect(database_url()) as connection:
        pause_collection(connection, collection)
    console.print(f"paused {collection}; 'rankgres resume {collection}' goes on")


def resume(collection: Name) -> None:
    """Resume indexing of a collection that was paused."""
    with connect(database_url()) as connection:
        resume_collection(connection, collection)
    console.print(f"resumed {collection}")


def _sender() -> TaskSender | None:
    """Return the way to a worker that measures, or None: it is only estimated then."""
    try:
        sender = TaskSender(redis_url())
        sender.redis.ping()
    except (RankgresError, redis.RedisError):
        return None
    return sender


def _ask(question: str, what: str) -> None:
    if not console.is_terminal:
        raise InvalidInputError(
            f"{what} needs a yes, and there is no terminal to ask", field="yes", mend="add --yes"
        )
    typer.confirm(question, abort=True)
