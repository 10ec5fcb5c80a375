"""Verification: whether a collection's index equals its source, and the repair if it does not."""

import logging
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import class_row

from service.collections.collection import active_generation
from service.db.connection import Connection
from service.db.statements import load_statements

log = logging.getLogger(__name__)

_SQL = load_statements(__file__)

#: What a finding of each kind means, in the order in which they are told. The first is none of a
#: difference, the last is none that repair could queue.
KINDS: Final = {
    "pending": "queued already; they become searchable by themselves",
    "missing": "in the source, and not indexed",
    "gone": "indexed, and not in the source any more",
    "stale": "indexed with other content than the source has",
    "unhashed": "indexed before hashes were kept, so it cannot be told",
    "chunks": "without the chunks that were written",
    "embedding": "with chunks that have no embedding",
    "statistics": "lexemes whose counts for BM25 are wrong",
    "dead": "dead letters: they failed, or their id is too long",
}
#: Kinds of documents that repair queues; statistics it puts right at once.
_QUEUED: Final = frozenset(KINDS) - {"pending", "statistics", "dead"}


@dataclass(frozen=True, slots=True)
class Finding:
    """So many documents of one kind, and up to ten of them; of statistics they are lexemes."""

    kind: str
    documents: int
    examples: list[str]


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying a collection found, and whether it was repaired."""

    collection: str
    findings: list[Finding]
    repaired: bool

    @property
    def differences(self) -> int:
        """Return how many documents, or statistics, differ; what is queued anyway does not."""
        return sum(each.documents for each in self.findings if each.kind != "pending")

    @property
    def queued(self) -> int:
        """Return how many documents the repair queued."""
        found = sum(each.documents for each in self.findings if each.kind in _QUEUED)
        return found if self.repaired else 0

    @property
    def remaining(self) -> int:
        """Return the differences that were neither queued nor put right."""
        if not self.repaired:
            return self.differences
        return sum(each.documents for each in self.findings if each.kind == "dead")


def verify_collection(
    connection: Connection, collection: str, *, repair: bool = False
) -> Verification:
    """Compare a collection's index with its source, and queue what differs where asked to.

    The comparison of a generation is one statement: what applications and workers do meanwhile
    cannot look like a difference. Hashes of the whole source are read; of a million rows that takes
    some minutes.

    Raises:
        NotFoundError: there is no collection of that name.
    """
    active_generation(connection, collection)
    values = {"collection": collection, "repair": repair}
    with connection.cursor(row_factory=class_row(Finding)) as cursor:
        findings = cursor.execute(_SQL["verify"], values).fetchall()
    connection.execute(_SQL["mark_verified"], values)
    order = list(KINDS)
    findings.sort(key=lambda finding: order.index(finding.kind))
    return Verification(collection, findings, repair)


def verify_due_collections(connection: Connection, hours: float) -> list[Verification]:
    """Verify and repair every collection that is due, and say in the log what differed.

    Due is one that was neither verified nor made in so many hours, unless it is paused. One that
    cannot be verified holds no other up. Of several processes, one verifies a collection.

    Args:
        connection: in no transaction; each collection is one of its own.
        hours: between two verifications.
    """
    verified = []
    while (due := connection.execute(_SQL["due"], {"hours": hours}).fetchone()) is not None:
        collection = due[0]
        try:
            with connection.transaction():
                verification = verify_collection(connection, collection, repair=True)
        except psycopg.Error as error:
            if connection.closed:
                raise
            connection.execute(_SQL["mark_verified"], {"collection": collection})
            log.warning("%s cannot be verified: %s", collection, error)
        else:
            verified.append(verification)
            _log(verification)
        connection.commit()
    return verified


def _log(verification: Verification) -> None:
    if not verification.differences:
        log.info("verified %s: the index equals its source", verification.collection)
        return
    log.warning(
        "verified %s: %s; %s queued again, %s remain",
        verification.collection,
        "; ".join(
            f"{found.documents} {found.kind} ({KINDS[found.kind]}), such as {found.examples[:3]}"
            for found in verification.findings
        ),
        verification.queued,
        verification.remaining,
    )
