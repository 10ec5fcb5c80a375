"""What follows training a reranker: its folder, its export, its figures, its page, its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.model_cards import RerankerCard
from service.search.blend import blend_of
from workers.training.held_out import BLENDS
from workers.training.job import Destination, Job
from workers.training.model_card import Figure, write_model_card
from workers.training.ranking_lists import RankingList
from workers.training.registration import (
    export_int8,
    put_in_place,
    register,
    served_on_cpu,
)
from workers.training.reranker_evaluation import (
    Contender,
    best_weight,
    compare,
    current_scores,
    trained_scores,
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A model that is ready: its folder, its exported file, its saved card and its figures."""

    folder: Path
    export: Path
    card: Path | None
    figures: list[Figure]


def finish_reranker(job: Job, held_out: Sequence[RankingList], goal: Destination) -> Finished:
    """Put the best model in place, export it, measure it against the current one, and card it."""
    put_in_place(job.best, goal.folder)
    export = export_int8(goal.title, goal.folder, "pair", job.settings)
    recipe = job.recipe
    figures: list[Figure] = []
    weight = None
    if held_out:
        task = job.progress.add_task("measuring", total=2 * len(held_out), told="")

        def step() -> None:
            job.progress.advance(task)

        here = RerankerCard(str(goal.folder), recipe.max_tokens)
        served = served_on_cpu(job.settings)
        trained = trained_scores(here, held_out, served, step)
        current = current_scores(recipe.current, held_out, served, step)
        present = blend_of(recipe.current, job.settings)
        old = Contender(recipe.current, current, (present.weight,))
        figures = compare(held_out, Contender(goal.title, trained, BLENDS), old)
        weight = best_weight(held_out, trained)
    write_model_card(goal, recipe.as_json(), figures, _measured(len(held_out), weight))
    saved = None
    if goal.name is not None:
        card = RerankerCard(
            goal.name, recipe.max_tokens, license=goal.provenance.license, weight=weight
        )
        saved = register(card, job.settings)
    return Finished(goal.folder, export, saved, figures)


def _measured(lists: int, weight: float | None) -> str:
    if not lists:
        return "Not measured: no query was held out."
    text = (
        f"nDCG@10 over the candidates of {lists:,} held-out queries, as a worker scores them: "
        "exported, in int8. p is of Fisher's paired randomisation test. A relevant document that "
        "is not among the candidates counts against no order."
    )
    if weight is not None:
        text += (
            f" The card's weight, {weight:g}, is the best of those below on these same queries, "
            "so its figure is a little too good."
        )
    return text
