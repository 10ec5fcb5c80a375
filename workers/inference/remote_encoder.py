"""A bi-encoder that somebody else runs, asked for embeddings in OpenAI's shape."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.errors import ModelUnavailableError
from service.model_cards import DEFAULT_ENCODER, EncoderCard
from service.settings import Settings
from workers.inference.call_tally import CallTally
from workers.inference.encoder import Encoder, Encoding, Role, normalised
from workers.inference.load import Load
from workers.inference.model_files import locate
from workers.inference.remote_endpoint import RemoteEndpoint, require_url
from workers.inference.tokens import TokenReader, load_tokenizer

#: Texts, and tokens by our count, of one request: well below what endpoints take, and small enough
#: that one which fails is soon repeated.
_TEXTS: Final = 64
_TOKENS: Final = 50_000
#: Some endpoints refuse an empty input; this says as little as nothing does.
_EMPTY: Final = " . "


class RemoteEncoder(Encoder):
    """Embeds texts by asking an endpoint; any number of threads may share it.

    Tokens are counted with the tokenizer that the card names, for an endpoint tells none: what is
    longer than the card's ``max_tokens`` by that count loses its end before it is sent, and the
    encoding says so.
    """

    # Nothing of the parent's but how it reads: there is no model here to be batched for.
    def __init__(self, card: EncoderCard, reader: TokenReader, endpoint: RemoteEndpoint) -> None:
        self.card = card
        self.backend_name = "remote-openai"
        self._reader = reader
        self._endpoint = endpoint
        self._tally = CallTally(_TOKENS)

    def encode(self, texts: Sequence[str], role: Role, deadline: float | None = None) -> Encoding:
        """Embed the texts, each behind the prompt of its role; row i belongs to text i.

        Raises:
            DeadlineExceededError: the deadline passed first; nothing is returned in part.
            ModelBusyError: the endpoint wants to be asked again later.
            ModelUnavailableError: it cannot be reached, or its embeddings are not of the card's
                dimension.
        """
        prompted = list(self._prompted(texts, role))
        counts = self._reader.count(prompted)
        heads = [
            self._head(text) if count > self.card.max_tokens else text
            for text, count in zip(prompted, counts, strict=True)
        ]
        rows = np.zeros((len(texts), self.card.dimension), np.float32)
        for first, last in _batches(counts, self.card.max_tokens):
            with self._tally.call(sum(counts[first:last]), last - first):
                rows[first:last] = ask_embeddings(
                    self._endpoint, self.card, heads[first:last], deadline
                )
        return Encoding(
            normalised(rows) if self.card.normalize and len(texts) else rows,
            counts,
            [count > self.card.max_tokens for count in counts],
        )

    def _head(self, text: str) -> str:
        """Return what the card's tokens reach of a text that is longer."""
        offsets = self.tokenizer.encode(text, add_special_tokens=False).offsets
        special = self.tokenizer.num_special_tokens_to_add(is_pair=False)
        return text[: offsets[self.card.max_tokens - special - 1][1]]

    def load(self) -> Load:
        """Return what the model is doing now."""
        return self._tally.load()

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()


def load_remote_encoder(card: EncoderCard, settings: Settings) -> RemoteEncoder:
    """Return the encoder that the card describes; nothing is asked before a text comes.

    Raises:
        InvalidInputError: it was not said where the endpoint is.
        ModelUnavailableError: the tokenizer cannot be found.
    """
    endpoint = open_embedding_endpoint(card, settings)
    tokenizer = load_tokenizer(locate(card.tokenizer or DEFAULT_ENCODER))
    return RemoteEncoder(card, TokenReader(tokenizer, card.max_tokens), endpoint)


def open_embedding_endpoint(card: EncoderCard, settings: Settings) -> RemoteEndpoint:
    """Return the endpoint of the card, or of the settings where the card names none."""
    return RemoteEndpoint(
        require_url(card.url or settings.embedding_url, card.name, "RANKGRES_EMBEDDING_URL"),
        settings.embedding_api_key,
        settings.remote_timeout_seconds,
        setting="RANKGRES_EMBEDDING_URL",
    )


def ask_embeddings(
    endpoint: RemoteEndpoint, card: EncoderCard, texts: Sequence[str], deadline: float | None
) -> NDArray[np.float32]:
    """Return the endpoint's embeddings in the order of the texts, as long as the card says.

    A card of dimension 0 takes any length.
    """
    body = {
        "model": card.served_name,
        "input": [text if text.strip() else _EMPTY for text in texts],
        "encoding_format": "float",
    }
    return _read(endpoint, card, endpoint.ask(body, deadline), len(texts))


def _read(
    endpoint: RemoteEndpoint, card: EncoderCard, answer: Any, wanted: int
) -> NDArray[np.float32]:
    try:
        found = {int(each["index"]): each["embedding"] for each in answer["data"]}
        rows = np.array([found[index] for index in range(wanted)], dtype=np.float32)
    except (KeyError, TypeError, ValueError):
        raise endpoint.wrong_answer(
            f"something else than an embedding for each of {wanted} texts"
        ) from None
    if rows.ndim != 2 or not np.isfinite(rows).all():  # noqa: PLR2004  rows and columns
        raise endpoint.wrong_answer("embeddings that are no lists of numbers")
    if card.dimension and rows.shape[1] != card.dimension:
        raise ModelUnavailableError(
            f"{card.name} gives embeddings of {rows.shape[1]} dimensions, and its card says "
            f"{card.dimension}",
            field="embedding_model",
            value=card.name,
            mend=f"'rankgres model probe {card.name} --save' writes a card of what it gives; a "
            "collection of other embeddings is made anew",
        )
    return rows


def _batches(counts: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return the first and last+1 of the texts that go into each request."""
    found = []
    first, tokens = 0, 0
    for place, count in enumerate(counts):
        read = min(count, most)
        if place > first and (place - first == _TEXTS or tokens + read > _TOKENS):
            found.append((first, place))
            first, tokens = place, 0
        tokens += read
    if counts:
        found.append((first, len(counts)))
    return found
