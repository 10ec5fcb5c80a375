"""``rankgres eval``: measure a collection's search against judged queries."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
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

from service.cli.client import ServiceClient, search_path
from service.cli.evaluation_tables import (
    comparison_table,
    differences_table,
    relevance_table,
    reranking_table,
    runs_table,
    stages_table,
)
from service.cli.terminal import console, error_console
from service.errors import InvalidInputError
from service.evaluation.comparison import Comparison, compare_runs
from service.evaluation.evaluation import (
    Answer,
    EvaluationReport,
    Rankings,
    Reranked,
    Search,
    evaluate_runs,
)
from service.evaluation.html_report import render_html
from service.evaluation.judgements import Judgements, read_judgements
from service.evaluation.metrics import DEPTH
from service.evaluation.run_requests import RunName, run_requests
from service.evaluation.trec_runs import read_run, write_run
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
        list[str] | None,
        typer.Option(
            help="Run to measure: lexical, vector, hybrid, reranked, or NAME=JSON with what a "
            "search may say; may be repeated. [default: all four]"
        ),
    ] = None,
    run_file: Annotated[
        list[Path] | None,
        typer.Option(help="TREC run file to measure beside them; may be repeated."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Run that the others are compared with. [default: the first]"),
    ] = None,
    queries_shown: Annotated[
        int, typer.Option(min=0, help="Queries listed a comparison, those that differ most.")
    ] = 5,
    k: Annotated[
        int, typer.Option(min=10, help="Documents asked for; below 100, recall@100 is of those.")
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
    html_file: Annotated[
        Path | None,
        typer.Option("--html", dir_okay=False, help="Write a report with plots to this file too."),
    ] = None,
    write_runs: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Write a TREC run file for each run in this folder."),
    ] = None,
    service_url: Annotated[
        str | None, typer.Option(help="Address of the service. [default: the running stack's]")
    ] = None,
) -> None:
    """Measure search quality: nDCG@10, MRR@10, MAP and recall@100 over judged queries.

    Asks every query that has a relevant document in each run (lexical, vector, hybrid, reranked)
    through the service, and prints one row a run, with the percentiles of the time that a caller
    waits; then what each run wins and loses against the first, with the p-values of a paired
    randomisation test. A query that returns nothing counts as 0.

    Example: rankgres eval scifact --queries queries.jsonl --qrels qrels.tsv --run hybrid
    --run 'rrf={"fusion": "rrf"}' --html report.html
    """
    judgements = read_judgements(queries, qrels, limit)
    rerank = {"candidates": rerank_candidates, "budget_ms": rerank_budget_ms}
    names = run if run is not None or run_file else [name.value for name in RunName]
    requests = run_requests(names or [], rerank)
    given = _read_runs(run_file or [], requests)
    first = _baseline(baseline, [*requests, *given])
    _tell_left_out(judgements, queries, given)
    client = ServiceClient(service_url or stack_service_url(), timeout=rerank_budget_ms / 1000 + 60)
    search = _service_search(client, collection, requests)
    report = _measure(
        collection, judgements, list(requests), search, k=k, threads=threads, given=given
    )
    comparisons = compare_runs(report, first)
    if json_file:
        _write_json(json_file, report, comparisons, queries_shown)
    if html_file:
        html_file.write_text(render_html(report, comparisons, queries_shown), encoding="utf-8")
    if write_runs:
        write_runs.mkdir(parents=True, exist_ok=True)
        for name, found in report.runs.items():
            write_run(write_runs / f"{name}.run", name, found.rankings)
    _print(report, comparisons, queries_shown)


def _read_runs(paths: Sequence[Path], requests: Mapping[str, Any]) -> dict[str, Rankings]:
    """Return the runs of files, each by the name of its file."""
    runs: dict[str, Rankings] = {}
    for path in paths:
        if path.stem in requests or path.stem in runs:
            raise InvalidInputError(
                f"there are two runs of the name {path.stem!r}",
                field="run_file",
                value=str(path),
                mend="a file's run has the name of the file: rename it",
            )
        _, runs[path.stem] = read_run(path)
    return runs


def _baseline(name: str | None, runs: Sequence[str]) -> str:
    """Return the run that the others are compared with."""
    if name is not None and name not in runs:
        raise InvalidInputError(
            f"there is no run {name!r} to compare with",
            field="baseline",
            value=name,
            mend=f"choose among {', '.join(runs)}",
        )
    return name or runs[0]


def _service_search(
    client: ServiceClient, collection: str, requests: Mapping[str, dict[str, Any]]
) -> Search:
    """Return a search over the service; its time is what the caller waits, network included."""

    def search(query: str, run: str, k: int) -> Answer:
        request = {"query": query, "k": k, "explain": True, **requests[run]}
        started = time.perf_counter()
        response = client.post(search_path(collection), request)
        milliseconds = (time.perf_counter() - started) * 1000
        return Answer(
            documents=[result["id"] for result in response["results"]],
            milliseconds=milliseconds,
            degraded=[_reason(item) for item in response["degraded"]],
            scores=[result["score"] for result in response["results"]],
            stages=dict(_stage_times(response)),
            relevances=[result.get("relevance") for result in response["results"]],
            reranked=_reranked(response),
        )

    return search


def _reranked(response: Mapping[str, Any]) -> Reranked | None:
    """Return how much was reranked of what was to be; None where the search asked for none."""
    summary = response.get("reranked")
    return Reranked(summary["scored"], summary["of"]) if summary else None


def _stage_times(response: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the milliseconds of each stage, and of each part of the candidate stage behind it."""
    explained = response.get("explain") or {}
    for stage, milliseconds in response["timings"].items():
        yield stage, milliseconds
        if stage == "candidates":
            parts = explained.get("candidates", {})
            for name, value in parts.items():
                if name.endswith("_ms") and value is not None:
                    yield name.removesuffix("_ms"), float(value)
    for name in ("sql_ms", "model_ms"):
        if name in explained:
            yield name, float(explained[name])


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
    given: Mapping[str, Rankings],
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
            run: progress.add_task(run, total=len(judgements.queries), start=False) for run in runs
        }

        def advance(run: str) -> None:
            progress.start_task(bars[run])
            progress.advance(bars[run])

        return evaluate_runs(
            collection,
            judgements,
            runs,
            search,
            k=k,
            threads=threads,
            on_answer=advance,
            given=given,
        )


