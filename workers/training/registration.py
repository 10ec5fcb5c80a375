"""Registration: a trained model's folder where workers look for it, exported, with its card."""

import shutil
from pathlib import Path
from typing import Final

from service.errors import InvalidInputError
from service.model_cards import EncoderCard, RerankerCard, save_card
from service.settings import Settings
from workers.inference.backend import Head
from workers.inference.model_files import trained_folder
from workers.inference.onnx_cache import exported
from workers.training.job_folder import replace_folder

#: What the trainer writes that no worker reads.
_LEFT_OUT: Final = ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")


def registered_folder(name: str, settings: Settings) -> Path:
    """Return where a trained model of that name lies.

    Raises:
        InvalidInputError: the name cannot be a folder's.
    """
    folder = trained_folder(name, settings)
    if folder is None:
        raise InvalidInputError(
            f"{name!r} cannot name a trained model",
            field="name",
            value=name,
            mend="use letters, digits, '.', '_' and '-', a letter or digit first",
        )
    return folder


def put_in_place(best: Path, target: Path) -> None:
    """Copy the best model to its folder, over an older one; whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(best, draft, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    for path in draft.rglob("*"):
        # Weights are written for their owner alone; workers may be somebody else.
        path.chmod(0o755 if path.is_dir() else 0o644)
    replace_folder(draft, target)


def served_on_cpu(settings: Settings) -> Settings:
    """Return the settings of a worker on a CPU, whatever this machine has: onnx in int8."""
    return settings.model_copy(update={"inference_backend": "onnx", "onnx_precision": "int8"})


def export_int8(name: str, folder: Path, head: Head, settings: Settings) -> Path:
    """Export the model for CPU workers, and return the file that they will find by its hash."""
    return exported(name, folder, head, served_on_cpu(settings))


def register(card: RerankerCard | EncoderCard, settings: Settings) -> Path:
    """Save the card of a model, so that settings can name it; return the card's file."""
    return save_card(card, settings.card_folder)
