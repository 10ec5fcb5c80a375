"""An encoder without a model: an embedding is a function of its text alone, and takes no time.

It cuts and counts with the real tokenizer, so that chunks are those of the real model; whoever
knows a text can tell whether an embedding is that of this very text.
"""

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from service.model_cards import EncoderCard, encoder_card
from service.settings import Settings
from workers import loaded_models
from workers.inference.encoder import Encoder, Encoding, Role
from workers.inference.load import Load
from workers.inference.model_files import locate
from workers.inference.tokens import TokenReader, load_tokenizer

#: An embedding is the sum of three of so many rows: 2**30 texts apart before two are alike.
_ROWS = 1024


class FakeEncoder(Encoder):
    """Embeds by hashing; truncates nothing."""

    def __init__(self, card: EncoderCard, tokenizer: Tokenizer) -> None:
        # Nothing of the parent's but what chunking reads: there is no model to be batched for.
        self.card = card
        self.backend_name = "fake"
        self._reader = TokenReader(tokenizer, card.max_tokens)

    def encode(self, texts: Sequence[str], role: Role, deadline: float | None = None) -> Encoding:
        """Return the embedding of each text; role and deadline change nothing."""
        del role, deadline
        embeddings = fake_embeddings(texts, self.card.dimension)
        return Encoding(embeddings, [1] * len(texts), [False] * len(texts))

    def load(self) -> Load:
        """Return a load of which nothing is known."""
        return Load()

    def close(self) -> None:
        """Return at once: no thread is to be stopped."""


def fake_embeddings(texts: Sequence[str], dimension: int) -> NDArray[np.float32]:
    """Return a row of length 1 for each text, always the same for the same text."""
    rows = _random_rows(dimension)
    numbers = [int.from_bytes(blake2b(text.encode(), digest_size=4).digest()) for text in texts]
    places = np.array(numbers, dtype=np.int64)
    sums = rows[places % _ROWS] + rows[places // _ROWS % _ROWS] + rows[places // _ROWS**2 % _ROWS]
    scaled: NDArray[np.float32] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return scaled


@cache
def _random_rows(dimension: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((_ROWS, dimension), dtype=np.float32)


def load_fake_encoder(name: str, _settings: Settings) -> Encoder:
    """Return a fake in place of the bi-encoder of that name."""
    return FakeEncoder(encoder_card(name), load_tokenizer(locate(name)))


def put_in_place(load: Callable[[str, Settings], Encoder]) -> None:
    """Have this process call ``load`` wherever it would load a bi-encoder."""
    vars(loaded_models).update(load_encoder=load)
