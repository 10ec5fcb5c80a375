"""``rankgres calibrate``: learn from judgements what a collection's scores are worth."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service.cli.client import ServiceClient, search_path
from service.cli.evaluation_tables import relevance_table
from service.cli.query_bars import QueryBars
from service.cli.terminal import console
from service.collections.collection import active_generation
from service.collections.learned import (
    StoredCalibration,
    Target,
    list_calibrations,
    remove_calibrations,
    write_calibration,
)
from service.db.connection import connect
from service.errors import InvalidInputError
from service.evaluation.calibration import METHODS, CalibrationFit, Reliability, fit_calibration
from service.evaluation.folds import deal_queries
from service.evaluation.judgements import Judgements, read_judgements
from service.evaluation.reranked_lists import RerankedLists, ask_reranked, reranked_samples
from service.local.endpoints import database_url
from service.local.endpoints import service_url as stack_service_url
from service.search.relevance import Calibration
from service.settings import get_settings

#: Seconds for one search, whose reranking may take a minute.
TIMEOUT = 120


class Unjudged(StrEnum):
    """What documents are that nobody judged."""

    NOT_RELEVANT = "not-relevant"
    LEFT_OUT = "left-out"


def calibrate(
    collection: Annotated[str, typer.Argument(help="Collection to calibrate.")],
    *,
    queries: Annotated[
        Path | None, typer.Option(help='Queries, BEIR JSON Lines: {"_id": …, "text": …}.')
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Judgements of them, BEIR's or TREC's columns.")
    ] = None,
    relevant_from: Annotated[
        int, typer.Option(min=1, help="Least grade of a judgement that counts as relevant.")
    ] = 1,
    unjudged: Annotated[
        Unjudged,
        typer.Option(help="Documents that nobody judged: not relevant, as in eval, or left out."),
    ] = Unjudged.NOT_RELEVANT,
    hits: Annotated[
        int,
        typer.Option(min=1, help="Hits of a query learned from, the first: those that are shown."),
    ] = 10,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Candidates scored a query. Unset: RANKGRES_RERANK_CANDIDATES."
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Parts of the queries; each judges what the rest fitted.")
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the deal of queries to folds.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use only the first so many judged queries.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write/--dry-run", help="Keep what was fitted, or only show it.")
    ] = True,
    print_card: Annotated[
        bool,
        typer.Option(
            "--print", help="Print the reranker's as a line of its model card; keep nothing."
        ),
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove the collection's calibrations; fit nothing.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", dir_okay=False, help="Write calibrations and figures here too."),
    ] = None,
    service_url: Annotated[
        str | None, typer.Option(help="Address of the service. [default: the running stack's]")
    ] = None,
) -> None:
    """Learn what scores are worth: the relevance, 0 to 1, that every hit of a search then has.

    Asks every judged query through the service, with all candidates scored, and fits two
    calibrations: of the reranker's raw score, and of the fused score for hits that are not
    reranked. Each is the better of Platt's logistic curve and isotonic regression, by the log loss
    on queries that it was not fitted on. Without --queries and --qrels, shows what there is.

    Example: rankgres calibrate articles --queries q.jsonl --qrels q.tsv --relevant-from 2
    """
    if forget:
        with connect(database_url()) as connection:
            removed = remove_calibrations(connection, collection)
        console.print(f"{collection}: {removed} calibrations removed")
        return
    if queries is None or qrels is None:
        _show(collection, queries, qrels)
        return
    judgements = read_judgements(queries, qrels, limit)
    _require_learnable(judgements, relevant_from, folds, seed)
    with connect(database_url()) as connection:
        encoder = active_generation(connection, collection).embedding_model
    # In the order that searches show, feedback included: of those hits a relevance is told.
    lists = ask_service(collection, judgements, candidates, service_url)
    samples = reranked_samples(
        lists,
        judgements,
        encoder,
        shown=hits,
        relevant_from=relevant_from,
        left_out=unjudged is Unjudged.LEFT_OUT,
    )
    today = datetime.now(tz=UTC).date()
    source = f"rankgres calibrate, {len(judgements.queries)} judged queries, {today}"
    fits = {
        score: fit_calibration(sample, source, folds=folds, seed=seed)
        for score, sample in samples.items()
    }
    if json_file:
        _write_json(json_file, collection, fits)
    if print_card:
        typer.echo(card_line(fits["rerank", lists.reranker].calibration))
        return
    for (target, model), fit in fits.items():
        _print(target, model, fit)
    if not write:
        console.print("not written: leave out --dry-run")
        return
    terms = {
        "shown": hits,
        "relevant_from": relevant_from,
        "unjudged": unjudged.value,
        "folds": folds,
    }
    _write(collection, fits, terms)


def _require_learnable(judgements: Judgements, relevant_from: int, folds: int, seed: int) -> None:
    """Refuse what would be refused after minutes of asking."""
    deal_queries(len(judgements.queries), folds, seed)
    grades = [grade for each in judgements.relevance.values() for grade in each.values()]
    if max(grades) < relevant_from:
        raise InvalidInputError(
            f"no judgement has a grade of {relevant_from}",
            field="relevant_from",
            value=relevant_from,
            mend=f"use at most {max(grades)}",
        )


def ask_service(
    collection: str,
    judgements: Judgements,
    candidates: int | None,
    service_url: str | None,
    *,
    feedback: float | None = None,
) -> RerankedLists:
    """Return every judged query's candidates as the service scores them, under a progress bar.

    Their final ranks are by that feedback; None: by the searches' own.
    """
    client = ServiceClient(service_url or stack_service_url(), timeout=TIMEOUT)
    with client, QueryBars() as bars:
        return ask_reranked(
            lambda body: client.post(search_path(collection), body),
            judgements,
            candidates or get_settings().rerank_candidates,
            bars.begin("reranking", len(judgements.queries)),
            feedback=feedback,
        )


def card_line(calibration: Calibration) -> str:
    """Return the line of a model card, in TOML, that ships a calibration."""
    points = ", ".join(f"[{x!r}, {y!r}]" for x, y in calibration.points)
    return (
        f'calibration = {{ method = "{calibration.method}", points = [{points}], '
        f"source = {json.dumps(calibration.source)} }}"
    )


def _write(
    collection: str,
    fits: Mapping[tuple[Target, str], CalibrationFit],
    terms: Mapping[str, str | int],
) -> None:
    """Keep the calibrations that tell more than nothing."""
    with connect(database_url()) as connection:
        for (target, model), fit in fits.items():
            if fit.reliability.log_loss >= fit.uninformed.log_loss:
                console.print(
                    f"[yellow]not written:[/yellow] the {target} score of {model} tells no more "
                    f"than that {fit.relevant / fit.hits:.1%} of all hits are relevant"
                )
                continue
            write_calibration(
                connection,
                collection,
                target,
                model,
                fit.calibration,
                judged_queries=fit.queries,
                figures={**fit.as_json(), **terms},
            )
            console.print(f"written to {collection}: {target} score of {model}")


def _write_json(
    path: Path, collection: str, fits: Mapping[tuple[Target, str], CalibrationFit]
) -> None:
    """Write calibrations and figures."""
    content = {
        "collection": collection,
        "calibrations": [
            {"target": target, "model": model}
            | fit.calibration.as_json()
            | {"figures": fit.as_json()}
            for (target, model), fit in fits.items()
        ],
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _print(target: str, model: str, fit: CalibrationFit) -> None:
    """Print what each method reaches, and the reliability of the one chosen."""
    table = Table(
        title=f"{target} score of {model}: {fit.hits:,} hits of {fit.queries} queries, "
        f"{fit.relevant:,} relevant; on queries not fitted on",
        title_justify="left",
    )
    table.add_column("method")
    for heading in ("Brier", "calibration error", "log loss"):
        table.add_column(heading, justify="right")
    for method in METHODS:
        chosen = method == fit.calibration.method
        table.add_row(method, *_figures(fit.held_out[method]), style="bold" if chosen else None)
    table.add_row("share alone", *_figures(fit.uninformed), style="dim")
    console.print(table)
    console.print(
        relevance_table(f"{fit.calibration.method} of the {target} score", fit.reliability)
    )


def _figures(reliability: Reliability) -> list[str]:
    return [
        f"{value:.4f}"
        for value in (reliability.brier, reliability.calibration_error, reliability.log_loss)
    ]


def _show(collection: str, queries: Path | None, qrels: Path | None) -> None:
    """Print the calibrations that a collection has."""
    if queries is not None or qrels is not None:
        missing = "queries" if queries is None else "qrels"
        raise InvalidInputError(
            f"--{missing} is missing", field=missing, mend="give both files of one set"
        )
    with connect(database_url()) as connection:
        found = list_calibrations(connection, collection)
    if not found:
        console.print(f"{collection} has no calibration: give --queries and --qrels to fit one")
        return
    table = Table(box=None)
    for heading in ("score", "model", "method", "judged queries", "fitted"):
        table.add_column(heading)
    for heading in ("Brier", "calibration error", "log loss"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for each in found:
        table.add_row(*_row(each))
    console.print(table)


def _row(each: StoredCalibration) -> list[str]:
    figures = [f"{each.figures[name]:.4f}" for name in ("brier", "calibration_error", "log_loss")]
    fitted = each.fitted_at.date().isoformat()
    counts = "" if each.counts else "[yellow]the search profile has changed: not used[/yellow]"
    return [
        each.target,
        each.model,
        each.method,
        str(each.judged_queries),
        fitted,
        *figures,
        counts,
    ]
