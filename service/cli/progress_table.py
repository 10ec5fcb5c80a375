"""Shows where collections come from, and how far behind their sources they are."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from service.cli.amounts import duration
from service.collections.collection import CollectionStatus


def progress_table(statuses: Sequence[CollectionStatus]) -> Table:
    """Return a row a collection: source, backfill, what waits, rate, time left, lag."""
    table = Table(box=None)
    table.add_column("collection")
    table.add_column("source")
    for column in ("documents", "backfill", "waiting", "rate", "left", "lag", "dead"):
        table.add_column(column, justify="right")
    for status in statuses:
        table.add_row(
            status.collection,
            escape(status.source or "managed"),
            f"{status.documents:,}",
            _backfill(status),
            f"{status.waiting:,}{' (paused)' if status.paused else ''}",
            f"{status.rate:,.0f}/s" if status.rate else "",
            _seconds(status.seconds_left) if status.waiting else "",
            _seconds(status.lag_seconds),
            f"{status.dead:,}",
        )
    return table


def _backfill(status: CollectionStatus) -> str:
    if status.backfill_total is None or status.backfill_done is None:
        return ""
    if status.backfill_done >= status.backfill_total:
        return "done"
    share = status.backfill_done / status.backfill_total
    return f"{share:.0%} of {status.backfill_total:,}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)
