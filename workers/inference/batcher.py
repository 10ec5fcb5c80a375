"""One model for many threads: what waits is merged into runs, most urgent first."""

import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from itertools import accumulate

from service.settings import Settings
from workers.inference.backend import Backend, ModelBusyError, TokenSequence
from workers.inference.device_turns import DeviceTurns
from workers.inference.load import Load
from workers.inference.model_pace import ModelPace
from workers.inference.model_request import ModelRequest
from workers.inference.run_plan import Place, in_turn, plan_one_by_one, plan_padded

log = logging.getLogger(__name__)

#: Sequences of a request that must be worth waiting for, where others wait already: a caller with
#: fewer of its best candidates scored is better told to come again.
_WORTH_WAITING = 8
#: How much more than seems possible is let in: the speed is an estimate, and others may go away.
_HOPE = 1.25
#: What a caller that is refused is told to wait, at the least.
_SHORTEST_WAIT = 0.02


class Batcher:
    """Runs the sequences of many callers through one backend, on as many threads as it has lanes.

    Nothing is held back to wait for company: a thread takes what is there, in turn
    (``run_plan.in_turn``), fills the run up from the others with sequences of like length, and
    looks again after every run. A request whose deadline passed is dropped, not computed, and none
    is let in that could not be done before its deadline, given what waits ahead of it.
    """

    def __init__(
        self,
        backend: Backend,
        queue_tokens: float = math.inf,
        turns: DeviceTurns | None = None,
    ) -> None:
        self._backend = backend
        self._queue_tokens = queue_tokens
        self._turns = turns
        self._requests: list[ModelRequest] = []
        self._dropped = 0
        self._refused = 0
        self._failures = 0
        self._pace = ModelPace()
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(
                target=self._serve, args=(lane,), name=f"model-{backend.name}-{lane}", daemon=True
            )
            for lane in range(backend.lanes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        sequences: Sequence[TokenSequence],
        deadline: float | None = None,
        *,
        partly: bool = False,
    ) -> ModelRequest:
        """Queue sequences and return the request, to be waited for.

        Args:
            sequences: what the model shall read; best first where ``partly``.
            deadline: on the clock of ``time.monotonic``, in seconds; without one it is bulk work,
                done when nobody waits.
            partly: rows of the first sequences are better than none; those that could not be done
                in time are cut off at once.

        Raises:
            ModelBusyError: too much waits already; it says when to ask again.
        """
        request = ModelRequest(sequences, math.inf if deadline is None else deadline, partly=partly)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            if request.urgent:
                self._admit(request)
            if request.waiting:
                request.served = min((other.served for other in self._requests), default=0)
                self._requests.append(request)
                self._changed.notify(len(self._threads))
        return request

    @property
    def backend_name(self) -> str:
        """Return what runs the model."""
        return self._backend.name

    @property
    def idle(self) -> bool:
        """Return whether nothing waits and nothing runs."""
        return not self._requests and not self._pace.running_tokens

    def affordable_tokens(self, deadline: float | None) -> float:
        """Return how many tokens could be let in until the deadline, were nobody else there."""
        speed = self._pace.tokens_per_second
        if deadline is None or speed == 0:
            return math.inf
        return _HOPE * speed * max(0.0, deadline - time.monotonic())

    def load(self) -> Load:
        """Return what the model is doing, how fast it is and what it has done."""
        with self._changed:
            return Load(
                tokens_per_second=self._pace.tokens_per_second,
                waiting_tokens=sum(r.waiting_tokens for r in self._requests),
                batch_fill=self._pace.batch_fill,
                runs=self._pace.runs,
                sequences=self._pace.sequences,
                dropped=self._dropped,
                refused=self._refused,
                silent_seconds=self._pace.silent_seconds(),
                failures=self._failures,
            )

    def close(self) -> None:
        """Stop after the runs in progress; requests that still wait fail."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for request in self._requests:
            request.fail(RuntimeError("the batcher was closed"))

    # Who is let in

    def _admit(self, request: ModelRequest) -> None:
        """Cut off what could not be done in time; refuse where what is left is not worth it."""
        seconds = request.deadline - time.monotonic()
        if seconds <= 0:
            self._dropped += request.drop()
            return
        ahead = self._tokens_ahead()
        room = min(self._possible_tokens(seconds, ahead), self._queue_tokens - ahead)
        if room >= request.waiting_tokens:
            return
        lengths = [request.lengths[index] for index in request.waiting]
        fitting = sum(1 for tokens in accumulate(lengths) if tokens <= room)
        worth = min(_WORTH_WAITING, len(lengths)) if request.partly else len(lengths)
        if ahead and fitting < worth:
            self._refused += len(lengths)
            speed = self._pace.tokens_per_second
            raise ModelBusyError(max(_SHORTEST_WAIT, ahead / speed) if speed else 1.0)
        if request.partly:
            # With nobody ahead one is tried, however slow the model seems to be.
            self._dropped += request.cut(max(1, fitting))

    def _possible_tokens(self, seconds: float, ahead: int) -> float:
        """Return how many tokens a new request would get done in that time, hoping a little.

        It is what is left when all that waits ahead is done, at least the share of one caller of
        many.
        """
        speed = self._pace.tokens_per_second
        if speed == 0:
            return math.inf
        callers = sum(1 for other in self._requests if other.urgent and other.waiting)
        whole = speed * seconds
        return _HOPE * max(whole - ahead, whole / (callers + 1))

    def _tokens_ahead(self) -> int:
        waiting = sum(other.waiting_tokens for other in self._requests if other.urgent)
        return waiting + self._pace.running_tokens if waiting else 0

    # Runs

    def _serve(self, lane: int) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests or self._closed)
                if self._closed:
                    return
                places = self._take(lane)
            if places:
                self._run_and_learn(lane, places)

    def _take(self, lane: int) -> list[Place]:
        """Take the sequences of the next run out of the requests."""
        now = time.monotonic()
        for request in self._requests:
            if request.deadline <= now:
                self._dropped += request.drop()
        self._requests = [request for request in self._requests if request.waiting]
        while self._requests:
            turn = in_turn(self._requests)
            lead = turn[0]
            longest = self._longest_run(lead, now)
            if longest is not None:
                break
            self._dropped += lead.drop()
            self._requests.remove(lead)
        else:
            return []
        # Bulk work is not put into a run that somebody waits for: it would make it longer.
        alike = [request for request in turn if request.urgent == lead.urgent]
        plan = plan_one_by_one if self._backend.one_by_one else plan_padded
        places = plan(alike, longest)
        for request, index in places:
            request.take(index)
        self._pace.begin(lane, self._padded(places), len(places), self._backend.run_tokens)
        return places

    def _longest_run(self, lead: ModelRequest, now: float) -> float | None:
        """Return the tokens of the run that the lead begins, None where it should begin none.

        A run that would, at the speed seen so far, end after the deadline is not begun. The first
        of a request is, while there is time at all: one slow run would else teach never to try
        again.
        """
        budget = float(self._backend.run_tokens)
        if not (lead.urgent and lead.partly):
            return budget
        speed = self._pace.tokens_per_second
        possible = (lead.deadline - now) * speed - self._pace.running_tokens if speed else budget
        first = lead.lengths[next(iter(lead.waiting))]
        if possible >= first:
            return min(budget, possible)
        return None if lead.begun else float(first)

    def _padded(self, places: Sequence[Place]) -> int:
        lengths = [request.lengths[index] for request, index in places]
        return sum(lengths) if self._backend.one_by_one else len(lengths) * max(lengths)

    def _run_and_learn(self, lane: int, places: Sequence[Place]) -> None:
        failed = True
        try:
            if self._turns is not None:
                with self._turns.urgent() if places[0][0].urgent else self._turns.bulk():
                    failed = self._run(places)
            else:
                failed = self._run(places)
        finally:
            with self._changed:
                self._pace.end(lane, failed=failed)

    def _run(self, places: Sequence[Place]) -> bool:
        """Run the sequences and hand out their rows; return whether any of them failed."""
        try:
            rows = self._backend.run([request.sequences[index] for request, index in places])
        except ModelBusyError as error:  # no sequence's fault: asking for each alone makes it worse
            self._fail(places, error)
            return True
        except Exception as error:  # noqa: BLE001  whatever a model raises belongs to its callers
            if len(places) == 1:
                log.warning("the model fails at a sequence: %r", error)
                self._failures += 1
                self._fail(places, error)
                return True
            # One bad sequence spoils a run, and a run may be too large for the memory: halves show.
            middle = len(places) // 2
            self._run(places[:middle])
            self._run(places[middle:])
            return True
        self._failures = 0
        for (request, index), row in zip(places, rows, strict=True):
            request.put(index, row)
        return False

    def _fail(self, places: Sequence[Place], error: Exception) -> None:
        with self._changed:
            for request, _ in places:
                request.fail(error)


def open_batcher(backend: Backend, settings: Settings) -> Batcher:
    """Return a batcher for a model of this process, which may share a GPU with other processes.

    A CPU needs no turns: the system lets a query run at once, whatever the others do.
    """
    on_gpu = backend.name.endswith("cuda")
    turns = DeviceTurns(os.environ.get("CUDA_VISIBLE_DEVICES", "all")) if on_gpu else None
    return Batcher(backend, settings.rerank_queue_tokens, turns)
