"""Shows how a collection's queue drains and its HNSW index is built."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from service.cli.amounts import duration
from service.cli.terminal import console, error_console
from service.collections.collection import CollectionStatus, show_collection
from service.collections.hnsw_index import build_progress
from service.db.connection import Connection, connect
from service.settings import get_settings

_POLL_SECONDS = 0.25
#: Where no terminal is, a line this often in place of a bar.
_LINE_SECONDS = 10.0


def follow_indexing(database_url: str, collection: str, timeout: float | None = None) -> bool:
    """Follow a collection until everything queued is searchable and its index stands.

    Returns:
        Whether it came to that in ``timeout`` seconds (None: however long) with no dead letter.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with connect(database_url, autocommit=True) as connection:
        done = _follow_queue(connection, collection, deadline) and _follow_index(
            connection, collection, deadline
        )
        status = show_collection(connection, collection)
    console.print(f"{status.documents:,} documents, {status.chunks:,} chunks are searchable")
    if status.waiting:
        console.print(f"[yellow]{status.waiting:,} documents still wait[/yellow]")
    if status.paused:
        console.print(f"{collection} is paused; 'rankgres resume {collection}' goes on")
    if status.dead:
        console.print(
            f"[yellow]{status.dead:,} documents failed for good[/yellow]; "
            f"'rankgres dead {collection}' says why"
        )
    return done and not status.dead


class Bar:
    """One progress bar in a terminal; elsewhere a line now and then."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._task: TaskID = progress.add_task(name, total=1.0, note="")
        self._next_line = time.monotonic() + _LINE_SECONDS

    def show(self, share: float, note: str) -> None:
        """Show how much is done, between 0 and 1, and a note beside it."""
        self._progress.update(self._task, completed=share, note=note)
        if self._progress.disable and time.monotonic() >= self._next_line:
            self._next_line += _LINE_SECONDS
            error_console.print(f"{self._name}: {share:4.0%}  {note}")


@contextmanager
def progress_bar(name: str) -> Iterator[Bar]:
    """Show a bar while the block runs."""
    with Progress(
        TextColumn("{task.description:11}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %  {task.fields[note]}"),
        console=error_console,
        disable=not error_console.is_terminal,
    ) as progress:
        yield Bar(progress, name)


def _follow_queue(connection: Connection, collection: str, deadline: float | None) -> bool:
    status = show_collection(connection, collection)
    total = status.waiting
    if total == 0:
        return True
    if status.paused:
        return False
    started = time.monotonic()
    with progress_bar("embedding") as bar:
        while status.waiting:
            if _past(deadline) or status.paused:
                return False
            time.sleep(_POLL_SECONDS)
            status = show_collection(connection, collection)
            # What others queue meanwhile counts as well.
            total = max(total, status.waiting)
            done = total - status.waiting
            rate = done / (time.monotonic() - started)
            left = f", {duration(status.waiting / rate)} left" if rate and status.waiting else ""
            bar.show(done / total, f"{done:,} of {total:,} documents, {rate:,.0f}/s{left}")
    return True


def _follow_index(connection: Connection, collection: str, deadline: float | None) -> bool:
    status = show_collection(connection, collection)
    if not _index_due(status):
        return True
    with progress_bar("HNSW index") as bar:
        # Another load may begin meanwhile; the index then waits for it to drain.
        while _index_due(status):
            if _past(deadline):
                return False
            build = build_progress(connection, status.generation_id)
            if build is not None:
                bar.show(build.share, build.phase)
            time.sleep(_POLL_SECONDS)
            status = show_collection(connection, collection)
        bar.show(1.0, "built")
    return True


def _index_due(status: CollectionStatus) -> bool:
    return (
        status.hnsw_state == "absent"
        and status.waiting == 0
        and status.chunks >= get_settings().hnsw_min_chunks
    )


def _past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
