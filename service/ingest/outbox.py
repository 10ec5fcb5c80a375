"""The outbox as workers see it: leases are claimed, extended, finished, failed or given back.

Every function is one statement of a short transaction; none is held across a model call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.db.connection import Connection
from service.db.statements import load_statements
from service.settings import Settings

_SQL = load_statements(__file__)


@dataclass(frozen=True, slots=True)
class Lease:
    """Documents of one generation leased together, each with the version it had then."""

    id: UUID
    generation_id: int
    versions: Mapping[str, int]

    @property
    def document_ids(self) -> list[str]:
        """Return the ids of the leased documents."""
        return list(self.versions)

    def only(self, document_ids: Sequence[str]) -> "Lease":
        """Return the lease narrowed to some of its documents."""
        return Lease(self.id, self.generation_id, {id_: self.versions[id_] for id_ in document_ids})


@dataclass(frozen=True, slots=True)
class DueGeneration:
    """A generation with work; both numbers are counted up to a limit.

    ``edits`` are changes that somebody waits for, ``others`` come from backfills and repairs.
    """

    generation_id: int
    edits: int
    others: int


def claim_documents(
    connection: Connection,
    generation_id: int,
    settings: Settings,
    batch_size: int | None = None,
    *,
    bulk: bool = True,
) -> Lease | None:
    """Lease the most urgent due documents, or return None where nothing is due.

    Not ``bulk``: only changes that somebody waits for, nothing of a backfill or a repair.
    """
    rows = connection.execute(
        _SQL["claim"],
        {
            "generation_id": generation_id,
            "batch_size": batch_size or settings.embed_batch_documents,
            "lease_seconds": settings.lease_seconds,
            "max_attempts": settings.max_attempts,
            "bulk": bulk,
        },
    ).fetchall()
    if not rows:
        return None
    return Lease(rows[0][2], generation_id, {row[0]: row[1] for row in rows})


def extend_lease(connection: Connection, lease: Lease, settings: Settings) -> None:
    """Hold the lease for another ``lease_seconds`` from now."""
    connection.execute(_SQL["extend"], {**_held(lease), "lease_seconds": settings.lease_seconds})


def finish_documents(connection: Connection, lease: Lease) -> set[str]:
    """Remove the documents that did not change since they were leased, and return them."""
    values = {**_held(lease), "versions": list(lease.versions.values())}
    return {row[0] for row in connection.execute(_SQL["finish"], values)}


def release_documents(
    connection: Connection,
    lease: Lease,
    *,
    pause_seconds: float = 0.0,
    reason: str | None = None,
) -> None:
    """Give the documents back, due at once or after a pause, with no attempt counted.

    A reason is kept as their last error.
    """
    values = {**_held(lease), "pause_seconds": pause_seconds, "reason": reason}
    connection.execute(_SQL["release"], values)


def fail_documents(
    connection: Connection, lease: Lease, errors: Mapping[str, str], settings: Settings
) -> None:
    """Put the documents off by a growing pause; after ``max_attempts`` they are dead letters."""
    values = {
        **_held(lease.only(list(errors))),
        "errors": list(errors.values()),
        "max_attempts": settings.max_attempts,
    }
    connection.execute(_SQL["fail"], values)


def due_generations(connection: Connection, count_limit: int) -> list[DueGeneration]:
    """Return the live generations that have due documents and are not paused."""
    rows = connection.execute(_SQL["due"], {"count_limit": count_limit})
    return [DueGeneration(*row) for row in rows]


def fold_source_changes(connection: Connection, max_rows: int) -> int:
    """Queue what triggers on attached tables noted, oldest first; return how much that was."""
    rows = connection.execute(_SQL["fold"], {"max_rows": max_rows})
    return sum(documents for _, documents in rows)


def unfinished_backfills(connection: Connection) -> list[int]:
    """Return the generations whose source is not queued whole yet."""
    return [row[0] for row in connection.execute(_SQL["backfills"])]


def step_backfill(
    connection: Connection, generation_id: int, batch_rows: int, queue_limit: int
) -> int:
    """Queue the next rows of a source, as long as fewer than the limit wait; return how many."""
    values = {
        "generation_id": generation_id,
        "batch_rows": batch_rows,
        "queue_limit": queue_limit,
    }
    row = connection.execute(_SQL["step_backfill"], values).fetchone()
    return int(row[0]) if row else 0


def sweep_orphans(connection: Connection) -> int:
    """Remove rows of generations that were dropped; return how many there were."""
    return connection.execute(_SQL["sweep"]).rowcount


def _held(lease: Lease) -> dict[str, object]:
    return {"generation_id": lease.generation_id, "lease": lease.id, "ids": lease.document_ids}
