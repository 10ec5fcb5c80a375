"""What watches a run of steps: the bar, the checkpoints by the clock, the held-out queries."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from workers.training.job_folder import checkpoint_path, keep_model, mark_complete

#: A gain below this on the held-out part is none.
LEAST_GAIN: Final = 1e-4


def progress_bar(console: Console) -> Progress:
    """Return the bar that every part of a job is shown with."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
        console=console,
    )


@contextmanager
def interruptible() -> Iterator[Event]:
    """Have the first Ctrl-C or SIGTERM set the event, so that work in hand is saved."""
    asked = Event()
    before: dict[signal.Signals, Any] = {}

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])  # a second one does not wait

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StepBar(TrainerCallback):
    """Shows the steps, the loss and the last measure on a bar."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._description = description
        self._task: TaskID | None = None
        self.measure = ""
        self._loss = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Begin the bar where the run begins, which may be at a checkpoint."""
        del args, control
        self._task = self._progress.add_task(
            self._description, total=state.max_steps, completed=state.global_step, told=""
        )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Note the loss."""
        del args, control, state
        if logs and "loss" in logs:
            self._loss = f"loss {float(logs['loss']):.4f}"

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the bar."""
        del args, control
        assert self._task is not None
        told = "  ".join(filter(None, (self._loss, self.measure)))
        self._progress.update(self._task, completed=state.global_step, told=told)


class TimedCheckpoints(TrainerCallback):
    """Saves every so many minutes, and before it stops because somebody asked it to."""

    def __init__(self, folder: Path, minutes: float, asked: Event) -> None:
        self._folder = folder
        self._seconds = 60 * minutes
        self._asked = asked
        self._saved_at = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask the trainer for what is due."""
        del args, state
        due = time.monotonic() - self._saved_at >= self._seconds
        if due or self._asked.is_set():
            control.should_save = True
        if self._asked.is_set():
            control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Mark the checkpoint as whole: only such a one is gone on with."""
        del args, control
        mark_complete(checkpoint_path(self._folder, state.global_step))
        self._saved_at = time.monotonic()


@dataclass(frozen=True, slots=True)
class Measured:
    """What the held-out part said at a step; nDCG@10."""

    step: int
    value: float


class HeldOutWatch(TrainerCallback):
    """Measures on held-out queries, keeps the best model, and stops when it gets no better.

    Args:
        folder: of the phase; the best model is in ``best`` there, every measure in ``measures``.
        measure: nDCG@10 of the model as it is.
        every: steps between two measures.
        patience: measures without a gain after which training stops.
        bar: shows the last measure.
    """

    def __init__(
        self,
        folder: Path,
        measure: Callable[[Any], float],
        every: int,
        patience: int,
        bar: StepBar,
    ) -> None:
        self._folder = folder
        self._measure = measure
        self._every = every
        self._patience = patience
        self._bar = bar
        self.measures = self._read()

    @property
    def best(self) -> Measured | None:
        """Return the best measure so far; of equals the first."""
        best: Measured | None = None
        for each in self.measures:
            if best is None or each.value > best.value + LEAST_GAIN:
                best = each
        return best

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Forget what was measured after the checkpoint; measure the start as well."""
        del args, control
        kept = [each for each in self.measures if each.step <= state.global_step]
        best = self.best
        if best is not None and best not in kept:  # its model is in ``best`` and stays there
            kept.append(best)
        self.measures = kept
        if not self.measures:
            self._look(state.global_step, model)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Measure where it is due."""
        del args
        if state.global_step % self._every and state.global_step < state.max_steps:
            return
        self._look(state.global_step, model)
        best = self.best
        assert best is not None
        later = sum(1 for each in self.measures if each.step > best.step)
        if later >= self._patience:
            control.should_training_stop = True

    def _look(self, step: int, model: Any) -> None:
        before = self.best
        value = self._measure(model)
        model.train()
        if not math.isfinite(value):
            value = 0.0
        self.measures = [each for each in self.measures if each.step != step]
        self.measures.append(Measured(step, value))
        if before is None or value > before.value + LEAST_GAIN:
            keep_model(model, self._folder / "best")
        content = [[each.step, each.value] for each in self.measures]
        draft = self._folder / ".measures.draft"
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(self._folder / "measures.json")
        self._bar.measure = f"nDCG@10 {value:.4f}"

    def _read(self) -> list[Measured]:
        if not (self._folder / "best").exists():  # killed while one took another's place
            return []
        try:
            content = json.loads((self._folder / "measures.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        return [Measured(step, value) for step, value in content]
