"""Models on ONNX Runtime: the CPU's backend, without torch in the process."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.errors import ModelUnavailableError
from service.settings import Settings
from workers.inference.backend import (
    ALONE_RUN_TOKENS,
    CORE_RUN_TOKENS,
    Head,
    TokenSequence,
    pad,
)
from workers.inference.onnx_cache import exported
from workers.inference.processors import cuda_present, physical_cores

_ONLY_ERRORS = 3
_CUDA = "CUDAExecutionProvider"


class OnnxBackend:
    """Runs an exported model, int8 or fp32; on a CPU one run on each core.

    Parallel by runs, not within one: where other work shares the processors, two threads that share
    a matrix wait for each other at every layer (half the speed of one, with both cores busy), and
    two that run different texts do not. Nor does one wait for the other at the end of a run.

    In int8 every sequence runs alone. Dynamic quantisation takes one scale for all activations
    of a run, so a text's embedding would depend on the texts beside it (cosine down to 0.985
    between alone and in a batch of 16). Alone it is a function of the text, and 237 tokens go as
    fast; 57 tokens lose a tenth, 11 tokens a quarter.
    """

    def __init__(self, name: str, folder: Path, head: Head, settings: Settings) -> None:
        on_cuda = _CUDA in onnxruntime.get_available_providers() and cuda_present()
        if on_cuda:
            # int8 is for processors: on CUDA its products fall back to slower ones.
            settings = settings.model_copy(update={"onnx_precision": "fp32"})
        precision = settings.onnx_precision
        self.name = f"onnx-{precision}-cuda" if on_cuda else f"onnx-{precision}"
        self.one_by_one = precision == "int8"
        core_tokens = ALONE_RUN_TOKENS if self.one_by_one else CORE_RUN_TOKENS
        self.lanes = 1 if on_cuda else settings.inference_threads or physical_cores()
        self.run_tokens = (
            settings.batch_tokens if on_cuda else min(settings.batch_tokens, core_tokens)
        )
        path = exported(name, folder, head, settings)
        try:
            self._session = onnxruntime.InferenceSession(
                path, _session_options(), providers=_providers(on_cuda=on_cuda)
            )
        except Exception as error:  # ONNX Runtime's errors share no narrower class
            raise ModelUnavailableError(
                f"the exported model {path} does not load: {error}",
                field="model",
                value=name,
                mend="delete the file, and the next start exports it again",
            ) from error
        self._inputs = {node.name for node in self._session.get_inputs()}
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._pad_id = config.get("pad_token_id") or 0

    def run(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        """Return a row for each sequence: an embedding, not normalised, or a score."""
        if not self.one_by_one:
            return self._run_together(sequences)
        return np.concatenate([self._run_together([sequence]) for sequence in sequences])

    def _run_together(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        batch = pad(sequences, self._pad_id)
        features = {
            "input_ids": batch.ids,
            "attention_mask": batch.mask,
            "token_type_ids": batch.type_ids,
        }
        wanted = {name: array for name, array in features.items() if name in self._inputs}
        rows: NDArray[np.float32] = self._session.run(None, wanted)[0]
        return rows


def _providers(*, on_cuda: bool) -> list[str | tuple[str, dict[str, str]]]:
    if not on_cuda:
        return ["CPUExecutionProvider"]
    # The arena grows by what is asked, not by doubling: runs are bounded, and so is it.
    return [(_CUDA, {"arena_extend_strategy": "kSameAsRequested"}), "CPUExecutionProvider"]


def _session_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # One thread a run; see OnnxBackend.
    options.intra_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ONLY_ERRORS
    # The arena stays: without it a query takes 0.7 ms more. Runs of CPU_RUN_TOKENS keep
    # an int8 process at about 140 MB with it; runs of 8192 tokens let it grow to 650.
    options.enable_cpu_mem_arena = True
    return options
