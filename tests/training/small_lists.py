"""A few ranking lists that a model can learn something from within seconds."""

import random

from workers.training.ranking_lists import RankingList

_THINGS = (
    "volcano", "kernel", "anode", "enzyme", "treaty", "socket", "vector", "matrix", "genome",
    "tariff", "court", "thread", "comet", "prism", "ledger", "quorum", "glacier", "piston",
)  # fmt: skip


def small_lists(count: int, *, passages: int = 4, seed: int = 1) -> list[RankingList]:
    """Return lists whose first passage answers, each with fused scores that say nothing."""
    chance = random.Random(seed)
    lists = []
    for number in range(count):
        things = chance.sample(_THINGS, passages)
        texts = [f"A {thing} is what this page of the book explains. " * 2 for thing in things]
        labels = [1.0] + [0.0] * (passages - 1)
        lists.append(
            RankingList(
                f"what is a {things[0]} in chapter {number}",
                texts,
                labels,
                fused=[float(passages - place) for place in range(passages)],
            )
        )
    return lists
