"""The deadline of a whole search, from which every stage takes its part."""

import math
import time
from dataclasses import dataclass
from typing import Final, Self

#: Of what is left when a stage begins, the most that it may take. A search without an embedding is
#: still lexical, one without a reranking still fused: what comes later must get its chance.
EMBED_SHARE: Final = 0.5
CANDIDATES_SHARE: Final = 0.6
RERANK_SHARE: Final = 0.85
FACETS_SHARE: Final = 0.5
SNIPPETS_SHARE: Final = 0.7


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a search's caller goes, on the clock of ``time.monotonic``; inf where nobody said."""

    ends: float = math.inf

    @classmethod
    def after(cls, timeout_ms: float | None, began: float | None = None) -> Self:
        """Return the deadline of a search that began then, or now."""
        if timeout_ms is None:
            return cls()
        return cls((time.monotonic() if began is None else began) + timeout_ms / 1000)

    def part_ms(self, share: float, most: float = math.inf) -> float:
        """Return what a stage may take: a share of the time that is left, and no more than most.

        0 where no time is left.
        """
        return max(0.0, min(most, share * 1000 * (self.ends - time.monotonic())))

    def part_whole_ms(self, share: float) -> int | None:
        """Return ``part_ms`` as Postgres takes it: at least 1, None where there is no deadline."""
        return None if math.isinf(self.ends) else max(1, int(self.part_ms(share)))
