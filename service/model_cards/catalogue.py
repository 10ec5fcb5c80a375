"""The cards there are: ready ones, and those saved in the folder of the settings."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from service.errors import InvalidInputError
from service.model_cards.card import (
    Card,
    EncoderCard,
    RerankerCard,
    card_values,
    read_card,
    split_prefix,
)

DEFAULT_ENCODER: Final = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_RERANKER: Final = "rankgres/reranker-v1"

#: What most cross-encoders read; assumed of one that nothing is known of.
_ASSUMED_TOKENS: Final = 512
#: Lets a reranker decide; whoever names one of those that others serve wants that.
_DECIDING_WEIGHT: Final = 3.0


def encoder_cards() -> list[EncoderCard]:
    """Return the cards of all known bi-encoders."""
    return [card for card in _known().values() if isinstance(card, EncoderCard)]


def reranker_cards() -> list[RerankerCard]:
    """Return the cards of all known rerankers."""
    return [card for card in _known().values() if isinstance(card, RerankerCard)]


def encoder_card(name: str) -> EncoderCard:
    """Return the card of a known bi-encoder.

    Raises:
        InvalidInputError: no card of that name; the mend says how to make one, and lists those
            there are.
    """
    card = _known().get(name)
    if isinstance(card, EncoderCard):
        return card
    names = sorted(known.name for known in encoder_cards())
    raise InvalidInputError(
        f"no model card for the embedding model {name!r}",
        field="embedding_model",
        value=name,
        mend=f"'rankgres model probe NAME --save' makes one from the model's own files; "
        f"ready are: {', '.join(names)}",
    )


def known_reranker_card(name: str) -> RerankerCard | None:
    """Return the card of a reranker, or None where nothing is known of it.

    A name behind a prefix says what kind it is: ``cohere:``, ``jina:`` and ``tei:`` are remote,
    ``chat:`` orders lists, ``late:`` makes a bi-encoder or a ColBERT model interact late.
    """
    card = _known().get(name)
    if isinstance(card, RerankerCard):
        return card
    prefix, rest = split_prefix(name)
    assumed = RerankerCard(name, _ASSUMED_TOKENS)
    match prefix:
        case "cohere" | "jina" | "tei":
            return replace(assumed, kind="remote", endpoint=prefix, weight=_DECIDING_WEIGHT)
        case "chat":
            return replace(assumed, kind="listwise", weight=_DECIDING_WEIGHT)
        case "late":
            return _late_card(assumed, rest)
    return None


def reranker_card(name: str) -> RerankerCard:
    """Return the card of a reranker; an unknown one is taken for a cross-encoder of 512 tokens."""
    return known_reranker_card(name) or RerankerCard(name, _ASSUMED_TOKENS)


def save_card(card: Card, folder: Path) -> Path:
    """Write a card into a folder of saved cards, over one of that name; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', card.name).strip('-')}.json"
    path.write_text(json.dumps(card_values(card), indent=2) + "\n", encoding="utf-8")
    return path


def read_saved_cards(folder: Path) -> dict[str, Card]:
    """Return the cards saved in a folder, by name; a folder that is not there has none.

    Raises:
        InvalidInputError: a file of it is no card.
    """
    return {card.name: card for card in map(_read_file, sorted(folder.glob("*.json")))}


def _read_file(path: Path) -> Card:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"the model card {path} cannot be read: {error}",
            field="RANKGRES_MODEL_CARDS",
            value=str(path),
            mend="mend the file, or take it out of the folder",
        ) from None
    if not isinstance(values, dict):
        values = {}
    return read_card(values, str(path))


def _late_card(assumed: RerankerCard, of: str) -> RerankerCard:
    """Return the card of late interaction by the bi-encoder or the ColBERT model of that name."""
    known = _known().get(of)
    if known is None:
        return replace(assumed, kind="late-interaction")
    return replace(
        assumed,
        kind="late-interaction",
        max_tokens=known.max_tokens,
        license=known.license,
        languages=known.languages,
    )


def _known() -> dict[str, Card]:
    # Imported late: the settings' defaults are names of models.
    from service.settings import get_settings

    return _ready() | _saved(get_settings().card_folder)


@cache
def _ready() -> dict[str, Card]:
    path = Path(__file__).with_name("ready_cards.toml")
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return {card.name: card for card in _read_ready(content)}


def _read_ready(content: dict[str, list[dict[str, object]]]) -> Iterator[Card]:
    for role in ("encoder", "reranker"):
        for values in content[role]:
            yield read_card({"role": role, **values}, "ready_cards.toml")


@cache
def _saved(folder: Path) -> dict[str, Card]:
    """Read the folder once per process, as the settings themselves."""
    return read_saved_cards(folder)
