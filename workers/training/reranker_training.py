"""Trains a cross-encoder: first another model's order of random passages, then the labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import (
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder.losses import LambdaLoss

from workers.training.held_out import Scores, mean_ndcg
from workers.training.job import Job
from workers.training.job_folder import keep_model
from workers.training.length_sorted_batches import LengthSortedBatches
from workers.training.listwise_loss import SortedListNet, log_shares, target_shares
from workers.training.phase import (
    HeldOut,
    Outcome,
    Pace,
    pace_of,
    run_phase,
    trainer_arguments,
)
from workers.training.ranking_lists import RankingList
from workers.training.recipe import Recipe
from workers.training.starting_model import freeze_word_embeddings, starting_reranker
from workers.training.warm_up import taught_by, warm_up_lists

#: Pairs run together: on a CPU a run of more leaves the cache, on a GPU it fills it.
_RUN_PAIRS_CPU: Final = 16
_RUN_PAIRS_CUDA: Final = 512
#: Held-out lists measured on the way; all of them are at the end.
_MEASURED_LISTS: Final = 300


class _Trainer(CrossEncoderTrainer):
    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none: it runs the model over examples for a page that we write ourselves."""


def train_reranker(
    job: Job, lists: Sequence[RankingList], held_out: Sequence[RankingList]
) -> Outcome:
    """Train as the recipe says; afterwards the best model is in the job's folder.

    A start after one that was stopped or killed goes on at the last checkpoint.
    """
    done = job.folder.read("outcome.json")
    if done is not None:
        return Outcome(finished=True, steps=done["steps"], measures=[])
    recipe = job.recipe
    warm = job.folder.path / "warmed-up"
    if recipe.warm_up_steps and not warm.exists():
        model = _start(recipe)
        outcome = _warm_up(job, model, lists)
        if not outcome.finished:
            return outcome
        keep_model(model, warm)
    outcome = _learn_labels(
        job, _loaded(warm, recipe) if warm.exists() else _start(recipe), lists, held_out
    )
    if outcome.finished:
        job.folder.write("outcome.json", {"steps": outcome.steps})
    return outcome


def score_lists(model: CrossEncoder, lists: Sequence[RankingList]) -> Scores:
    """Return the raw scores of every passage of every list."""
    pairs = [(each.query, passage) for each in lists for passage in each.passages]
    with torch.inference_mode():
        rows = model.predict(
            pairs, batch_size=_run_pairs(), activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        )  # fmt: skip
    scores: Scores = []
    start = 0
    for each in lists:
        scores.append([float(row) for row in rows[start : start + len(each.passages)]])
        start += len(each.passages)
    return scores


def _warm_up(job: Job, model: CrossEncoder, lists: Sequence[RankingList]) -> Outcome:
    recipe = job.recipe
    count = recipe.warm_up_steps * recipe.batch * recipe.accumulate
    made = warm_up_lists(lists, count, recipe.seed)
    total = len({each.query for each in made}) + len({t for each in made for t in each.passages})
    task = job.progress.add_task("teacher", total=total, told=recipe.teacher)
    taught = taught_by(
        recipe.teacher, made, job.settings, lambda count: job.progress.advance(task, count)
    )
    pace = pace_of(recipe, recipe.warm_up_steps, recipe.warm_up_learning_rate)
    return run_phase(job, "warm-up", pace, None, _trainer(job, "warm-up", model, taught, pace))


def _learn_labels(
    job: Job,
    model: CrossEncoder,
    lists: Sequence[RankingList],
    held_out: Sequence[RankingList],
) -> Outcome:
    recipe = job.recipe
    measured = list(held_out[:_MEASURED_LISTS])
    watched = HeldOut(
        lambda trained: mean_ndcg(measured, score_lists(trained, measured)),
        recipe.measure_steps,
        recipe.patience,
    )
    pace = pace_of(recipe, recipe.main_steps(len(lists)), recipe.learning_rate)
    trainer = _trainer(job, "main", model, lists, pace)
    outcome = run_phase(job, "main", pace, watched if measured else None, trainer)
    if outcome.finished and not measured:
        keep_model(model, job.best)
    return outcome


def _start(recipe: Recipe) -> CrossEncoder:
    return starting_reranker(recipe.base, recipe.layers, recipe.max_tokens, recipe.seed)


def _trainer(
    job: Job, phase: str, model: CrossEncoder, lists: Sequence[RankingList], pace: Pace
) -> _Trainer:
    recipe = job.recipe
    if recipe.freeze_word_embeddings:
        freeze_word_embeddings(model)
    return _Trainer(
        model=model,
        args=CrossEncoderTrainingArguments(
            **trainer_arguments(job.folder.phase(phase), pace), batch_sampler=LengthSortedBatches
        ),
        train_dataset=_dataset(lists, recipe, phase),
        loss=_loss(recipe, model, phase),
    )


def _dataset(lists: Sequence[RankingList], recipe: Recipe, phase: str) -> Dataset:
    labels = [
        list(each.labels)
        if _by_grades(recipe, phase)
        else log_shares(target_shares(each, recipe.teacher_weight))
        for each in lists
    ]
    return Dataset.from_dict(
        {
            "query": [each.query for each in lists],
            "passages": [each.passages for each in lists],
            "labels": labels,
        }
    )


def _loss(recipe: Recipe, model: CrossEncoder, phase: str) -> torch.nn.Module:
    if _by_grades(recipe, phase):
        return LambdaLoss(model, mini_batch_size=_run_pairs())
    return SortedListNet(model, _run_pairs())


def _by_grades(recipe: Recipe, phase: str) -> bool:
    return recipe.loss == "lambda" and phase == "main"


def _run_pairs() -> int:
    return _RUN_PAIRS_CUDA if torch.cuda.is_available() else _RUN_PAIRS_CPU


def _loaded(folder: Path, recipe: Recipe) -> CrossEncoder:
    model: CrossEncoder = CrossEncoder(
        str(folder), local_files_only=True, max_length=recipe.max_tokens, num_labels=1
    )
    return model
