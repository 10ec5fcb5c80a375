"""Resident memory of one reranking worker over 100,000 requests.

    python -m benchmarks.inference_memory
    python -m benchmarks.inference_memory --requests 10000 --svg docs/inference_memory.svg

What is measured: one real worker process behind a real Redis answers requests of all kinds: one to
four passages of all lengths, some far longer than the model reads, some whose deadline has as good
as passed, some of text that no tokenizer expects. Resident memory is what the worker says of itself
with its pulse, its threads and open files what the system says.

How to read it: the first percent of the requests fill pools and arenas; from there on the curve has
to be flat. `growth` is the slope of a line through the second half, in MB for 100,000 requests, and
below 5 nothing leaks.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import machine_line
from benchmarks.worker_process import WorkerProcess, worker_process
from service.search.task_sender import NoAnswerError
from service.task_names import RERANK_CANDIDATES, RERANK_QUEUE

_MB = 1024**2
_STRANGE = ("", "\x00\ufffd\u200b" * 20, "日本語の文章。" * 10, "[SEP] [CLS] [PAD]", "a" * 3000)
_WORDS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbour", "inlet")
#: Kinds of requests, by how often they come.
_LATE, _WINDOWS = 0.02, 0.002
#: How often a passage is one of the strange ones, and how many words the others have.
_STRANGERS, _LENGTHS = 0.05, (1, 2, 4, 8, 16, 32, 100)
#: Samples of the beginning that are printed.
_FIRST = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """What the worker was after so many requests."""

    requests: int
    resident_mb: float
    threads: int
    files: int

    @property
    def row(self) -> str:
        """Return a line of a table."""
        return f"| {self.requests:,} | {self.resident_mb:.1f} | {self.threads} | {self.files} |"


def main() -> None:
    """Ask 100,000 times, and print the curve, a table of it and its slope."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--svg", type=Path, help="where to draw the curve")
    options = parser.parse_args()
    print(machine_line())
    with worker_process(RERANK_QUEUE) as worker:
        samples, answers = measure(worker, options.requests, options.samples, options.callers)
        pulse = worker.pulse()
    print(f"answers: {', '.join(f'{count:,} {name}' for name, count in sorted(answers.items()))}")
    print(
        f"{pulse.sequences:,} sequences in {pulse.runs:,} runs, {pulse.dropped:,} dropped, "
        f"{pulse.refused:,} refused, {pulse.waiting_tokens} tokens waiting"
    )
    print("\n| requests | resident MB | threads | open files |\n|---:|---:|---:|---:|")
    for sample in chosen(samples):
        print(sample.row)
    print(f"\ngrowth {growth(samples):+.1f} MB for 100,000 requests, in the second half")
    if options.svg:
        options.svg.write_text(draw(samples), encoding="utf-8")


def measure(
    worker: WorkerProcess, requests: int, count: int, callers: int
) -> tuple[list[Sample], dict[str, int]]:
    """Ask, and look at the worker now and then; return what was seen and the answers' kinds."""
    chance = random.Random(1)
    process = psutil.Process(worker.process.pid)
    samples = [look(process, 0)]
    answers: dict[str, int] = {}
    step = max(1, requests // count)
    with ThreadPoolExecutor(callers) as threads:
        for done in range(0, requests, step):
            asked = min(step, requests - done)
            questions = [make_question(chance) for _ in range(asked)]
            for kind in threads.map(lambda question: ask(worker, *question), questions):
                answers[kind] = answers.get(kind, 0) + 1
            samples.append(look(process, done + asked))
            print(f"\r{samples[-1].row}", end="", file=sys.stderr, flush=True)
    return samples, answers


def look(process: psutil.Process, requests: int) -> Sample:
    """Return what the system says of the process now."""
    return Sample(
        requests, process.memory_info().rss / _MB, process.num_threads(), process.num_fds()
    )


def make_question(chance: random.Random) -> tuple[list[str], float]:
    """Return passages, and the seconds until their deadline."""
    if chance.random() < _WINDOWS:
        return [text(chance, 2000)], 60.0
    passages = [
        chance.choice(_STRANGE) if chance.random() < _STRANGERS else text(chance, length)
        for length in chance.choices(_LENGTHS, k=chance.randint(1, 4))
    ]
    return passages, 0.002 if chance.random() < _LATE else 60.0


def text(chance: random.Random, words: int) -> str:
    """Return a text of so many words."""
    return " ".join(chance.choices(_WORDS, k=words))


def ask(worker: WorkerProcess, passages: Sequence[str], seconds: float) -> str:
    """Ask once and return the kind of the answer."""
    query = {"query": "where is the harbour", "passages": passages}
    try:
        worker.sender.call(RERANK_CANDIDATES, RERANK_QUEUE, query, time.time() + seconds)
    except NoAnswerError as error:
        return error.reason
    return "scored"


def chosen(samples: Sequence[Sample]) -> list[Sample]:
    """Return the first samples, which grow, and ten of the rest."""
    step = max(1, len(samples) // 10)
    return [s for place, s in enumerate(samples) if place < _FIRST or place % step == 0]


def growth(samples: Sequence[Sample]) -> float:
    """Return the slope of the second half, in MB for 100,000 requests."""
    half = samples[len(samples) // 2 :]
    line = np.polyfit([s.requests for s in half], [s.resident_mb for s in half], 1)
    return float(100_000 * line[0])


def draw(samples: Sequence[Sample]) -> str:
    """Return the curve as a drawing of its own."""
    width, height, edge = 640, 220, 46
    most_requests = samples[-1].requests
    most = 1.2 * max(sample.resident_mb for sample in samples)
    points = " ".join(
        f"{edge + (width - 2 * edge) * s.requests / most_requests:.1f},"
        f"{height - edge - (height - 2 * edge) * s.resident_mb / most:.1f}"
        for s in samples
    )
    base = height - edge
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"
  font-size="12">
<rect width="{width}" height="{height}" fill="white"/>
<path d="M{edge} {edge}V{base}H{width - edge}" fill="none" stroke="black"/>
<polyline points="{points}" fill="none" stroke="#2a6fb0" stroke-width="1.5"/>
<text x="{edge}" y="{edge - 12}">resident MB of the reranking worker</text>
<text x="{edge - 6}" y="{edge + 4}" text-anchor="end">{most:.0f}</text>
<text x="{edge - 6}" y="{base + 4}" text-anchor="end">0</text>
<text x="{width - edge}" y="{base + 18}" text-anchor="end">{most_requests:,} requests</text>
</svg>
"""


if __name__ == "__main__":
    main()
