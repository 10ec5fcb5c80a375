"""What a reranker learns: the share of each passage in its list's relevance."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import ListNetLoss
from sentence_transformers.util import batch_to_device

from workers.training.ranking_lists import RankingList

#: Of a passage without relevance: its logarithm must be a number.
_LEAST_SHARE: Final = 1e-6
#: A teacher's scores are spread to deviation 1 in each list, so that its scale does not matter;
#: divided by this, its best of eight gets about half of the list's share.
TEACHER_TEMPERATURE: Final = 0.5


class SortedListNet(ListNetLoss):
    """ListNet, with the pairs of a whole batch run in order of length.

    ListNet (Cao et al., ICML 2007) is the cross entropy between two distributions over a list:
    the softmax of the model's scores and that of the labels. The parent runs pairs in the order of
    their lists, padded to the longest of each run; passages of one list differ in length as much
    as any, so that padding is a third of the work. ``run_pairs`` are run together.
    """

    def __init__(self, model: CrossEncoder, run_pairs: int) -> None:
        super().__init__(model)
        self._run_pairs = run_pairs

    def forward(
        self,
        inputs: list[Any],
        labels: list[torch.Tensor],
        prompt: str | None = None,
        task: str | None = None,
    ) -> torch.Tensor:
        """Return the mean cross entropy of the lists.

        Args:
            inputs: queries, and a list of passages for each.
            labels: for each query the logarithm of its passages' shares.
            prompt: put before every pair.
            task: for models with several.
        """
        queries, lists = inputs
        pairs = [
            (query, passage)
            for query, passages in zip(queries, lists, strict=True)
            for passage in passages
        ]
        by_length = sorted(range(len(pairs)), key=lambda index: len(pairs[index][1]))
        scores = []
        for start in range(0, len(pairs), self._run_pairs):
            run = [pairs[index] for index in by_length[start : start + self._run_pairs]]
            tokens = batch_to_device(
                self.model.preprocess(run, prompt=prompt, task=task), self.model.device
            )
            scores.append(self.model(tokens)["scores"].view(-1).float())
        back = torch.tensor(by_length, device=scores[0].device).argsort()
        found = torch.split(torch.cat(scores)[back], [len(passages) for passages in lists])
        losses = [
            -(torch.softmax(wanted.to(given.device), 0) * torch.log_softmax(given, 0)).sum()
            for given, wanted in zip(found, labels, strict=True)
        ]
        return torch.stack(losses).mean()


def target_shares(each: RankingList, teacher_weight: float) -> NDArray[np.float64]:
    """Return what the model's softmax over the list should be; sums to 1.

    Labels give each passage its grade's share of all grades. A teacher adds its own softmax with
    ``teacher_weight``, or alone where nothing in the list is relevant.
    """
    grades = np.maximum(np.array(each.labels), 0.0)
    shares = grades / grades.sum() if each.relevant else np.zeros(len(grades))
    if each.teacher is not None:
        weight = teacher_weight if each.relevant else 1.0
        shares = (1 - weight) * shares + weight * teacher_shares(each.teacher)
    return shares


def teacher_shares(scores: Sequence[float]) -> NDArray[np.float64]:
    """Return the softmax of a teacher's scores, spread alike in every list."""
    values = np.array(scores)
    deviation = values.std()
    spread = (values - values.mean()) / (deviation if deviation > 0 else 1.0)
    powers: NDArray[np.float64] = np.exp((spread - spread.max()) / TEACHER_TEMPERATURE)
    found: NDArray[np.float64] = powers / powers.sum()
    return found


def log_shares(shares: NDArray[np.float64]) -> list[float]:
    """Return shares as the labels whose softmax they are."""
    return [float(value) for value in np.log(np.maximum(shares, _LEAST_SHARE))]
