"""Trains a bi-encoder: a query's passage is to be nearer than every other passage of the batch."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import (
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.training_args import BatchSamplers

from service.model_cards import EncoderCard
from workers.training.held_out import Scores, mean_ndcg
from workers.training.job import Job
from workers.training.job_folder import keep_model
from workers.training.phase import HeldOut, Outcome, pace_of, run_phase, trainer_arguments
from workers.training.ranking_lists import RankingList
from workers.training.starting_model import freeze_word_embeddings, starting_encoder

#: Hard negatives beside each positive; every other text of the batch is one as well.
_HARD_NEGATIVES: Final = 2
_MEASURED_LISTS: Final = 300
#: Of the cached loss: texts embedded together, so that a batch may be larger than the memory.
_RUN_TEXTS: Final = 32


class _Trainer(SentenceTransformerTrainer):
    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none: it runs the model over examples for a page that we write ourselves."""


def train_encoder(
    job: Job, card: EncoderCard, lists: Sequence[RankingList], held_out: Sequence[RankingList]
) -> Outcome:
    """Train as the recipe says; afterwards the best model is in the job's folder.

    Args:
        job: with the recipe.
        card: of the base: its prompts are those of the new model.
        lists: to learn from.
        held_out: to be measured with on the way.
    """
    done = job.folder.read("outcome.json")
    if done is not None:
        return Outcome(finished=True, steps=done["steps"], measures=[])
    recipe = job.recipe
    model = starting_encoder(recipe.base, recipe.max_tokens)
    if recipe.freeze_word_embeddings:
        freeze_word_embeddings(model)
    rows = triplets(lists, _HARD_NEGATIVES)
    measured = list(held_out[:_MEASURED_LISTS])
    watched = HeldOut(
        lambda trained: mean_ndcg(measured, similarities(trained, card, measured)),
        recipe.measure_steps,
        recipe.patience,
    )
    pace = pace_of(recipe, recipe.main_steps(len(rows["anchor"])), recipe.learning_rate)
    trainer = _Trainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            **trainer_arguments(job.folder.phase("main"), pace),
            # A text that stands twice in a batch would be its own negative.
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            prompts=_prompts(card, rows),
        ),
        train_dataset=Dataset.from_dict(rows),
        loss=_loss(model),
    )
    outcome = run_phase(job, "main", pace, watched if measured else None, trainer)
    if outcome.finished:
        if not measured:
            keep_model(model, job.best)
        job.folder.write("outcome.json", {"steps": outcome.steps})
    return outcome


def triplets(lists: Sequence[RankingList], negatives: int) -> dict[str, list[str]]:
    """Return columns for the loss: a query, its best passage, and so many that are not.

    A list with fewer negatives than that repeats them; every row has the same columns.
    """
    columns = ["anchor", "positive", *(f"negative_{n}" for n in range(1, negatives + 1))]
    rows: dict[str, list[str]] = {name: [] for name in columns}
    for each in lists:
        wrong = [text for text, label in zip(each.passages, each.labels, strict=True) if label <= 0]
        if not each.relevant or not wrong:
            continue
        best = max(range(len(each.passages)), key=each.labels.__getitem__)
        texts = [each.query, each.passages[best]]
        texts += [wrong[number % len(wrong)] for number in range(negatives)]
        for name, text in zip(columns, texts, strict=True):
            rows[name].append(text)
    return rows


def similarities(
    model: SentenceTransformer, card: EncoderCard, lists: Sequence[RankingList]
) -> Scores:
    """Return the cosine of every passage of every list to its query."""
    queries = _embedded(model, [each.query for each in lists], card.query_prompt)
    passages = _embedded(
        model, [text for each in lists for text in each.passages], card.document_prompt
    )
    return [
        [float(queries[each.query] @ passages[text]) for text in each.passages] for each in lists
    ]


def _embedded(
    model: SentenceTransformer, texts: Sequence[str], prompt: str
) -> dict[str, NDArray[np.float32]]:
    unique = list(dict.fromkeys(texts))
    rows = model.encode(
        unique, prompt=prompt, batch_size=_RUN_TEXTS, normalize_embeddings=True,
        show_progress_bar=False,
    )  # fmt: skip
    return dict(zip(unique, np.asarray(rows, dtype=np.float32), strict=True))


def _prompts(card: EncoderCard, rows: dict[str, Any]) -> dict[str, str] | None:
    """Return the prompt of each column, or None where the model was trained without any."""
    if not card.query_prompt and not card.document_prompt:
        return None
    return {name: card.query_prompt if name == "anchor" else card.document_prompt for name in rows}


def _loss(model: SentenceTransformer) -> torch.nn.Module:
    if torch.cuda.is_available():
        return CachedMultipleNegativesRankingLoss(model, mini_batch_size=_RUN_TEXTS)
    return MultipleNegativesRankingLoss(model)
