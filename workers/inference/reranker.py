"""What scores passages for a query: one interface over every kind of model, and the choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.model_cards import RerankerCard
from service.settings import Settings
from workers.inference.backend import pair_head
from workers.inference.load import Load
from workers.inference.model_files import locate
from workers.inference.model_probe import probed_reranker_card


@dataclass(frozen=True)
class Scoring:
    """Raw scores and what was read, both in the order of the passages.

    A score is None where the deadline came first. ``windows`` says where in its passage, in
    characters, the window stands that a score is of; None where the model read the whole passage,
    or nothing of it.
    """

    scores: list[float | None]
    windows: list[tuple[int, int] | None]


class Reranker(Protocol):
    """Scores passages with one model; any number of threads may share it."""

    @property
    def card(self) -> RerankerCard:
        """Return what is known of the model."""

    @property
    def backend_name(self) -> str:
        """Return what runs it, such as ``onnx-int8``."""

    def score(self, query: str, passages: Sequence[str], deadline: float | None) -> Scoring:
        """Score the passages from the first on, until the deadline; higher is more relevant.

        Args:
            query: what is searched for.
            passages: best first, so that a short deadline leaves out the least promising.
            deadline: on the clock of ``time.monotonic``, in seconds; None scores all.

        Raises:
            ModelBusyError: nothing was scored, and the model says when to ask again.
        """

    def load(self) -> Load:
        """Return what the model is doing now."""

    def close(self) -> None:
        """Let the model go; passages that still wait stay without a score."""


def load_reranker(name: str, settings: Settings) -> Reranker:
    """Find, load and warm up the reranker of that name; one without a card is probed for it.

    Raises:
        ModelUnavailableError: the model or its backend cannot be found or loaded.
        InvalidInputError: where a remote model is was not said.
    """
    card = probed_reranker_card(name, settings)
    # Each imported when it is asked for: no process needs what the other kinds need.
    match card.kind:
        case "cross-encoder":
            from workers.inference.cross_encoder import load_cross_encoder

            return load_cross_encoder(card, settings)
        case "late-interaction":
            if pair_head(card, locate(card.served_name)):
                from workers.inference.cross_encoder import load_cross_encoder

                return load_cross_encoder(card, settings)
            from workers.inference.late_interaction import load_late_interaction

            return load_late_interaction(card, settings)
        case "remote":
            from workers.inference.remote_reranker import load_remote_reranker

            return load_remote_reranker(card, settings)
        case "listwise":
            from workers.inference.listwise_reranker import load_listwise_reranker

            return load_listwise_reranker(card, settings)
