"""Commands for collections: create, list, show, drop."""

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from service.cli.model_warnings import print_model_warnings
from service.cli.progress_table import progress_table
from service.cli.terminal import console
from service.collections.collection import (
    FOREIGN_LEXICAL_WEIGHT,
    CollectionPlan,
    CollectionStatus,
    active_generation,
    create_collection,
    drop_collection,
    list_collections,
    show_collection,
)
from service.collections.recall import RECALL_TARGET
from service.db.connection import connect
from service.errors import InvalidInputError
from service.local.endpoints import database_url
from service.model_cards import encoder_card
from service.settings import get_settings

app = typer.Typer(no_args_is_help=True, help="Create, list, show and drop collections.")

Name = Annotated[str, typer.Argument(help="Name of the collection.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class StorageType(StrEnum):
    """How embeddings are stored and indexed."""

    HALFVEC = "halfvec"
    VECTOR = "vector"
    BIT = "bit"


class Distance(StrEnum):
    """How embeddings are compared."""

    COSINE = "cosine"
    INNER_PRODUCT = "inner_product"
    L2 = "l2"


class LexicalIndex(StrEnum):
    """What finds the chunks with a query's words."""

    GIN = "gin"
    PG_TEXTSEARCH = "pg_textsearch"


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(help="A lower-case letter, then up to 62 of a-z, 0-9, _ and -.")
    ],
    *,
    embedding_model: Annotated[
        str | None, typer.Option(help="Bi-encoder. Unset: RANKGRES_EMBEDDING_MODEL.")
    ] = None,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(help="Tokens of a chunk, heading included. Unset: what the model reads."),
    ] = None,
    overlap_tokens: Annotated[
        int, typer.Option(help="Tokens that neighbouring chunks share.")
    ] = 32,
    storage_type: Annotated[
        StorageType,
        typer.Option(help="halfvec halves vector's memory; bit searches signs, then rescores."),
    ] = StorageType.HALFVEC,
    distance: Annotated[
        Distance | None,
        typer.Option(help="Distance between embeddings. Unset: the one of the model's card."),
    ] = None,
    text_search_config: Annotated[
        str,
        typer.Option(
            help="Text-search configuration of Postgres: english, german, simple …; "
            "auto detects each document's language; unaccent+ before it takes accents off."
        ),
    ] = "english",
    bm25_k1: Annotated[
        float, typer.Option(help="BM25: how soon repeating a word stops counting.")
    ] = 1.2,
    bm25_b: Annotated[
        float, typer.Option(help="BM25: how much long chunks are held back, 0 to 1.")
    ] = 0.75,
    lexical_index: Annotated[
        LexicalIndex, typer.Option(help="pg_textsearch needs that extension in the database.")
    ] = LexicalIndex.GIN,
) -> None:
    """Create an empty collection. It can be filled and searched at once."""
    plan = CollectionPlan(
        name=name,
        embedding_model=embedding_model,
        chunk_tokens=chunk_tokens,
        overlap_tokens=overlap_tokens,
        storage_type=storage_type.value,
        distance=None if distance is None else distance.value,
        text_search_config=text_search_config,
        bm25_k1=bm25_k1,
        bm25_b=bm25_b,
        lexical_index=lexical_index.value,
    )
    with connect(database_url()) as connection:
        create_collection(connection, plan)
        status = show_collection(connection, name)
    console.print(f"created {name}, embedded by {status.embedding_model}")
    if not encoder_card(status.embedding_model).reads(text_search_config):
        console.print(
            f"{status.embedding_model} does not know this language well: searches start with "
            f"lexical_weight {FOREIGN_LEXICAL_WEIGHT}; see 'rankgres collection profile {name}'"
        )


@app.command("list")
def list_all(*, json: AsJson = False) -> None:
    """List the collections, with what is searchable and what is still on its way."""
    with connect(database_url()) as connection:
        statuses = list_collections(connection)
    if json:
        console.print_json(data=[asdict(status) for status in statuses])
    elif not statuses:
        console.print("no collection yet; 'rankgres collection create NAME' makes one")
    else:
        console.print(_table(statuses))
        _warn(statuses)


@app.command()
def show(name: Name, *, json: AsJson = False) -> None:
    """Show one collection: documents, chunks, queue and index."""
    with connect(database_url()) as connection:
        status = show_collection(connection, name)
    if json:
        console.print_json(data=asdict(status))
    else:
        console.print(_table([status]))
        if status.source or status.paused:
            console.print(progress_table([status]))
        _warn([status])
        with connect(database_url()) as connection:
            generation = active_generation(connection, name)
            print_model_warnings(connection, generation, get_settings())


@app.command()
def drop(
    name: Name,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask. Needed where no terminal is.")
    ] = False,
) -> None:
    """Drop a collection with its documents and embeddings. There is no way back."""
    with connect(database_url()) as connection:
        status = show_collection(connection, name)
        if not yes:
            _ask(name, status.documents)
        drop_collection(connection, name)
    console.print(f"dropped {name}")


def _ask(name: str, documents: int) -> None:
    if not console.is_terminal:
        raise InvalidInputError(
            "dropping needs a yes, and there is no terminal to ask", field="yes", mend="add --yes"
        )
    typer.confirm(f"Drop {name} with {documents:,} documents?", abort=True)


def _table(statuses: list[CollectionStatus]) -> Table:
    table = Table(box=None)
    table.add_column("collection")
    for column in ("documents", "chunks", "waiting", "dead", "oldest"):
        table.add_column(column, justify="right")
    table.add_column("HNSW")
    table.add_column("recall", justify="right")
    table.add_column("model")
    for status in statuses:
        oldest = status.oldest_seconds
        table.add_row(
            status.collection,
            f"{status.documents:,}",
            f"{status.chunks:,}",
            f"{status.waiting:,}",
            f"{status.dead:,}",
            "" if oldest is None else f"{oldest:.1f} s",
            status.hnsw_state,
            "" if status.recall is None else f"{status.recall:.3f}",
            status.embedding_model,
        )
    return table


def _warn(statuses: list[CollectionStatus]) -> None:
    for status in statuses:
        if status.recall is not None and status.recall < RECALL_TARGET:
            console.print(
                f"[yellow]warning:[/yellow] recall@{status.recall_k} of {status.collection} is "
                f"{status.recall:.3f}, under {RECALL_TARGET:g}: "
                f"'rankgres recall {status.collection}' says what mends it",
                soft_wrap=True,
            )
