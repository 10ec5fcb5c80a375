"""Late interaction: tokens of the query meet tokens of each passage, on torch.

Each token has an embedding; a passage's score is the sum, over the query's tokens, of the nearest
passage token's similarity (Khattab and Zaharia 2020, "ColBERT", section 3.3: MaxSim). Here only the
candidates are embedded, when they are asked about: nothing more is stored.
"""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Normalize

from service.errors import ModelUnavailableError
from service.model_cards import RerankerCard
from service.settings import Settings
from workers.inference.backend import CPU_RUN_TOKENS
from workers.inference.call_tally import CallTally
from workers.inference.load import Load
from workers.inference.model_facts import is_multi_vector
from workers.inference.model_files import locate
from workers.inference.passage_windows import Window, best_of
from workers.inference.processors import physical_cores
from workers.inference.reranker import Scoring
from workers.inference.tokens import load_tokenizer

#: Tokens that the model adds to a passage: its two special ones and a ColBERT model's marker.
_ADDED_TOKENS: Final = 3
#: Share of a window that the next one reads again.
_OVERLAP: Final = 1 / 8


class LateInteraction:
    """Scores passages with one loaded model; any number of threads may share it.

    Threads take turns batch by batch, so that a caller with much leaves others theirs.
    """

    def __init__(self, card: RerankerCard, folder: Path, settings: Settings) -> None:
        self.card = card
        device = _device()
        self.backend_name = f"late-{device}"
        if device == "cpu":
            torch.set_num_threads(settings.inference_threads or physical_cores())
        self._run_tokens = (
            min(settings.batch_tokens, CPU_RUN_TOKENS) if device == "cpu" else settings.batch_tokens
        )
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no hints
        try:
            self._model = _load(folder, device)
            # Of its own: the model's is not safe to share while it runs.
            self._tokenizer = load_tokenizer(folder)
        except Exception as error:  # the libraries below raise what they like
            raise ModelUnavailableError(
                f"the model in {folder} cannot interact late: {error}",
                field="model",
                value=card.name,
                mend="give a ColBERT model of sentence-transformers, PyLate or Stanford, "
                "or a plain bi-encoder",
            ) from error
        self._window_tokens = _longest_document(self._model, card) - _ADDED_TOKENS
        self._tally = CallTally(self._run_tokens)
        self._turn = threading.Lock()

    def score(self, query: str, passages: Sequence[str], deadline: float | None) -> Scoring:
        """Score the passages from the first on, until the deadline; higher is more relevant.

        No batch is begun that would, at the speed seen so far, end after the deadline.
        """
        windows: list[Window] = []
        scores: list[float | None] = []
        asked: torch.Tensor | None = None
        for batch in self._batches(passages):
            if not self._turn.acquire(timeout=_left(deadline)):
                break
            try:
                fitting = self._fitting(batch, deadline, first=not windows)
                if not fitting:
                    break
                asked = self._encode_query(query) if asked is None else asked
                scores += self._score_batch(asked, passages, fitting)
                windows += fitting
            finally:
                self._turn.release()
            if len(fitting) < len(batch):
                break
        best, places = best_of(windows, scores, len(passages))
        # Of the last passage reached, some windows may be missing.
        last = windows[-1].passage if windows else -1
        if windows and windows[-1].end < len(passages[last]):
            best[last], places[last] = None, None
        self._tally.drop(best.count(None))
        return Scoring(best, places)

    def load(self) -> Load:
        """Return what the model is doing now."""
        return self._tally.load()

    def close(self) -> None:
        """Do nothing: no thread is to be stopped, and the model goes with its last caller."""

    def _fitting(
        self, batch: Sequence[Window], deadline: float | None, *, first: bool
    ) -> Sequence[Window]:
        """Return the first windows of a batch, as many as will be scored before the deadline.

        Of the first batch one is tried while there is time at all, or one slow run would teach
        never to try again.
        """
        if deadline is None:
            return batch
        left = deadline - time.monotonic()
        fitting = len(batch)
        while fitting and self._tally.seconds_for(_tokens(batch[:fitting])) >= left:
            fitting -= 1
        return batch[: max(fitting, 1 if first and left > 0 else 0)]

    def _batches(self, passages: Sequence[str]) -> Iterator[list[Window]]:
        """Yield windows of the passages, in their order, as many as one run may hold."""
        batch: list[Window] = []
        longest = 0
        for number, passage in enumerate(passages):
            for window in self._split(number, passage):
                widest = max(longest, window.tokens)
                if batch and widest * (len(batch) + 1) > self._run_tokens:
                    yield batch
                    batch, widest = [], window.tokens
                batch.append(window)
                longest = widest
        if batch:
            yield batch

    def _split(self, number: int, passage: str) -> Iterator[Window]:
        offsets = self._tokenizer.encode(passage, add_special_tokens=False).offsets
        size = self._window_tokens
        if len(offsets) <= size:
            yield Window(number, 0, len(passage), len(offsets) + _ADDED_TOKENS)
            return
        step = size - int(_OVERLAP * size)
        for first in range(0, len(offsets) - size + step, step):
            last = min(first + size, len(offsets))
            start = offsets[first][0] if first else 0
            end = offsets[last - 1][1] if last < len(offsets) else len(passage)
            yield Window(number, start, end, last - first + _ADDED_TOKENS)

    def _encode_query(self, query: str) -> torch.Tensor:
        encoded: torch.Tensor = self._model.encode_query([query], show_progress_bar=False)[0]
        return encoded

    def _score_batch(
        self, asked: torch.Tensor, passages: Sequence[str], batch: Sequence[Window]
    ) -> list[float | None]:
        texts = [passages[window.passage][window.start : window.end] for window in batch]
        with self._tally.call(_tokens(batch), len(batch)), torch.inference_mode():
            encoded = self._model.encode_document(
                texts, batch_size=len(texts), show_progress_bar=False
            )
            scores = self._model.similarity([asked], encoded)[0].float().cpu().tolist()
        # Where every token of a passage is left out of scoring, nothing is near anything.
        return [score if math.isfinite(score) else 0.0 for score in scores]


