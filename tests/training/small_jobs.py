"""Jobs of a few seconds, and processes that have a home of their own."""

import io
import os
from pathlib import Path
from threading import Event
from typing import Any

from rich.console import Console

from service.model_cards import DEFAULT_ENCODER, DEFAULT_RERANKER
from service.settings import Settings
from workers.training.job import Job
from workers.training.job_folder import JobFolder
from workers.training.recipe import Recipe
from workers.training.watching import progress_bar

ROOT = Path(__file__).parents[2]


def small_recipe(**values: Any) -> Recipe:
    """Return a recipe of one layer and a few steps."""
    usual: dict[str, Any] = {
        "kind": "reranker",
        "base": DEFAULT_ENCODER,
        "current": DEFAULT_RERANKER,
        "layers": 1,
        "max_tokens": 48,
        "loss": "listnet",
        "epochs": None,
        "steps": 4,
        "batch": 4,
        "accumulate": 1,
        "learning_rate": 1e-4,
        "warm_up_steps": 0,
        "warm_up_learning_rate": 1e-4,
        "teacher": DEFAULT_ENCODER,
        "teacher_weight": 0.5,
        "freeze_word_embeddings": True,
        "bf16": False,
        "seed": 1,
        "held_out": 0.2,
        "measure_steps": 100,
        "patience": 5,
        "checkpoint_minutes": 100,
    }
    return Recipe(**usual | values)


def small_job(folder: Path, settings: Settings, recipe: Recipe, asked: Event | None = None) -> Job:
    """Return a job in a folder, whose bars nobody sees."""
    job = JobFolder(folder)
    job.begin(recipe.as_json(), restart=False)
    progress = progress_bar(Console(file=io.StringIO()))
    return Job(job, recipe, settings, progress, asked or Event())


def own_home(home: Path) -> dict[str, str]:
    """Return the variables of a process with its own home and the session's exported models."""
    models = home / "models"
    models.mkdir(parents=True, exist_ok=True)
    for path in Path(os.environ["RANKGRES_MODEL_FOLDER"]).glob("*.onnx"):
        if not (models / path.name).exists():
            (models / path.name).symlink_to(path)
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RANKGRES_HOME": str(home),
        "RANKGRES_MODEL_FOLDER": str(models),
        # The cores are shared, and of two threads that meet the faster one waits.
        "OMP_NUM_THREADS": "1",
    }
