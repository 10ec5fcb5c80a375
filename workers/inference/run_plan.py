"""Which sequences make the next run: fair between callers, and of like lengths."""

from collections.abc import Sequence
from itertools import islice

from workers.inference.model_request import ModelRequest

#: A sequence of a request, by its index.
Place = tuple[ModelRequest, int]

#: Runs' worth of tokens to choose like lengths from. More would pad a little less, and let callers
#: wait who are not in the run.
_CHOICE_RUNS = 4


def in_turn(requests: Sequence[ModelRequest]) -> list[ModelRequest]:
    """Return the requests in the order in which they are entitled to the model.

    Whoever has a deadline comes before bulk work; among them whoever had the fewest tokens yet,
    then whoever has the nearest deadline, then whoever came first.
    """
    return sorted(
        requests, key=lambda request: (not request.urgent, request.served, request.deadline)
    )


def plan_one_by_one(requests: Sequence[ModelRequest], run_tokens: float) -> list[Place]:
    """Fill a run whose sequences the model reads one after the other: lengths do not matter.

    Args:
        requests: in turn.
        run_tokens: the first sequence is taken even if it is longer.
    """
    places: list[Place] = []
    tokens = 0
    for request in requests:
        for index in request.waiting:
            tokens += request.lengths[index]
            if places and tokens > run_tokens:
                return places
            places.append((request, index))
    return places


def plan_padded(requests: Sequence[ModelRequest], run_tokens: float) -> list[Place]:
    """Fill a run whose sequences are padded to the longest: the first one, and its like.

    Args:
        requests: in turn; the first sequence of the first is in the run whatever its length.
        run_tokens: of the padded run.
    """
    choice: list[tuple[int, int, Place]] = []
    tokens = 0.0
    for request in requests:
        for index in request.waiting:
            choice.append((request.lengths[index], len(choice), (request, index)))
            tokens += request.lengths[index]
            if tokens > _CHOICE_RUNS * run_tokens:
                break
        if tokens > _CHOICE_RUNS * run_tokens:
            break
    lead = choice[0]
    choice.sort()  # equal lengths stay in turn
    low = choice.index(lead)
    high = low + 1
    while low > 0 or high < len(choice):
        # The nearer in length of the two neighbours; of longer ones, all get longer.
        shorter = choice[low][0] - choice[low - 1][0] if low > 0 else None
        longer = choice[high][0] - choice[high - 1][0] if high < len(choice) else None
        upwards = shorter is None or (longer is not None and longer <= shorter)
        widest = choice[high if upwards else high - 1][0]
        if (high - low + 1) * widest > run_tokens:
            break
        if upwards:
            high += 1
        else:
            low -= 1
    return [place for _, _, place in islice(choice, low, high)]
