"""Exports a model to ONNX; run as a process: MODEL_FOLDER mean|cls|pair|late int8|fp32 OUTPUT."""

import inspect
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import onnx
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic

from workers.inference.late_pairs import load_late_pairs

_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
#: Query and passage: a model with fewer tells them apart by its separators alone.
_SEGMENTS: Final = 2


class _Encoder(torch.nn.Module):
    """A bi-encoder with its pooling.

    Pooling belongs to the graph: what leaves it is one row per text instead of one per token.
    Normalising stays outside, where one line serves both backends.
    """

    def __init__(self, model: torch.nn.Module, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        hidden: torch.Tensor = self.model(
            **_features(input_ids, attention_mask, token_type_ids)
        ).last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


class _Reranker(torch.nn.Module):
    """A cross-encoder: the first logit is the score."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        logits: torch.Tensor = self.model(
            **_features(input_ids, attention_mask, token_type_ids)
        ).logits
        return logits[:, 0]


def export(
    folder: Path, head: str, precision: str, target: Path, *, apart: bool | None = None
) -> None:
    """Write the model as an ONNX file; ``target`` appears whole or not at all.

    Weights that one file cannot hold (2 GB) stand beside it, in ``target`` and ``.data``; ``apart``
    asks for that whatever their size. Those of int8 are small enough for every model that runs on
    a CPU.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as workspace:
        draft = Path(workspace) / target.name  # the file names the one beside it
        _trace(folder, head, draft, apart=apart)
        weights = data_file(draft)
        if precision == "int8":
            _quantise(draft)
        elif weights.exists():
            weights.replace(data_file(target))
        draft.replace(target)


def data_file(path: Path) -> Path:
    """Return where the weights of an ONNX file are that are too large for it."""
    return path.with_name(f"{path.name}.data")


def _features(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    features = {"input_ids": input_ids, "attention_mask": attention_mask}
    if token_type_ids is not None:
        features["token_type_ids"] = token_type_ids
    return features


def _trace(folder: Path, head: str, draft: Path, *, apart: bool | None) -> None:
    wrapped, names = _load(folder, head)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        wrapped,
        tuple(torch.ones((2, 8), dtype=torch.int64) for _ in names),
        dynamo=True,
        verbose=False,
        input_names=names,
        output_names=["rows"],
        dynamic_shapes=[sizes for _ in names],
    )
    assert program is not None  # with dynamo it always is
    program.save(draft, external_data=apart)


def _load(folder: Path, head: str) -> tuple[torch.nn.Module, list[str]]:
    """Return the model with its head, and the names of its inputs."""
    if head == "late":
        return load_late_pairs(folder, torch.float32, "eager"), list(_INPUTS)
    factory: Any = (
        transformers.AutoModelForSequenceClassification
        if head == "pair"
        else transformers.AutoModel
    )
    # fp32, because a CPU has no fast fp16. Eager attention exports to plain products that ONNX
    # Runtime runs 20 to 30 % faster than the guarded form that "sdpa" exports to.
    model = factory.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    names = [name for name in _INPUTS if name in inspect.signature(model.forward).parameters]
    if getattr(model.config, "type_vocab_size", 2) < _SEGMENTS:
        # RoBERTa and its kin take the argument and have one segment: a tokenizer that tells query
        # and passage apart would ask for a row that is not there.
        names.remove("token_type_ids")
    wrapped = _Reranker(model) if head == "pair" else _Encoder(model, head)
    return wrapped.eval(), names


def _quantise(draft: Path) -> None:
    """Replace the weights of products and embeddings by int8.

    Measured with all-MiniLM-L6-v2 over 96 SciFact abstracts, cosine to fp32 (mean, lowest):
    per tensor 0.934, 0.899; per channel 0.9945, 0.991; per channel with 7-bit weights
    (``reduce_range``) 0.993, 0.990, all at the same speed. Quantised embeddings cost 0.0002 of it
    and make the file 23 MB instead of 59.

    The 7 bits are for processors without VNNI, where AVX2 adds two products in 16 bits and
    saturates. On an emulated Haswell (qemu) the full range is at cosine 0.987 to 0.995 to what
    the same file gives with VNNI: a query embedded on one machine would meet documents embedded
    on another with that error. With 7 bits both give the same embedding (1.000000).
    """
    model = onnx.load(draft)
    del model.graph.value_info[:]  # shapes noted by the exporter contradict the quantised graph
    quantize_dynamic(
        model,
        draft,
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        # Not Gemm: a cross-encoder's last layer is tiny, and decides.
        op_types_to_quantize=["MatMul", "Gather"],
    )


def main() -> None:
    """Export as the arguments say, without the noise of the libraries underneath."""
    warnings.simplefilter("ignore")  # deprecations inside torch and copyreg, none of them ours
    logging.disable(logging.WARNING)  # torchvision absent, quantiser advises preprocessing
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no hints
    folder, head, precision, target = sys.argv[1:]
    os.nice(5)  # an export may run beside a stack that is serving
    export(Path(folder), head, precision, Path(target))


if __name__ == "__main__":
    main()
