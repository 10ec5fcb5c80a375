"""Commands that fill a collection: ingest, wait."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from service.cli.indexing_progress import follow_indexing, progress_bar
from service.cli.model_warnings import print_model_warnings
from service.cli.terminal import console, error_console
from service.collections.collection import Generation, active_generation
from service.db.connection import Connection, connect
from service.ingest.documents import Document, upsert_documents
from service.ingest.files import Fields, Record, RecordReader, Reject
from service.ingest.rejects import RejectFile, default_reject_path
from service.local.endpoints import database_url
from service.settings import get_settings

#: Documents of one transaction: large enough for COPY to pay, small enough to repeat.
_BATCH = 1000


def ingest(
    collection: Annotated[str, typer.Argument(help="Collection to fill; it must exist.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="JSONL, CSV, TSV or Parquet, plain, .gz or .zst; a folder of text and Markdown; "
            "- for JSONL on standard input."
        ),
    ],
    *,
    id_field: Annotated[
        str | None, typer.Option(help="Field that is the id. Unset: _id or id.")
    ] = None,
    title_field: Annotated[
        str | None, typer.Option(help="Field that is the title. Unset: title.")
    ] = None,
    text_field: Annotated[
        str | None, typer.Option(help="Field that is the text. Unset: text, body or content.")
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(help="Where bad lines are put aside. Unset: COLLECTION.rejects.jsonl here."),
    ] = None,
    wait: Annotated[
        bool, typer.Option(help="Wait until everything is searchable, and show how far it is.")
    ] = True,
) -> None:
    """Load files into a collection, then wait until they can be searched.

    Every field that is not id, title or text becomes metadata to filter by. A document that is
    there already is updated, or left alone where nothing changed; so a load that was interrupted
    is simply run again. Bad lines are put aside with their line number and reason, and the rest
    goes on; the command then ends with 1. What keeps the embeddings from being as good as they
    could be, such as chunks longer than the model reads, is a warning at the end.
    """
    reader = RecordReader(files, Fields(id_field, title_field, text_field))
    reject_file = RejectFile(rejects or default_reject_path(collection))
    settings = get_settings()
    with connect(database_url()) as connection, reject_file:
        generation = active_generation(connection, collection)
        connection.commit()
        received, changed = _load(connection, generation, reader, reject_file)
    console.print(f"{received:,} documents read, {changed:,} new or changed")
    if wait:
        follow_indexing(database_url(), collection)
        with connect(database_url()) as connection:
            print_model_warnings(connection, generation, settings)
    if reject_file.count:
        error_console.print(
            f"[yellow]{reject_file.count:,} bad lines are in {reject_file.path}[/yellow]; "
            "mend them there and ingest that file's documents again",
            soft_wrap=True,
        )
        raise typer.Exit(1)


def wait(
    collection: Annotated[str, typer.Argument(help="Collection to wait for.")],
    *,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to wait at most. Unset: as long as it takes."),
    ] = None,
) -> None:
    """Wait until every queued change of a collection can be searched, and show how far it is.

    Ends with 1 when the timeout comes first, or when documents failed for good.
    """
    if not follow_indexing(database_url(), collection, timeout):
        raise typer.Exit(1)


def _load(
    connection: Connection, generation: Generation, reader: RecordReader, rejects: RejectFile
) -> tuple[int, int]:
    received = changed = 0
    started = time.monotonic()
    with progress_bar("reading") as bar:
        for documents in _batches(reader, rejects):
            changed += upsert_documents(connection, generation, documents)
            connection.commit()
            received += len(documents)
            rate = received / (time.monotonic() - started)
            share = reader.bytes_read / reader.bytes_total if reader.bytes_total else 0.0
            bar.show(share, f"{received:,} documents, {rate:,.0f}/s")
    return received, changed


def _batches(reader: RecordReader, rejects: RejectFile) -> Iterator[list[Document]]:
    documents = _documents(reader, rejects)
    while batch := list(islice(documents, _BATCH)):
        yield batch


def _documents(reader: RecordReader, rejects: RejectFile) -> Iterator[Document]:
    for item in reader:
        if isinstance(item, Reject):
            rejects.add(item)
        else:
            yield _document(item)


def _document(record: Record) -> Document:
    return Document(record.id, record.text, record.title, record.metadata)
