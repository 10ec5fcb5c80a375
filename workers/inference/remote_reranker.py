"""A reranker that somebody else runs, asked over HTTP in one of three shapes."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.model_cards import RerankerCard
from service.settings import Settings
from workers.inference.backend import DeadlineExceededError, ModelBusyError
from workers.inference.call_tally import CallTally
from workers.inference.load import Load
from workers.inference.passage_windows import Window, best_of, estimated_tokens, split_passage
from workers.inference.remote_endpoint import RemoteEndpoint, require_url
from workers.inference.reranker import Scoring

#: Some endpoints refuse an empty document; this has as little to do with any query.
_EMPTY: Final = "(empty)"


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one kind of endpoint is asked, and where its answer has the scores.

    ``most`` documents go into one request: what the endpoint takes unless configured otherwise.
    """

    most: int
    body: Callable[[str, str, Sequence[str]], dict[str, Any]]
    results: str | None
    score: str


def _documents(model: str, query: str, passages: Sequence[str]) -> dict[str, Any]:
    # Without top_n every document gets its score.
    return {"model": model, "query": query, "documents": list(passages)}


def _jina(model: str, query: str, passages: Sequence[str]) -> dict[str, Any]:
    return _documents(model, query, passages) | {"return_documents": False}


def _tei(_model: str, query: str, passages: Sequence[str]) -> dict[str, Any]:
    # Truncation is a safety net: windows are cut by an estimate, and one token too many is no
    # reason to have no score. Raw scores, because a sigmoid squeezes the best ones together.
    return {"query": query, "texts": list(passages), "raw_scores": True, "truncate": True}


_SHAPES: Final[Mapping[str, _Shape]] = {
    "cohere": _Shape(100, _documents, "results", "relevance_score"),
    "jina": _Shape(100, _jina, "results", "relevance_score"),
    "tei": _Shape(32, _tei, None, "score"),
}


class RemoteReranker:
    """Scores passages by asking an endpoint; any number of threads may share it."""

    def __init__(self, card: RerankerCard, endpoint: RemoteEndpoint) -> None:
        assert card.endpoint is not None
        self.card = card
        self.backend_name = f"remote-{card.endpoint}"
        self._endpoint = endpoint
        self._shape = _SHAPES[card.endpoint]
        self._tally = CallTally(self._shape.most * card.max_tokens)

    def score(self, query: str, passages: Sequence[str], deadline: float | None) -> Scoring:
        """Score the passages from the first on, request by request, until the deadline.

        A busy endpoint is waited for where its own time to wait ends before the deadline.

        Raises:
            ModelBusyError: nothing was scored, because the endpoint is busy for longer.
            ModelUnavailableError: it cannot be reached, or answers otherwise than asked.
        """
        windows = self._split(query, passages)
        scores: list[float | None] = []
        for batch in self._batches(windows):
            found = self._ask(query, passages, batch, deadline, first=not scores)
            if found is None:
                break
            scores += found
        self._tally.drop(len(windows) - len(scores))
        scores += [None] * (len(windows) - len(scores))
        return Scoring(*best_of(windows, scores, len(passages)))

    def load(self) -> Load:
        """Return what the model is doing now."""
        return self._tally.load()

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()

    def _split(self, query: str, passages: Sequence[str]) -> list[Window]:
        # As the cross-encoder does: a long query leaves the passage half of what the model reads.
        asked = min(estimated_tokens(query), self.card.max_tokens // 2)
        room = self.card.max_tokens - asked
        return [
            window
            for number, passage in enumerate(passages)
            for window in split_passage(number, passage, room)
        ]

    def _batches(self, windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
        for first in range(0, len(windows), self._shape.most):
            yield windows[first : first + self._shape.most]

    def _ask(
        self,
        query: str,
        passages: Sequence[str],
        batch: Sequence[Window],
        deadline: float | None,
        *,
        first: bool,
    ) -> list[float] | None:
        """Return a score for each window of the batch, or None where the deadline comes first."""
        texts = [
            passages[window.passage][window.start : window.end].strip() or _EMPTY
            for window in batch
        ]
        body = self._shape.body(self.card.served_name, query, texts)
        while True:
            try:
                with self._tally.call(sum(window.tokens for window in batch), len(batch)):
                    answer = self._endpoint.ask(body, deadline)
            except DeadlineExceededError:
                return None
            except ModelBusyError as busy:
                self._tally.refuse(len(batch))
                if deadline is None or time.monotonic() + busy.seconds < deadline:
                    time.sleep(busy.seconds)
                    continue
                if first:
                    raise
                return None
            return self._read(answer, len(batch))

    def _read(self, answer: Any, wanted: int) -> list[float]:
        """Return the scores in the order of the documents asked about."""
        shape = self._shape
        try:
            results = answer if shape.results is None else answer[shape.results]
            found = {int(result["index"]): float(result[shape.score]) for result in results}
            scores = [found[index] for index in range(wanted)]
        except (KeyError, TypeError, ValueError):
            raise self._endpoint.wrong_answer(
                f"something else than a score for each of {wanted} documents; "
                f"is it of the shape {self.card.endpoint!r}?"
            ) from None
        if not all(map(math.isfinite, scores)):
            raise self._endpoint.wrong_answer("scores that are no numbers")
        return scores


def load_remote_reranker(card: RerankerCard, settings: Settings) -> RemoteReranker:
    """Return the reranker that the card describes; nothing is asked before a query comes.

    Raises:
        InvalidInputError: it was not said where the endpoint is.
    """
    return RemoteReranker(card, open_rerank_endpoint(card, settings))


def open_rerank_endpoint(card: RerankerCard, settings: Settings) -> RemoteEndpoint:
    """Return the endpoint of the card, or of the settings where the card names none."""
    return RemoteEndpoint(
        require_url(card.url or settings.rerank_url, card.name, "RANKGRES_RERANK_URL"),
        settings.rerank_api_key,
        settings.remote_timeout_seconds,
        setting="RANKGRES_RERANK_URL",
    )
