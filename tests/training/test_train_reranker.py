"""Real trainings of a few steps: one layer of the real base model, killed, gone on with, served."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import NamedTuple

import pytest

from service.model_cards import DEFAULT_RERANKER, RerankerCard, read_saved_cards
from service.settings import Settings
from tests.support.waiting import eventually
from tests.training.small_jobs import ROOT, own_home, small_job, small_recipe
from tests.training.small_lists import small_lists
from workers.training import reranker_training
from workers.training.job_folder import newest_checkpoint, step_of
from workers.training.ranking_lists import split_lists, write_lists
from workers.training.reranker_training import train_reranker

#: Two processes that import torch and an export, on cores that others use too.
pytestmark = pytest.mark.timeout(900)

STEPS = 20
SCORE = """
import json
from service.settings import get_settings
from workers.inference.reranker import load_reranker
loaded = load_reranker(get_settings().reranker_model, get_settings())
found = loaded.score("what is a comet", ["A comet is ice.", "A treaty is law."], None)
loaded.close()
print(json.dumps([loaded.card.max_tokens, loaded.backend_name, found.scores]))
"""


class Trained(NamedTuple):
    """A model whose training was killed once: its home, what the second start said, and when."""

    home: Path
    said: str
    killed_after: int

    @property
    def folder(self) -> Path:
        return self.home / "models" / "trained" / "ours"


def begin(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli", "train", "reranker", *arguments],
        cwd=ROOT,
        env=own_home(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    home = tmp_path_factory.mktemp("training")
    write_lists(home / "lists.jsonl", small_lists(40))
    command = [
        "--prepared", str(home / "lists.jsonl"), "--name", "ours", "--layers", "1",
        "--max-tokens", "48", "--warm-up-steps", "2", "--batch", "4", "--steps", str(STEPS),
        "--measure-steps", "100", "--license", "CC0-1.0", "--data-license", "CC BY 4.0",
    ]  # fmt: skip
    main = home / "training" / "reranker" / "ours" / "main"
    killed = begin(home, *command, "--checkpoint-minutes", "0")
    eventually(lambda: list(main.glob("checkpoint-*/complete")), "a checkpoint", 400)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    newest = newest_checkpoint(main)
    assert newest is not None
    again = begin(home, *command)
    said, _ = again.communicate(timeout=400)
    assert again.returncode == 0, said
    return Trained(home, said, step_of(newest))


def test_a_killed_training_goes_on_after_its_last_checkpoint(trained: Trained) -> None:
    assert 0 < trained.killed_after < STEPS
    assert f"main: going on after step {trained.killed_after}\n" in trained.said
    assert "warm-up" not in trained.said
    job = trained.home / "training" / "reranker" / "ours"
    assert json.loads((job / "outcome.json").read_text()) == {"steps": STEPS}
    # Measured before the first step and after the last, and not a second time before the first.
    assert [step for step, _ in json.loads((job / "main" / "measures.json").read_text())] == [
        0,
        STEPS,
    ]


def test_a_worker_finds_the_trained_model_by_its_name(trained: Trained) -> None:
    exports = {path.name for path in (trained.home / "models").glob("ours-*.onnx")}
    assert len(exports) == 1
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in trained.folder.iterdir())
    found = subprocess.run(
        [sys.executable, "-c", SCORE],
        cwd=ROOT,
        env=own_home(trained.home) | {"RANKGRES_RERANKER_MODEL": "ours"},
        capture_output=True,
        text=True,
        check=True,
    )
    max_tokens, backend, scores = json.loads(found.stdout)
    assert (max_tokens, backend, len(set(scores))) == (48, "onnx-int8", 2)
    # It was there already: nothing is exported a second time.
    assert {path.name for path in (trained.home / "models").glob("ours-*.onnx")} == exports


def test_the_model_is_registered_with_its_licence_and_the_weight_that_was_best(
    trained: Trained,
) -> None:
    card = read_saved_cards(trained.home / "model-cards")["ours"]
    assert isinstance(card, RerankerCard)
    assert (card.max_tokens, card.license) == (48, "CC0-1.0")
    assert card.weight in {0.3, 1, 3}


def test_the_page_of_a_model_says_what_made_it_and_how_good_it_is(trained: Trained) -> None:
    page = (trained.folder / "README.md").read_text(encoding="utf-8")
    assert page.startswith("---\nlicense: cc0-1.0\n")
    assert "the first layer of sentence-transformers/all-MiniLM-L6-v2" in page
    assert "Licences of the data: CC BY 4.0" in page
    kept, held_out = split_lists(small_lists(40), 0.15)
    assert f"- {len(kept)} queries learnt from" in page
    assert f"- {len(held_out)} queries held out" in page
    assert "| fused | 1.0000 |" in page  # the passage that answers stands first in every list
    assert f"| {DEFAULT_RERANKER} alone |" in page
    assert "against the current model | p |" in page
    assert "rankgres train reranker --prepared" in page
    assert "against the current" in trained.said


def test_a_job_that_is_asked_to_stop_saves_first(tmp_path: Path, settings: Settings) -> None:
    lists = small_lists(24)
    asked = Event()
    asked.set()
    recipe = small_recipe(steps=3, bf16=True)
    stopped = train_reranker(small_job(tmp_path, settings, recipe, asked), lists, [])
    assert (stopped.finished, stopped.steps) == (False, 1)
    newest = newest_checkpoint(tmp_path / "main")
    assert newest is not None
    assert step_of(newest) == 1
    job = small_job(tmp_path, settings, recipe)
    assert train_reranker(job, lists, []).finished
    assert (job.best / "model.safetensors").is_file()


@pytest.mark.parametrize("loss", ["listnet", "lambda"])
def test_it_stops_when_the_held_out_part_gets_no_better_and_keeps_the_best(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    values = iter([0.2, 0.5, 0.4, 0.5, 0.3, 0.9])
    monkeypatch.setattr(reranker_training, "mean_ndcg", lambda *_: next(values))
    recipe = small_recipe(steps=10, measure_steps=1, patience=3, loss=loss)
    job = small_job(tmp_path, settings, recipe)
    outcome = train_reranker(job, small_lists(12), small_lists(3, seed=2))
    # After step 1 three measures without a gain; an equal one is none.
    assert outcome.steps == 4
    assert [each.value for each in outcome.measures] == [0.2, 0.5, 0.4, 0.5, 0.3]
