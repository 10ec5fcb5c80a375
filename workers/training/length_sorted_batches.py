"""Batches of lists that are about equally long, in an order that depends on seed and epoch."""

from collections.abc import Iterator
from typing import Any, Final

import torch
from sentence_transformers.base.sampler import DefaultBatchSampler

#: Lists are sorted within so many batches: enough that a batch holds equals, few enough that
#: every epoch mixes anew.
_BATCHES_SORTED_TOGETHER: Final = 50


class LengthSortedBatches(DefaultBatchSampler):
    """Deals the rows of a dataset with a column ``passages`` to batches of about equal length.

    The same seed and epoch give the same batches, which is what a resumed run relies on.
    """

    def __init__(self, dataset: Any, batch_size: int, drop_last: bool, **options: Any) -> None:
        super().__init__(dataset, batch_size, drop_last, **options)
        self._lengths = [sum(map(len, passages)) for passages in dataset["passages"]]

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row numbers of each batch."""
        generator = torch.Generator().manual_seed(self.seed + 1_000_003 * self.epoch)
        rows = torch.randperm(len(self._lengths), generator=generator).tolist()
        step = self.batch_size * _BATCHES_SORTED_TOGETHER
        batches = []
        for start in range(0, len(rows), step):
            part = sorted(rows[start : start + step], key=self._lengths.__getitem__)
            batches += [
                part[first : first + self.batch_size]
                for first in range(0, len(part), self.batch_size)
            ]
        if self.drop_last:
            batches = [batch for batch in batches if len(batch) == self.batch_size]
        for place in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[place]
