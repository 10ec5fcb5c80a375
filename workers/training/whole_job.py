"""A training job from its sources to a model that is ready; every part can be gone on with."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.terminal import console, error_console
from service.errors import InvalidInputError
from service.model_cards import encoder_card
from service.settings import Settings
from workers.training.finished_encoder import finish_encoder
from workers.training.finished_reranker import Finished, finish_reranker
from workers.training.gathering import Gathered, Sources, gather
from workers.training.job import Destination, Job
from workers.training.job_folder import JobFolder
from workers.training.model_card import CURRENT, Figure, Provenance
from workers.training.preparation import Prepared
from workers.training.ranking_lists import write_lists
from workers.training.recipe import Recipe
from workers.training.registration import registered_folder
from workers.training.watching import interruptible, progress_bar

#: What a run that somebody stopped ends with, as shells have it for Ctrl-C.
STOPPED: Final = 130
_SIGNIFICANT: Final = 0.05


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to become of the model: registered by a name, or left in a folder.

    With ``prepare_to`` only the lists are wanted, in that file.
    """

    name: str | None
    output: Path | None
    prepare_to: Path | None
    license: str
    data_licenses: tuple[str, ...]
    restart: bool

    def target(self, settings: Settings) -> Path:
        """Return the model's folder.

        Raises:
            InvalidInputError: neither a name nor a folder is given, or both are.
        """
        if (self.name is None) == (self.output is None):
            raise InvalidInputError(
                "give --name or --output, and not both",
                field="name",
                value=self.name,
                mend="--name NAME registers the model, --output FOLDER only leaves it there",
            )
        if self.output is not None:
            return self.output.expanduser().resolve()
        return registered_folder(self.name or "", settings)

    def job(self, settings: Settings, kind: str) -> JobFolder:
        """Return the folder of the job's own files."""
        if self.prepare_to is not None and self.name is None and self.output is None:
            path = self.prepare_to.expanduser().resolve()
        elif self.output is not None:
            path = self.target(settings)
        else:
            return JobFolder(settings.home / "training" / kind / self.target(settings).name)
        return JobFolder(path.with_name(f"{path.name}.training"))


def run_job(
    sources: Sources, recipe: Recipe, wish: Wish, settings: Settings, arguments: Sequence[str]
) -> None:
    """Run a job to its end, or to where somebody stops it; then it exits with 130."""
    sources.check()
    if wish.prepare_to is None:
        wish.target(settings)
    command = shlex.join(
        ["rankgres", "train", *(word for word in arguments if word != "--restart")]
    )
    folder = wish.job(settings, recipe.kind)
    content = recipe.as_json() | {"sources": sources.as_json()}
    content.pop("checkpoint_minutes")  # may change on the way
    if folder.begin(content, restart=wish.restart):
        error_console.print(f"going on with the job in {escape(str(folder.path))}", soft_wrap=True)
    with progress_bar(error_console) as progress:
        with interruptible() as asked:
            job = Job(folder, recipe, settings, progress, asked)
            gathered = gather(job, sources)
            if gathered is not None and wish.prepare_to is not None:
                prepared = gathered.prepared
                write_lists(wish.prepare_to, [*prepared.lists, *prepared.held_out])
                _tell_lists(job, prepared, f", in {wish.prepare_to}")
                return
            done = gathered is not None and _trained(job, gathered.prepared)
        finished = _finish(job, gathered, wish, command) if gathered and done else None
    if finished is None:
        error_console.print(f"stopped and saved; go on with: {escape(command)}", soft_wrap=True)
        raise typer.Exit(STOPPED)
    _tell(finished, wish.name, recipe.kind)


def _finish(job: Job, gathered: Gathered, wish: Wish, command: str) -> Finished:
    held_out = gathered.prepared.held_out
    goal = Destination(wish.target(job.settings), wish.name, _provenance(gathered, wish), command)
    if job.recipe.kind == "reranker":
        return finish_reranker(job, held_out, goal)
    return finish_encoder(job, encoder_card(job.recipe.base), held_out, goal)


def _trained(job: Job, prepared: Prepared) -> bool:
    """Return whether training came to its end."""
    _tell_lists(job, prepared, "")
    # Processes that the loader forks would only be warned about.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if job.recipe.kind == "reranker":
        from workers.training.reranker_training import train_reranker

        return train_reranker(job, prepared.lists, prepared.held_out).finished
    from workers.training.encoder_training import train_encoder

    card = encoder_card(job.recipe.base)
    return train_encoder(job, card, prepared.lists, prepared.held_out).finished


def _provenance(gathered: Gathered, wish: Wish) -> Provenance:
    prepared = gathered.prepared
    passages = sum(len(each.passages) for each in prepared.lists)
    counts = {
        "queries learnt from": len(prepared.lists),
        "passages beside them": passages,
        "queries held out": len(prepared.held_out),
    }
    return Provenance(gathered.descriptions, counts, wish.license, wish.data_licenses)


def _tell_lists(job: Job, prepared: Prepared, where: str) -> None:
    job.progress.console.print(
        f"{len(prepared.lists):,} lists to learn from, {len(prepared.held_out):,} held out{where}",
        soft_wrap=True,
    )


def _tell(finished: Finished, name: str | None, kind: str) -> None:
    """Print the figures, where everything is, and how it is used."""
    if finished.figures:
        console.print(_figures_table(finished.figures))
        if not _gained(finished.figures):
            console.print("[yellow]no gain against the current model that cannot be luck[/yellow]")
    console.print(f"model:    {finished.folder}", soft_wrap=True)
    console.print(f"exported: {finished.export}", soft_wrap=True)
    if finished.card is None:
        return
    console.print(f"card:     {finished.card}", soft_wrap=True)
    if kind == "reranker":
        console.print(f"use it:   RANKGRES_RERANKER_MODEL={name}")
    else:
        console.print(f"use it:   RANKGRES_EMBEDDING_MODEL={name}, for a new generation")


def _gained(figures: Sequence[Figure]) -> bool:
    """Return whether any order of the model beats the current one's."""
    found = [each.against[CURRENT] for each in figures if CURRENT in each.against]
    return any(each.gain > 0 and each.p < _SIGNIFICANT for each in found)


def _figures_table(figures: Sequence[Figure]) -> Table:
    table = Table(title="held-out queries", title_justify="left")
    baselines = list(dict.fromkeys(name for figure in figures for name in figure.against))
    table.add_column("order", overflow="fold")
    table.add_column("nDCG@10", justify="right")
    for name in baselines:
        table.add_column(f"against {name}", justify="right")
        table.add_column("p", justify="right")
    for figure in figures:
        cells = [figure.name, f"{figure.ndcg:.4f}"]
        for name in baselines:
            found = figure.against.get(name)
            cells += ["", ""] if found is None else [f"{found.gain:+.4f}", f"{found.p:.4f}"]
        table.add_row(*cells)
    return table
