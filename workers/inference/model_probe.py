"""Makes a card of a model that has none, from its own files or by asking its endpoint.

``python -m workers.inference.model_probe NAME`` prints JSON: the card, and notes on what was
assumed; or an error with its mend, and ends with 1.
"""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any, Final, Literal, cast

from service.errors import ModelUnavailableError, RankgresError
from service.model_cards import (
    Card,
    EncoderCard,
    RerankerCard,
    card_values,
    known_reranker_card,
    split_prefix,
)
from service.settings import Settings, get_settings
from workers.inference.model_facts import ModelFacts, contradictions, read_facts
from workers.inference.model_files import QUERY_WEIGHTS, locate

logger = logging.getLogger(__name__)

#: Where nothing says how much a model reads.
_ASSUMED_TOKENS: Final = 512
#: Modules whose work Rankgres does itself; others would be left out by the onnx backend.
_KNOWN_MODULES: Final = frozenset({"Transformer", "Pooling", "Normalize"})


@dataclass(frozen=True, slots=True)
class Probe:
    """A card made of what was found, and notes on what was not."""

    card: Card
    notes: list[str]


def probe(name: str, settings: Settings) -> Probe:
    """Return the card of a model, known or not, from its own files; a remote one is asked.

    Raises:
        ModelUnavailableError: it cannot be found or asked, or is of a kind that is of no use here.
    """
    prefix, _ = split_prefix(name)
    if prefix == "openai":
        return _probe_remote_encoder(name, settings)
    if prefix and prefix != "late":
        card = known_reranker_card(name)
        assert card is not None
        return Probe(card, ["an endpoint does not say how much its model reads: look it up"])
    folder = locate(split_prefix(name)[1])
    facts = read_facts(folder)
    late = facts.kind == "late-interaction" or (folder / QUERY_WEIGHTS).is_file()
    if prefix == "late" or late:
        return _reranker(name, facts, "late-interaction")
    if facts.kind == "cross-encoder":
        return _reranker(name, facts, "cross-encoder")
    if facts.kind == "bi-encoder":
        return _encoder(name, folder, facts)
    raise ModelUnavailableError(
        f"the model {name!r} is of no use here: "
        + (
            "its embeddings are sparse"
            if facts.kind == "sparse"
            else f"it tells {facts.labels} classes apart, and a reranker has one score"
        ),
        field="model",
        value=name,
        mend="use a bi-encoder, a cross-encoder with one label, or a ColBERT model",
    )


def probed_reranker_card(name: str, settings: Settings) -> RerankerCard:
    """Return the card of a reranker; one that is not known is probed, and what was found logged."""
    known = known_reranker_card(name)
    if known is not None:
        return known
    found = probe(name, settings)
    if not isinstance(found.card, RerankerCard):
        raise ModelUnavailableError(
            f"the model {name!r} is no reranker: it embeds",
            field="reranker_model",
            value=name,
            mend=f"name a cross-encoder; 'late:{name}' lets this one interact late",
        )
    said = json.dumps(card_values(found.card))
    logger.warning("%s has no card; by its own files it is %s", name, said)
    for note in found.notes:
        logger.warning("%s: %s", name, note)
    return found.card


def card_warnings(card: EncoderCard) -> list[str]:
    """Return where an encoder's card contradicts its own files; of a remote one there are none."""
    if card.kind == "remote":
        return []
    return contradictions(card, read_facts(locate(card.name)))


def _encoder(name: str, folder: Path, facts: ModelFacts) -> Probe:
    notes = []
    if facts.dimension is None:
        raise ModelUnavailableError(
            f"the files in {folder} do not say how many dimensions the embeddings have",
            field="model",
            value=name,
            mend="check that the folder is whole: config.json says it",
        )
    if facts.pooling not in {None, "mean", "cls"}:
        raise ModelUnavailableError(
            f"the model {name!r} pools by {facts.pooling}; mean and cls are known",
            field="model",
            value=name,
            mend="use another model",
        )
    if foreign := sorted(set(facts.modules) - _KNOWN_MODULES):
        notes.append(
            f"its modules {', '.join(foreign)} run on torch alone: set "
            "RANKGRES_INFERENCE_BACKEND=torch"
        )
    notes += _assumptions(
        facts,
        ("pooling", "mean pooling"),
        ("max_tokens", f"{_ASSUMED_TOKENS} tokens"),
        ("normalize", "no normalisation"),
        ("distance", "the distance cosine"),
        ("query_prompt", "no prompt before queries"),
        ("document_prompt", "no prompt before documents"),
        ("license", "no licence"),
        ("languages", "English"),
    )
    card = EncoderCard(
        name,
        facts.dimension,
        facts.max_tokens or _ASSUMED_TOKENS,
        pooling=cast("Literal['mean', 'cls']", facts.pooling or "mean"),
        normalize=bool(facts.normalize),
        query_prompt=facts.query_prompt or "",
        document_prompt=facts.document_prompt or "",
        license=facts.license or "",
        languages=facts.languages or ("english",),
        distance=facts.distance or "cosine",
    )
    return Probe(card, notes)


def _reranker(
    name: str, facts: ModelFacts, kind: Literal["cross-encoder", "late-interaction"]
) -> Probe:
    notes = _assumptions(
        facts,
        ("max_tokens", f"{_ASSUMED_TOKENS} tokens"),
        ("license", "no licence"),
        ("languages", "English"),
    )
    card = RerankerCard(
        name,
        facts.max_tokens or _ASSUMED_TOKENS,
        license=facts.license or "",
        kind=kind,
        languages=facts.languages or ("english",),
    )
    return Probe(card, notes)


def _assumptions(facts: ModelFacts, *assumed: tuple[str, str]) -> list[str]:
    return [
        f"its files do not say its {name}: {what} assumed"
        for name, what in assumed
        if getattr(facts, name) is None
    ]


def _probe_remote_encoder(name: str, settings: Settings) -> Probe:
    """Ask for one embedding, which shows the dimension and whether it has length 1."""
    from workers.inference.remote_encoder import ask_embeddings, open_embedding_endpoint

    card = EncoderCard(name, 0, _ASSUMED_TOKENS, kind="remote")
    endpoint = open_embedding_endpoint(card, settings)
    try:
        embedding = ask_embeddings(endpoint, card, ["What is the length of this?"], None)[0]
    finally:
        endpoint.close()
    notes: Sequence[str] = (
        f"an endpoint does not say how much its model reads: {_ASSUMED_TOKENS} tokens assumed",
        "nor its prompts, licence and languages: look them up",
    )
    return Probe(with_changes(card, dimension=len(embedding)), list(notes))


def main() -> None:
    """Print what is found of the model named on the command line."""
    answer: dict[str, Any]
    try:
        found = probe(sys.argv[1], get_settings())
        answer = {"card": card_values(found.card), "notes": found.notes}
    except RankgresError as error:
        answer = {"error": error.detail, "mend": error.mend}
    print(json.dumps(answer))  # noqa: T201  the answer of a command
    sys.exit(1 if "error" in answer else 0)


if __name__ == "__main__":
    main()
