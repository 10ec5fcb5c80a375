"""The model that training starts from: any folder, cut to its first layers where asked."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer

from service.errors import InvalidInputError
from workers.inference.model_files import locate


def starting_reranker(base: str, layers: int | None, max_tokens: int, seed: int) -> CrossEncoder:
    """Return a cross-encoder with one output.

    ``base`` may be a cross-encoder or a bi-encoder: what the folder lacks, such as the last layer
    of a bi-encoder's cross-encoder, is drawn by the seed.

    Args:
        base: a path, or a model's name as settings have it.
        layers: the first so many transformer layers are kept; None keeps all.
        max_tokens: what query and passage may have together.
        seed: of what the folder lacks.
    """
    folder = locate(base)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    _check_layers(config, layers)
    torch.manual_seed(seed)
    quiet()
    # A folder of its own: the modules that a bi-encoder's lists are not a cross-encoder's.
    with TemporaryDirectory() as workspace:
        plain = Path(workspace)
        cut = {} if layers is None else {"num_hidden_layers": layers}
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, num_labels=1, dtype=torch.float32, **cut
        )
        model.save_pretrained(plain)
        _copy_tokenizer(folder, plain)
        found: CrossEncoder = CrossEncoder(
            str(plain), local_files_only=True, max_length=max_tokens, num_labels=1
        )
        return found


def starting_encoder(base: str, max_tokens: int) -> SentenceTransformer:
    """Return a bi-encoder with the modules that its folder lists."""
    quiet()
    model = SentenceTransformer(
        str(locate(base)), local_files_only=True, model_kwargs={"dtype": torch.float32}
    )
    model.max_seq_length = max_tokens
    return model


def freeze_word_embeddings(model: Any) -> int:
    """Stop training a model's word embeddings; return how many numbers that are."""
    table = model[0].auto_model.get_input_embeddings().weight
    table.requires_grad_(requires_grad=False)
    return int(table.numel())


def quiet() -> None:
    """Keep the libraries underneath from writing bars and reports between ours."""
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no hints
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # same


def _check_layers(config: Any, layers: int | None) -> None:
    there = config.num_hidden_layers
    if layers is not None and not 1 <= layers <= there:
        raise InvalidInputError(
            f"the base model has {there} layers, not {layers}",
            field="layers",
            value=layers,
            mend=f"use 1 to {there}",
        )


def _copy_tokenizer(folder: Path, target: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
