"""Models on ONNX Runtime: the CPU's backend, without torch in the process."""

import json
from collections.abc import Sequence
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
    """Runs an exported model, int8 or fp32.

    In int8 every sequence runs alone. Dynamic quantisation takes one scale for all activations
    of a run, so a text's embedding would depend on the texts beside it (cosine down to 0.985
    between alone and in a batch of 16). Alone it is a function of the text, and 237 tokens go as
    fast; 57 tokens lose a tenth, 11 tokens a quarter.
    """

    def __init__(self, name: str, folder: Path, head: Head, settings: Settings) -> None:
        precision = settings.onnx_precision
        self.name = f"onnx-{precision}"
        self.run_tokens = min(settings.batch_tokens, CPU_RUN_TOKENS)
        self.run_sequences = 1 if precision == "int8" else self.run_tokens
        path = exported(name, folder, head, settings)
        try:
            self._session = onnxruntime.InferenceSession(
                path, _session_options(settings), providers=["CPUExecutionProvider"]
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
        batch = pad(sequences, self._pad_id)
        features = {
            "input_ids": batch.ids,
            "attention_mask": batch.mask,
            "token_type_ids": batch.type_ids,
        }
        wanted = {name: array for name, array in features.items() if name in self._inputs}
        rows: NDArray[np.float32] = self._session.run(None, wanted)[0]
        return rows


def _session_options(settings: Settings) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.inference_threads or physical_cores()
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ONLY_ERRORS
    # The arena stays: without it a query takes 1.7 ms instead of 1.0. Runs of CPU_RUN_TOKENS keep
    # an int8 process at about 140 MB with it; runs of 8192 tokens let it grow to 650.
    options.enable_cpu_mem_arena = True
    # Threads spin within a run (1.0 ms a query, 1.6 without) but not after it: other workers and
    # Postgres share the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options
