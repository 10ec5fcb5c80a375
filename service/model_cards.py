"""Model cards: what must be known of a model to use it right.

A card is data alone, so that the service can create a generation without loading a model.
"""

from dataclasses import dataclass
from typing import Final, Literal

from service.errors import InvalidInputError

DEFAULT_ENCODER: Final = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_RERANKER: Final = "rankgres/reranker-v0"

#: Text-search configurations that say what language a text is in; "auto" stands for several.
_LANGUAGES: Final = frozenset(
    {
        "arabic", "armenian", "auto", "basque", "catalan", "danish", "dutch", "english",
        "estonian", "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian",
        "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese", "romanian",
        "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """What a bi-encoder needs to be used as it was trained.

    ``max_tokens`` counts the special tokens that the tokenizer adds. ``query_prompt`` and
    ``document_prompt`` are put before the text and count too. ``languages`` are named as Postgres
    names its text-search configurations.
    """

    name: str
    dimension: int
    max_tokens: int
    pooling: Literal["mean", "cls"] = "mean"
    normalize: bool = True
    query_prompt: str = ""
    document_prompt: str = ""
    license: str = ""
    languages: tuple[str, ...] = ("english",)

    def reads(self, text_search_config: str) -> bool:
        """Return False for a configuration of a language that the model was not trained on.

        "auto" expects several languages; of "simple" and of configurations that are not Postgres'
        own the language is not known.
        """
        return text_search_config.removeprefix("unaccent+") not in self.foreign_configs

    @property
    def foreign_configs(self) -> list[str]:
        """Return the configurations of languages that the model was not trained on."""
        return sorted(_LANGUAGES.difference(self.languages))


@dataclass(frozen=True, slots=True)
class RerankerCard:
    """What a cross-encoder needs: ``max_tokens`` is for query and passage together."""

    name: str
    max_tokens: int
    license: str = ""


_BGE_QUERY = "Represent this sentence for searching relevant passages: "

_ENCODERS: Final = {
    card.name: card
    for card in (
        EncoderCard(DEFAULT_ENCODER, 384, 256, license="Apache-2.0"),
        EncoderCard("sentence-transformers/all-mpnet-base-v2", 768, 384, license="Apache-2.0"),
        EncoderCard(
            "BAAI/bge-small-en-v1.5", 384, 512, "cls", query_prompt=_BGE_QUERY, license="MIT"
        ),
        EncoderCard(
            "BAAI/bge-base-en-v1.5", 768, 512, "cls", query_prompt=_BGE_QUERY, license="MIT"
        ),
        EncoderCard(
            "intfloat/e5-large-v2",
            1024,
            512,
            query_prompt="query: ",
            document_prompt="passage: ",
            license="MIT",
        ),
    )
}

_RERANKERS: Final = {
    card.name: card
    for card in (
        RerankerCard(DEFAULT_RERANKER, 512, license="Apache-2.0"),
        RerankerCard("cross-encoder/ms-marco-MiniLM-L6-v2", 512, license="Apache-2.0"),
    )
}


def encoder_cards() -> list[EncoderCard]:
    """Return the cards of all known bi-encoders."""
    return list(_ENCODERS.values())


def encoder_card(name: str) -> EncoderCard:
    """Return the card of a known bi-encoder.

    Raises:
        InvalidInputError: no card of that name; the mend lists the known ones.
    """
    if name in _ENCODERS:
        return _ENCODERS[name]
    raise InvalidInputError(
        f"no model card for the embedding model {name!r}",
        field="embedding_model",
        value=name,
        mend=f"use one of: {', '.join(sorted(_ENCODERS))}",
    )


def reranker_card(name: str) -> RerankerCard:
    """Return the card of a cross-encoder; an unknown one is taken to read 512 tokens."""
    return _RERANKERS.get(name, RerankerCard(name, 512))
