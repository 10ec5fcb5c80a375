"""What reranking does for nDCG@10, over our own hybrid candidates, on every set of a folder.

    rankgres up --detach
    python -m benchmarks.relevance --data FOLDER          # fills the collections
    python -m benchmarks.rerank_relevance --data FOLDER --depth 50 --weights 0.5 1 --feedbacks 0 0.8

What is measured: the candidates of `rankgres.search_candidates` with nothing but defaults, from the
running stack; the first DEPTH of them scored by the reranker of the settings, without a deadline,
and put into order by the very functions that a search uses, by each weight and each feedback.
Unset, both are those of the model's card. Baseline of each row: the hybrid order of the same
candidates. With `--graded --depth 20` the lists of `graded_lists.py` are measured, in which every
candidate has a grade. `better` and `worse` count queries whose first result has a higher or a
lower grade than before; p is of Fisher's paired randomisation test. With `--precision fp32` beside
`--depth` the same is done once more in fp32, and the last table has both and their speeds, on the
same pairs, one after the other in turns.

How to read it: `gain` is promised to be at least 0.01 on every set that the model did not learn
from, and 0.03 on average; what it reaches is in docs/measurements.md. The model learned from the
training queries of `docs` and `scifact`.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.graded_lists import GRADED_COLLECTIONS, read_graded_lists
from benchmarks.machine import machine_line
from service.collections.collection import active_generation, list_collections
from service.db.connection import Connection, connect
from service.evaluation.candidate_lists import embed_queries
from service.evaluation.judgements import Judgements, read_judgements
from service.evaluation.metrics import measure_run
from service.evaluation.significance import randomisation_test
from service.local.endpoints import database_url, redis_url
from service.search.blend import Blend, blend_of
from service.search.candidates import find_candidates
from service.search.feedback import Embeddings, feed_back, read_embeddings
from service.search.ranking import RankedDocument, group_documents, rerank_by
from service.search.request import SearchRequest
from service.search.task_sender import TaskSender
from service.settings import get_settings
from workers.inference.reranker import Reranker, load_reranker

_MEASURE = "nDCG@10"
#: Lists that the two precisions score in turns, for their speeds.
_TIMED = 30


@dataclass(frozen=True)
class JudgedLists:
    """The hybrid candidates of a set's queries, what is relevant, and what a reranker is asked.

    ``excluding`` are the queries that say what they are not about: likeness to the best does not
    count for them. ``embeddings`` are those of the candidates of each query, by document.
    """

    name: str
    judgements: Judgements
    lists: dict[str, list[RankedDocument]]
    wanted: dict[str, str]
    excluding: set[str]
    embeddings: dict[str, dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Outcome:
    """One set by one blend, beside the order that the candidates came in."""

    hybrid: NDArray[np.float64]
    reranked: NDArray[np.float64]
    better: int
    worse: int

    @property
    def gain(self) -> float:
        """Return the gain of the mean."""
        return float(self.reranked.mean() - self.hybrid.mean())


def read_lists(
    connection: Connection, sender: TaskSender, name: str, judgements: Judgements
) -> JudgedLists:
    """Return the candidates that a collection has for judged queries."""
    generation = active_generation(connection, name)
    judged = JudgedLists(name, judgements, {}, {}, set(), {})
    for asked in embed_queries(sender, get_settings(), generation, judgements):
        request = SearchRequest(collection=name, query=asked.text, k=100, passages=1)
        found = find_candidates(
            connection, request, "hybrid", asked.embedding, candidates=100, time_left_ms=None
        )
        documents = group_documents(found.passages)
        judged.lists[asked.id] = documents
        judged.wanted[asked.id] = found.wanted
        if found.wanted != request.meaning:
            judged.excluding.add(asked.id)
        names = [document.best.document_id for document in documents]
        positions = [document.best.position for document in documents]
        rows = read_embeddings(connection, generation.id, names, positions)
        judged.embeddings[asked.id] = dict(zip(names, rows, strict=True))
    return judged


def score(model: Reranker, judged: JudgedLists, depth: int) -> dict[str, list[float | None]]:
    """Return the raw scores of each list's first documents."""
    return {
        query: model.score(
            judged.wanted[query],
            [document.passage_text for document in documents[:depth]],
            None,
        ).scores
        for query, documents in judged.lists.items()
    }


def compare(judged: JudgedLists, scores: dict[str, list[float | None]], blend: Blend) -> Outcome:
    """Return what an order by that blend is beside the hybrid order."""
    orders = {
        query: feed_back(
            rerank_by(documents, scores[query], "", blend.weight),
            partial(_embeddings, judged.embeddings[query]),
            0 if query in judged.excluding else blend.feedback,
        )
        for query, documents in judged.lists.items()
    }
    first = [
        (_first_grade(judged, query, orders[query]), _first_grade(judged, query, documents))
        for query, documents in judged.lists.items()
    ]
    return Outcome(
        _measure(judged, judged.lists),
        _measure(judged, orders),
        sum(now > before for now, before in first),
        sum(now < before for now, before in first),
    )


