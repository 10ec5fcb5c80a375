import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from service.model_cards import DEFAULT_ENCODER
from service.settings import Settings
from tests.support.waiting import eventually
from workers.inference.backend import (
    Backend,
    DeadlineExceededError,
    ModelBusyError,
    TokenSequence,
    open_backend,
)
from workers.inference.batcher import Batcher
from workers.inference.model_files import locate
from workers.inference.model_request import ModelRequest

#: Far longer than a test takes.
LONG = 600.0


def sequence(length: int) -> TokenSequence:
    """Return a valid input of so many tokens."""
    return TokenSequence([101, *range(2000, 1998 + length), 102], [0] * length, length)


#: No vocabulary is that large: every backend refuses it.
POISON = TokenSequence([101, 10**8, 102], [0] * 3, 3)


@pytest.fixture(scope="session")
def backend(settings: Settings) -> Backend:
    return open_backend(DEFAULT_ENCODER, locate(DEFAULT_ENCODER), "mean", settings)


@pytest.fixture
def batcher(backend: Backend) -> Iterator[Batcher]:
    made = Batcher(backend)
    yield made
    made.close()


class Gate:
    """A model whose runs begin when the test lets them; it notes the lengths of each run."""

    name = "gate"
    lanes = 1

    def __init__(self, run_tokens: int = 100, *, one_by_one: bool = False) -> None:
        self.run_tokens = run_tokens
        self.one_by_one = one_by_one
        self.runs: list[list[int]] = []
        self.error: Exception | None = None
        self._permits = 0.0
        self._changed = threading.Condition()

    def run(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        self.runs.append([len(sequence) for sequence in sequences])
        with self._changed:
            self._changed.wait_for(lambda: self._permits > 0)
            self._permits -= 1
        if self.error is not None:
            raise self.error
        return np.array([len(sequence) for sequence in sequences], dtype=np.float32)

    def let(self, runs: float) -> None:
        """Let so many runs go through, one of them the one that waits."""
        with self._changed:
            self._permits = runs
            self._changed.notify_all()

    def open(self) -> None:
        """Let all runs go through from now on."""
        self.let(float("inf"))

    def hold(self, batcher: Batcher, tokens: int = 7) -> ModelRequest:
        """Have a run under way; what is submitted now waits behind it."""
        seen = len(self.runs)
        held = batcher.submit([sequence(tokens)])
        eventually(lambda: len(self.runs) > seen, "the model is at work")
        return held


@pytest.fixture
def gated() -> Iterator[Callable[..., tuple[Batcher, Gate]]]:
    made: list[tuple[Batcher, Gate]] = []

    def make(
        queue_tokens: float = float("inf"), *, run_tokens: int = 100, one_by_one: bool = False
    ) -> tuple[Batcher, Gate]:
        gate = Gate(run_tokens, one_by_one=one_by_one)
        made.append((Batcher(gate, queue_tokens), gate))
        return made[-1]

    yield make
    for batcher, gate in made:
        gate.open()
        batcher.close()


def in_a_while() -> float:
    return time.monotonic() + LONG


def test_rows_come_back_in_the_order_of_the_sequences(batcher: Batcher, backend: Backend) -> None:
    sequences = [sequence(length) for length in (40, 3, 200, 12, 12, 90)]
    rows = batcher.submit(sequences).result()
    for one, row in zip(sequences, rows, strict=True):
        np.testing.assert_allclose(row, backend.run([one])[0], atol=2e-4)


def test_callers_of_all_sizes_get_their_own_rows(batcher: Batcher, backend: Backend) -> None:
    wanted = {length: backend.run([sequence(length)])[0] for length in range(3, 60, 4)}

    def call(length: int) -> bool:
        rows = batcher.submit([sequence(length)] * 3, in_a_while()).result()
        return all(np.allclose(row, wanted[length], atol=2e-4) for row in rows)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, list(wanted) * 4))


def test_a_poisoned_sequence_fails_its_caller_alone(batcher: Batcher) -> None:
    requests = [
        batcher.submit([sequence(8), POISON] if number == 3 else [sequence(8)] * 2)
        for number in range(6)
    ]
    for number, request in enumerate(requests):
        if number == 3:
            with pytest.raises(Exception, match=r".") as raised:
                request.result()
            assert not isinstance(raised.value, DeadlineExceededError)
        else:
            assert len(request.result()) == 2


