"""The bi-encoder: texts to embeddings, in the role that the text plays."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from service.model_cards import EncoderCard, encoder_card
from service.settings import Settings
from workers.inference.backend import open_backend
from workers.inference.batcher import Batcher, open_batcher
from workers.inference.load import Load
from workers.inference.model_facts import contradictions, read_facts
from workers.inference.model_files import locate
from workers.inference.tokens import TokenReader, load_tokenizer

logger = logging.getLogger(__name__)

Role = Literal["query", "document"]


@dataclass(frozen=True)
class Encoding:
    """Embeddings, shape (texts, dimension), normalised if the card says so, and what was read.

    ``token_counts`` are those of the whole input, with prompt and special tokens; where one
    exceeds the card's ``max_tokens``, ``truncated`` is True and the model read only the head.
    """

    embeddings: NDArray[np.float32]
    token_counts: list[int]
    truncated: list[bool]


class Encoder:
    """Embeds texts with one loaded model; any number of threads may share it.

    ``warnings`` say where its card contradicts the model's own files.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, card: EncoderCard, tokenizer: Tokenizer, batcher: Batcher) -> None:
        self.card = card
        self.backend_name = batcher.backend_name
        self._reader = TokenReader(tokenizer, card.max_tokens)
        self._batcher = batcher

    @property
    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer, without truncation and padding; leave both off, it is shared."""
        return self._reader.tokenizer

    def encode(self, texts: Sequence[str], role: Role, deadline: float | None = None) -> Encoding:
        """Embed the texts, each behind the prompt of its role; row i belongs to text i.

        Args:
            texts: any number, also none; the empty text has an embedding like any other.
            role: whether a text is searched for or searched in.
            deadline: on the clock of ``time.monotonic``, in seconds.

        Raises:
            DeadlineExceededError: the deadline passed first; nothing is returned in part.
            ModelBusyError: too much waits already for it to be done in time.
        """
        if not texts:
            return Encoding(np.zeros((0, self.card.dimension), np.float32), [], [])
        sequences = self._reader.read(self._prompted(texts, role))
        embeddings = self._batcher.submit(sequences, deadline).result()
        if self.card.normalize:
            embeddings = normalised(embeddings)
        return Encoding(
            embeddings,
            [sequence.full_length for sequence in sequences],
            [sequence.truncated for sequence in sequences],
        )

    def count_tokens(self, texts: Sequence[str], role: Role = "document") -> list[int]:
        """Return the tokens of each text as the model would read it.

        Prompt and special tokens count, so a text fits if this is at most ``card.max_tokens``.
        """
        return self._reader.count(self._prompted(texts, role))

    def load(self) -> Load:
        """Return what the model is doing now."""
        return self._batcher.load()

    def close(self) -> None:
        """Stop the encoder's threads; texts that still wait fail."""
        self._batcher.close()

    def _prompted(self, texts: Sequence[str], role: Role) -> Sequence[str]:
        prompt = self.card.query_prompt if role == "query" else self.card.document_prompt
        return [prompt + text for text in texts] if prompt else texts


def load_encoder(name: str, settings: Settings) -> Encoder:
    """Find, load and warm up the bi-encoder of that name.

    Raises:
        InvalidInputError: no model card of that name.
        ModelUnavailableError: the model or its backend cannot be found or loaded.
    """
    return open_encoder(encoder_card(name), settings)


def open_encoder(card: EncoderCard, settings: Settings) -> Encoder:
    """Find, load and warm up the bi-encoder that the card describes."""
    if card.kind == "remote":
        from workers.inference.remote_encoder import load_remote_encoder

        return load_remote_encoder(card, settings)
    folder = locate(card.name)
    backend = open_backend(card.name, folder, card.pooling, settings)
    encoder = Encoder(card, load_tokenizer(folder), open_batcher(backend, settings))
    encoder.warnings = tuple(contradictions(card, read_facts(folder)))
    for warning in encoder.warnings:
        logger.warning(warning)
    encoder.encode(["warm up"], "query")  # the first run allocates; no caller should wait for it
    return encoder


def normalised(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row to length 1."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = embeddings / np.maximum(lengths, np.float32(1e-12))
    return scaled