def timed(models: Sequence[Reranker], judged: JudgedLists, depth: int) -> list[float]:
    """Return pairs per second of each model, list by list in turns."""
    seconds = np.zeros(len(models))
    pairs = 0
    for query, documents in list(judged.lists.items())[:_TIMED]:
        passages = [document.passage_text for document in documents[:depth]]
        pairs += len(passages)
        for number, model in enumerate(models):
            began = time.perf_counter()
            model.score(judged.wanted[query], passages, None)
            seconds[number] += time.perf_counter() - began
    return [float(pairs / each) for each in seconds]


def _embeddings(
    known: dict[str, NDArray[np.float32]], documents: Sequence[RankedDocument]
) -> Embeddings:
    return np.stack([known[document.best.document_id] for document in documents])


def _measure(judged: JudgedLists, orders: dict[str, list[RankedDocument]]) -> NDArray[np.float64]:
    run = {
        query: [document.best.document_id for document in documents]
        for query, documents in orders.items()
    }
    measured = measure_run(judged.judgements.relevance, run).per_query
    return np.array([measured[query][_MEASURE] for query in judged.judgements.queries])


def _first_grade(judged: JudgedLists, query: str, documents: Sequence[RankedDocument]) -> int:
    if not documents:
        return 0
    return judged.judgements.relevance[query].get(documents[0].best.document_id, 0)


def _judgements(name: str, options: argparse.Namespace) -> Judgements | None:
    """Return a set's judgements; None where there are none."""
    if options.graded:
        return read_graded_lists(name) if name in GRADED_COLLECTIONS else None
    folder = options.data / name
    if not (folder / "qrels.tsv").is_file():
        return None
    return read_judgements(folder / "queries.jsonl", folder / "qrels.tsv", limit=options.queries)


def _print_set(judged: JudgedLists, outcomes: dict[Blend, Outcome], precision: str) -> None:
    for blend, outcome in outcomes.items():
        p = randomisation_test((outcome.reranked - outcome.hybrid)[:, None])[0]
        print(
            f"{judged.name:14} {precision:5} {len(outcome.hybrid):5} "
            f"{blend.weight:6.2f} {blend.feedback:8.2f} "
            f"{outcome.hybrid.mean():7.4f} {outcome.reranked.mean():8.4f} {outcome.gain:+8.4f} "
            f"{p:6.3f} {outcome.better:6} {outcome.worse:5}",
            flush=True,
        )


def main() -> None:
    """Measure each set that has a collection."""
    options = _options()
    settings = get_settings()
    precisions = ["int8", "fp32"] if options.both else [options.precision]
    models = {
        each: load_reranker(
            settings.reranker_model, settings.model_copy(update={"onnx_precision": each})
        )
        for each in precisions
    }
    sender = TaskSender(redis_url(settings))
    print(machine_line(), settings.reranker_model, f"depth {options.depth}")
    print(
        "set            runs  queries weight feedback  hybrid reranked     gain      p better worse"
    )
    present = blend_of(settings.reranker_model, settings)
    blends = [
        Blend(weight, feedback)
        for weight in options.weights or [present.weight]
        for feedback in options.feedbacks or [present.feedback]
    ]
    gains: dict[Blend, list[float]] = {blend: [] for blend in blends}
    written = []
    with connect(database_url(settings)) as connection:
        known = {collection.collection for collection in list_collections(connection)}
        for name in options.sets or sorted(known):
            judgements = _judgements(name, options)
            if judgements is None:
                continue
            judged = read_lists(connection, sender, name, judgements)
            for precision, model in models.items():
                scores = score(model, judged, options.depth)
                outcomes = {blend: compare(judged, scores, blend) for blend in blends}
                _print_set(judged, outcomes, precision)
                for blend, outcome in outcomes.items():
                    if precision == precisions[0]:
                        gains[blend].append(outcome.gain)
                    written.append([name, precision, blend.weight, blend.feedback, outcome.gain])
            if options.both:
                fast, slow = timed(list(models.values()), judged, options.depth)
                print(f"{name:14} pairs/s int8 {fast:.0f}, fp32 {slow:.0f}: {fast / slow:.2f}")
    for blend, values in gains.items():
        print(
            f"weight {blend.weight}, feedback {blend.feedback}: "
            f"mean {np.mean(values):+.4f}, least {min(values):+.4f}"
        )
    if options.out:
        options.out.write_text(json.dumps(written), encoding="utf-8")
    for model in models.values():
        model.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="needed without --graded")
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--graded", action="store_true", help="the lists of graded_lists.py")
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--weights", type=float, nargs="+")
    parser.add_argument("--feedbacks", type=float, nargs="+")
    parser.add_argument("--queries", type=int, default=10_000, help="of a set, at the most")
    parser.add_argument("--precision", choices=["int8", "fp32"], default="int8")
    parser.add_argument("--both", action="store_true", help="int8 and fp32 beside each other")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.data is None and not options.graded:
        parser.error("say where the sets are: --data FOLDER, or --graded")
    return options


if __name__ == "__main__":
    main()
