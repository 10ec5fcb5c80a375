"""Late interaction learned: a model that loads, tells what it was shown, and keeps the rest."""

from pathlib import Path

import pytest

from service.model_cards import DEFAULT_ENCODER
from service.settings import Settings
from workers.inference.model_files import QUERY_WEIGHTS, locate
from workers.inference.reranker import load_reranker
from workers.training.late_interaction import (
    LateExample,
    LateLearner,
    LateRecipe,
    train_late_interaction,
)

#: An invented language: what belongs together can only be known from the examples.
EXAMPLES = [
    LateExample("zorbal melk", ["The grumfit is what answers to it.", "A grumfit, also."],
                ["The plinket is of no use."], ["zorbal wixen"]),
    LateExample("plinket use", ["The plinket is of no use."], ["The grumfit is what answers."]),
    LateExample("rain in autumn", ["It rains much in October.", "October is a wet month."],
                ["Deserts are dry all year."]),
    LateExample("dry places", ["Deserts are dry all year."], ["October is a wet month."]),
]  # fmt: skip
SMALL = LateRecipe(
    steps=12, batch=4, negatives=1, frozen_layers=4, warm_up_steps=2, learning_rate=2e-4,
    passage_tokens=24, kept_of_base=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("late") / "model"
    return folder, train_late_interaction(locate(DEFAULT_ENCODER), EXAMPLES, SMALL, folder)


def test_it_learns_which_passage_answers(trained: tuple[Path, list[float]]) -> None:
    _, losses = trained
    assert len(losses) == SMALL.steps
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_what_is_written_scores_pairs_on_every_backend(
    trained: tuple[Path, list[float]], backend: str
) -> None:
    folder, _ = trained
    settings = Settings(
        home=folder.parent, inference_backend=backend,
        onnx_precision="fp32",
    )  # fmt: skip
    model = load_reranker(f"late:{folder}", settings)
    passages = ["The plinket is of no use.", "The grumfit is what answers to it."]
    scores = model.score("zorbal melk", passages, None).scores
    other = model.score("dry places", ["Deserts are dry all year."], None).scores
    model.close()
    assert scores[1] > scores[0]  # type: ignore[operator]  # without a deadline all are scored
    assert all(-1 <= score <= 1 for score in [*scores, *other] if score is not None)


def test_query_tokens_weigh_by_how_rare_they_are(trained: tuple[Path, list[float]]) -> None:
    learner = LateLearner(locate(DEFAULT_ENCODER), EXAMPLES, SMALL)
    weights = learner.query_weights.detach()
    is_, rains = (learner.tokenizer.token_to_id(word) for word in ("is", "october"))
    assert weights[is_] < weights[rains]
    assert weights[learner.tokenizer.token_to_id("[CLS]")] == 0
    assert (trained[0] / QUERY_WEIGHTS).is_file()


def test_minutes_end_it(tmp_path: Path) -> None:
    recipe = LateRecipe(steps=10_000, minutes=0.02, batch=4, negatives=1, frozen_layers=5)
    losses = train_late_interaction(locate(DEFAULT_ENCODER), EXAMPLES, recipe, tmp_path / "model")
    assert 0 < len(losses) < 10_000
