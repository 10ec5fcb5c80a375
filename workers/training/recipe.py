"""A recipe: all that decides what a training job makes, and that a resumed one must share."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained; the command line says what each value does.

    ``layers``, ``epochs`` and ``steps`` may be None; one of the last two is given.
    """

    kind: Literal["reranker", "encoder"]
    base: str
    current: str
    layers: int | None
    max_tokens: int
    loss: str
    epochs: float | None
    steps: int | None
    batch: int
    accumulate: int
    learning_rate: float
    warm_up_steps: int
    warm_up_learning_rate: float
    teacher: str
    teacher_weight: float
    freeze_word_embeddings: bool
    bf16: bool
    seed: int
    held_out: float
    measure_steps: int
    patience: int
    checkpoint_minutes: float

    def as_json(self) -> dict[str, Any]:
        """Return it as the job's folder and the model's card have it."""
        return asdict(self)

    def main_steps(self, examples: int) -> int:
        """Return the steps of the main phase over so many examples."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 1.0) * examples / (self.batch * self.accumulate)))
