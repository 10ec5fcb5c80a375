import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from service.model_cards import DEFAULT_ENCODER
from service.settings import Settings
from workers.inference.backend import (
    Backend,
    DeadlineExceededError,
    ModelBusyError,
    TokenSequence,
    open_backend,
)
from workers.inference.batcher import Batcher, Rows, _Request
from workers.inference.model_files import locate


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


def test_rows_come_back_in_the_order_of_the_sequences(batcher: Batcher, backend: Backend) -> None:
    sequences = [sequence(length) for length in (40, 3, 200, 12, 12, 90)]
    rows = batcher.submit(sequences).result()
    for one, row in zip(sequences, rows, strict=True):
        np.testing.assert_allclose(row, backend.run([one])[0], atol=2e-4)


def test_callers_of_all_sizes_get_their_own_rows(batcher: Batcher, backend: Backend) -> None:
    wanted = {length: backend.run([sequence(length)])[0] for length in range(3, 60, 4)}

    def call(length: int) -> bool:
        rows = batcher.submit([sequence(length)] * 3, time.monotonic() + 240).result()
        return all(np.allclose(row, wanted[length], atol=2e-4) for row in rows)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, list(wanted) * 4))


def test_a_poisoned_sequence_fails_its_caller_alone(batcher: Batcher) -> None:
    with ThreadPoolExecutor(6) as threads:
        futures: list[Future[Rows]] = list(
            threads.map(
                lambda n: batcher.submit([sequence(8), POISON] if n == 3 else [sequence(8)]),
                range(6),
            )
        )
    errors = [future.exception() for future in futures]
    assert [error is not None for error in errors] == [n == 3 for n in range(6)]
    assert not isinstance(errors[3], DeadlineExceededError)


def test_a_poisoned_sequence_fails_alone_in_one_run(batcher: Batcher) -> None:
    good, bad = _Request([sequence(8)], math.inf), _Request([POISON], math.inf)
    batcher._run([(good, 0), (bad, 0)])
    assert good.future.result().shape[0] == 1
    assert bad.future.exception() is not None


def test_a_request_past_its_deadline_is_dropped(batcher: Batcher) -> None:
    late = batcher.submit([sequence(8)], time.monotonic() - 1)
    in_time = batcher.submit([sequence(8)], time.monotonic() + 60)
    assert isinstance(late.exception(), DeadlineExceededError)
    assert in_time.result().shape[0] == 1


def test_the_nearest_deadline_is_served_first(batcher: Batcher) -> None:
    finished: list[str] = []
    long = batcher.submit([sequence(250)] * 40)
    long.add_done_callback(lambda _: finished.append("long"))
    urgent = batcher.submit([sequence(8)], time.monotonic() + 60)
    urgent.add_done_callback(lambda _: finished.append("urgent"))
    assert (long.result().shape[0], urgent.result().shape[0]) == (40, 1)
    assert finished == ["urgent", "long"]


def test_a_run_keeps_to_the_budget_of_tokens(batcher: Batcher, backend: Backend) -> None:
    batcher.close()
    batcher._requests = [_Request([sequence(200)] * 30, math.inf), _Request([sequence(9)], 1e12)]
    while places := batcher._take():
        widest = max(len(request.sequences[index]) for request, index in places)
        assert len(places) == 1 or widest * len(places) <= backend.run_tokens
    assert batcher._requests == []


def test_a_closed_batcher_takes_nothing_more(backend: Backend) -> None:
    batcher = Batcher(backend)
    batcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit([sequence(8)])


class BusyBackend:
    """A remote model that has had enough."""

    name = "busy"
    run_tokens = 1024
    run_sequences = 64
    runs = 0

    def run(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        del sequences
        self.runs += 1
        raise ModelBusyError(seconds=5)


def test_a_busy_model_is_not_asked_again_for_each_sequence() -> None:
    backend = BusyBackend()
    batcher = Batcher(backend)
    try:
        with pytest.raises(ModelBusyError) as raised:
            batcher.submit([sequence(8)] * 3).result()
        assert raised.value.seconds == 5
        assert backend.runs == 1
    finally:
        batcher.close()
