"""Shows how a collection's queue drains and its HNSW index is built."""

import time

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli.terminal import console, error_console
from service.collections.collection import CollectionStatus, show_collection
from service.collections.hnsw_index import build_progress
from service.db.connection import Connection, connect
from service.settings import get_settings

_POLL_SECONDS = 0.2


def follow_indexing(database_url: str, collection: str, timeout: float | None = None) -> bool:
    """Follow a collection until everything queued is searchable and its index stands.

    Returns:
        Whether it came to that in ``timeout`` seconds (None: however long) with no dead letter.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with (
        connect(database_url, autocommit=True) as connection,
        Progress(
            TextColumn("{task.description:9}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %  {task.fields[note]}"),
            TimeRemainingColumn(),
            console=error_console,
            disable=not error_console.is_terminal,
        ) as progress,
    ):
        done = _follow_queue(connection, collection, progress, deadline)
        if done:
            done = _follow_index(connection, collection, progress, deadline)
        status = show_collection(connection, collection)
    console.print(f"{status.documents:,} documents, {status.chunks:,} chunks are searchable")
    if status.waiting:
        console.print(f"[yellow]{status.waiting:,} documents still wait[/yellow]")
    if status.dead:
        console.print(
            f"[yellow]{status.dead:,} documents failed for good[/yellow]; "
            "rankgres.outbox holds each with its last error"
        )
    return done and not status.dead


def _follow_queue(
    connection: Connection, collection: str, progress: Progress, deadline: float | None
) -> bool:
    status = show_collection(connection, collection)
    total = status.waiting
    started = time.monotonic()
    task = progress.add_task("embedding", total=total, note="")
    while status.waiting:
        if _past(deadline):
            return False
        time.sleep(_POLL_SECONDS)
        status = show_collection(connection, collection)
        # What others queue meanwhile counts as well.
        total = max(total, status.waiting)
        done = total - status.waiting
        rate = done / max(1e-9, time.monotonic() - started)
        progress.update(
            task, total=total, completed=done, note=f"{done:,} documents, {rate:,.0f}/s"
        )
    progress.update(task, total=max(total, 1), completed=max(total, 1))
    return True


def _follow_index(
    connection: Connection, collection: str, progress: Progress, deadline: float | None
) -> bool:
    status = show_collection(connection, collection)
    if not _index_due(status):
        return True
    task = progress.add_task("HNSW", total=1.0, note="")
    while status.hnsw_state != "ready":
        # Another load may begin meanwhile; the index then waits for it to drain.
        if _past(deadline) or not _index_due(status):
            return not _index_due(status)
        build = build_progress(connection, status.generation_id)
        if build is not None:
            progress.update(task, completed=build.share, note=build.phase)
        time.sleep(_POLL_SECONDS)
        status = show_collection(connection, collection)
    progress.update(task, completed=1.0, note="built")
    return True


def _index_due(status: CollectionStatus) -> bool:
    return (
        status.hnsw_state == "absent"
        and status.waiting == 0
        and status.chunks >= get_settings().hnsw_min_chunks
    )


def _past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