def _write_json(
    path: Path, report: EvaluationReport, comparisons: Mapping[str, Comparison], queries_shown: int
) -> None:
    """Write the figures and the comparisons."""
    compared = {name: one.as_json(queries_shown) for name, one in comparisons.items()}
    content = report.as_json() | {"comparisons": compared}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _print(
    report: EvaluationReport, comparisons: Mapping[str, Comparison], queries_shown: int
) -> None:
    """Print the figures, the comparisons, the stages and the queries that differ most."""
    console.print(runs_table(report))
    if comparisons:
        console.print(comparison_table(comparisons))
    if any(found.stages for found in report.runs.values()):
        console.print(stages_table(report))
    if any(found.depth for found in report.runs.values()):
        console.print(reranking_table(report))
    for name, found in report.runs.items():
        if found.reliability:
            console.print(relevance_table(name, found.reliability))
    for comparison in comparisons.values():
        if comparison.largest(queries_shown):
            console.print(differences_table(comparison, report, queries_shown))
    _warn_degraded(report)


def _tell_left_out(judgements: Judgements, queries: Path, given: Mapping[str, Rankings]) -> None:
    """Say how many queries are not measured, and why."""
    if judgements.unjudged:
        error_console.print(f"{judgements.unjudged} queries have no relevant document: left out")
    if judgements.unasked:
        error_console.print(f"{judgements.unasked} judged queries are not in {queries}: left out")
    for name, rankings in given.items():
        if missing := len(judgements.queries.keys() - rankings.keys()):
            error_console.print(f"{missing} queries are not in the run {name}: they count as 0")


def _warn_degraded(report: EvaluationReport) -> None:
    """Say which figures are untrue, because a stage gave way while they were measured."""
    for name, run in report.runs.items():
        if run.degraded:
            error_console.print(
                f"[bold red]The figures of '{name}' are not true:[/] {run.degraded} of "
                f"{report.queries} answers were degraded ({'; '.join(run.reasons)}). "
                "Mend what 'rankgres doctor' names, then measure again."
            )
