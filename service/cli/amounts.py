"""Bytes and seconds as a person reads them."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def size(count: int) -> str:
    """Return bytes in the unit that suits them."""
    for unit, letters in ((1024**3, "GB"), (1024**2, "MB")):
        if count >= unit:
            return f"{count / unit:.1f} {letters}"
    return f"{max(1, count // 1024)} kB" if count else "0 kB"


def duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    for unit, letters in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {letters}"
    return f"{seconds:.0f} s"
