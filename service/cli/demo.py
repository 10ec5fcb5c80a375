"""The command that demonstrates everything on this machine's own Python documentation."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.client import ServiceClient
from service.cli.indexing_progress import follow_indexing
from service.cli.stack import timed_lines
from service.cli.terminal import console
from service.db.connection import connect
from service.demo.demonstration import (
    COLLECTION,
    QUESTIONS,
    Answer,
    ask,
    ensure_collection,
    load_documents,
)
from service.errors import InvalidInputError
from service.local.endpoints import database_url, service_url
from service.settings import get_settings


def demo(
    question: Annotated[
        list[str] | None, typer.Argument(help="Your own questions, in place of ours.")
    ] = None,
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the service. Unset: RANKGRES_SERVICE_PORT."),
    ] = None,
) -> None:
    """Index the documentation of this machine's Python, and search it in four ways.

    Starts the stack where none runs, indexes some 10,000 docstrings and topics (a minute, the
    first time), asks a few questions, and prints what full-text search, vectors, the hybrid and
    the reranked hybrid return. In a terminal the stack then stays up until Ctrl-C; without one it
    is stopped at once. A stack that was running before is left running.
    """
    with _stack(port) as started_here:
        _index()
        with ServiceClient(service_url()) as client:
            for text in question or QUESTIONS:
                _print_answers(text, ask(client, text))
        _print_address()
        if started_here and console.is_terminal:
            console.print("[bold]Ctrl-C stops everything.[/bold]")
            signal.pause()


@contextmanager
def _stack(port: int | None) -> Iterator[bool]:
    """Have a stack up; yield whether it was started here, in which case it is stopped again."""
    from service.local import stack

    settings = get_settings()
    if stack.status(settings.home) is not None:
        yield False
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        stack.up(settings, port=_free_port(port), detach=True, tell=timed_lines())
        yield True
    except KeyboardInterrupt:
        console.print()
    finally:
        stack.down(settings.home, timed_lines())
        console.print("everything is stopped; the data stay for the next time")


def _free_port(port: int | None) -> int:
    """Return the port asked for, or any free one where the usual one is taken."""
    from service.local.stack_processes import choose_port

    settings = get_settings()
    if port is not None:
        return port
    try:
        return choose_port(settings.service_host, settings.service_port)
    except InvalidInputError:
        return 0


def _index() -> None:
    began = time.monotonic()
    url = database_url()
    read = changed = 0
    with connect(url) as connection:
        generation = ensure_collection(connection)
        connection.commit()
        with console.status("reading the documentation of this Python") as shown:
            for documents, new in load_documents(connection, generation):
                read, changed = read + documents, changed + new
                shown.update(f"reading the documentation of this Python: {read:,} documents")
    console.print(f"{read:,} documents, {changed:,} new or changed")
    follow_indexing(url, COLLECTION)
    console.print(f"[dim]indexed after {time.monotonic() - began:.1f} s[/dim]\n")


def _print_answers(question: str, answers: list[Answer]) -> None:
    table = Table(title=f"“{escape(question)}”", title_justify="left", expand=True)
    for answer in answers:
        table.add_column(answer.run, ratio=1, no_wrap=True)
    for documents in zip_longest(*(answer.documents for answer in answers), fillvalue=""):
        table.add_row(*(escape(document) for document in documents))
    table.add_section()
    for line in zip_longest(*(_notes(answer) for answer in answers), fillvalue=""):
        table.add_row(*(f"[dim]{escape(note)}[/dim]" for note in line))
    console.print(table)


def _notes(answer: Answer) -> list[str]:
    times = [
        f"{stage} {milliseconds:.1f} ms"
        for stage, milliseconds in answer.timings.items()
        if stage != "plan"
    ]
    return [*times, *answer.remarks]


def _print_address() -> None:
    address = service_url()
    console.print(f"\nThe service is at [bold]{address}[/bold], its API at {address}/docs")
    command = escape(sys.argv[0])
    console.print(f'Try: {command} search {COLLECTION} "merge two dictionaries" --explain')
