"""Fusion outside the database: what ``rankgres.fuse_v1`` does, for many queries at once.

A weight or a way to fuse changes nothing in the two lists that are fused. So tuning asks the
database for the lists once, and tries every fusion of them here; a test holds that both agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Stage = Literal["lexical", "vector"]
#: Scores by document id, best first: one stage's list.
StageList = Mapping[str, float]

#: Every fusion, as ``fuse_v1`` names it.
FUSIONS: Final = ("convex", "relative_score", "theoretical", "zscore", "distribution", "rrf")
RRF: Final = "rrf"
_FLAT: Final = 1e-12


def scale_scores(
    scores: NDArray[np.float64], stage: Stage, fusion: str
) -> tuple[NDArray[np.float64], float]:
    """Return a list's scores on the scale of a fusion, and what a document it lacks gets.

    The scales are those of ``rankgres.score_scale_v1``, which says what they are and whose.
    """
    if not len(scores):
        return scores, 0.0
    least, greatest, mean = float(scores.min()), float(scores.max()), float(scores.mean())
    flat = greatest - least <= _FLAT * max(abs(least), abs(greatest))
    floor = least - (greatest - least) / max(len(scores) - 1, 1)
    missing = 0.0
    if fusion == "theoretical" and greatest > 0:
        scaled = scores / greatest
        if stage == "vector" and not flat:
            missing = max(floor, min(0.0, least)) / greatest
    elif flat:
        scaled = np.full(len(scores), {"zscore": 0.0, "distribution": 0.5}.get(fusion, 1.0))
        missing = -1.0 if fusion == "zscore" else 0.0
    elif fusion == "convex":
        scaled = (scores - floor) / (greatest - floor)
    elif fusion == "zscore":
        deviation = float(scores.std())
        scaled, missing = (scores - mean) / deviation, (floor - mean) / deviation
    elif fusion == "distribution":
        spread = 6 * float(scores.std(ddof=1))
        scaled = 0.5 + (scores - mean) / spread
        missing = min(0.0, 0.5 + (floor - mean) / spread)
    else:
        scaled = (scores - least) / (greatest - least)
    return scaled, missing


@dataclass(frozen=True, slots=True)
class _Row:
    """One query: the documents of either list by id, and where each list's documents stand."""

    documents: list[str]
    places: dict[Stage, NDArray[np.intp]]
    scores: dict[Stage, NDArray[np.float64]]


@dataclass(slots=True)
class FusionTable:
    """Both stages' lists of many queries, to be fused in every way.

    Args:
        lexical: each query's lexical list.
        nearest: each query's vector list, in the same order of queries.
    """

    lexical: Sequence[StageList]
    nearest: Sequence[StageList]
    _rows: list[_Row] = field(init=False)
    _present: NDArray[np.bool_] = field(init=False)
    _scaled: dict[tuple[Stage, str, int], NDArray[np.float64]] = field(
        init=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        self._rows = [_row(*lists) for lists in zip(self.lexical, self.nearest, strict=True)]
        width = max((len(row.documents) for row in self._rows), default=0)
        counts = np.array([len(row.documents) for row in self._rows])
        self._present = np.arange(width) < counts[:, None]

    def documents(self, query: int) -> list[str]:
        """Return the documents of a query in the order of the columns of its scores."""
        return self._rows[query].documents

    def scores(self, fusion: str, lexical_weight: float, rrf_k: int) -> NDArray[np.float64]:
        """Return fused scores, shape (queries, documents); below all where there is no document."""
        fused = lexical_weight * self._side("lexical", fusion, rrf_k) + (
            1 - lexical_weight
        ) * self._side("vector", fusion, rrf_k)
        return np.where(self._present, fused, -np.inf)

    def order(self, fusion: str, lexical_weight: float, rrf_k: int, depth: int) -> NDArray[np.intp]:
        """Return the columns of the best documents, best first, shape (queries, depth)."""
        scores = self.scores(fusion, lexical_weight, rrf_k)
        # Columns stand in the order of ids, and a stable sort leaves equals in it.
        return np.argsort(-scores, axis=1, kind="stable")[:, :depth]

    def _side(self, stage: Stage, fusion: str, rrf_k: int) -> NDArray[np.float64]:
        """Return one stage's part of the scores, shape (queries, documents), not yet weighted."""
        key = stage, fusion, rrf_k if fusion == RRF else 0
        if key not in self._scaled:
            side = np.zeros(self._present.shape)
            for number, row in enumerate(self._rows):
                places, scores = row.places[stage], row.scores[stage]
                if fusion == RRF:
                    side[number, places] = 1.0 / (rrf_k + np.arange(1, len(places) + 1))
                    continue
                scaled, missing = scale_scores(scores, stage, fusion)
                side[number] = missing
                side[number, places] = scaled
            self._scaled[key] = side
        return self._scaled[key]


def _row(lexical: StageList, nearest: StageList) -> _Row:
    # By code point, which is the order of UTF-8's bytes and of COLLATE "C".
    documents = sorted(lexical.keys() | nearest.keys())
    column = {document: place for place, document in enumerate(documents)}
    lists: dict[Stage, StageList] = {"lexical": lexical, "vector": nearest}
    return _Row(
        documents,
        {
            stage: np.array([column[document] for document in found], dtype=np.intp)
            for stage, found in lists.items()
        },
        {stage: np.fromiter(found.values(), float) for stage, found in lists.items()},
    )
