"""``rankgres train``: fine-tune a reranker or an encoder, in a process that may load models."""

import os
import sys
from typing import Final, NoReturn

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Fine-tune a model on your own queries, or on what your documents hold.",
)
#: Everything is passed on, --help too: the options are those of ``python -m workers.training``.
_PASSED_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def reranker(context: typer.Context) -> None:
    """Train a cross-encoder from judgements, search logs or weak labels of a collection.

    Mines hard negatives with the collection's own candidate stage, measures the model against the
    current one, exports it and registers it. Its --help lists the options.

    Example: rankgres train reranker articles --name ours --queries q.jsonl --qrels q.tsv
    """
    _become_training("reranker", context.args)


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def encoder(context: typer.Context) -> None:
    """Train a bi-encoder from judgements, search logs or weak labels of a collection.

    What it registers can be the embedding model of a new generation. Its --help lists the options.

    Example: rankgres train encoder articles --name ours --weak 20000
    """
    _become_training("encoder", context.args)


def _become_training(kind: str, arguments: list[str]) -> NoReturn:
    # As a worker is started: this process becomes it, so that its bars and Ctrl-C are its own.
    # -P: a folder named workers in the current folder must not stand in for ours.
    command = [sys.executable, "-P", "-m", "workers.training", kind, *arguments]
    os.execv(sys.executable, command)  # noqa: S606  no shell is meant
