"""The cross-encoder: scores of passages for a query, as many as the deadline allows."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress
from typing import Final

from tokenizers import Tokenizer

from service.model_cards import RerankerCard
from service.settings import Settings
from workers.inference.backend import TokenSequence, open_backend, pair_head
from workers.inference.batcher import Batcher, open_batcher
from workers.inference.load import Load
from workers.inference.model_files import locate
from workers.inference.model_request import Rows
from workers.inference.pair_windows import PairReader, Window
from workers.inference.reranker import Scoring
from workers.inference.tokens import load_tokenizer

#: Passages that are read before it is asked whether more could be scored at all.
_READ_AT_ONCE: Final = 64
#: Characters that a token has at most, on an average over a long text: what has more of them than
#: could be scored in time is not even read.
_LONGEST_TOKEN: Final = 10
#: Characters that are read in any case, which takes some milliseconds: where nothing was tried
#: because the model seems to be slow, it would seem so for ever.
_ALWAYS_READ: Final = 20_000
#: How much of the estimate of a call's cost a new observation replaces.
_LEARNING_RATE: Final = 0.1
#: Calls before a model serves, so that its speed is known to the first caller.
_WARM_UP: Final = 3


class CrossEncoder:
    """Scores passages with one loaded model; any number of threads may share it.

    A passage longer than the model reads is scored by windows of the model's own length, and the
    best one counts.
    """

    def __init__(self, card: RerankerCard, tokenizer: Tokenizer, batcher: Batcher) -> None:
        self.card = card
        self.backend_name = batcher.backend_name
        self._reader = PairReader(tokenizer, card.max_tokens)
        self._batcher = batcher
        self._overhead_ms = 0.0

    def score(self, query: str, passages: Sequence[str], deadline: float | None) -> Scoring:
        """Score the passages from the first on, until the deadline; higher is more relevant.

        A passage is scored when all of its windows are.

        Args:
            query: cut to half of what the model reads, if it is longer than that.
            passages: best first, so that a short deadline leaves out the least promising.
            deadline: on the clock of ``time.monotonic``, in seconds; None scores all.

        Raises:
            ModelBusyError: too much waits already for any of it to be scored in time.
        """
        began = time.monotonic()
        windows = self._read(query, passages, deadline)
        sequences = [window.sequence for of_passage in windows for window in of_passage]
        before = self._batcher.load().sequences if self._batcher.idle else None
        request = self._batcher.submit(sequences, deadline, partly=deadline is not None)
        rows = iter(request.reached())
        scoring = _best(windows, rows, len(passages))
        if before is not None and None not in scoring.scores:
            self._learn(time.monotonic() - began, sequences, before)
        return scoring

    def load(self) -> Load:
        """Return what the model is doing now."""
        return replace(self._batcher.load(), overhead_ms=self._overhead_ms)

    def close(self) -> None:
        """Stop the model's threads; passages that still wait stay without a score."""
        self._batcher.close()

    def _read(
        self, query: str, passages: Sequence[str], deadline: float | None
    ) -> list[list[Window]]:
        """Return the windows of the first passages, of no more than could be scored in time."""
        windows: list[list[Window]] = []
        tokens = 0
        for start in range(0, len(passages), _READ_AT_ONCE):
            # Asked anew each time: reading takes time too.
            affordable = self._batcher.affordable_tokens(deadline) - tokens
            if start and affordable <= 0:
                break
            some = passages[start : start + _READ_AT_ONCE]
            most = max(_ALWAYS_READ, _LONGEST_TOKEN * affordable)
            short = [len(passage) <= most for passage in some]
            read = iter(self._reader.read(query, list(compress(some, short))))
            windows += [next(read) if fits else [] for fits in short]
            tokens = sum(len(window.sequence) for parts in windows for window in parts)
        return windows

    def _learn(self, seconds: float, sequences: Sequence[TokenSequence], before: int) -> None:
        """Move the estimate of what a call costs beside the model towards what one just did.

        ``before`` counts what the model had run when the call came: one that shared it with others
        tells nothing.
        """
        load = self._batcher.load()
        if load.tokens_per_second > 0 and load.sequences == before + len(sequences):
            in_model = sum(map(len, sequences)) / load.tokens_per_second
            seen = max(0.0, 1000 * (seconds - in_model))
            self._overhead_ms += _LEARNING_RATE * (seen - self._overhead_ms)


def load_cross_encoder(card: RerankerCard, settings: Settings) -> CrossEncoder:
    """Find, load and warm up what scores pairs as the card describes."""
    folder = locate(card.served_name)
    backend = open_backend(card.name, folder, pair_head(card, folder) or "pair", settings)
    model = CrossEncoder(card, load_tokenizer(folder), open_batcher(backend, settings))
    for _ in range(_WARM_UP):
        model.score("warm up", ["the first runs allocate and show the speed " * 10] * 8, None)
    return model


def _best(
    windows: Sequence[Sequence[Window]], rows: Iterator[Rows | None], passages: int
) -> Scoring:
    """Return the best window of each passage; one that was not read as a whole has no score."""
    scores: list[float | None] = []
    places: list[tuple[int, int] | None] = []
    for of_passage in windows:
        found = [(row, window) for window in of_passage if (row := next(rows)) is not None]
        if not found or len(found) < len(of_passage):
            scores.append(None)
            places.append(None)
            continue
        best, window = max(found, key=lambda pair: float(pair[0]))
        scores.append(float(best))
        places.append(window.place)
    left = passages - len(scores)
    return Scoring(scores + [None] * left, places + [None] * left)
