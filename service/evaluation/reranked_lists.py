"""Reranked lists: the candidates of judged queries with every score that a search gives them.

Asked of the running service, so that what is learned from them is learned from what searches do:
the same passages, the same model, the same windows of it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from service.collections.learned import Target
from service.errors import InvalidInputError, ModelUnavailableError
from service.evaluation.calibration import Sample
from service.evaluation.judgements import Judgements

#: Sends the body of a search to a collection and returns the answer; raises RankgresError.
Ask = Callable[[dict[str, Any]], Mapping[str, Any]]

#: Milliseconds that a reranking may take here: quality is measured, not speed.
_AMPLE_MS = 60_000
#: Of a query longer than the model reads: its searches are as degraded as this one.
_HARMLESS = frozenset({"query_truncated"})
#: Seconds between tries of a query that came back degraded.
_PAUSES = (0.2, 1.0, 3.0)


@dataclass(frozen=True, slots=True)
class RerankedHit:
    """A candidate document: its fused score, its place in both lists, the reranker's raw score.

    ``second_score`` is the raw score of a cascade's second model, where it read the document;
    ``rank`` the place in the answer, from 1; ``position`` that of the best passage among the
    document's, from 0.
    """

    document: str
    score: float
    lexical_rank: int | None
    vector_rank: int | None
    rerank_score: float
    second_score: float | None = None
    rank: int = 1
    position: int = 0


@dataclass(frozen=True, slots=True)
class RerankedList:
    """One query's candidates in fused order, and the milliseconds that scoring all of them took."""

    hits: list[RerankedHit]
    rerank_ms: float


@dataclass(frozen=True, slots=True)
class RerankedLists:
    """The candidates of all judged queries, in their order, and the model that scored them.

    ``second_reranker`` is the one that scored the best of them again, None without a cascade.
    """

    reranker: str
    candidates: int
    lists: list[RerankedList]
    second_reranker: str | None = None

    @property
    def pair_ms(self) -> float:
        """Return the milliseconds of one pair of query and passage, all told."""
        pairs = sum(len(each.hits) for each in self.lists)
        return sum(each.rerank_ms for each in self.lists) / max(pairs, 1)


def ask_reranked(
    ask: Ask,
    judgements: Judgements,
    candidates: int,
    on_query: Callable[[], None] = lambda: None,
    *,
    feedback: float | None = None,
) -> RerankedLists:
    """Ask every judged query once, with so many candidates scored, all of them.

    Args:
        ask: sends a search.
        judgements: whose queries are asked.
        candidates: of each query.
        on_query: called after every answer.
        feedback: what likeness to the best counts for the final ranks; None: as it is.

    Raises:
        ModelUnavailableError: a stage gave way, or candidates were left without a score: what is
            learned from half a list is not true of a whole one.
        InvalidInputError: no query has a candidate.
    """
    lists: list[RerankedList] = []
    models: set[tuple[str, ...]] = set()
    for name, text in judgements.queries.items():
        answer = _ask_until_whole(ask, name, _body(text, candidates, feedback))
        lists.append(_read_list(answer))
        if answer["results"]:
            models.add(tuple(run["model"] for run in answer["reranked"]["models"]))
        on_query()
    if len(models) != 1:
        named = sorted({name for names in models for name in names})
        raise InvalidInputError(
            f"candidates were scored by different models: {', '.join(named)}"
            if models
            else "no query has a candidate",
            field="collection",
            mend="give every rerank worker the same RANKGRES_RERANKER_MODEL, and ask a collection "
            "that holds documents",
        )
    reranker, *others = models.pop()
    return RerankedLists(reranker, candidates, lists, others[0] if others else None)


