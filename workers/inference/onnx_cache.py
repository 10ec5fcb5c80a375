"""Exported models on disk: made once per weights and precision, then shared by all processes.

``python -m workers.inference.onnx_cache`` exports the models that the settings name, for an image
or a machine that is to run them without torch.
"""

import fcntl
import hashlib
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from service.errors import ModelUnavailableError
from service.model_cards import encoder_card
from service.settings import Settings, get_settings
from workers.inference.backend import Head, pair_head
from workers.inference.model_files import locate, weights
from workers.inference.model_probe import probed_reranker_card

logger = logging.getLogger(__name__)

#: Part of every file's name: raise it when what ``onnx_export`` writes changes.
EXPORT_VERSION: Final = 1
_NEEDED: Final = ("torch", "transformers", "onnx", "onnxscript")


def exported(name: str, folder: Path, head: Head, settings: Settings) -> Path:
    """Return the ONNX file of the model, exporting it first where it is not there yet.

    The export runs in a process of its own, so that this one never imports torch. Of several
    processes that ask at once, one exports and the others wait for its file.

    Raises:
        ModelUnavailableError: nothing is cached and the export is not installed, or it failed.
    """
    target = settings.models / file_name(name, folder, head, settings.onnx_precision)
    if target.is_file():
        return target
    missing = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelUnavailableError(
            f"the model {name!r} is not exported yet, and {', '.join(missing)} is not installed",
            field="model",
            value=name,
            mend=f"pip install 'rankgres[torch]' once, or copy {target.name} into {target.parent} "
            "from a machine that has it",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file closes, or the process dies
        if not target.is_file():
            logger.info("exporting %s to %s, once: about 15 seconds", name, target)
            _export(name, folder, head, settings.onnx_precision, target)
    return target


def file_name(name: str, folder: Path, head: Head, precision: str) -> str:
    """Return a name that changes with all that the export depends on.

    It hashes what the weights are, not where or when they were written (0.1 s for 90 MB), so the
    file can be copied to another machine and a reinstalled package does not make it anew.
    """
    digest = hashlib.sha256(f"{EXPORT_VERSION} {head}{_untyped(folder)}".encode())
    for path in (folder / "config.json", *weights(folder)):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", Path(name).name)
    return f"{slug}-{precision}-{digest.hexdigest()[:16]}.onnx"


def _untyped(folder: Path) -> str:
    """Return what tells the exports of one-segment models from those that once took segments."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return " untyped" if config.get("type_vocab_size", 2) < 2 else ""  # noqa: PLR2004  query and passage


def _export(name: str, folder: Path, head: Head, precision: str, target: Path) -> None:
    module = "workers.inference.onnx_export"
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    run = subprocess.run(
        [sys.executable, "-m", module, str(folder), head, precision, str(target)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0 or not target.is_file():
        last = run.stderr.strip().splitlines()[-1:] or [f"exit status {run.returncode}"]
        logger.error("the export of %s failed:\n%s", name, run.stderr)
        raise ModelUnavailableError(
            f"exporting the model {name!r} failed: {last[0]}",
            field="model",
            value=name,
            mend="the log has the whole message; RANKGRES_INFERENCE_BACKEND=torch needs no export",
        )


def main() -> None:
    """Export the models of the settings that onnx runs, where they are not exported yet."""
    settings = get_settings()
    encoder = encoder_card(settings.embedding_model)
    if encoder.kind == "bi-encoder":
        exported(encoder.name, locate(encoder.name), encoder.pooling, settings)
    for name in filter(None, (settings.reranker_model, settings.rerank_second_model)):
        card = probed_reranker_card(name, settings)
        if card.kind in {"cross-encoder", "late-interaction"}:
            folder = locate(card.served_name)
            if head := pair_head(card, folder):
                exported(card.name, folder, head, settings)


if __name__ == "__main__":
    main()
