"""What happens in one search, for its answer: times, degradations, what chose the snippets."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from service.collections.collection import Generation
from service.search.rerank import ModelRun, Reranking
from service.search.results import Degradation, DegradedStage
from service.search.semantic_snippets import SnippetChoice


@dataclass(slots=True)
class Trace:
    """Times of the stages, in Postgres and in models, and what went other than it should."""

    degraded: list[Degradation] = field(default_factory=list)
    model_ms: float = 0.0
    sql_ms: float = 0.0
    query_embedding_cached: bool | None = None
    snippets: dict[str, Any] = field(default_factory=dict)
    rerank: dict[str, Any] | None = None
    _stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Take the time of a stage; one inside another comes behind it."""
        self._stages[name] = 0.0
        started = time.perf_counter()
        try:
            yield
        finally:
            self._stages[name] = 1000 * (time.perf_counter() - started)

    @contextmanager
    def sql(self) -> Iterator[None]:
        """Add to the time in Postgres."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.sql_ms += 1000 * (time.perf_counter() - started)

    def degrade(
        self, stage: DegradedStage, reason: str, retry_after_ms: float | None = None
    ) -> None:
        """Note that a stage could not do its part."""
        self.degraded.append(Degradation(stage=stage, reason=reason, retry_after_ms=retry_after_ms))

    def reranked(self, reranking: Reranking, budget_ms: float) -> None:
        """Note what became of a reranking, and how its depth was chosen."""
        stages: tuple[DegradedStage, DegradedStage] = ("rerank", "rerank_second")
        for stage, run in zip(stages, reranking.runs, strict=False):
            self.model_ms += run.model_ms
            if run.reason is not None:
                self.degrade(stage, run.reason, run.retry_after_ms)
        choice = reranking.choice
        self.rerank = {
            "depth": choice.depth,
            "reason": choice.reason,
            "affordable": choice.affordable,
            "budget_ms": round(budget_ms, 1),
            "pace": asdict(choice.pace),
            "clarity": choice.clarity and asdict(choice.clarity),
            "feedback": reranking.feedback,
            "models": [_told(run) for run in reranking.runs],
        }

    def choose(self, choice: SnippetChoice, milliseconds: float) -> None:
        """Note what chose the snippets.

        That no sentence was chosen by its meaning takes no result away, so it degrades nothing.
        """
        self.model_ms += choice.model_ms
        counted = Counter(snippet.source for snippet in choice.snippets)
        self.snippets = {source: counted[source] for source in ("words", "meaning", "beginning")}
        self.snippets |= {"ms": round(milliseconds, 3), "reason": choice.reason}

    def explain(self, generation: Generation, candidates: dict[str, Any]) -> dict[str, Any]:
        """Return what an answer says of its making."""
        return {
            "embedding_model": generation.embedding_model,
            "query_embedding_cached": self.query_embedding_cached,
            "candidates": candidates,
            "rerank": self.rerank,
            "snippets": self.snippets,
            "sql_ms": round(self.sql_ms, 3),
            "model_ms": round(self.model_ms, 3),
        }

    def timings(self) -> dict[str, float]:
        """Return the milliseconds of each stage, in the order they began; the total last."""
        stages = sorted(self._stages.items(), key=lambda stage: stage[0] == "total")
        return {name: round(milliseconds, 3) for name, milliseconds in stages}


def _told(run: ModelRun) -> dict[str, Any]:
    return {
        "model": run.model,
        "scored": run.scored,
        "of": run.of,
        "model_ms": round(run.model_ms, 3),
    }
