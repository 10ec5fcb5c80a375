"""``rankgres tune --rerank``: learn how much to rerank, and what the reranker's score counts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from service.cli.calibrate import ask_service
from service.cli.profile import profile_table
from service.cli.terminal import console
from service.collections.learned import (
    RerankProfile,
    parse_rerank_profile,
    read_rerank_profile,
    write_rerank_profile,
)
from service.db.connection import connect
from service.errors import InvalidInputError
from service.evaluation.folds import deal_queries
from service.evaluation.judgements import Judgements
from service.evaluation.rerank_policy import (
    WEIGHTS,
    DepthChoice,
    PolicyChoice,
    RerankReport,
    WeightChoice,
    learn_reranking,
)
from service.local.endpoints import database_url
from service.model_cards import reranker_card
from service.settings import get_settings


@dataclass(frozen=True, slots=True)
class RerankTuning:
    """What the command line says of it."""

    candidates: int | None
    given: Mapping[str, Sequence[Any]]
    folds: int
    seed: int
    significance: float
    tolerance: float
    keep_depth: bool
    json_file: Path | None
    write: bool
    service_url: str | None


def tune_rerank(collection: str, judgements: Judgements, terms: RerankTuning) -> None:
    """Learn weight, depth and policy of a collection's reranking, show them, and keep them."""
    weights = _weights(terms.given)
    deal_queries(len(judgements.queries), terms.folds, terms.seed)  # before minutes of asking
    with connect(database_url()) as connection:
        before = read_rerank_profile(connection, collection)
    lists = ask_service(collection, judgements, terms.candidates, terms.service_url)
    report = learn_reranking(
        lists,
        judgements,
        present=_present_weight(before, lists.reranker),
        weights=weights,
        folds=terms.folds,
        seed=terms.seed,
        significance=terms.significance,
        tolerance=terms.tolerance,
        keep_depth=terms.keep_depth,
    )
    objections = {
        "weight": report.weights.objection(terms.significance),
        "depth": "--keep-depth"
        if terms.keep_depth
        else report.depths.objection(lists.candidates, terms.tolerance),
        "adaptive": report.policy.objection(terms.tolerance),
    }
    after = _profile(before, report, objections, len(judgements.queries))
    if terms.json_file:
        content = {"collection": collection, "reranker": lists.reranker} | _as_json(
            report, objections, after
        )
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        terms.json_file.write_text(text, encoding="utf-8")
    _print(report, lists.reranker, len(judgements.queries), terms.tolerance)
    for part, objection in objections.items():
        if objection:
            console.print(f"[yellow]{part} not written:[/yellow] {objection}", soft_wrap=True)
    console.print(profile_table(_named(after), _named(before)))
    if all(objections.values()):
        console.print("nothing to write")
    elif terms.write:
        with connect(database_url()) as connection:
            write_rerank_profile(connection, collection, after)
        console.print(f"written to {collection}")
    else:
        console.print("not written: add --write")


def _weights(given: Mapping[str, Sequence[Any]]) -> list[float]:
    """Return the weights to try."""
    for name in given:
        if name != "weight":
            raise InvalidInputError(
                f"{name!r} is not searched with --rerank",
                field="values",
                value=name,
                mend="give values for weight, or leave --rerank out",
            )
    weights = list(given.get("weight", WEIGHTS))
    for weight in weights:
        parse_rerank_profile({"weight": weight})
    return weights


def _present_weight(profile: RerankProfile, reranker: str) -> float:
    """Return the weight that searches have as it is: the profile's, the card's, the setting's."""
    for weight in (profile.weight, reranker_card(reranker).weight):
        if weight is not None:
            return weight
    return get_settings().rerank_weight


def _profile(
    before: RerankProfile, report: RerankReport, objections: Mapping[str, str | None], queries: int
) -> RerankProfile:
    """Return the profile with what nothing speaks against; depth and rules of before are gone.

    They were learned with another weight or on other judgements, and would not fit together.
    """
    if all(objections.values()):
        return before
    today = datetime.now(tz=UTC).date()
    return RerankProfile(
        weight=before.weight if objections["weight"] else report.weights.chosen,
        candidates=None if objections["depth"] else report.depths.chosen.depth,
        adaptive=None if objections["adaptive"] else report.policy.policy.as_json(),
        source=f"rankgres tune --rerank, {queries} judged queries, {today}",
    )


def _named(profile: RerankProfile) -> dict[str, Any]:
    return {f"rerank.{name}": value for name, value in profile.as_json().items()}


