"""Pairs a second and added milliseconds of the reranking worker, against its bare model.

    python -m benchmarks.inference
    python -m benchmarks.inference --device cuda --tokens 256 --pairs 100

What is measured: a real worker process behind a real Redis, asked over Celery as the service asks
it, and the same batcher in this process, without any of that. The baseline is the bare model: the
same texts, all read into tokens at once, sorted by length and run in full batches, as many at once
as the backend can. Baseline and worker take turns in every round, and the figures are the medians
of the rounds' ratios: a busy moment of the machine hits both.

- throughput: 32 callers who ask again as soon as they are answered. At least 95 % of the bare
  model's pairs a second on a CPU, 80 % of it on a GPU.
- latency: one caller. What it waits beyond what the bare model takes for the same pairs: at most
  6 ms; and what of that is the way there and back, by the worker's own clock. With --device cuda,
  100 pairs of 256 tokens in at most 15 ms from the worker's queue to its answer.

How to read it: `worker` is what callers get, `batcher` what is left of the bare model without
Redis, Celery and JSON; the difference is theirs. `tokens only` is the baseline without the reading
of the texts. On a small machine the 32 callers, who are threads of this process, share the
processors with the model.
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.machine import machine_line
from benchmarks.worker_process import WorkerProcess, worker_process
from service.model_cards import reranker_card
from service.settings import get_settings
from service.task_names import RERANK_CANDIDATES, RERANK_QUEUE
from workers.inference.backend import Backend, TokenSequence, open_backend
from workers.inference.batcher import open_batcher
from workers.inference.cross_encoder import CrossEncoder
from workers.inference.model_files import locate
from workers.inference.pair_windows import PairReader
from workers.inference.tokens import load_tokenizer

_DEADLINE_SECONDS = 300.0
_QUERY_WORDS = 8
#: Requests of the one caller that do not count.
_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Request:
    """One caller's question: a query and its passages."""

    query: str
    passages: list[str]


class BareModel:
    """The model without a batcher: sorted, full batches, as many at once as it can run."""

    def __init__(self, backend: Backend, reader: PairReader) -> None:
        self._backend = backend
        self._reader = reader
        self._threads = ThreadPoolExecutor(backend.lanes)

    def read(self, requests: Sequence[Request]) -> list[TokenSequence]:
        """Return all pairs as the model reads them."""
        return [
            window.sequence
            for request in requests
            for windows in self._reader.read(request.query, request.passages)
            for window in windows
        ]

    def run(self, sequences: Sequence[TokenSequence]) -> None:
        """Run all of them."""
        batches: list[list[TokenSequence]] = []
        for sequence in sorted(sequences, key=len, reverse=True):
            if not batches or not self._has_room(batches[-1], sequence):
                batches.append([])
            batches[-1].append(sequence)
        for _ in self._threads.map(self._backend.run, batches):
            pass

    def _has_room(self, batch: Sequence[TokenSequence], sequence: TokenSequence) -> bool:
        longest = len(batch[0])
        size = sum(map(len, batch)) if self._backend.one_by_one else longest * len(batch)
        more = len(sequence) if self._backend.one_by_one else longest
        return size + more <= self._backend.run_tokens


def main() -> None:
    """Measure throughput and latency, and print what is left of the bare model's."""
    options = _options()
    if options.device != "auto":
        os.environ["RANKGRES_INFERENCE_BACKEND"] = "torch" if options.device == "cuda" else "onnx"
        get_settings.cache_clear()
    settings = get_settings()
    card = reranker_card(options.model or settings.reranker_model)
    folder = locate(card.name)
    tokenizer = load_tokenizer(folder)
    backend = open_backend(card.name, folder, "pair", settings)
    bare = BareModel(backend, PairReader(tokenizer, card.max_tokens))
    local = CrossEncoder(card, tokenizer, open_batcher(backend, settings))
    make = RequestMaker(tokenizer.get_vocab(), options.tokens)
    print(machine_line())
    print(f"{card.name} by {backend.name}, {backend.lanes} runs at once")
    with (
        worker_process(RERANK_QUEUE) as worker,
        ThreadPoolExecutor(options.callers) as callers,
    ):
        inside: list[float] = []

        def ask(requests: Sequence[Request]) -> None:
            inside.extend(callers.map(lambda request: ask_worker(worker, request), requests))

        def score(requests: Sequence[Request]) -> None:
            deadline = time.monotonic() + _DEADLINE_SECONDS
            list(callers.map(lambda r: local.score(r.query, r.passages, deadline), requests))

        ways: Ways = {"worker": ask, "batcher": score}
        crowd = [make.request(options.pairs, vary=True) for _ in range(options.requests)]
        throughput(bare, ways, crowd, options.rounds)
        pulse = worker.pulse()
        alone = [make.request(options.pairs, vary=False) for _ in range(options.searches)]
        inside.clear()
        latency(bare, ways, alone, inside)
        print(
            f"\nthe worker said: runs {pulse.batch_fill:.0%} full, "
            f"{pulse.tokens_per_second:,.0f} tokens/s; after one caller: "
            f"{worker.pulse().tokens_per_second:,.0f}, {worker.pulse().overhead_ms:.1f} ms a call"
        )
    local.close()


