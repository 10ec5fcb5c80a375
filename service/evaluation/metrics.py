"""Metrics: how well a run's rankings agree with the judgements, computed by ``ir_measures``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.errors import InvalidInputError, RankgresError
from service.evaluation.judgements import Relevance

#: Our names, in the order of the tables, and how ``ir_measures`` spells each of them.
MEASURES: Final = {"nDCG@10": "nDCG@10", "MRR@10": "RR@10", "MAP": "AP", "recall@100": "R@100"}
#: Documents that a ranking must be able to hold for every metric to be true.
DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class Quality:
    """The metrics of one run: the mean over all judged queries, and each query's own values."""

    mean: dict[str, float]
    per_query: dict[str, dict[str, float]]


def measure_run(relevance: Relevance, rankings: Mapping[str, Sequence[str]]) -> Quality:
    """Measure rankings against judgements; a query without a ranking counts as 0.

    nDCG has linear gains and a base-2 discount, as ``trec_eval`` and BEIR have it.

    Args:
        relevance: The judgements; the mean is taken over exactly these queries.
        rankings: Document ids by query id, best first.

    Raises:
        RankgresError: ``ir_measures`` is not installed.
        InvalidInputError: a ranking names a document twice.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise RankgresError(
            "evaluation needs the package ir_measures",
            mend="pip install 'rankgres[evaluate]'",
        ) from error

    names = {ir_measures.parse_measure(spelling): name for name, spelling in MEASURES.items()}
    run = {query: _scores(query, rankings.get(query, ())) for query in relevance}
    # Libraries differ in whether a query that returned nothing counts; here it does, as 0.
    per_query = {query: dict.fromkeys(MEASURES, 0.0) for query in relevance}
    for value in ir_measures.iter_calc(list(names), relevance, run):
        per_query[value.query_id][names[value.measure]] = float(value.value)
    mean = {
        name: sum(values[name] for values in per_query.values()) / len(per_query)
        for name in MEASURES
    }
    return Quality(mean, per_query)


def _scores(query: str, ranking: Sequence[str]) -> dict[str, float]:
    """Return descending scores, so that the order given decides and no tie is left to break."""
    scores = {document: float(len(ranking) - position) for position, document in enumerate(ranking)}
    if len(scores) != len(ranking):
        raise InvalidInputError(
            f"the ranking of query {query!r} names a document twice",
            field="ranking",
            value=query,
            mend="results group by document: report this as a defect of the search",
        )
    return scores
