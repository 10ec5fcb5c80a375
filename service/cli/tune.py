"""``rankgres tune``: find the search profile that ranks judged queries best in the time allowed."""

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from service.cli.profile import profile_table
from service.cli.query_bars import QueryBars
from service.cli.terminal import console
from service.cli.tune_rerank import RerankTuning, tune_rerank
from service.collections.collection import active_generation
from service.collections.profile import SearchProfile, parse_profile, read_profile, write_profile
from service.db.connection import Connection, connect
from service.errors import InvalidInputError
from service.evaluation.candidate_lists import CandidateStage, embed_queries
from service.evaluation.judgements import Judgements, read_judgements
from service.evaluation.tuned_profile import (
    TuningReport,
    answers_needed,
    tune_profile,
    tuned_values,
)
from service.evaluation.tuning import make_grid
from service.local.endpoints import database_url, redis_url
from service.search.task_sender import TaskSender
from service.settings import get_settings


def tune(
    collection: Annotated[str, typer.Argument(help="Collection to tune.")],
    *,
    queries: Annotated[Path, typer.Option(help='Queries, BEIR JSON Lines: {"_id": …, "text": …}.')],
    qrels: Annotated[Path, typer.Option(help="Judgements of them, BEIR's or TREC's columns.")],
    latency_limit_ms: Annotated[
        float | None,
        typer.Option(min=0, help="p95 that the candidate stage may have. [default: any]"),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Parts of the queries; each judges what the rest chose.")
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the deal of queries to folds.")] = 1,
    values: Annotated[
        list[str] | None,
        typer.Option(
            help="Values to try of a parameter, such as lexical_weight=0.3,0.5; null: as it is; "
            "may be repeated. [default: as docs/evaluation.md has them]"
        ),
    ] = None,
    significance: Annotated[
        float, typer.Option(min=0, max=1, help="p from which a gain may be luck: not written.")
    ] = 0.05,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use only the first so many judged queries.")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", dir_okay=False, help="Write the figures to this file too."),
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write/--dry-run", help="Write the chosen profile, or only show it."),
    ] = False,
    rerank: Annotated[
        bool,
        typer.Option(
            "--rerank",
            help="Learn how to rerank instead: weight, feedback, depth, adaptive rules.",
        ),
    ] = False,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=20,
            max=1000,
            help="With --rerank: candidates scored a query. Unset: RANKGRES_RERANK_CANDIDATES.",
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(min=0, max=1, help="With --rerank: nDCG@10 that scoring fewer may lose."),
    ] = 0.002,
    keep_depth: Annotated[
        bool,
        typer.Option("--keep-depth", help="With --rerank: learn rules alone, no lesser depth."),
    ] = False,
    service_url: Annotated[
        str | None,
        typer.Option(help="With --rerank: address of the service. [default: the running stack's]"),
    ] = None,
) -> None:
    """Search the settings of a collection's candidate stage that rank judged queries best.

    Tries fusions, weights, candidate counts, heading weights, posting budgets and ef_search, by
    nDCG@10 without reranking, and prints the Pareto front of nDCG@10 against the p95 of the
    candidate stage, cross-validated. The best within the limit is then searched with, and with
    --write becomes the collection's profile, unless its gain may be luck.

    With --rerank: asks each query once, with all candidates scored, and learns how much the
    reranker's score counts beside the fused one, what likeness to the best counts after that, how
    many candidates have to be scored, and when fewer will do, each cross-validated. --values
    weight=0.3,1 gives the weights to try, --values feedback=0,0.5 the feedbacks.

    Example: rankgres tune articles --queries q.jsonl --qrels q.tsv --latency-limit-ms 60 --write
    """
    judgements = read_judgements(queries, qrels, limit)
    given = dict(_parse_values(text) for text in values or [])
    if rerank:
        if latency_limit_ms is not None:
            raise InvalidInputError(
                "a reranking has no --latency-limit-ms",
                field="latency_limit_ms",
                value=latency_limit_ms,
                mend="leave it out: budget_ms of a search bounds its time",
            )
        terms = RerankTuning(
            candidates=candidates,
            given=given,
            folds=folds,
            seed=seed,
            significance=significance,
            tolerance=tolerance,
            keep_depth=keep_depth,
            json_file=json_file,
            write=write,
            service_url=service_url,
        )
        tune_rerank(collection, judgements, terms)
        return
    with closing(connect(database_url(), autocommit=True)) as connection:
        profile = read_profile(connection, collection)
        grid = make_grid(given, profile.as_json())
        with QueryBars() as bars:
            asked = _embedded(connection, collection, judgements, bars)
            advance = bars.begin("searching", answers_needed(grid, len(asked)))
            stage = CandidateStage(connection, collection, asked, advance)
            report = tune_profile(
                stage, judgements, grid, given, folds=folds, seed=seed, limit_ms=latency_limit_ms
            )
        tuned = parse_profile(tuned_values(profile.as_json(), report.parameters))
        objection = report.objection(significance, latency_limit_ms)
        if json_file:
            _write_json(json_file, collection, report, tuned, objection)
        _print(report, profile, tuned)
        if objection:
            console.print(f"[yellow]not written:[/yellow] {objection}")
        elif write:
            with connection.transaction():
                write_profile(connection, collection, tuned)
            console.print(f"written to {collection}")
        else:
            console.print("not written: add --write")


