"""A phase of training: so many steps by one of sentence-transformers' trainers, resumable."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers.trainer_callback import PrinterCallback

from workers.training.job import Job
from workers.training.job_folder import newest_checkpoint, step_of
from workers.training.recipe import Recipe
from workers.training.watching import HeldOutWatch, Measured, StepBar, TimedCheckpoints

_KEPT_CHECKPOINTS: Final = 2
_LARGEST_GRADIENT: Final = 1.0
_STEPS_RISING: Final = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a phase learns, and how it runs.

    ``batch`` lists are run together, ``accumulate`` batches make a step. With ``bf16`` matrix
    products are in bfloat16, weights and their updates in fp32.
    """

    steps: int
    learning_rate: float
    batch: int
    accumulate: int
    bf16: bool
    seed: int
    checkpoint_minutes: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How a phase is measured on the way, and when it has learnt enough."""

    measure: Callable[[Any], float]
    every: int
    patience: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a phase; ``finished`` is False where somebody stopped it."""

    finished: bool
    steps: int
    measures: list[Measured]


def trainer_arguments(folder: Path, pace: Pace) -> dict[str, Any]:
    """Return what both kinds of trainer are told."""
    return {
        "output_dir": str(folder),
        "max_steps": pace.steps,
        "learning_rate": pace.learning_rate,
        "per_device_train_batch_size": pace.batch,
        "gradient_accumulation_steps": pace.accumulate,
        "lr_scheduler_type": "linear",
        "warmup_steps": max(1, round(_STEPS_RISING * pace.steps)),
        "max_grad_norm": _LARGEST_GRADIENT,
        "bf16": pace.bf16,
        "use_cpu": not torch.cuda.is_available(),
        "seed": pace.seed,
        "save_strategy": "no",  # by the clock, see TimedCheckpoints
        "save_total_limit": _KEPT_CHECKPOINTS,
        "eval_strategy": "no",  # by HeldOutWatch, which knows lists
        "logging_steps": 5,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def pace_of(recipe: Recipe, steps: int, learning_rate: float) -> Pace:
    """Return the pace of a phase of so many steps."""
    return Pace(
        steps=steps,
        learning_rate=learning_rate,
        batch=recipe.batch,
        accumulate=recipe.accumulate,
        bf16=recipe.bf16,
        seed=recipe.seed,
        checkpoint_minutes=recipe.checkpoint_minutes,
    )


def run_phase(job: Job, name: str, pace: Pace, held_out: HeldOut | None, trainer: Any) -> Outcome:
    """Train to the end, to the point where it gets no better, or until somebody asks to stop.

    Begins at the newest whole checkpoint of the phase. Where it is stopped, its last step is saved
    first.
    """
    folder = job.folder.phase(name)
    bar = StepBar(job.progress, name)
    trainer.remove_callback(PrinterCallback)
    watch = None
    if held_out is not None:
        watch = HeldOutWatch(folder, held_out.measure, held_out.every, held_out.patience, bar)
        trainer.add_callback(watch)
    trainer.add_callback(bar)
    trainer.add_callback(TimedCheckpoints(folder, pace.checkpoint_minutes, job.asked))
    checkpoint = newest_checkpoint(folder)
    if checkpoint is not None:
        job.progress.console.print(f"{name}: going on after step {step_of(checkpoint)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch and accelerate about one another
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    stopped = job.asked.is_set() and trainer.state.global_step < pace.steps
    measures = watch.measures if watch else []
    return Outcome(not stopped, int(trainer.state.global_step), measures)
