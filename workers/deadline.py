"""Deadlines as they travel and as they are used here."""

import time


def to_monotonic(deadline: float) -> float:
    """Turn a deadline in seconds since the epoch, as messages carry it, into this process's clock.

    Hosts are expected to keep their clocks to within some milliseconds, as with any expiry.
    """
    return time.monotonic() + (deadline - time.time())
