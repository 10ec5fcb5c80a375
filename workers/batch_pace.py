"""How many documents make a batch: as many as take about a second, whatever the model."""

from typing import Final

#: A batch that takes longer keeps those waiting that come after it.
_LONGEST_SECONDS: Final = 1.0
#: A batch that takes less could save some of what each batch costs.
_SHORTEST_SECONDS: Final = 0.4
_FIRST: Final = 64
_LEAST: Final = 4


class BatchPace:
    """The number of documents of the next batch; threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.documents = min(most, _FIRST)

    def note(self, documents: int, seconds: float) -> None:
        """Learn from a batch of so many documents that took so long."""
        if seconds > _LONGEST_SECONDS:
            self.documents = max(min(_LEAST, self._most), min(self.documents, documents) // 2)
        elif seconds < _SHORTEST_SECONDS and documents >= self.documents:
            self.documents = min(self._most, 2 * self.documents)
