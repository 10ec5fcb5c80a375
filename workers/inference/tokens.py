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
        return [self._cut(encoding) for encoding in self.tokenizer.encode_batch(list(texts))]

    def read_pairs(self, query: str, passages: Sequence[str]) -> list[TokenSequence]:
        """Return query and passage as one sequence each; only the passage loses its end.

        A query longer than half of ``max_tokens`` is cut to that half first, so that a passage
        always has room: a cross-encoder that reads no passage has nothing to judge.
        """
        query = self._head(query, self.max_tokens // 2)
        pairs = [(query, passage) for passage in passages]
        return [self._cut(encoding) for encoding in self.tokenizer.encode_batch(pairs)]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has, special tokens included."""
        return [len(encoding) for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def _head(self, text: str, tokens: int) -> str:
        """Return the text's first tokens, as text."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return text if len(encoding) <= tokens else text[: encoding.offsets[tokens - 1][1]]

    def _cut(self, encoding: Encoding) -> TokenSequence:
        """Drop tokens before the closing special tokens, until the sequence fits."""
        ids, type_ids, length = encoding.ids, encoding.type_ids, len(encoding)
        if length > self.max_tokens:
            closing = sum(1 for _ in takewhile(bool, reversed(encoding.special_tokens_mask)))
            kept, end = self.max_tokens - closing, length - closing
            ids = ids[:kept] + ids[end:]
            type_ids = type_ids[:kept] + type_ids[end:]
        return TokenSequence(ids, type_ids, length)
