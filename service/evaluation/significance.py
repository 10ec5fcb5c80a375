"""Significance: whether two runs differ by more than the luck of which queries were asked."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Ways of giving the runs' values back at random. At p = 0.05, p is right to 0.0014 (two sigma).
PERMUTATIONS: Final = 100_000
_SEED: Final = 20_070_906
#: Signs drawn at once, so that memory stays small whatever the number of queries.
_SIGNS_AT_ONCE: Final = 4_000_000
#: Sums of the same numbers in another order differ in their last bits; they are the same sum.
_TOLERANCE: Final = 1e-9


def randomisation_test(
    differences: NDArray[np.float64], *, permutations: int = PERMUTATIONS, seed: int = _SEED
) -> NDArray[np.float64]:
    """Return the two-sided p-value of every column's mean by Fisher's paired randomisation test.

    If two runs were equally good, each query's two values could as well have been swapped, which
    turns the sign of their difference. p is the share of all ways to swap that give a mean at least
    as far from 0 as the one found (Fisher, "The Design of Experiments", 1935; for retrieval:
    Smucker, Allan, Carterette, "A Comparison of Statistical Significance Tests for Information
    Retrieval Evaluation", CIKM 2007). No distribution is assumed, unlike by the t-test.

    All ways are tried where there are no more than ``permutations``; otherwise so many are drawn,
    the same in every call, and p = (found + 1) / (drawn + 1), which is never 0 (Phipson and Smyth,
    "Permutation P-values Should Never Be Zero", 2010).

    Args:
        differences: run less baseline, shape (queries, measures); at least one query.
        permutations: ways to draw at most.
        seed: of the draw.
    """
    queries = len(differences)
    bound = np.abs(differences.sum(axis=0)) - _TOLERANCE * np.abs(differences).sum(axis=0)
    exact = queries < permutations.bit_length() and 2**queries <= permutations
    drawn = 2**queries if exact else permutations
    chance = np.random.default_rng(seed)
    reached = np.zeros(differences.shape[1])
    rows = max(1, _SIGNS_AT_ONCE // queries)
    for first in range(0, drawn, rows):
        count = min(rows, drawn - first)
        if exact:
            ways = np.arange(first, first + count, dtype=np.int64)
            bits: NDArray[np.integer[Any]] = ways[:, None] >> np.arange(queries) & 1
        else:
            random = chance.bytes(count * -(-queries // 8))
            packed = np.frombuffer(random, dtype=np.uint8).reshape(count, -1)
            bits = np.unpackbits(packed, axis=1, count=queries)
        sums = (1.0 - 2.0 * bits) @ differences
        reached += (np.abs(sums) >= bound).sum(axis=0)
    return reached / drawn if exact else (reached + 1) / (drawn + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for there being several, in the order given.

    The chance that any of them is below 0.05 although no run differs stays 0.05 (Holm, "A Simple
    Sequentially Rejective Multiple Test Procedure", 1979).
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, number in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[number]))
        corrected[number] = highest
    return corrected
