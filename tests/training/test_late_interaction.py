"""Late interaction learned: a model that loads, tells what it was shown, and keeps the rest."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.model_cards import DEFAULT_ENCODER
from service.settings import Settings
from workers.inference.model_files import QUERY_WEIGHTS, locate
from workers.inference.reranker import load_reranker
from workers.training.late_interaction import (
    LateExample,
    LateLearner,
    LateRecipe,
    Teacher,
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


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["judgements alone", "the teacher alone"])
def test_a_teacher_is_believed_by_its_share(tmp_path: Path, share: float) -> None:
    answer, other = "The grumfit is what answers to it.", "The plinket is of no use."
    examples = [LateExample("zorbal melk", [answer], [other]), EXAMPLES[3]]
    likes = {"zorbal melk": [1.0, 0.0], "dry places": [0.0, 1.0]}
    texts = [text for example in examples for text in example.relevant + example.negatives]
    says = {text: likes["zorbal melk" if text == other else "dry places"] for text in texts}
    teacher = Teacher(vectors(likes), vectors(says))
    recipe = replace(SMALL, batch=2, taught_share=share)
    train_late_interaction(locate(DEFAULT_ENCODER), examples, recipe, tmp_path / "model", teacher)
    settings = Settings(home=tmp_path, onnx_precision="fp32")
    model = load_reranker(f"late:{tmp_path / 'model'}", settings)
    first, second = model.score("zorbal melk", [answer, other], None).scores
    model.close()
    assert first is not None
    assert second is not None
    assert (first > second) == (share == 0)


def vectors(rows: Mapping[str, list[float]]) -> dict[str, NDArray[np.float32]]:
    return {text: np.array(row, dtype=np.float32) for text, row in rows.items()}


def test_minutes_end_it(tmp_path: Path) -> None:
    recipe = LateRecipe(steps=10_000, minutes=0.02, batch=4, negatives=1, frozen_layers=5)
    losses = train_late_interaction(locate(DEFAULT_ENCODER), EXAMPLES, recipe, tmp_path / "model")
    assert 0 < len(losses) < 10_000
