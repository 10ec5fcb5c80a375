"""Models on torch, by sentence-transformers: the backend for CUDA, and for MPS where asked."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SentenceTransformer

from service.errors import ModelUnavailableError
from service.settings import Settings
from workers.inference.backend import CPU_RUN_TOKENS, Head, TokenSequence, pad
from workers.inference.processors import physical_cores


class TorchBackend:
    """Runs a model with the modules that its own folder lists, fp16 on CUDA and fp32 elsewhere."""

    def __init__(self, folder: Path, head: Head, settings: Settings) -> None:
        self._device = _device()
        self.name = f"torch-{self._device}"
        on_cpu = self._device == "cpu"
        if on_cpu:
            torch.set_num_threads(settings.inference_threads or physical_cores())
        self.run_tokens = (
            min(settings.batch_tokens, CPU_RUN_TOKENS) if on_cpu else settings.batch_tokens
        )
        self.run_sequences = self.run_tokens
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no hints
        try:
            self._model = _load(folder, head, self._device)
        except Exception as error:  # the libraries below raise what they like
            raise ModelUnavailableError(
                f"torch cannot load the model in {folder}: {error}",
                field="model",
                value=str(folder),
                mend="check that the folder is whole and of an architecture transformers knows",
            ) from error
        self._output = "scores" if head == "pair" else "sentence_embedding"
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._pad_id = config.get("pad_token_id") or 0
        self._has_types = config.get("type_vocab_size", 0) > 1

    def run(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        """Return a row for each sequence: an embedding or a score."""
        batch = pad(sequences, self._pad_id)
        arrays = {"input_ids": batch.ids, "attention_mask": batch.mask}
        if self._has_types:
            arrays["token_type_ids"] = batch.type_ids
        features = {name: torch.from_numpy(a).to(self._device) for name, a in arrays.items()}
        with torch.inference_mode():
            rows = self._model(features)[self._output]
        found: NDArray[np.float32] = rows.float().cpu().numpy()
        return found[:, 0] if self._output == "scores" else found


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _load(folder: Path, head: Head, device: str) -> torch.nn.Module:
    dtype = torch.float16 if device == "cuda" else torch.float32
    factory = CrossEncoder if head == "pair" else SentenceTransformer
    model = factory(
        str(folder), device=device, local_files_only=True, model_kwargs={"dtype": dtype}
    )
    return model.eval()
