"""What runs a model: one small interface, and the choice between its two implementations."""

import importlib.metadata
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.errors import ModelUnavailableError, RankgresError
from service.model_cards import RerankerCard
from service.settings import Settings
from workers.inference.model_files import QUERY_WEIGHTS
from workers.inference.processors import cuda_present

logger = logging.getLogger(__name__)

#: ``mean`` and ``cls`` are a bi-encoder's pooling; ``pair`` is a cross-encoder, ``late`` the late
#: interaction of ``late_pairs``.
Head = Literal["mean", "cls", "pair", "late"]

#: Padded tokens of one run on a CPU whose cores share each run. More does not help there:
#: passages of 237 tokens went at 67 a second in runs of 4, 65 one by one and 56 in runs of 16,
#: where attention leaves the cache.
CPU_RUN_TOKENS: Final = 1024
#: The same where each core has a run of its own; whoever comes next waits for no more than that.
CORE_RUN_TOKENS: Final = 512
#: The same where such a run reads its sequences one by one: it only saves looking for the next.
ALONE_RUN_TOKENS: Final = 256


class DeadlineExceededError(RankgresError):
    """The deadline passed before the model had run."""

    status: ClassVar[int] = 503
    slug: ClassVar[str] = "deadline-exceeded"


class ModelBusyError(RankgresError):
    """The model wants to be asked again later, as a remote one does that answers 429."""

    status: ClassVar[int] = 503
    slug: ClassVar[str] = "model-busy"

    def __init__(self, seconds: float) -> None:
        #: When to ask again, from now.
        self.seconds = seconds
        super().__init__(f"the model is busy; asked again in {seconds:.0f} s")


#: Lists, or arrays, which are quicker to put together.
Ids = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TokenSequence:
    """One input of a model: token ids and segment ids, of equal length.

    ``full_length`` counts the tokens there would be without truncation.
    """

    ids: Ids
    type_ids: Ids
    full_length: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def truncated(self) -> bool:
        """Return whether the model reads less than the whole text."""
        return self.full_length > len(self.ids)


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Three int64 arrays of one shape (sequences, longest sequence)."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    type_ids: NDArray[np.int64]


class Backend(Protocol):
    """Runs one model; used by as many threads at a time as it has lanes."""

    @property
    def name(self) -> str:
        """Return the runtime and what distinguishes it, such as ``onnx-int8``."""

    @property
    def run_tokens(self) -> int:
        """Return how many padded tokens one run should hold."""

    @property
    def lanes(self) -> int:
        """Return how many runs may be under way at once."""

    @property
    def one_by_one(self) -> bool:
        """Return whether a run reads its sequences one after the other, without padding."""

    def run(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        """Return pooled embeddings, shape (n, dimension), or raw scores, shape (n,)."""


def pad(sequences: Sequence[TokenSequence], pad_id: int, multiple: int = 1) -> PaddedBatch:
    """Return the sequences as arrays, filled up with ``pad_id`` to a ``multiple`` of tokens."""
    lengths = np.array([len(sequence) for sequence in sequences])
    width = -(-int(lengths.max()) // multiple) * multiple
    # All rows at once: row by row it took 3 ms for 100 sequences of 256 tokens, this takes 0.3.
    filled = np.arange(width) < lengths[:, None]
    ids = np.full(filled.shape, pad_id, dtype=np.int64)
    ids[filled] = np.concatenate([sequence.ids for sequence in sequences])
    type_ids = np.zeros(filled.shape, dtype=np.int64)
    type_ids[filled] = np.concatenate([sequence.type_ids for sequence in sequences])
    return PaddedBatch(ids, filled.astype(np.int64), type_ids)


def choose_backend(settings: Settings) -> Literal["onnx", "torch"]:
    """Return the backend that the settings ask for; ``auto`` is torch only where CUDA can run."""
    if settings.inference_backend != "auto":
        return settings.inference_backend
    if not cuda_present():
        return "onnx"
    if importlib.util.find_spec("sentence_transformers") is None:
        logger.warning("a CUDA device is idle: install rankgres[torch] to run models on it")
        return "onnx"
    # The version tells a CPU build without importing torch, which takes seconds.
    return "onnx" if importlib.metadata.version("torch").endswith("+cpu") else "torch"


def pair_head(card: RerankerCard, folder: Path) -> Head | None:
    """Return the head that scores pairs with the model; None where it is no model of pairs."""
    if card.kind == "cross-encoder":
        return "pair"
    late = card.kind == "late-interaction" and (folder / QUERY_WEIGHTS).is_file()
    return "late" if late else None


def open_backend(name: str, folder: Path, head: Head, settings: Settings) -> Backend:
    """Load the model in ``folder`` and return it ready to run.

    Args:
        name: the model's name, for messages and for the file of its export.
        folder: weights, ``config.json`` and ``tokenizer.json``.
        head: what makes rows of the model's output.
        settings: backend, precision, threads and batch size.

    Raises:
        ModelUnavailableError: the backend is not installed, or the model does not load.
    """
    chosen = choose_backend(settings)
    needed = "onnxruntime" if chosen == "onnx" else "sentence_transformers"
    if importlib.util.find_spec(needed) is None:
        raise ModelUnavailableError(
            f"the {chosen} backend is not installed",
            field="RANKGRES_INFERENCE_BACKEND",
            value=settings.inference_backend,
            mend=f"install it with: pip install 'rankgres[{chosen}]'",
        )
    if chosen == "onnx":
        from workers.inference.onnx_backend import OnnxBackend

        return OnnxBackend(name, folder, head, settings)
    from workers.inference.torch_backend import TorchBackend

    return TorchBackend(folder, head, settings)
