"""Texts to tokens: a model's own tokenizer, with truncation that is always reported."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from workers.inference.backend import TokenSequence


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the model's tokenizer, which never cuts and never pads.

    What ``tokenizer.json`` says of both is how its author last ran it, not what the model can
    read: all-MiniLM-L6-v2 ships 128 tokens there and reads 256.
    """
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class TokenReader:
    """Reads texts into sequences of at most ``max_tokens``; safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def read(self, texts: Sequence[str]) -> list[TokenSequence]:
        """Return a sequence for each text; what is too long loses its end and says so."""
        return [self._cut(encoding) for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has, special tokens included."""
        return [len(encoding) for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def _cut(self, encoding: Encoding) -> TokenSequence:
        """Drop tokens before the closing special tokens, until the sequence fits."""
        ids, type_ids, length = encoding.ids, encoding.type_ids, len(encoding)
        if length > self.max_tokens:
            closing = sum(1 for _ in takewhile(bool, reversed(encoding.special_tokens_mask)))
            kept, end = self.max_tokens - closing, length - closing
            ids = ids[:kept] + ids[end:]
            type_ids = type_ids[:kept] + type_ids[end:]
        return TokenSequence(ids, type_ids, length)