class RequestMaker:
    """Makes questions of words that are one token each, so that their lengths are known."""

    def __init__(self, vocabulary: dict[str, int], tokens: int) -> None:
        self._words = sorted(word for word in vocabulary if word.isascii() and word.isalpha())
        self._tokens = tokens
        self._chance = random.Random(1)

    def request(self, pairs: int, *, vary: bool) -> Request:
        """Return a question; pairs have the tokens asked for, or vary from a quarter of them."""
        # The special tokens of a pair are three or four.
        room = self._tokens - _QUERY_WORDS - 3
        lengths = [self._chance.randint(room // 4, room) if vary else room for _ in range(pairs)]
        return Request(self._text(_QUERY_WORDS), [self._text(length) for length in lengths])

    def _text(self, words: int) -> str:
        return " ".join(self._chance.choices(self._words, k=words))


def ask_worker(worker: WorkerProcess, request: Request) -> float:
    """Have the worker score all passages of a question; return its own seconds for that."""
    answer = worker.sender.call(
        RERANK_CANDIDATES,
        RERANK_QUEUE,
        {"query": request.query, "passages": request.passages},
        time.time() + _DEADLINE_SECONDS,
    )
    if None in answer["scores"]:
        raise RuntimeError("not everything was scored")
    return float(answer["model_ms"]) / 1000


Ways = dict[str, Callable[[Sequence[Request]], object]]


def throughput(bare: BareModel, ways: Ways, requests: Sequence[Request], rounds: int) -> None:
    """Print the pairs a second of many callers, by the bare model and by each way."""
    sequences = bare.read(requests)
    taken = measure(bare, ways, [requests] * (rounds + 1))
    print(
        f"\n{len(requests)} requests, {len(sequences):,} pairs of "
        f"{np.mean([len(sequence) for sequence in sequences]):.0f} tokens on average"
    )
    print(f"{'':12}{'pairs/s':>10}{'of bare':>10}")
    for name, times in taken.items():
        # The first round warms up.
        ratio = statistics.median(
            its / mine for mine, its in zip(times[1:], taken["bare"][1:], strict=True)
        )
        print(f"{name:12}{len(sequences) / statistics.median(times[1:]):>10.1f}{ratio:>10.1%}")


def latency(bare: BareModel, ways: Ways, requests: Sequence[Request], inside: list[float]) -> None:
    """Print what one caller waits, by the bare model and by each way, and what is added.

    Before it is timed, each has a pair of its own to run: the model in this process and the
    worker's drive each other's weights out of the processor's cache, which no worker suffers that
    has its machine to itself. ``inside`` fills with the seconds that the worker took by its own
    clock, those of the pairs before among them.
    """
    first = Request(requests[0].query, requests[0].passages[:1])
    taken = measure(bare, ways, [[request] for request in requests], first)
    tokens = len(bare.read(requests[:1])[0])
    print(f"\none caller, {len(requests[0].passages)} pairs of {tokens} tokens")
    print(f"{'ms':12}{'p50':>10}{'p95':>10}{'added p50':>12}")
    for name, times in taken.items():
        kept = 1000 * np.array(times[_WARM_UP:])
        added = np.median(kept - 1000 * np.array(taken["bare"][_WARM_UP:]))
        p50, p95 = np.percentile(kept, (50, 95))
        print(f"{name:12}{p50:>10.1f}{p95:>10.1f}{added:>12.1f}")
    way = 1000 * (np.array(taken["worker"]) - np.array(inside[1::2]))[_WARM_UP:]
    print(f"{'there, back':12}{np.median(way):>10.1f}{np.percentile(way, 95):>10.1f}")


def measure(
    bare: BareModel,
    ways: Ways,
    rounds: Sequence[Sequence[Request]],
    first: Request | None = None,
) -> dict[str, list[float]]:
    """Return the seconds that every way took in every round, the bare model's among them.

    ``first`` is what each runs before, untimed.
    """
    taken: dict[str, list[float]] = {name: [] for name in ("tokens only", "bare", *ways)}
    for requests in rounds:
        if first:
            bare.run(bare.read([first]))
        began = time.perf_counter()
        sequences = bare.read(requests)
        read = time.perf_counter()
        bare.run(sequences)
        done = time.perf_counter()
        taken["tokens only"].append(done - read)
        taken["bare"].append(done - began)
        for name, way in ways.items():
            if first:
                way([first])
            began = time.perf_counter()
            way(requests)
            taken[name].append(time.perf_counter() - began)
    return taken


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--model", help="a cross-encoder; unset: the one of the settings")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--requests", type=int, default=32, help="asked by all callers in a round")
    parser.add_argument("--pairs", type=int, default=30, help="passages of a request")
    parser.add_argument("--tokens", type=int, default=166, help="tokens of a pair, at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--searches", type=int, default=120, help="requests of the one caller")
    return parser.parse_args()


if __name__ == "__main__":
    main()
