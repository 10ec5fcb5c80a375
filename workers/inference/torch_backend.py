"""Models on torch, by sentence-transformers: the backend for CUDA, and for MPS where asked."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SentenceTransformer

from service.errors import ModelUnavailableError
from service.settings import Settings
from workers.inference.backend import CPU_RUN_TOKENS, Head, TokenSequence, pad
from workers.inference.late_pairs import load_late_pairs
from workers.inference.processors import physical_cores

_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_DTYPES: Final = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
#: Widths on CUDA are multiples of it.
_CUDA_WIDTH: Final = 16


class TorchBackend:
    """Runs a model with the modules that its own folder lists, on CUDA, on MPS or on a CPU.

    On CUDA in the precision of the settings, fp32 elsewhere; attention is SDPA wherever the model
    has it. Two runs are under way at once on CUDA: while one computes, the other is put together.
    """

    one_by_one = False

    def __init__(self, folder: Path, head: Head, settings: Settings) -> None:
        self._device = _device()
        self.name = f"torch-{self._device}"
        self._on_cuda = self._device == "cuda"
        self.lanes = 2 if self._on_cuda else 1
        self.run_tokens = settings.batch_tokens
        if self._device == "cpu":
            torch.set_num_threads(settings.inference_threads or physical_cores())
            self.run_tokens = min(settings.batch_tokens, CPU_RUN_TOKENS)
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no hints
        precision = settings.torch_precision if self._on_cuda else "fp32"
        try:
            self._model = _load(folder, head, self._device, _DTYPES[precision])
        except Exception as error:  # the libraries below raise what they like
            raise ModelUnavailableError(
                f"torch cannot load the model in {folder}: {error}",
                field="model",
                value=str(folder),
                mend="check that the folder is whole and of an architecture transformers knows",
            ) from error
        if settings.torch_compile:
            self._model.compile(dynamic=True)
        self._output = {"pair": "scores", "late": None}.get(head, "sentence_embedding")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._pad_id = config.get("pad_token_id") or 0
        self._has_types = config.get("type_vocab_size", 0) > 1

    def run(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        """Return a row for each sequence: an embedding or a score."""
        try:
            rows = self._forward(sequences)
        except torch.OutOfMemoryError:
            # The batcher tries again with half of it, on what the allocator holds in pieces now.
            torch.cuda.empty_cache()
            raise
        return rows[:, 0] if self._output == "scores" else rows

    def _forward(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        # Few shapes keep CUDA's allocator from collecting pieces, and suit its products.
        batch = pad(sequences, self._pad_id, multiple=_CUDA_WIDTH if self._on_cuda else 1)
        arrays = [batch.ids, batch.mask] + ([batch.type_ids] if self._has_types else [])
        stacked = torch.from_numpy(np.stack(arrays))
        if self._on_cuda:
            # Pinned and in one piece, so that the copy needs no wait: the only one is for the rows.
            stacked = stacked.pin_memory()
        placed = stacked.to(self._device, non_blocking=self._on_cuda)
        features = dict(zip(_INPUTS, placed.unbind(), strict=False))
        with torch.inference_mode():
            answer = self._model(features) if self._output else self._model(**features)
            rows: torch.Tensor = answer[self._output] if self._output else answer
        found: NDArray[np.float32] = rows.float().cpu().numpy()
        return found


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _load(folder: Path, head: Head, device: str, dtype: torch.dtype) -> torch.nn.Module:
    if head == "late":
        return load_late_pairs(folder, dtype, "sdpa").to(device)
    factory = CrossEncoder if head == "pair" else SentenceTransformer
    model = factory(
        str(folder), device=device, local_files_only=True, model_kwargs={"dtype": dtype}
    )
    return model.eval()
