"""The first phase of a reranker: it learns another model's order of random passages.

A cross-encoder cut from a bi-encoder does not learn from hard negatives alone: its loss stays at
chance for hundreds of steps. The order that a bi-encoder gives random passages is easy to learn,
and gets attention between query and passage going within 150 steps.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.settings import Settings
from workers.inference.encoder import load_encoder
from workers.training.ranking_lists import RankingList

_PASSAGES: Final = 8
_ENCODED_AT_ONCE: Final = 64


def warm_up_lists(lists: Sequence[RankingList], count: int, seed: int) -> list[RankingList]:
    """Return so many lists: a query, one of its passages, and passages of other queries."""
    chance = random.Random(seed)  # noqa: S311  no secret: the same seed must give the same lists
    made = []
    for number in range(count):
        own = lists[number % len(lists)]
        best = max(range(len(own.passages)), key=own.labels.__getitem__)
        others = {own.passages[best]: None}
        for _ in range(20 * _PASSAGES):
            if len(others) == _PASSAGES:
                break
            others.setdefault(chance.choice(chance.choice(lists).passages))
        passages = list(others)
        chance.shuffle(passages)
        made.append(RankingList(own.query, passages, [0.0] * len(passages)))
    return made


def taught_by(
    name: str, lists: Sequence[RankingList], settings: Settings, on_text: Callable[[int], None]
) -> list[RankingList]:
    """Return the lists with the cosines that a bi-encoder gives their passages.

    Args:
        name: the bi-encoder, as settings name models.
        lists: any.
        settings: backend and threads.
        on_text: called with how many texts were embedded since it was last called.
    """
    encoder = load_encoder(name, settings)

    def embeddings(texts: Sequence[str], role: str) -> dict[str, NDArray[np.float32]]:
        found: dict[str, NDArray[np.float32]] = {}
        unique = list(dict.fromkeys(texts))
        for start in range(0, len(unique), _ENCODED_AT_ONCE):
            part = unique[start : start + _ENCODED_AT_ONCE]
            rows = encoder.encode(part, "query" if role == "query" else "document").embeddings
            found.update(zip(part, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))
            on_text(len(part))
        return found

    try:
        queries = embeddings([each.query for each in lists], "query")
        passages = embeddings([text for each in lists for text in each.passages], "document")
    finally:
        encoder.close()
    return [
        replace(
            each,
            teacher=[float(queries[each.query] @ passages[text]) for text in each.passages],
        )
        for each in lists
    ]
