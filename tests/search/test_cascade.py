"""Two rerankers one after the other, and passages longer than they read, in a real worker."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.local.redis import EmbeddedRedis
from service.model_cards import DEFAULT_RERANKER
from service.search.blend import Blend
from service.search.ranking import RankedDocument
from service.search.rerank import RerankPlan, rerank
from service.search.task_sender import TaskSender
from service.search.worker_pace import WorkerPace
from service.task_names import RERANK_QUEUE
from tests.search.test_reordering import candidate
from tests.search.test_rerank import nothing_read
from tests.support.stack import PROJECT
from tests.support.waiting import eventually

#: The second model is the first one under another name: its folder.
SECOND = PROJECT / "workers" / "models" / DEFAULT_RERANKER.removeprefix("rankgres/")
PLAN = RerankPlan(
    query="what raises a loaf of bread",
    k=2,
    most=100,
    budget_ms=60_000,
    blend=lambda _model: Blend(1000.0, 0.0),
    second=2,
)
ANSWER = "Flour and water left in a jar begin to ferment, and the starter raises a loaf of bread."
FILLER = "The harbour was closed because of a storm from the north, and no boat left it. "


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskSender]:
    """The way to a worker of its own, with two models."""
    folder = tmp_path_factory.mktemp("cascade")
    server = EmbeddedRedis(folder / "redis")
    server.start()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path]),
        "RANKGRES_HOME": str(folder / "home"),
        "RANKGRES_REDIS_URL": server.url,
        "RANKGRES_RERANK_SECOND_MODEL": str(SECOND),
    }
    command = [sys.executable, "-m", "workers", "rerank"]
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    sender = TaskSender(server.url)
    try:
        eventually(
            lambda: worker.poll() is not None or sender.alive(RERANK_QUEUE), "the worker serves"
        )
        assert worker.poll() is None, (folder / "log").read_text()
        yield sender
    finally:
        worker.terminate()
        worker.wait()
        server.stop()


def documents(*texts: str) -> list[RankedDocument]:
    found = []
    for place, text in enumerate(texts):
        best = replace(
            candidate(f"{place}", place + 1, -place),
            text=text,
            start_offset=0,
            end_offset=len(text),
        )
        found.append(RankedDocument((best,), best.score))
    return found


def test_the_second_model_scores_the_best_of_the_first(sender: TaskSender) -> None:
    texts = (FILLER, "A train stops at every village.", ANSWER, "Bread is baked of flour.")
    ranked, reranking = rerank(
        sender,
        PLAN,
        documents(*texts),
        WorkerPace(sender, RERANK_QUEUE).now(),
        nothing_read,
    )
    assert [(run.model, run.scored, run.of) for run in reranking.runs] == [
        (DEFAULT_RERANKER, 4, 4),
        (str(SECOND), 2, 2),
    ]
    assert [document.second is not None for document in ranked] == [True, True, False, False]
    best = [document for document in ranked if document.rerank and document.rerank.rank <= 2]
    assert {document.best.document_id for document in ranked[:2]} == {
        document.best.document_id for document in best
    }
    # The same weights give the same scores: it was the same passages that both read.
    for document in ranked[:2]:
        assert document.rerank is not None
        assert document.second is not None
        assert document.second.score == pytest.approx(document.rerank.score, abs=0.01)


def test_of_a_long_passage_the_part_that_answers_is_shown(sender: TaskSender) -> None:
    long = FILLER * 60 + ANSWER + " " + FILLER * 60
    ranked, _ = rerank(
        sender,
        replace(PLAN, second=0),
        documents(FILLER, long),
        WorkerPace(sender, RERANK_QUEUE).now(),
        nothing_read,
    )
    (found,) = [document for document in ranked if document.best.document_id == "1"]
    shown = found.shown().best
    assert ANSWER in shown.text
    assert len(shown.text) < len(long) / 2
    assert long[shown.start_offset : shown.end_offset] == shown.text
