"""Model cards: what must be known of a model to use it right.

A card is data alone, so that the service can create a generation without loading a model. Ready
ones are in ``ready_cards.toml``; a folder of the settings adds to them, and overrules them.
"""

from service.model_cards.card import (
    Card,
    CardCalibration,
    EncoderCard,
    RerankerCard,
    card_values,
    read_card,
    split_prefix,
)
from service.model_cards.catalogue import (
    DEFAULT_ENCODER,
    DEFAULT_RERANKER,
    encoder_card,
    encoder_cards,
    known_reranker_card,
    read_saved_cards,
    reranker_card,
    reranker_cards,
    save_card,
)

__all__ = [
    "DEFAULT_ENCODER",
    "DEFAULT_RERANKER",
    "Card",
    "CardCalibration",
    "EncoderCard",
    "RerankerCard",
    "card_values",
    "encoder_card",
    "encoder_cards",
    "known_reranker_card",
    "read_card",
    "read_saved_cards",
    "reranker_card",
    "reranker_cards",
    "save_card",
    "split_prefix",
]
