"""Feedback within a reranking: what it compares, and what the second model gets of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.local.redis import EmbeddedRedis
from service.search.blend import Blend
from service.search.feedback import LEAST_FED, Embeddings
from service.search.ranking import RankedDocument
from service.search.task_sender import TaskSender
from tests.search.test_reordering import ids
from tests.search.test_rerank import PLAN, documents, number, run, scored

FEEDBACK = replace(PLAN, blend=lambda _model: Blend(1.0, 5.0))


def two_kinds(documents: Sequence[RankedDocument]) -> Embeddings:
    """Embeddings of two kinds of documents: those of even and those of odd numbers."""
    even = [int(document.best.document_id) % 2 == 0 for document in documents]
    return np.array([(1, 0) if each else (0, 1) for each in even], dtype=np.float32)


def test_what_resembles_the_best_follows_them(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    found = documents(8)
    ranked, reranking, _ = run(
        redis_server, sender, FEEDBACK, found, lambda v: scored(v, lambda n: -n), read=two_kinds
    )
    assert ids(ranked) == "000002004006001003005007"
    assert reranking.feedback == 5


def test_of_a_part_that_was_scored_nothing_else_is_compared(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    ranked, _, _ = run(
        redis_server,
        sender,
        FEEDBACK,
        documents(8),
        lambda v: scored(v, lambda n: -n if n < 4 else None),
        read=two_kinds,
    )
    assert ids(ranked) == "000002001003004005006007"


def test_without_scores_nothing_is_compared(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    found = documents(8)
    ranked, reranking, _ = run(redis_server, sender, FEEDBACK, found, lambda _: {"busy_ms": 250})
    assert (ranked, reranking.feedback) == (found, 0)


@pytest.mark.parametrize("count", [0, LEAST_FED - 1])
def test_what_nobody_scored_is_not_said_to_be_compared(
    redis_server: EmbeddedRedis, sender: TaskSender, count: int
) -> None:
    def answer(values: dict[str, Any]) -> dict[str, Any]:
        return scored(values, lambda place: -place if place < count else None)

    _, reranking, _ = run(redis_server, sender, FEEDBACK, documents(8), answer)
    assert (reranking.first.scored, reranking.feedback) == (count, 0)


def test_a_question_that_excludes_something_gets_no_feedback() -> None:
    assert FEEDBACK.asking("q", 100).blend("small") == Blend(1.0, 5.0)
    asked = FEEDBACK.asking("without its end", 100)
    assert (asked.query, asked.budget_ms) == ("without its end", 100)
    assert asked.blend("small") == Blend(1.0, 0.0)


def test_the_second_model_gets_the_best_after_feedback(
    redis_server: EmbeddedRedis, sender: TaskSender
) -> None:
    ranked, _, (_, second) = run(
        redis_server,
        sender,
        replace(FEEDBACK, second=3),
        documents(8),
        lambda v: scored(v, lambda n: -n),
        read=two_kinds,
    )
    assert sorted(number(passage) for passage in second["passages"]) == [0, 2, 4]
    assert ids(ranked) == "000002004006001003005007"
