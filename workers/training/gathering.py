"""What a job learns from: prepared lists, or those mined for the labels of a collection."""

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.collections.collection import active_generation
from service.db.connection import Connection, connect
from service.errors import InvalidInputError
from service.local.endpoints import database_url
from workers.inference.encoder import load_encoder
from workers.inference.reranker import load_reranker
from workers.training.job import Job
from workers.training.labelled_queries import JudgedQueries, QuerySource
from workers.training.mining import Miner, MiningRules
from workers.training.preparation import Prepared, mine_lists, read_prepared
from workers.training.search_logs import SearchLog
from workers.training.weak_labels import WeakLabels


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the queries come from: a file of prepared lists, or a collection and labels of it."""

    collection: str | None
    queries: Path | None
    qrels: Path | None
    log: Path | None
    min_clicks: int
    weak: int
    prepared: Path | None
    held_out_lists: Path | None
    denoise_by: str | None
    rules: MiningRules

    def check(self) -> None:
        """Raise InvalidInputError where there is nothing to learn from, or too much is said."""
        labels = self.queries or self.log or self.weak
        if (self.queries is None) != (self.qrels is None):
            raise _unfit("queries", "--queries and --qrels belong together", "give both")
        if self.prepared is not None and (self.collection or labels):
            raise _unfit(
                "prepared",
                "--prepared has everything: a collection and its labels are not read",
                "leave out one or the other",
            )
        if self.prepared is None and not (self.collection and labels):
            raise _unfit(
                "sources",
                "there is nothing to learn from",
                "name a collection and --queries with --qrels, --log or --weak; or --prepared FILE",
            )

    def as_json(self) -> dict[str, Any]:
        """Return what changes when the sources do."""
        return {
            "collection": self.collection,
            "judgements": self.queries
            and JudgedQueries(self.queries, self.qrels or self.queries).identity,
            "log": self.log and SearchLog(self.log, self.min_clicks).identity,
            "weak": self.weak,
            "prepared": [
                [path.name, path.stat().st_size]
                for path in (self.prepared, self.held_out_lists)
                if path is not None and path.is_file()
            ],
            "denoise_by": self.denoise_by,
            "rules": [getattr(self.rules, name) for name in self.rules.__slots__],
        }


@dataclass(frozen=True, slots=True)
class Gathered:
    """Prepared lists, and the lines that the model's card says of them."""

    prepared: Prepared
    descriptions: list[str]


def gather(job: Job, sources: Sources) -> Gathered | None:
    """Return the lists of the sources, or None where somebody asked to stop."""
    if sources.prepared is not None:
        lists = read_prepared(sources.prepared, sources.held_out_lists, job.recipe.held_out)
        files = [path for path in (sources.prepared, sources.held_out_lists) if path]
        return Gathered(lists, [f"prepared lists: {path.name}" for path in files])
    assert sources.collection is not None
    with ExitStack() as opened:
        connection = opened.enter_context(closing(connect(database_url(), autocommit=True)))
        generation = active_generation(connection, sources.collection)
        found = _label_sources(sources, connection, generation.id)
        encoder = load_encoder(generation.embedding_model, job.settings)
        opened.callback(encoder.close)
        judge = None
        if sources.denoise_by:
            judge = load_reranker(sources.denoise_by, job.settings)
            opened.callback(judge.close)
        miner = Miner(connection, generation, sources.rules, judge)
        prepared = mine_lists(job, found, miner, encoder)
    if prepared is None:
        return None
    described = [f"the collection {sources.collection}", *(each.description for each in found)]
    return Gathered(prepared, described)


def _label_sources(
    sources: Sources, connection: Connection, generation_id: int
) -> list[QuerySource]:
    found: list[QuerySource] = []
    if sources.queries and sources.qrels:
        found.append(JudgedQueries(sources.queries, sources.qrels))
    if sources.log:
        found.append(SearchLog(sources.log, sources.min_clicks))
    if sources.weak:
        found.append(WeakLabels(connection, generation_id, sources.weak))
    return found


def _unfit(field: str, detail: str, mend: str) -> InvalidInputError:
    return InvalidInputError(detail, field=field, mend=mend)