def test_a_request_past_its_deadline_is_dropped(batcher: Batcher) -> None:
    late = batcher.submit([sequence(8)], time.monotonic() - 1)
    in_time = batcher.submit([sequence(8)], in_a_while())
    with pytest.raises(DeadlineExceededError):
        late.result()
    assert in_time.result().shape[0] == 1
    assert batcher.load().dropped == 1


def test_whoever_has_a_deadline_goes_before_bulk_work(
    gated: Callable[..., tuple[Batcher, Gate]],
) -> None:
    batcher, gate = gated()
    gate.hold(batcher)
    bulk = batcher.submit([sequence(50)] * 4)
    urgent = batcher.submit([sequence(8)], in_a_while())
    gate.open()
    bulk.result()
    urgent.result()
    # Nor is the urgent run filled up with bulk work, which would make it longer.
    assert gate.runs == [[7], [8], [50, 50], [50, 50]]


def test_callers_take_turns(gated: Callable[..., tuple[Batcher, Gate]]) -> None:
    batcher, gate = gated(run_tokens=20, one_by_one=True)
    gate.hold(batcher)
    first = batcher.submit([sequence(10)] * 4, in_a_while())
    second = batcher.submit([sequence(9)] * 4, in_a_while())
    gate.open()
    first.result()
    second.result()
    assert gate.runs[1:] == [[10, 10], [9, 9], [9, 9], [10, 10]]


def test_who_comes_later_does_not_make_up_for_what_others_had(
    gated: Callable[..., tuple[Batcher, Gate]],
) -> None:
    batcher, gate = gated(run_tokens=10, one_by_one=True)
    early = batcher.submit([sequence(10)] * 8, in_a_while())
    for run in range(3):
        eventually(lambda run=run: len(gate.runs) > run, "a run is under way")  # type: ignore[misc]  # mypy cannot infer a default argument
        gate.let(1)
    eventually(lambda: len(gate.runs) == 4, "the fourth run is under way")
    late = batcher.submit([sequence(9)] * 4, in_a_while())
    gate.open()
    early.result()
    late.result()
    # In turns from the beginning, not four in a row.
    assert gate.runs[4:8].count([10]) == 2


def test_a_run_is_of_like_lengths_whoever_asked_for_them(
    gated: Callable[..., tuple[Batcher, Gate]],
) -> None:
    batcher, gate = gated(run_tokens=90)
    gate.hold(batcher)
    requests = [
        batcher.submit([sequence(30), sequence(10), sequence(29)], in_a_while(), partly=True)
        for _ in range(2)
    ]
    gate.open()
    for request in requests:
        assert [row for row in request.reached() if row is not None] == [30, 10, 29]
    assert sorted(map(sorted, gate.runs[1:])) == [[10, 10, 29], [29, 30, 30]]


