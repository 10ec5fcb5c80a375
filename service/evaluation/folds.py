"""Folds: the queries dealt to parts, each of which judges what the others chose."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError


def deal_queries(queries: int, folds: int, seed: int) -> NDArray[np.integer[Any]]:
    """Return the fold of every query, the same for the same seed.

    Raises:
        InvalidInputError: there are fewer queries than folds.
    """
    if queries < folds:
        raise InvalidInputError(
            f"{queries} queries cannot be dealt to {folds} folds",
            field="folds",
            value=folds,
            mend="judge more queries, or use fewer folds",
        )
    return np.random.default_rng(seed).permutation(queries) % folds
