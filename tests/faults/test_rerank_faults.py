"""The reranking worker is killed, hangs and runs out of memory while many callers wait for it.

Every caller has its answer by its deadline, with what there is, and the worker comes back. The
deadlines are far shorter than the faults would last.
"""

import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from service.search import task_sender
from service.search.task_sender import NoAnswerError, TaskSender, read_pulses
from service.task_names import RERANK_CANDIDATES, RERANK_QUEUE
from tests.support.stack import RealStack
from tests.support.waiting import eventually

WORKER = "worker-rerank"
CALLERS = 12
DEADLINE_SECONDS = 1.0
#: What a busy machine may take beyond that.
BUSY_SECONDS = 5.0
_LITTLE = 1024**2
PASSAGES = ["Boats return to the harbour before the storm, and unload their catch. " * 8] * 30


class Load:
    """Callers who ask again as soon as they are answered, and how they were answered."""

    def __init__(self, redis_url: str) -> None:
        self.sender = TaskSender(redis_url)
        self.answers: Counter[str] = Counter()
        self.longest = 0.0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(CALLERS)]

    @contextmanager
    def running(self) -> Iterator["Load"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            for thread in self._threads:
                thread.join()

    def wait_for(self, answer: str) -> None:
        """Wait until somebody is answered so from now on."""
        before = self.answers[answer]
        eventually(lambda: self.answers[answer] > before, f"an answer {answer}")

    def _ask_on(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            answer = self._ask()
            waited = time.monotonic() - began
            with self._lock:
                self.answers[answer] += 1
                self.longest = max(self.longest, waited)
            if answer != "scored":
                time.sleep(0.05)

    def _ask(self) -> str:
        try:
            answer = self.sender.call(
                RERANK_CANDIDATES,
                RERANK_QUEUE,
                {"query": "when do boats return", "passages": PASSAGES},
                time.time() + DEADLINE_SECONDS,
                worker_deadline=time.time() + 0.8 * DEADLINE_SECONDS,
            )
        except NoAnswerError as error:
            return error.reason
        scores = answer["scores"]
        assert len(scores) == len(PASSAGES)
        return "scored" if any(score is not None for score in scores) else "late"


@pytest.fixture
def load(fragile: RealStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Callers of a worker that serves; at the end it serves again, and nothing is left over."""
    # Redis is not what is harmed here: it may take its time under so many callers.
    monkeypatch.setattr(task_sender, "COMMAND_SECONDS", BUSY_SECONDS)
    made = Load(fragile.record.redis_url)
    with made.running():
        made.wait_for("scored")
        yield made
        made.wait_for("scored")
    assert made.longest < DEADLINE_SECONDS + BUSY_SECONDS
    # Not one was answered by an error that has no name, or waited in vain for a dead worker.
    assert set(made.answers) <= {
        "scored", "late", "timeout", "no_worker", "overloaded", "worker_error"
    }  # fmt: skip
    eventually(lambda: made.sender.redis.llen(RERANK_QUEUE) == 0, "no message is left")
    eventually(
        lambda: (
            [pulse.waiting_tokens for pulse in read_pulses(made.sender.redis, RERANK_QUEUE)] == [0]
        ),
        "one worker lives, and nothing waits in it",
    )


def test_a_worker_that_is_killed_under_load_comes_back(fragile: RealStack, load: Load) -> None:
    for _ in range(2):
        dead = fragile.kill(WORKER)
        load.wait_for("timeout")
        fragile.wait_back(WORKER, dead)
        load.wait_for("scored")


def test_callers_of_a_worker_that_hangs_are_answered_in_time(
    fragile: RealStack, load: Load
) -> None:
    with fragile.paused(WORKER):
        load.wait_for("timeout")
        # Once its pulse is over nobody waits for it any more.
        load.wait_for("no_worker")


def test_a_worker_without_memory_is_replaced(fragile: RealStack, load: Load) -> None:
    pid = fragile.process(WORKER).pid
    assert pid is not None
    # Less than it has: what it asks of the system next is refused, wherever that is.
    resource.prlimit(pid, resource.RLIMIT_DATA, (_LITTLE, _LITTLE))
    with ThreadPoolExecutor(2 * CALLERS) as hungry:
        replaced = threading.Event()
        for _ in range(2 * CALLERS):
            hungry.submit(_ask_for_memory, load.sender, replaced)
        try:
            fragile.wait_back(WORKER, pid)
        finally:
            replaced.set()
    load.wait_for("scored")


def test_a_worker_that_is_stopped_lets_its_callers_go(fragile: RealStack, load: Load) -> None:
    dead = fragile.send(WORKER, signal.SIGTERM)
    fragile.wait_back(WORKER, dead)
    load.wait_for("scored")


def _ask_for_memory(sender: TaskSender, replaced: threading.Event) -> None:
    """Ask again and again, as one of more callers than before, with longer passages."""
    query = {"query": "memory", "passages": ["word " * 20_000] * 8}
    while not replaced.is_set():
        with suppress(NoAnswerError):
            sender.call(RERANK_CANDIDATES, RERANK_QUEUE, query, time.time() + DEADLINE_SECONDS)
        replaced.wait(0.2)
