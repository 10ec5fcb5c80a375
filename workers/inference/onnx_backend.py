"""Models on ONNX Runtime: the CPU's backend, without torch in the process."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.errors import ModelUnavailableError
from service.settings import Settings
from workers.inference.backend import CPU_RUN_TOKENS, Head, TokenSequence, pad
from workers.inference.onnx_cache import exported
from workers.inference.processors import physical_cores

_ONLY_ERRORS = 3


class OnnxBackend:
    """Runs an exported model, int8 or fp32, one sequence or sub-batch on each processor.

    Parallel by sequences, not within one: where other work shares the processors, two threads that
    share a matrix wait for each other at every layer (half the speed of one, with both cores busy),
    and two that run different texts do not.

    In int8 every sequence runs alone. Dynamic quantisation takes one scale for all activations
    of a run, so a text's embedding would depend on the texts beside it (cosine down to 0.985
    between alone and in a batch of 16). Alone it is a function of the text, and 237 tokens go as
    fast; 57 tokens lose a tenth, 11 tokens a quarter.
    """

    def __init__(self, name: str, folder: Path, head: Head, settings: Settings) -> None:
        precision = settings.onnx_precision
        self.name = f"onnx-{precision}"
        self.run_tokens = min(settings.batch_tokens, CPU_RUN_TOKENS)
        self._processors = settings.inference_threads or physical_cores()
        self._alone = precision == "int8"
        # A few runs for each processor at a time: enough to keep them busy, and a new caller
        # waits for no more than these.
        self.run_sequences = 4 * self._processors if self._alone else self.run_tokens
        self._threads = ThreadPoolExecutor(self._processors, thread_name_prefix="onnx")
        path = exported(name, folder, head, settings)
        try:
            self._session = onnxruntime.InferenceSession(
                path, _session_options(), providers=["CPUExecutionProvider"]
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
        size = 1 if self._alone else -(-len(sequences) // self._processors)
        parts = [sequences[first : first + size] for first in range(0, len(sequences), size)]
        if len(parts) == 1:
            return self._run_part(parts[0])
        return np.concatenate(list(self._threads.map(self._run_part, parts)))

    def _run_part(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float32]:
        batch = pad(sequences, self._pad_id)
        features = {
            "input_ids": batch.ids,
            "attention_mask": batch.mask,
            "token_type_ids": batch.type_ids,
        }
        wanted = {name: array for name, array in features.items() if name in self._inputs}
        rows: NDArray[np.float32] = self._session.run(None, wanted)[0]
        return rows


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
