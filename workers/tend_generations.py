"""Janitors: what generations need beside ingestion, each at its own pace.

Every job may be interrupted anywhere and run by several processes at once.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from service.collections.hnsw_index import build_hnsw_index, generations_due
from service.collections.recall import RECALL_TARGET, measure_new_index
from service.db.connection import connect
from service.errors import RankgresError
from service.ingest.chunks import fold_statistics
from service.ingest.outbox import sweep_orphans
from service.search.pages import sweep_snapshots
from service.settings import Settings
from service.sources.comparison import compare_due_sources
from service.sources.remains import sweep_remains
from service.sources.verification import verify_due_collections

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something done again and again, with ``seconds`` between the end of one and the next."""

    name: str
    seconds: float
    run: Callable[[], object]


def tend_generations(database_url: str, settings: Settings, stop: threading.Event) -> None:
    """Run every janitor in a thread of its own until told to stop."""
    jobs = (
        # Appended statistics cost searches a little each; folding them costs a rewrite.
        Job("fold statistics", 2.0, lambda: fold_all_statistics(database_url)),
        # Soon after a load has drained: somebody is waiting for it.
        Job("build indexes", 0.5, lambda: build_due_indexes(database_url, settings)),
        # Rare remains of dropped collections, which nothing reads.
        Job("sweep orphans", 60.0, lambda: sweep_outbox(database_url)),
        # Lists of searches that nobody pages through any more.
        Job("sweep snapshots", 60.0, lambda: sweep_search_snapshots(database_url)),
        # Somebody may be waiting for a TRUNCATE, or for a view that was just attached.
        Job("compare sources", 1.0, lambda: compare_sources(database_url)),
        # Reads whole sources: as rarely as the settings say.
        Job("verify", 60.0, lambda: verify_collections(database_url, settings)),
        Job("sweep remains", 60.0, lambda: sweep_finished(database_url)),
    )
    threads = [threading.Thread(target=_repeat, args=(job, stop), name=job.name) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fold_all_statistics(database_url: str) -> None:
    """Fold the appended BM25 statistics of every generation."""
    with connect(database_url) as connection:
        fold_statistics(connection)


def build_due_indexes(database_url: str, settings: Settings) -> None:
    """Build the HNSW index of every generation that has drained without one; measure its recall."""
    with connect(database_url, autocommit=True) as connection:
        due = generations_due(connection, settings.hnsw_min_chunks)
    for generation_id in due:
        if build_hnsw_index(database_url, generation_id):
            measure_recall(database_url, generation_id)


def measure_recall(database_url: str, generation_id: int) -> None:
    """Measure a new index by some queries, store it, and warn where it is under the target."""
    with connect(database_url, autocommit=True) as connection:
        report = measure_new_index(connection, generation_id)
    log.log(
        logging.INFO if report.recall >= RECALL_TARGET else logging.WARNING,
        "recall@%s of %s is %.3f over %s queries, the target %s",
        report.k,
        report.collection,
        report.recall,
        report.queries,
        RECALL_TARGET,
    )


def sweep_outbox(database_url: str) -> None:
    """Remove what dropped generations left in the outbox."""
    with connect(database_url) as connection:
        sweep_orphans(connection)


def sweep_search_snapshots(database_url: str) -> None:
    """Remove the lists whose cursors have expired."""
    with connect(database_url) as connection:
        sweep_snapshots(connection)


def compare_sources(database_url: str) -> None:
    """Compare the sources that are due with their index, and queue what differs."""
    with connect(database_url, autocommit=True) as connection:
        compare_due_sources(connection)


def verify_collections(database_url: str, settings: Settings) -> None:
    """Verify the collections that are due and repair them; a difference is a warning in the log."""
    if settings.verify_hours > 0:
        with connect(database_url) as connection:
            verify_due_collections(connection, settings.verify_hours)


def sweep_finished(database_url: str) -> None:
    """Remove what indexing wrote down and nobody reads any more."""
    with connect(database_url) as connection:
        sweep_remains(connection)


def _repeat(job: Job, stop: threading.Event) -> None:
    pause = job.seconds
    while not stop.wait(pause):
        started = time.monotonic()
        try:
            job.run()
            pause = job.seconds
        except (RankgresError, psycopg.Error) as error:
            pause = max(5.0, job.seconds)
            log.warning(
                "%s failed after %.1f s, again in %.0f s: %s",
                job.name,
                time.monotonic() - started,
                pause,
                error,
            )