def reranked_samples(
    lists: RerankedLists,
    judgements: Judgements,
    encoder: str,
    *,
    shown: int,
    relevant_from: int,
    left_out: bool,
) -> dict[tuple[Target, str], Sample]:
    """Return what calibrations are fitted on, by the score that they are of and its model.

    Args:
        lists: of the judged queries.
        judgements: of the same queries.
        encoder: the bi-encoder that fused scores come by.
        shown: how many hits of a query are learned from, the first in the order that the score
            stands for: what is below was left there by more than this score, so that equal scores
            are worth less there.
        relevant_from: least grade that counts as relevant.
        left_out: whether documents that nobody judged are left out; else they are not relevant,
            as they are to an evaluation.
    """
    found = [
        _JudgedHit(number, place, hit, grades.get(hit.document, 0) >= relevant_from)
        for number, (each, grades) in enumerate(
            zip(lists.lists, judgements.relevance.values(), strict=True)
        )
        for place, hit in enumerate(each.hits)
        if not left_out or hit.document in grades
    ]
    best = [each for each in found if each.hit.rank <= shown]
    samples: dict[tuple[Target, str], Sample] = {
        ("rerank", lists.reranker): _sample((each, each.hit.rerank_score) for each in best)
    }
    if lists.second_reranker is not None:
        samples["rerank", lists.second_reranker] = _sample(
            (each, each.hit.second_score) for each in best if each.hit.second_score is not None
        )
    samples["fused", encoder] = _sample(
        (each, each.hit.score) for each in found if each.place < shown
    )
    return samples


class _JudgedHit(NamedTuple):
    """A hit of a query, by its number, at a place of the fused list, from 0."""

    query: int
    place: int
    hit: RerankedHit
    relevant: bool


def _sample(scored: Iterable[tuple[_JudgedHit, float | None]]) -> Sample:
    kept = list(scored)
    return Sample(
        np.array([score for _, score in kept], dtype=float),
        np.array([each.relevant for each, _ in kept], dtype=np.bool_),
        np.array([each.query for each, _ in kept], dtype=np.intp),
    )


def _body(text: str, candidates: int, feedback: float | None) -> dict[str, Any]:
    """Return the search that has all of so many candidates scored, whatever was learned before."""
    rerank = {
        "candidates": candidates,
        "depth": candidates,
        "budget_ms": _AMPLE_MS,
        "adaptive": False,
    }
    return {
        "query": text,
        "k": candidates,
        "passages": 1,
        "mode": "hybrid",
        "rerank": rerank if feedback is None else rerank | {"feedback": feedback},
    }


def _ask_until_whole(ask: Ask, query: str, body: dict[str, Any]) -> Mapping[str, Any]:
    """Return the first answer in which nothing gave way; a stage may miss its time now and then."""
    for pause in (*_PAUSES, None):
        answer = ask(body)
        wrong = _what_is_missing(answer)
        if wrong is None:
            return answer
        if pause is not None:
            time.sleep(pause)
    raise ModelUnavailableError(
        f"of the query {query!r}, asked {len(_PAUSES) + 1} times, {wrong}",
        field="queries",
        value=query,
        mend="'rankgres doctor' says which worker is missing; fewer --candidates take less time",
    )


def _what_is_missing(answer: Mapping[str, Any]) -> str | None:
    """Return why nothing can be learned from an answer; None: it is whole."""
    summary = answer["reranked"] or {"scored": 0}
    reasons = [
        f"{each['stage']}: {each['reason']}"
        for each in answer["degraded"]
        if each["reason"] not in _HARMLESS
    ]
    if reasons:
        return f"a stage gave way ({'; '.join(reasons)})"
    if summary["scored"] < len(answer["results"]):
        return f"{summary['scored']} of {len(answer['results'])} candidates were scored"
    return None


def _read_list(answer: Mapping[str, Any]) -> RerankedList:
    hits = sorted(answer["results"], key=lambda result: result["stages"]["fused"]["rank"])
    return RerankedList([_read_hit(hit) for hit in hits], float(answer["timings"].get("rerank", 0)))


def _read_hit(result: Mapping[str, Any]) -> RerankedHit:
    stages = result["stages"]
    return RerankedHit(
        result["id"],
        stages["fused"]["score"],
        (stages["lexical"] or {}).get("rank"),
        (stages["vector"] or {}).get("rank"),
        stages["rerank"]["score"],
        (stages["rerank_second"] or {}).get("score"),
        result["rank"],
        result["passages"][0]["position"],
    )
