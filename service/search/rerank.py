"""Reranking: as many of the first candidates as a budget allows, scored by a cross-encoder.

Where a second, larger model is set up, it scores the best of what the first one scored, in what the
budget leaves. Whatever is missing at the end of the budget keeps the order it had.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from service.search.blend import Blend
from service.search.depth import (
    LEAST_TIMES_K,
    UNKNOWN_PACE,
    Clarity,
    DepthPolicy,
    Pace,
    affordable,
    clarity,
    depth,
    pair_tokens,
)
from service.search.feedback import LEAST_FED, ReadEmbeddings, feed_back
from service.search.ranking import RankedDocument, rerank_by
from service.search.task_sender import NoAnswerError, TaskSender
from service.task_names import FIRST_STAGE, RERANK_CANDIDATES, RERANK_QUEUE, SECOND_STAGE

#: Kept of the budget for the answer's way back, and for a last run that took longer than expected:
#: an answer that comes late is lost whole.
_RETURN_SHARE = 0.15
#: Of the budget, what the first model of a cascade may use.
_FIRST_SHARE = 0.5

#: What decided how many candidates were to be scored: the request; that there were no more; the
#: budget; that twice k are the least; the adaptive policy; or nothing, as no worker knows its pace.
DepthReason = Literal["request", "candidates", "budget", "least", "adaptive", "unknown_pace"]


@dataclass(frozen=True, slots=True)
class RerankPlan:
    """How one search reranks.

    ``most`` candidates are scored at the most, ``depth`` exactly where that is not None. ``blend``
    says what a model counts beside the order so far, and likeness to the best after it. The best
    ``second`` of them go to the second model; 0: there is none.
    """

    query: str
    k: int
    most: int
    budget_ms: float
    blend: Callable[[str], Blend]
    depth: int | None = None
    policy: DepthPolicy | None = None
    second: int = 0

    def asking(self, wanted: str, budget_ms: float) -> "RerankPlan":
        """Return the plan for a query without what it says it is not about, in so much time.

        What is excluded resembles what is asked for: where there is any, likeness to the best would
        draw it near, and does not count.
        """
        plan = replace(self, query=wanted, budget_ms=budget_ms)
        if wanted == self.query:
            return plan
        return replace(plan, blend=lambda model: self.blend(model).with_part("feedback", 0.0))


@dataclass(frozen=True, slots=True)
class DepthChoice:
    """How many candidates were to be scored, what decided it, and what was known then."""

    depth: int
    reason: DepthReason
    affordable: int | None
    pace: Pace = UNKNOWN_PACE
    clarity: Clarity | None = None


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What one cross-encoder scored; ``reason`` is set where that is nothing at all."""

    scored: int
    of: int
    model: str | None = None
    model_ms: float = 0.0
    reason: str | None = None
    retry_after_ms: float | None = None

    @property
    def state(self) -> Literal["full", "partial", "none"]:
        """Return whether all was scored; "partial" is what a budget is for."""
        if self.scored == self.of:
            return "full"
        return "partial" if self.scored else "none"


@dataclass(frozen=True, slots=True)
class Reranking:
    """What became of a reranking: of each model in turn, and how the depth was chosen.

    ``feedback`` is what likeness to the best counted.
    """

    first: ModelRun
    choice: DepthChoice
    feedback: float = 0.0
    second: ModelRun | None = None

    @property
    def state(self) -> Literal["full", "partial", "none"]:
        """Return whether every model scored all that it was given."""
        if self.second is not None and self.second.state != "full":
            return "partial"
        return self.first.state

    @property
    def runs(self) -> list[ModelRun]:
        """Return what each model did."""
        return [self.first] if self.second is None else [self.first, self.second]