def _as_json(
    report: RerankReport, objections: Mapping[str, str | None], after: RerankProfile
) -> dict[str, Any]:
    """Return the figures, rounded to what they can bear."""
    weights, depths, policy = report.weights, report.depths, report.policy
    return {
        "fused": round(report.fused, 5),
        "pair_ms": round(report.pair_ms, 3),
        "weight": {
            "present": weights.present,
            "chosen": weights.chosen,
            "cross_validated": round(weights.cross_validated, 5),
            "gain": round(weights.gain, 5),
            "p": round(weights.p, 6),
            "objection": objections["weight"],
            "tried": [
                {
                    "weight": row.weight,
                    "nDCG@10": round(row.mean, 5),
                    "difference": round(row.difference, 5),
                    "p": round(row.p, 6),
                }
                for row in weights.rows
            ],
        },
        "depth": {
            "weight": report.weight,
            "chosen": depths.chosen.depth,
            "held_out_difference": round(depths.held_out_difference, 5),
            "objection": objections["depth"],
            "tried": [
                {
                    "depth": row.depth,
                    "nDCG@10": round(row.mean, 5),
                    "difference": round(row.difference, 5),
                    "p": round(row.p, 6),
                    "pairs_saved": round(row.pairs_saved, 4),
                    "saved_ms": round(row.saved_ms, 2),
                }
                for row in depths.rows
            ],
        },
        "adaptive": {
            "depth": report.depth,
            "rules": policy.policy.as_json()["rules"],
            "difference": round(policy.difference, 5),
            "p": round(policy.p, 6),
            "pairs_saved": round(policy.pairs_saved, 4),
            "queries_cut": round(policy.queries_cut, 4),
            "saved_ms": round(policy.saved_ms, 2),
            "objection": objections["adaptive"],
        },
        "profile": after.as_json(),
    }


def _print(report: RerankReport, reranker: str, queries: int, tolerance: float) -> None:
    """Print what was tried of each, and what the choice does to queries that did not make it."""
    console.print(_weight_table(report.weights, report.fused, reranker, queries))
    weights = report.weights
    console.print(
        f"weight {weights.chosen:g}: cross-validated {weights.cross_validated:.4f}, "
        f"{weights.gain:+.4f} against {weights.present:g}, p {weights.p:.4f}"
    )
    console.print(_depth_table(report.depths, report.weight, report.pair_ms))
    console.print(
        f"depth {report.depths.chosen.depth}: cross-validated "
        f"{report.depths.held_out_difference:+.4f}; tolerance {tolerance:g}"
    )
    console.print(_rules_table(report.policy, report.depth))
    policy = report.policy
    console.print(
        f"adaptive: cross-validated {policy.difference:+.4f}, p {policy.p:.4f}; "
        f"{policy.pairs_saved:.0%} of the pairs are not scored, "
        f"about {policy.saved_ms:.0f} ms a query; {policy.queries_cut:.0%} of the queries are cut",
        soft_wrap=True,
    )


def _weight_table(weights: WeightChoice, fused: float, reranker: str, queries: int) -> Table:
    table = Table(
        title=f"{reranker}, {queries} queries, all candidates scored; "
        f"fused alone: nDCG@10 {fused:.4f}",
        title_justify="left",
    )
    for heading in ("weight", "nDCG@10", f"less weight {weights.present:g}", "p"):
        table.add_column(heading, justify="right")
    for row in weights.rows:
        table.add_row(
            f"{row.weight:g}",
            f"{row.mean:.4f}",
            f"{row.difference:+.4f}",
            f"{row.p:.4f}",
            style="bold" if row.weight == weights.chosen else None,
        )
    return table


def _depth_table(depths: DepthChoice, weight: float, pair_ms: float) -> Table:
    table = Table(
        title=f"depth, by weight {weight:g}; a pair takes {pair_ms:.2f} ms", title_justify="left"
    )
    for heading in ("depth", "nDCG@10", "less all", "p", "pairs saved", "ms saved"):
        table.add_column(heading, justify="right")
    for row in depths.rows:
        table.add_row(
            str(row.depth),
            f"{row.mean:.4f}",
            f"{row.difference:+.4f}",
            f"{row.p:.4f}",
            f"{row.pairs_saved:.0%}",
            f"{row.saved_ms:.0f}",
            style="bold" if row is depths.chosen else None,
        )
    return table


def _rules_table(policy: PolicyChoice, depth: int) -> Table:
    table = Table(title=f"adaptive rules, of a depth of {depth}", title_justify="left")
    for heading in ("agreement from", "margin from", "scored"):
        table.add_column(heading, justify="right")
    for rule in policy.policy.rules:
        table.add_row(f"{rule.agreement:g}", f"{rule.margin:g}", str(rule.depth))
    return table
