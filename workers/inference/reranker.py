"""The cross-encoder: scores of passages for a query, as many as the deadline allows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tokenizers import Tokenizer

from service.model_cards import RerankerCard, reranker_card
from service.settings import Settings
from workers.inference.backend import Backend, DeadlineExceededError, TokenSequence, open_backend
from workers.inference.batcher import Batcher
from workers.inference.model_files import locate
from workers.inference.tokens import TokenReader, load_tokenizer

#: Passages handed to the batcher together; between slices other callers get their turn.
SLICE: Final = 8
#: How much of the estimate a new observation replaces. Faster where the news is good: a stall that
#: is over must not cost the next requests their reranking.
_LEARNING_RATE: Final = 0.3
_RECOVERY_RATE: Final = 0.8


@dataclass(frozen=True)
class Scoring:
    """Raw scores in the order of the passages, None where the deadline came first.

    ``truncated`` says of which scored passages the model could read only the head.
    """

    scores: list[float | None]
    truncated: list[bool]


class Reranker:
    """Scores passages with one loaded model; any number of threads may share it."""

    def __init__(self, card: RerankerCard, tokenizer: Tokenizer, backend: Backend) -> None:
        self.card = card
        self.backend_name = backend.name
        self._reader = TokenReader(tokenizer, card.max_tokens)
        self._batcher = Batcher(backend)
        self._seconds_per_token = 0.0

    def score(
        self, query: str, passages: Sequence[str], deadline: float | None
    ) -> list[float | None]:
        """Return ``score_and_report``'s scores alone."""
        return self.score_and_report(query, passages, deadline).scores

    def score_and_report(
        self, query: str, passages: Sequence[str], deadline: float | None
    ) -> Scoring:
        """Score the passages from the first on, until the deadline; higher is more relevant.

        No slice is begun that would, at the speed seen so far, end after the deadline.

        Args:
            query: cut to half of what the model reads, if it is longer than that.
            passages: best first, so that a short deadline leaves out the least promising.
            deadline: on the clock of ``time.monotonic``, in seconds; None scores all.
        """
        scores: list[float | None] = []
        truncated: list[bool] = []
        for start in range(0, len(passages), SLICE):
            # Read slice by slice too: the tokens of a thousand passages take their time.
            sequences = self._reader.read_pairs(query, passages[start : start + SLICE])
            scored = self._run(self._fitting(sequences, deadline, first=start == 0), deadline)
            scores += scored
            truncated += [sequence.truncated for sequence in sequences[: len(scored)]]
            if len(scored) < len(sequences):
                break
        left = len(passages) - len(scores)
        return Scoring(scores + [None] * left, truncated + [False] * left)

    def close(self) -> None:
        """Stop the reranker's thread; passages that still wait stay without a score."""
        self._batcher.close()

    def _fitting(
        self, sequences: Sequence[TokenSequence], deadline: float | None, *, first: bool
    ) -> Sequence[TokenSequence]:
        """Return the first sequences, as many as will be scored before the deadline.

        Of the first slice one is tried while there is time at all, or one slow run would teach
        never to try again.
        """
        if deadline is None:
            return sequences
        left = deadline - time.monotonic()
        ends = accumulate(self._seconds_per_token * len(sequence) for sequence in sequences)
        fitting = sum(1 for end in ends if end < left)
        return sequences[: max(fitting, 1 if first and left > 0 else 0)]

    def _run(self, sequences: Sequence[TokenSequence], deadline: float | None) -> list[float]:
        """Return a score for each sequence, or none at all where the deadline came first."""
        if not sequences:
            return []
        started = time.monotonic()
        try:
            rows = self._batcher.submit(sequences, deadline).result()
        except DeadlineExceededError:
            return []
        self._learn(time.monotonic() - started, sum(map(len, sequences)))
        return [float(row) for row in rows]

    def _learn(self, seconds: float, tokens: int) -> None:
        """Move the estimate towards what a caller just saw, waiting for others included."""
        seen = seconds / tokens
        known = self._seconds_per_token or seen
        rate = _LEARNING_RATE if seen > known else _RECOVERY_RATE
        self._seconds_per_token = known + rate * (seen - known)


def load_reranker(name: str, settings: Settings) -> Reranker:
    """Find, load and warm up the cross-encoder of that name.

    Raises:
        ModelUnavailableError: the model or its backend cannot be found or loaded.
    """
    card = reranker_card(name)
    folder = locate(card.name)
    backend = open_backend(card.name, folder, "pair", settings)
    reranker = Reranker(card, load_tokenizer(folder), backend)
    reranker.score("warm up", ["the first run allocates and shows the speed " * 10] * 2, None)
    return reranker
