"""``rankgres eval``: measure a collection's search against judged queries."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from service.cli.client import ServiceClient, search_path
from service.cli.terminal import console, error_console
from service.evaluation.evaluation import (
    Answer,
    EvaluationReport,
    RunName,
    Search,
    evaluate_runs,
)
from service.evaluation.judgements import Judgements, read_judgements
from service.evaluation.metrics import DEPTH, MEASURES
from service.local.endpoints import service_url as stack_service_url


def evaluate(
    collection: Annotated[str, typer.Argument(help="Collection to search.")],
    *,
    queries: Annotated[Path, typer.Option(help='Queries, BEIR JSON Lines: {"_id": …, "text": …}.')],
    qrels: Annotated[
        Path,
        typer.Option(
            help="Judgements: BEIR's query-id, corpus-id, score with tabs, or TREC's four columns."
        ),
    ],
    run: Annotated[
        list[RunName] | None,
        typer.Option(help="Run to measure; may be repeated. [default: all four]"),
    ] = None,
    k: Annotated[
        int, typer.Option(min=DEPTH, help="Documents asked for; 100 or recall@100 is not true.")
    ] = DEPTH,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only the first so many judged queries.")
    ] = None,
    rerank_candidates: Annotated[
        int, typer.Option(min=1, help="Candidates that the reranked run scores.")
    ] = 50,
    rerank_budget_ms: Annotated[
        int,
        typer.Option(min=1, help="Time for them: ample, so that quality is measured, not speed."),
    ] = 10_000,
    threads: Annotated[
        int,
        typer.Option(min=1, help="Searches at once; above 1, times include waiting in line."),
    ] = 1,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", dir_okay=False, help="Write the figures to this file too."),
    ] = None,
    service_url: Annotated[
        str | None, typer.Option(help="Address of the service. [default: the running stack's]")
    ] = None,
) -> None:
    """Measure search quality: nDCG@10, MRR@10, MAP and recall@100 over judged queries.

    Asks every query that has a relevant document in each run (lexical, vector, hybrid, reranked)
    through the service, and prints one row a run, with the median and the 95th percentile of the
    time that a caller waits. A query that returns nothing counts as 0.

    Example: rankgres eval scifact --queries queries.jsonl --qrels qrels.tsv --run hybrid
    """
    judgements = read_judgements(queries, qrels, limit)
    _tell_left_out(judgements, queries)
    client = ServiceClient(service_url or stack_service_url(), timeout=rerank_budget_ms / 1000 + 60)
    rerank = {"candidates": rerank_candidates, "budget_ms": rerank_budget_ms}
    runs = [name.value for name in run or RunName]
    search = _service_search(client, collection, rerank)
    report = _measure(collection, judgements, runs, search, k=k, threads=threads)
    if json_file:
        text = json.dumps(report.as_json(), indent=2, ensure_ascii=False)
        json_file.write_text(text + "\n", encoding="utf-8")
    console.print(_table(report))
    _warn_degraded(report)


def _service_search(client: ServiceClient, collection: str, rerank: dict[str, int]) -> Search:
    """Return a search over the service; its time is what the caller waits, network included."""

    def search(query: str, run: str, k: int) -> Answer:
        reranked = run == RunName.RERANKED
        request = {
            "query": query,
            "mode": "hybrid" if reranked else run,
            "k": k,
            "rerank": rerank if reranked else False,
        }
        started = time.perf_counter()
        response = client.post(search_path(collection), request)
        milliseconds = (time.perf_counter() - started) * 1000
        documents = [result["id"] for result in response["results"]]
        return Answer(documents, milliseconds, [_reason(item) for item in response["degraded"]])

    return search


def _reason(degraded: dict[str, Any]) -> str:
    """Return one entry of a response's ``degraded`` as a phrase."""
    return f"{degraded['stage']}: {degraded['reason']}"


def _measure(
    collection: str,
    judgements: Judgements,
    runs: Sequence[str],
    search: Search,
    *,
    k: int,
    threads: int,
) -> EvaluationReport:
    """Run the evaluation under a progress bar for each run."""
    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console, transient=True) as progress:
        bars = {
            run: progress.add_task(run, total=len(judgements.queries), start=False)
            for run in dict.fromkeys(runs)
        }

        def advance(run: str) -> None:
            progress.start_task(bars[run])
            progress.advance(bars[run])

        return evaluate_runs(
            collection, judgements, runs, search, k=k, threads=threads, on_answer=advance
        )


def _table(report: EvaluationReport) -> Table:
    """Return the figures, one row a run, the best of each metric in bold."""
    table = Table(title=f"{report.collection}: {report.queries} queries")
    table.add_column("run")
    for heading in (*MEASURES, "p50 ms", "p95 ms", "degraded"):
        table.add_column(heading, justify="right")
    best = {name: max(run.metrics[name] for run in report.runs.values()) for name in MEASURES}
    for name, run in report.runs.items():
        figures = [
            f"[bold]{run.metrics[metric]:.4f}[/]"
            if run.metrics[metric] == best[metric]
            else f"{run.metrics[metric]:.4f}"
            for metric in MEASURES
        ]
        degraded = f"[red]{run.degraded}[/]" if run.degraded else "0"
        table.add_row(name, *figures, f"{run.p50_ms:.1f}", f"{run.p95_ms:.1f}", degraded)
    return table


def _tell_left_out(judgements: Judgements, queries: Path) -> None:
    """Say how many queries are not measured, and why."""
    if judgements.unjudged:
        error_console.print(f"{judgements.unjudged} queries have no relevant document: left out")
    if judgements.unasked:
        error_console.print(f"{judgements.unasked} judged queries are not in {queries}: left out")


def _warn_degraded(report: EvaluationReport) -> None:
    """Say which figures are untrue, because a stage gave way while they were measured."""
    for name, run in report.runs.items():
        if run.degraded:
            error_console.print(
                f"[bold red]The figures of '{name}' are not true:[/] {run.degraded} of "
                f"{report.queries} answers were degraded ({'; '.join(run.reasons)}). "
                "Mend what 'rankgres doctor' names, then measure again."
            )
