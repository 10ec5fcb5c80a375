"""What follows training a bi-encoder: its folder, its export, its figures, its page, its card."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from service.model_cards import EncoderCard, encoder_card
from workers.inference.encoder import open_encoder
from workers.training.finished_reranker import Finished
from workers.training.held_out import Scores, difference, order_lists
from workers.training.job import Destination, Job
from workers.training.model_card import CURRENT, Figure, write_model_card
from workers.training.ranking_lists import RankingList
from workers.training.registration import (
    export_int8,
    put_in_place,
    register,
    served_on_cpu,
)

_EMBEDDED_AT_ONCE: Final = 64


def finish_encoder(
    job: Job, base: EncoderCard, held_out: Sequence[RankingList], goal: Destination
) -> Finished:
    """Put the best model in place, export it, measure it against the current one, and card it.

    Both rank, for every held-out query, the passages of all held-out queries together: a small
    collection, in which an embedding has to find what it is for. The card is that of the base,
    whose prompts and pooling the new model has.
    """
    put_in_place(job.best, goal.folder)
    recipe = job.recipe
    own = replace(
        base,
        name=str(goal.folder),
        max_tokens=recipe.max_tokens,
        license=goal.provenance.license,
    )
    export = export_int8(goal.title, goal.folder, own.pooling, job.settings)
    pooled = pooled_lists(held_out)
    figures: list[Figure] = []
    if pooled:
        old, new = (_scores(job, card, pooled) for card in (encoder_card(recipe.current), own))
        figures = _figures(pooled, (recipe.current, old), (goal.title, new))
    write_model_card(goal, recipe.as_json(), figures, _measured(pooled))
    saved = None
    if goal.name is not None:
        saved = register(replace(own, name=goal.name), job.settings)
    return Finished(goal.folder, export, saved, figures)


def pooled_lists(lists: Sequence[RankingList]) -> list[RankingList]:
    """Return every query with the passages of all of them, graded for this query alone."""
    passages = list(dict.fromkeys(text for each in lists for text in each.passages))
    places = {text: place for place, text in enumerate(passages)}
    pooled = []
    for each in lists:
        labels = [0.0] * len(passages)
        for text, label in zip(each.passages, each.labels, strict=True):
            labels[places[text]] = label
        pooled.append(RankingList(each.query, passages, labels))
    return pooled


def _figures(
    pooled: Sequence[RankingList], current: tuple[str, Scores], trained: tuple[str, Scores]
) -> list[Figure]:
    old, new = (order_lists(name, pooled, scores) for name, scores in (current, trained))
    return [
        Figure(old.name, old.mean, {}),
        Figure(new.name, new.mean, {CURRENT: difference(new, old)}),
    ]


def _scores(job: Job, card: EncoderCard, pooled: Sequence[RankingList]) -> Scores:
    """Return the similarity of every query to every passage."""
    texts = pooled[0].passages
    task = job.progress.add_task("measuring", total=len(texts), told=card.name)
    encoder = open_encoder(card, served_on_cpu(job.settings))
    try:
        queries = encoder.encode([each.query for each in pooled], "query").embeddings
        rows = []
        for start in range(0, len(texts), _EMBEDDED_AT_ONCE):
            part = texts[start : start + _EMBEDDED_AT_ONCE]
            rows.append(encoder.encode(part, "document").embeddings)
            job.progress.advance(task, len(part))
    finally:
        encoder.close()
    found: Scores = (queries @ np.concatenate(rows).T).tolist()
    return found


def _measured(pooled: Sequence[RankingList]) -> str:
    if not pooled:
        return "Not measured: no query was held out."
    return (
        f"nDCG@10 of {len(pooled):,} held-out queries over the {len(pooled[0].passages):,} "
        "passages of all their candidates together, as a worker embeds them: exported, in int8. "
        "p is of Fisher's paired randomisation test. A whole collection is larger, and harder: "
        "measure a generation of this model with `rankgres eval` before it is made active."
    )
