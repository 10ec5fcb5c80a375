"""``rankgres tune --rerank``: learn how much to rerank, what the reranker and feedback count."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from service.cli.calibrate import ask_service
from service.cli.profile import profile_table
from service.cli.terminal import console
from service.collections.collection import active_generation
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
    FEEDBACKS,
    WEIGHTS,
    DepthChoice,
    PolicyChoice,
    RerankReport,
    ValueChoice,
    learn_reranking,
)
from service.evaluation.reranked_lists import RerankedHit, RerankedLists
from service.local.endpoints import database_url
from service.search.blend import Blend, blend_of
from service.search.feedback import Embeddings, excludes_something, read_embeddings
from service.search.request import SearchRequest
from service.settings import get_settings

#: What --values may name, and what is tried unless it does.
_TRIED: Final = {"weight": WEIGHTS, "feedback": FEEDBACKS}


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
    """Learn weight, feedback, depth and policy of a collection's reranking, show and keep them."""
    tried = _tried(terms.given)
    deal_queries(len(judgements.queries), terms.folds, terms.seed)  # before minutes of asking
    with connect(database_url()) as connection:
        before = read_rerank_profile(connection, collection)
    lists = ask_service(collection, judgements, terms.candidates, terms.service_url, feedback=0)
    report = learn_reranking(
        lists,
        judgements,
        _embeddings(collection, lists, judgements),
        present=blend_of(lists.reranker, get_settings(), before),
        weights=tried["weight"],
        feedbacks=tried["feedback"],
        folds=terms.folds,
        seed=terms.seed,
        significance=terms.significance,
        tolerance=terms.tolerance,
        keep_depth=terms.keep_depth,
    )
    objections = {
        "weight": report.weights.objection(terms.significance),
        "feedback": report.feedbacks.objection(terms.significance),
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


def _tried(given: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    """Return the weights and feedbacks to try; null, what it is now, is tried anyway."""
    for name in given:
        if name not in _TRIED:
            raise InvalidInputError(
                f"{name!r} is not searched with --rerank",
                field="values",
                value=name,
                mend=f"give values for {' or '.join(_TRIED)}, or leave --rerank out",
            )
    tried = {
        name: [value for value in given.get(name, values) if value is not None]
        for name, values in _TRIED.items()
    }
    for name, values in tried.items():
        for value in values:
            parse_rerank_profile({name: value})
    return tried


def _embeddings(collection: str, lists: RerankedLists, judgements: Judgements) -> list[Embeddings]:
    """Return the stored embeddings of each list's best passages; none where none would be read."""

    def read(query: str, hits: Sequence[RerankedHit]) -> Embeddings:
        meaning = SearchRequest(collection=collection, query=query).meaning
        if excludes_something(connection, meaning):
            return np.zeros((len(hits), 1), dtype=np.float32)
        documents, positions = [hit.document for hit in hits], [hit.position for hit in hits]
        return read_embeddings(connection, generation.id, documents, positions)

    with connect(database_url()) as connection:
        generation = active_generation(connection, collection)
        queries = judgements.queries.values()
        return [read(query, each.hits) for query, each in zip(queries, lists.lists, strict=True)]


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
        feedback=before.feedback if objections["feedback"] else report.feedbacks.chosen,
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
    depths, policy = report.depths, report.policy
    return {
        "fused": round(report.fused, 5),
        "pair_ms": round(report.pair_ms, 3),
        "weight": {"feedback": report.feedbacks.present}
        | _choice_as_json(report.weights, objections["weight"]),
        "feedback": {"weight": report.blend.weight}
        | _choice_as_json(report.feedbacks, objections["feedback"]),
        "depth": {
            "weight": report.blend.weight,
            "feedback": report.blend.feedback,
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


def _choice_as_json(choice: ValueChoice, objection: str | None) -> dict[str, Any]:
    return {
        "present": choice.present,
        "chosen": choice.chosen,
        "cross_validated": round(choice.cross_validated, 5),
        "gain": round(choice.gain, 5),
        "p": round(choice.p, 6),
        "objection": objection,
        "tried": [
            {
                choice.part: row.value,
                "nDCG@10": round(row.mean, 5),
                "difference": round(row.difference, 5),
                "p": round(row.p, 6),
            }
            for row in choice.rows
        ],
    }


def _print(report: RerankReport, reranker: str, queries: int, tolerance: float) -> None:
    """Print what was tried of each, and what the choice does to queries that did not make it."""
    blend = report.blend
    _print_choice(
        report.weights,
        f"{reranker}, {queries} queries, all candidates scored, "
        f"feedback {report.feedbacks.present:g}; fused alone: nDCG@10 {report.fused:.4f}",
    )
    _print_choice(report.feedbacks, f"feedback, by weight {blend.weight:g}")
    console.print(_depth_table(report.depths, blend, report.pair_ms))
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


def _print_choice(choice: ValueChoice, title: str) -> None:
    """Print what each value of a weight or feedback reaches, and what choosing one does."""
    table = Table(title=title, title_justify="left")
    for heading in (choice.part, "nDCG@10", f"less {choice.part} {choice.present:g}", "p"):
        table.add_column(heading, justify="right")
    for row in choice.rows:
        table.add_row(
            f"{row.value:g}",
            f"{row.mean:.4f}",
            f"{row.difference:+.4f}",
            f"{row.p:.4f}",
            style="bold" if row.value == choice.chosen else None,
        )
    console.print(table)
    console.print(
        f"{choice.part} {choice.chosen:g}: cross-validated {choice.cross_validated:.4f}, "
        f"{choice.gain:+.4f} against {choice.present:g}, p {choice.p:.4f}"
    )


def _depth_table(depths: DepthChoice, blend: Blend, pair_ms: float) -> Table:
    table = Table(
        title=f"depth, by weight {blend.weight:g} and feedback {blend.feedback:g}; "
        f"a pair takes {pair_ms:.2f} ms",
        title_justify="left",
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