def rerank(
    sender: TaskSender,
    plan: RerankPlan,
    documents: Sequence[RankedDocument],
    pace: Pace,
    read: ReadEmbeddings,
) -> tuple[list[RankedDocument], Reranking]:
    """Return the documents in their final order, and what was reranked.

    Scored documents come first, those of the second model before all others; the rest follow in
    the order they had. With no answer in time the fused order stands. ``read`` is called where
    feedback counts.
    """
    deadline = time.time() + plan.budget_ms / 1000
    choice = choose_depth(plan, documents, pace)
    share = _FIRST_SHARE if plan.second else 1.0
    ranked, first = _score(
        sender,
        plan,
        list(documents),
        choice.depth,
        deadline - (1 - share) * plan.budget_ms / 1000,
        stage=FIRST_STAGE,
    )
    feedback = 0.0
    if first.model is not None and first.scored >= LEAST_FED:
        feedback = plan.blend(first.model).feedback
    ranked = feed_back(ranked, read, feedback)
    if not plan.second or not first.scored:
        return ranked, Reranking(first, choice, feedback)
    count = min(plan.second, first.scored)
    ranked, second = _score(sender, plan, ranked, count, deadline, stage=SECOND_STAGE)
    return ranked, Reranking(first, choice, feedback, second)


def choose_depth(plan: RerankPlan, documents: Sequence[RankedDocument], pace: Pace) -> DepthChoice:
    """Return how many of the first documents to score, and why."""
    offered = documents[: plan.most]
    share = _FIRST_SHARE if plan.second else 1.0
    fitting = affordable(
        [pair_tokens(plan.query, document.passage_text) for document in offered],
        (share - _RETURN_SHARE) * plan.budget_ms,
        pace,
    )
    if plan.depth is not None:
        return DepthChoice(min(plan.depth, len(documents)), "request", fitting, pace)
    most, reason = _most(plan, len(offered), fitting)
    if plan.policy is None:
        return DepthChoice(most, reason, fitting, pace)
    places = [document.best for document in offered]
    chosen = depth(places, most, plan.policy, k=plan.k)
    reason = "adaptive" if chosen < most else reason
    return DepthChoice(chosen, reason, fitting, pace, clarity(places))


def _most(plan: RerankPlan, offered: int, fitting: int | None) -> tuple[int, DepthReason]:
    if fitting is None:
        return offered, "unknown_pace"
    if fitting >= offered:
        return offered, "candidates"
    # What is shown shall have been chosen from more: the deadline cuts what does not fit.
    least = min(LEAST_TIMES_K * plan.k, offered)
    return (fitting, "budget") if fitting >= least else (least, "least")


def _score(
    sender: TaskSender,
    plan: RerankPlan,
    documents: list[RankedDocument],
    count: int,
    deadline: float,
    *,
    stage: int,
) -> tuple[list[RankedDocument], ModelRun]:
    """Have a model score the first documents, and return them all in the order that follows."""
    if not count:
        return documents, ModelRun(0, 0)
    offered = documents[:count]
    try:
        answer = _ask(sender, plan, offered, deadline, stage)
    except NoAnswerError as error:
        return documents, ModelRun(
            0, count, reason=error.reason, retry_after_ms=error.retry_after_ms
        )
    scores: list[float | None] = answer["scores"]
    scored = sum(score is not None for score in scores)
    placed = [
        document.at_window(window and (window[0], window[1])) if score is not None else document
        for document, score, window in zip(offered, scores, answer["windows"], strict=True)
    ]
    ranked = rerank_by(
        placed + documents[count:],
        scores,
        answer["model"],
        plan.blend(answer["model"]).weight,
        second=stage == SECOND_STAGE,
    )
    return ranked, ModelRun(
        scored,
        count,
        answer["model"],
        answer["model_ms"],
        None if scored else "timeout",
    )


def _ask(
    sender: TaskSender,
    plan: RerankPlan,
    offered: Sequence[RankedDocument],
    deadline: float,
    stage: int,
) -> Any:
    # The worker stops earlier than we stop waiting, so that what it scored still arrives.
    worker_deadline = deadline - _RETURN_SHARE * plan.budget_ms / 1000
    if worker_deadline <= time.time():
        raise NoAnswerError("timeout")
    passages = [document.passage_text for document in offered]
    return sender.call(
        RERANK_CANDIDATES,
        RERANK_QUEUE,
        {"query": plan.query, "passages": passages}
        | ({} if stage == FIRST_STAGE else {"stage": stage}),
        deadline,
        worker_deadline=worker_deadline,
    )
