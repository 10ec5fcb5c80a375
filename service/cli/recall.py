"""``rankgres recall``: measure how much of what exact search finds a collection's index finds."""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli.terminal import console, error_console
from service.collections.collection import active_generation, show_collection
from service.collections.recall import (
    RECALL_TARGET,
    RecallMeasurement,
    RecallReport,
    store_recall,
)
from service.db.connection import Connection, connect
from service.evaluation.candidate_lists import embed_queries
from service.evaluation.judgements import Judgements, read_queries
from service.local.endpoints import database_url, redis_url
from service.search.task_sender import TaskSender
from service.settings import get_settings


def recall(
    collection: Annotated[str, typer.Argument(help="Collection to measure.")],
    *,
    sample: Annotated[
        int, typer.Option(min=1, help="Queries: chunks of the collection with noise added.")
    ] = 200,
    k: Annotated[int, typer.Option(min=1, help="Documents of a list that count.")] = 100,
    target: Annotated[
        float, typer.Option(min=0, max=1, help="Recall that is wanted.")
    ] = RECALL_TARGET,
    queries: Annotated[
        Path | None,
        typer.Option(help='Real queries instead, BEIR JSON Lines: {"_id": …, "text": …}.'),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Measure recall@k of a collection's vector search against exact search, and store it.

    Reads every embedding once, and searches every query. Under the target it says what mends it.

    Example: rankgres recall articles --k 100 --target 0.95
    """
    texts = None if queries is None else read_queries(queries)
    with closing(connect(database_url(), autocommit=True)) as connection:
        chunks = show_collection(connection, collection).chunks
        generation_id = active_generation(connection, collection).id
        embedded = None if texts is None else _embedded(connection, collection, texts)
        bar = _Bar(chunks)
        try:
            measurement = RecallMeasurement(
                connection,
                generation_id,
                k=k,
                sample=sample,
                queries=embedded,
                on_rows=bar.advance_by,
            )
        finally:
            bar.end()
        report = measurement.measure()
        store_recall(connection, report)
        wider = measurement.widened(report, target) if report.recall < target else None
    if json:
        data = asdict(report) | {"target": target, "mend": _mend(report, target, wider)}
        console.print_json(data=data)
        return
    plans = ", ".join(f"{plan} {count}" for plan, count in sorted(report.plans.items()))
    width = "" if report.ef_search is None else f", ef_search {report.ef_search}"
    console.print(
        f"recall@{k} of {collection}: {report.recall:.3f} on average, {report.worst:.2f} at worst"
    )
    console.print(
        f"{report.queries:,} queries against all {measurement.chunks:,} chunks; searched by {plans}"
        f"{width}; median {report.milliseconds:.1f} ms"
    )
    if not measurement.indexed:
        console.print("there is no HNSW index yet, so every search is exact: nothing is stored")
    for line in _mend(report, target, wider):
        console.print(line, soft_wrap=True)


class _Bar(Progress):
    """Progress on standard error, from the first embedding on, gone at the end."""

    def __init__(self, chunks: int) -> None:
        super().__init__(
            TextColumn("comparing with every embedding"),
            BarColumn(),
            TimeRemainingColumn(),
            console=error_console,
            transient=True,
        )
        self._task = self.add_task("", total=chunks)

    def advance_by(self, rows: int) -> None:
        """Count embeddings that were read."""
        self.start()
        self.advance(self._task, rows)

    def end(self) -> None:
        """Go, if it was ever there: an error stands alone."""
        if self.live.is_started:
            self.stop()


def _embedded(
    connection: Connection, collection: str, texts: dict[str, str]
) -> NDArray[np.float32]:
    generation = active_generation(connection, collection)
    judgements = Judgements(queries=texts, relevance={}, unjudged=0, unasked=0)
    asked = embed_queries(TaskSender(redis_url()), get_settings(), generation, judgements)
    return np.stack([query.embedding for query in asked])


def _mend(report: RecallReport, target: float, wider: RecallReport | None) -> list[str]:
    """Return what to do about a recall under the target, nothing where it is reached."""
    if report.recall >= target:
        return []
    warning = f"warning: under the target of {target:g}"
    if wider is not None:
        setting = f"--set ef_search={wider.ef_search}"
        slower = f"{wider.milliseconds:.1f} ms instead of {report.milliseconds:.1f} ms"
        return [
            warning,
            f" mend: rankgres collection profile {report.collection} {setting}",
            f"       (recall@{report.k} {wider.recall:.3f}, median {slower})",
        ]
    index = f"rankgres.chunk_{report.generation_id}_embedding"
    return [
        warning,
        " mend: no ef_search that was tried reaches it; build a denser graph, in SQL:",
        f"       ALTER INDEX {index} SET (m = 32, ef_construction = 200);",
        f"       REINDEX INDEX CONCURRENTLY {index};",
    ]
