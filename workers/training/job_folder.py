"""The folder of a training job: what a second start of the same command goes on with."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from service.errors import InvalidInputError

_RECIPE: Final = "recipe.json"
#: Beside a checkpoint's files once all of them are written: a killed process leaves halves.
_COMPLETE: Final = "complete"
_PREFIX: Final = "checkpoint-"


class JobFolder:
    """Where a job keeps its lists, its checkpoints and its best model so far."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, recipe: Mapping[str, Any], *, restart: bool) -> bool:
        """Take the folder for this recipe; return whether an earlier start is gone on with.

        Raises:
            InvalidInputError: another recipe was begun here; the mend says how to go on.
        """
        if restart:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(recipe))
        begun = self.read(_RECIPE)
        if begun is not None and begun != wanted:
            changed = sorted(
                name for name in begun.keys() | wanted if begun.get(name) != wanted.get(name)
            )
            raise InvalidInputError(
                f"the job in {self.path} was begun with another {', '.join(changed)}",
                field=changed[0],
                value=wanted.get(changed[0]),
                mend="repeat the first command to go on with it, add --restart to begin anew, "
                "or give the model another name",
            )
        self.write(_RECIPE, wanted)
        return begun is not None

    def read(self, name: str) -> Any:
        """Return what a JSON file of the job holds, or None where there is none yet."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: Any) -> None:
        """Write a JSON file of the job; readers see the old one or the new one."""
        draft = self.path / f".{name}.draft"
        draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(self.path / name)

    def phase(self, name: str) -> Path:
        """Return the folder of a phase's checkpoints, made where it is not there."""
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        return folder


def mark_complete(checkpoint: Path) -> None:
    """Note that a checkpoint is whole, after its files have reached the disk."""
    for path in (file for file in checkpoint.rglob("*") if file.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (checkpoint / _COMPLETE).touch()


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the last whole checkpoint of a phase; halves are deleted."""
    found = {}
    for path in folder.glob(f"{_PREFIX}*"):
        if (path / _COMPLETE).is_file():
            found[step_of(path)] = path
        else:
            shutil.rmtree(path)
    return found[max(found)] if found else None


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return where the trainer writes the checkpoint of a step."""
    return folder / f"{_PREFIX}{step}"


def step_of(checkpoint: Path) -> int:
    """Return the step that a checkpoint was written after."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def keep_model(model: Any, target: Path) -> None:
    """Save a model in the place of an older one; the folder is whole or not there."""
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(str(draft), create_model_card=False)
    replace_folder(draft, target)


def replace_folder(draft: Path, target: Path) -> None:
    """Put a finished folder in the place of an older one."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)