def load_late_interaction(card: RerankerCard, settings: Settings) -> LateInteraction:
    """Find, load and warm up the model that the card describes."""
    model = LateInteraction(card, locate(card.served_name), settings)
    model.score("warm up", ["the first run allocates and shows the speed " * 10] * 2, None)
    return model


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _load(folder: Path, device: str) -> MultiVectorEncoder:
    kwargs: dict[str, Any] = {
        "dtype": torch.float16 if device == "cuda" else torch.float32,
    }
    if is_multi_vector(folder):
        return MultiVectorEncoder(
            str(folder), device=device, local_files_only=True, model_kwargs=kwargs
        )
    # Given the folder itself, the library would add a projection with random weights, to be
    # trained. A bi-encoder's own token embeddings are of use as they are.
    modules: list[torch.nn.Module] = [
        Transformer(str(folder), model_kwargs=kwargs | {"local_files_only": True}),
        MultiVectorMask(),
        Normalize(module_input_name="token_embeddings"),
    ]
    return MultiVectorEncoder(modules=modules, device=device)


def _longest_document(model: MultiVectorEncoder, card: RerankerCard) -> int:
    """Return how many tokens of a passage are read: what the card says, and the model can."""
    transformer: Any = model[0]
    own: tuple[int | None, ...] = transformer.document_length, transformer.max_seq_length
    return min([card.max_tokens, *(length for length in own if length)])


def _tokens(batch: Sequence[Window]) -> int:
    """Return the padded tokens of a run."""
    return len(batch) * max(window.tokens for window in batch)


def _left(deadline: float | None) -> float:
    return -1 if deadline is None else max(0.0, deadline - time.monotonic())
