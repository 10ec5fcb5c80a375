"""A real training of a bi-encoder: a tiny one, so that it takes seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import InvalidInputError
from service.model_cards import DEFAULT_ENCODER, EncoderCard, read_saved_cards
from service.settings import Settings
from tests.support.tiny_models import make_mpnet
from tests.training.small_jobs import own_home, small_job, small_recipe
from workers.inference.encoder import open_encoder
from workers.training.encoder_training import train_encoder, triplets
from workers.training.finished_encoder import finish_encoder, pooled_lists
from workers.training.job import Destination
from workers.training.model_card import Provenance
from workers.training.ranking_lists import RankingList
from workers.training.registration import registered_folder

LISTS = [
    RankingList(f"{first} {second}", [f"{first} {second} in time", "eggs sugar", third], [1, 0, 0])
    for first, second, third in [
        ("run", "command", "wait for it"),
        ("kill", "child", "how do i run"),
        ("wait", "timeout", "sugar with eggs"),
        ("how", "wait", "kill the command"),
    ]
]


def test_a_row_has_the_best_passage_and_as_many_negatives_as_every_other() -> None:
    lists = [
        RankingList("q", ["good", "best", "bad"], [1, 2, 0]),
        RankingList("all right", ["a"], [1]),
        RankingList("all wrong", ["a", "b"], [0, 0]),
    ]
    assert triplets(lists, 2) == {
        "anchor": ["q"],
        "positive": ["best"],
        "negative_1": ["bad"],
        "negative_2": ["bad"],
    }


def test_every_query_is_measured_over_the_passages_of_all() -> None:
    first, second = pooled_lists(
        [RankingList("p", ["a", "b"], [1, 0]), RankingList("q", ["b", "c"], [2, 0])]
    )
    assert first.passages == second.passages == ["a", "b", "c"]
    assert (first.labels, second.labels) == ([1, 0, 0], [0, 2, 0])


def test_a_trained_encoder_is_exported_and_registered(tmp_path: Path) -> None:
    # Not the session's model folder, which every other test sees.
    variables = own_home(tmp_path / "home")
    settings = Settings(
        home=Path(variables["RANKGRES_HOME"]),
        model_folder=Path(variables["RANKGRES_MODEL_FOLDER"]),
    )
    base = make_mpnet(tmp_path / "tiny")
    card = EncoderCard(str(base), 32, 32, query_prompt="how do i ")
    recipe = small_recipe(
        kind="encoder", base=str(base), current=DEFAULT_ENCODER, layers=None, max_tokens=32,
        batch=2, steps=3, measure_steps=1,
    )  # fmt: skip
    job = small_job(tmp_path / "job", settings, recipe)
    outcome = train_encoder(job, card, LISTS[:3], LISTS[3:])
    assert (outcome.finished, outcome.steps) == (True, 3)
    assert [each.step for each in outcome.measures] == [0, 1, 2, 3]

    goal = Destination(
        registered_folder("ours", settings), "ours", Provenance([], {}, "MIT", []), "the command"
    )
    finished = finish_encoder(job, card, LISTS, goal)
    assert finished.export.is_file()
    assert [figure.name for figure in finished.figures] == [recipe.current, "ours"]
    saved = read_saved_cards(settings.card_folder)["ours"]
    assert saved == replace(card, name="ours", license="MIT")
    # What a worker loads: the folder by its path here, because the card is another process's.
    loaded = open_encoder(replace(card, name=str(goal.folder)), settings)
    row = loaded.encode(["run command"], "query").embeddings[0]
    loaded.close()
    assert row.shape == (32,)
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["a/b", "../up", "", ".hidden"])
def test_a_trained_model_has_a_plain_name(settings: Settings, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot name a trained model"):
        registered_folder(name, settings)
