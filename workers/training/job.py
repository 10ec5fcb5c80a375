"""A job: its folder and its recipe, with what shows its progress and what stops it."""

from dataclasses import dataclass
from pathlib import Path
from threading import Event

from rich.progress import Progress

from service.settings import Settings
from workers.training.job_folder import JobFolder
from workers.training.model_card import Provenance
from workers.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """What every part of a job is given; ``asked`` is set once somebody wants it to stop."""

    folder: JobFolder
    recipe: Recipe
    settings: Settings
    progress: Progress
    asked: Event

    @property
    def best(self) -> Path:
        """Return the folder of the best model so far."""
        return self.folder.path / "main" / "best"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the finished model goes, the name it is registered by, and what its page says of it.

    ``name`` is None where it is not registered.
    """

    folder: Path
    name: str | None
    provenance: Provenance
    command: str

    @property
    def title(self) -> str:
        """Return what the model is called in tables and on its page."""
        return self.name or self.folder.name