def test_a_run_keeps_to_the_budget_of_tokens(
    batcher: Batcher, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[list[int]] = []
    real = backend.run

    def noted(sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        runs.append([len(sequence) for sequence in sequences])
        return real(sequences)

    monkeypatch.setattr(backend, "run", noted)
    requests = [batcher.submit([sequence(length)] * 9) for length in (200, 9, 40)]
    for request in requests:
        request.result()
    for run in runs:
        size = sum(run) if backend.one_by_one else len(run) * max(run)
        assert len(run) == 1 or size <= backend.run_tokens
    assert sum(map(len, runs)) == 27


def test_the_deadline_ends_a_wait_for_a_model_that_hangs(
    gated: Callable[..., tuple[Batcher, Gate]],
) -> None:
    batcher, gate = gated(run_tokens=10)
    deadline = time.monotonic() + 2  # in which a busy machine does one run
    request = batcher.submit([sequence(10)] * 3, deadline, partly=True)
    whole = batcher.submit([sequence(10)], deadline)
    gate.let(1)
    assert request.reached() == [10, None, None]
    with pytest.raises(DeadlineExceededError):
        whole.result()


def test_what_could_not_be_done_in_time_is_cut_off_at_once(
    gated: Callable[..., tuple[Batcher, Gate]],
) -> None:
    batcher, gate = gated()
    gate.open()
    batcher.submit([sequence(10)] * 10).result()
    batcher._pace._tokens, batcher._pace._seconds = 10.0, 1.0  # 10 tokens a second
    began = time.monotonic()
    request = batcher.submit([sequence(10)] * 100, began + 20.5, partly=True)
    rows = request.reached()
    # 205 tokens, and a quarter more in hope.
    assert sum(row is not None for row in rows) == 25
    assert time.monotonic() - began < 15
    assert batcher.load().dropped == 75


def test_one_is_tried_however_slow_the_model_seems(
    gated: Callable[..., tuple[Batcher, Gate]],
) -> None:
    batcher, gate = gated()
    gate.open()
    batcher.submit([sequence(10)]).result()
    batcher._pace._tokens, batcher._pace._seconds = 1.0, 1000.0
    rows = batcher.submit([sequence(10)] * 3, time.monotonic() + 60, partly=True).reached()
    assert rows == [10, None, None]


def test_who_cannot_be_served_in_time_is_told_when_to_come_again(
    gated: Callable[..., tuple[Batcher, Gate]],
) -> None:
    batcher, gate = gated()
    gate.open()
    batcher.submit([sequence(10)]).result()
    gate.let(0)
    gate.hold(batcher)
    batcher._pace._tokens, batcher._pace._seconds = 100.0, 1.0  # 100 tokens a second
    waiting = [batcher.submit([sequence(50)] * 2, in_a_while()) for _ in range(3)]
    for partly in (False, True):
        # 307 tokens are ahead, and a fourth of 2 seconds is worth 50 tokens.
        with pytest.raises(ModelBusyError) as raised:
            batcher.submit([sequence(50)] * 20, time.monotonic() + 2, partly=partly)
        assert raised.value.seconds == pytest.approx(3.07)
    assert batcher.load().refused == 40
    gate.open()
    assert [len(request.result()) for request in waiting] == [2, 2, 2]


def test_no_more_waits_than_is_allowed(gated: Callable[..., tuple[Batcher, Gate]]) -> None:
    batcher, gate = gated(queue_tokens=1000)
    gate.hold(batcher)
    waiting = batcher.submit([sequence(90)] * 10, in_a_while())
    assert batcher.load().waiting_tokens == 900
    with pytest.raises(ModelBusyError):
        batcher.submit([sequence(90)] * 2, in_a_while())
    # Bulk work has no bound but its callers, who are threads of this process.
    bulk = batcher.submit([sequence(90)] * 20)
    gate.open()
    assert (len(waiting.result()), len(bulk.result())) == (10, 20)
    assert batcher.load().waiting_tokens == 0


def test_the_load_tells_depth_and_fill(gated: Callable[..., tuple[Batcher, Gate]]) -> None:
    batcher, gate = gated(run_tokens=100)
    gate.hold(batcher, tokens=50)
    batcher.submit([sequence(100)], in_a_while())
    load = batcher.load()
    assert (load.waiting_tokens, load.runs, load.sequences, load.batch_fill) == (100, 1, 1, 0.5)
    assert load.silent_seconds > 0
    gate.open()
    eventually(lambda: batcher.idle, "all is done")
    load = batcher.load()
    assert (load.waiting_tokens, load.runs, load.sequences) == (0, 2, 2)
    assert load.batch_fill == pytest.approx(0.75, abs=0.01)
    assert load.silent_seconds == 0
    assert load.tokens_per_second > 0


def test_a_run_too_large_for_the_memory_is_halved(
    gated: Callable[..., tuple[Batcher, Gate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher, gate = gated()
    gate.open()
    real = gate.run

    def small(sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        if len(sequences) > 2:
            raise MemoryError
        return real(sequences)

    monkeypatch.setattr(gate, "run", small)
    assert batcher.submit([sequence(10)] * 10).result().tolist() == [10] * 10


def test_a_closed_batcher_takes_nothing_more(backend: Backend) -> None:
    batcher = Batcher(backend)
    batcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit([sequence(8)])


def test_a_busy_model_is_not_asked_again_for_each_sequence(
    gated: Callable[..., tuple[Batcher, Gate]],
) -> None:
    batcher, gate = gated()
    gate.open()
    gate.error = ModelBusyError(seconds=5)
    with pytest.raises(ModelBusyError) as raised:
        batcher.submit([sequence(8)] * 3).result()
    assert raised.value.seconds == 5
    assert len(gate.runs) == 1
