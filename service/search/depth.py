"""Depth: how many of the first candidates are worth scoring, and how many a budget has time for.

Two pure functions. ``affordable`` asks the clock: what the worker can read in the time there is.
``depth`` asks the list: where both stages agree on what comes first, and the first stands clear of
the rest, a reranker seldom finds better further down. How clear is clear enough is a
``DepthPolicy``, which ``rankgres tune --rerank`` learns from judgements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Final, Protocol, Self

from service.errors import InvalidInputError

#: How far down the lists are compared, and over how many scores the margin is measured.
TOP: Final = 10
#: Kept of a depth at least, in results asked for: what is shown shall have been chosen from more.
LEAST_TIMES_K: Final = 2
#: Bytes of UTF-8 that make a token. English has 4.5 to 5.3 on six sets of texts; what an English
#: vocabulary was not made for has 2 to 3, of which too much is asked then: the deadline cuts.
_TOKEN_BYTES: Final = 4.7
#: Of a pair of query and passage, what the tokenizer adds.
_PAIR_TOKENS: Final = 3


class Placed(Protocol):
    """A candidate document's places: its fused score, and its rank in each list that has it."""

    @property
    def score(self) -> float:
        """Return the fused score."""

    @property
    def lexical_rank(self) -> int | None:
        """Return the place in the lexical list, from 1; None: not in it."""

    @property
    def vector_rank(self) -> int | None:
        """Return the place in the vector list, from 1; None: not in it."""


@dataclass(frozen=True, slots=True)
class Clarity:
    """How sure a fused list is of its beginning, both between 0 and 1.

    ``agreement`` is the average overlap of the two lists' first ten: of the mean over n from 1 to
    10 of the share of their first n that both have. ``margin`` is how far the first fused score
    stands above the second, as a share of its distance to the tenth.
    """

    agreement: float
    margin: float


@dataclass(frozen=True, slots=True)
class DepthRule:
    """Where a list is at least so clear, at most ``depth`` candidates are scored."""

    agreement: float
    margin: float
    depth: int


@dataclass(frozen=True, slots=True)
class DepthPolicy:
    """Rules, of which every one that a list satisfies counts: the least depth is taken."""

    rules: tuple[DepthRule, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the form in which a collection's ``rerank_profile`` keeps it."""
        return {"rules": [asdict(rule) for rule in self.rules]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``as_json`` wrote.

        Raises:
            InvalidInputError: the values are no policy.
        """
        try:
            rules = tuple(
                DepthRule(float(rule["agreement"]), float(rule["margin"]), int(rule["depth"]))
                for rule in values["rules"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"no depth policy: {error!r}",
                field="adaptive",
                mend="learn one with 'rankgres tune --rerank', or take it out",
            ) from None
        return cls(rules)


def clarity(candidates: Sequence[Placed]) -> Clarity:
    """Return how sure a fused list is of its beginning.

    Args:
        candidates: one a document, in fused order. Of a list that one stage alone made, or that is
            empty, nothing is sure.
    """
    agreement = sum(
        sum(
            candidate.lexical_rank is not None
            and candidate.vector_rank is not None
            and max(candidate.lexical_rank, candidate.vector_rank) <= place
            for candidate in candidates
        )
        / place
        for place in range(1, TOP + 1)
    )
    scores = [candidate.score for candidate in candidates[:TOP]]
    spread = scores[0] - scores[-1] if scores else 0.0
    margin = (scores[0] - scores[1]) / spread if spread > 0 else 0.0
    return Clarity(agreement / TOP, margin)


def depth(
    candidates: Sequence[Placed], most: int, policy: DepthPolicy | None, *, k: int = TOP
) -> int:
    """Return how many of the first candidates to score: ``most``, or fewer where the list is clear.

    Never fewer than twice ``k``, unless ``most`` or the list has no more. The same list gives the
    same depth, whatever else is asked for.

    Args:
        candidates: one a document, in fused order.
        most: what the budget allows.
        policy: None: always ``most``.
        k: results asked for.
    """
    most = min(most, len(candidates))
    if policy is None or not policy.rules:
        return most
    seen = clarity(candidates)
    clear = [
        rule.depth
        for rule in policy.rules
        if seen.agreement >= rule.agreement and seen.margin >= rule.margin
    ]
    return min([most, *(max(wanted, LEAST_TIMES_K * k) for wanted in clear)])


@dataclass(frozen=True, slots=True)
class Pace:
    """What the workers of a queue can do, by what they say of themselves.

    ``tokens_per_second`` is one worker's, idle; 0 where none has measured itself yet.
    ``overhead_ms`` is what a call costs besides. ``waiting_tokens`` are before it in one's queue.
    """

    tokens_per_second: float = 0.0
    overhead_ms: float = 0.0
    waiting_tokens: float = 0.0


#: Of workers that have measured nothing.
UNKNOWN_PACE: Final = Pace()


def pair_tokens(query: str, passage: str) -> int:
    """Return about how many tokens the model reads of a query and a passage, by their bytes."""
    read = len(query.encode()) + len(passage.encode())
    return int(read / _TOKEN_BYTES) + _PAIR_TOKENS


def affordable(tokens: Sequence[int], budget_ms: float, pace: Pace) -> int | None:
    """Return how many of the first candidates can be scored in the budget, what waits included.

    Args:
        tokens: of each candidate, in their order.
        budget_ms: for the worker.
        pace: the workers'.

    Returns:
        None where no worker has measured itself yet: then only trying tells.
    """
    if pace.tokens_per_second <= 0:
        return None
    room = (budget_ms - pace.overhead_ms) / 1000 * pace.tokens_per_second - pace.waiting_tokens
    return sum(1 for total in accumulate(tokens) if total <= room)
