"""Commands for models: which have cards, and what a model's own files say of it."""

import json as json_text
import os
import subprocess
import sys
from dataclasses import fields
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.terminal import console, error_console
from service.errors import InvalidInputError, ModelUnavailableError
from service.model_cards import (
    Card,
    EncoderCard,
    card_values,
    encoder_card,
    encoder_cards,
    known_reranker_card,
    read_card,
    reranker_cards,
    save_card,
)
from service.settings import get_settings

app = typer.Typer(no_args_is_help=True, help="List model cards, show one, make one.")

Name = Annotated[
    str,
    typer.Argument(
        help="A model's name, or its folder; cohere:, jina:, tei:, chat:, openai: or late: before "
        "it say what kind it is."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list")
def list_all(*, json: AsJson = False) -> None:
    """List the models that have a card: the ready ones, and those of RANKGRES_MODEL_CARDS."""
    cards: list[Card] = [*encoder_cards(), *reranker_cards()]
    if json:
        console.print_json(data=[card_values(card) for card in cards])
        return
    table = Table(box=None)
    for column in ("model", "kind", "dimension", "tokens", "licence", "languages"):
        table.add_column(column, justify="right" if column in {"dimension", "tokens"} else "left")
    for card in cards:
        table.add_row(
            escape(card.name),
            card.kind,
            str(card.dimension) if isinstance(card, EncoderCard) else "",
            str(card.max_tokens),
            escape(card.license),
            card.languages[0] if len(card.languages) == 1 else "several",
        )
    console.print(table)


@app.command()
def show(name: Name, *, json: AsJson = False) -> None:
    """Show a model's card as it is used."""
    _print(known_reranker_card(name) or encoder_card(name), json=json)


@app.command()
def probe(
    name: Name,
    *,
    save: Annotated[
        bool, typer.Option("--save", help="Write the card into the folder RANKGRES_MODEL_CARDS.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Make a card of what a model's own files say: dimension, tokens, pooling, prompts, licence.

    A model behind openai: is asked for one embedding. What nothing says is assumed, and told.
    Example: rankgres model probe ./my-model --save
    """
    answer = _probe(name)
    card = read_card(answer["card"], f"the answer about {name}")
    _print(card, json=json)
    for note in answer["notes"]:
        error_console.print(f"[yellow]note:[/yellow] {escape(note)}", soft_wrap=True)
    if save:
        path = save_card(card, get_settings().card_folder)
        error_console.print(f"saved as {escape(str(path))}", soft_wrap=True)
        error_console.print("services and workers read it when they are started again")


def _probe(name: str) -> dict[str, Any]:
    # In a process of its own: the service never imports what touches models.
    found = subprocess.run(
        [sys.executable, "-P", "-m", "workers.inference.model_probe", name],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer: dict[str, Any] = json_text.loads(found.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = found.stderr.strip().splitlines()[-1:] or [f"exit status {found.returncode}"]
        raise ModelUnavailableError(
            f"the model {name!r} could not be looked at: {last[0]}",
            field="model",
            value=name,
            mend="install what reads models: pip install 'rankgres[onnx]'",
        ) from None
    if "error" in answer:
        raise InvalidInputError(answer["error"], field="model", value=name, mend=answer["mend"])
    return answer


def _print(card: Card, *, json: bool) -> None:
    if json:
        console.print_json(data=card_values(card))
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for field in fields(card):
        value = getattr(card, field.name)
        if value not in {None, ""} or field.name.endswith("prompt"):
            table.add_row(field.name, escape(_told(value)))
    console.print(table)


def _told(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return repr(value) if isinstance(value, str) and value != value.strip() else str(value)