def _embedded(
    connection: Connection, collection: str, judgements: Judgements, bars: QueryBars
) -> Any:
    """Return the queries with their embeddings."""
    generation = active_generation(connection, collection)
    sender = TaskSender(redis_url())
    advance = bars.begin("embedding", len(judgements.queries))
    return embed_queries(sender, get_settings(), generation, judgements, advance)


def _parse_values(text: str) -> tuple[str, list[Any]]:
    """Return a parameter and the values to try: NAME=VALUE,VALUE."""
    name, equals, listed = text.partition("=")
    values = [_parse_value(value.strip()) for value in listed.split(",")]
    if not equals or "" in values:
        raise InvalidInputError(
            f"--values {text!r} gives none",
            field="values",
            value=text,
            mend="write NAME=VALUE,VALUE such as lexical_weight=0.3,0.5",
        )
    for value in values:
        # Says what a value may be before anything is asked; tuning itself says of what.
        if name in SearchProfile.model_fields:
            parse_profile({name: value})
    return name, values


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _write_json(
    path: Path,
    collection: str,
    report: TuningReport,
    tuned: SearchProfile,
    objection: str | None,
) -> None:
    """Write what was found."""
    content = {
        "collection": collection,
        "queries": len(report.before.gains),
        "front": [
            {
                "p95_ms": round(row.point.p95_ms, 2),
                "nDCG@10": round(row.point.mean, 5),
                "cross_validated": round(row.point.cross_validated, 5),
                "standard_error": round(row.point.standard_error, 5),
                "gain": round(row.gain, 5),
                "p": round(row.p, 6),
                "settings": _set(row.point.setting),
            }
            for row in report.front
        ],
        "before": {"nDCG@10": round(report.before.mean, 5), "p95_ms": report.before.p95_ms},
        "after": {"nDCG@10": round(report.after.mean, 5), "p95_ms": report.after.p95_ms},
        "profile": tuned.as_json(),
        "objection": objection,
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _print(report: TuningReport, profile: SearchProfile, tuned: SearchProfile) -> None:
    """Print the front, what was chosen of it, and both profiles."""
    console.print(_front_table(report))
    console.print(
        f"searched with every query: nDCG@10 {report.before.mean:.4f} before, "
        f"{report.after.mean:.4f} after; "
        f"p95 {report.before.p95_ms:.1f} ms before, {report.after.p95_ms:.1f} ms after"
    )
    console.print(profile_table(tuned.as_json(), profile.as_json()))


def _front_table(report: TuningReport) -> Table:
    table = Table(
        title=f"Pareto front; as it is: nDCG@10 {report.before.mean:.4f} "
        f"at a p95 of {report.before.p95_ms:.1f} ms",
        title_justify="left",
    )
    for heading in ("p95 ms", "nDCG@10", "cross-validated", "gain", "p"):
        table.add_column(heading, justify="right")
    table.add_column("settings", overflow="fold")
    for row in report.front:
        table.add_row(
            f"{row.point.p95_ms:.1f}",
            f"{row.point.mean:.4f}",
            f"{row.point.cross_validated:.4f} ± {row.point.standard_error:.4f}",
            f"{row.gain:+.4f}",
            f"{row.p:.4f}",
            ", ".join(f"{name} {value}" for name, value in _set(row.point.setting).items()),
            style="bold" if row is report.chosen else None,
        )
    return table


def _set(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a setting says, without what it leaves as it is."""
    return {name: value for name, value in setting.items() if value is not None}
