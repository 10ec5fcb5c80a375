"""An application at work: seeded random transactions on one table, and what they leave in it.

What must stand in the table is kept here beside it. A commit whose answer was lost is looked up
when Postgres is back, as a careful application does: every transaction leaves its number.
"""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.faults.attached_tables import AttachedTable, Key, Row
from tests.faults.fleet import Connection
from tests.faults.table_changes import Draft, StampSource, random_operations

#: Above it rows go rather than come.
_MOST_ROWS = 150
_PAUSE_SECONDS = (0.02, 0.3)
_ROLLED_BACK = 0.08
#: Nobody of ours may hold a row or a table of the application's for so long.
_LOCK_TIMEOUT = "20s"


class Change(NamedTuple):
    """A committed transaction: how many statements changed each lineage, or all, and when."""

    lineages: Counter[int]
    everything: int
    began: float
    ended: float


class Writer(threading.Thread):
    """Writes until told to stop; what went wrong with it is in ``error``."""

    def __init__(self, connect: Callable[[], Connection], table: AttachedTable, seed: str) -> None:
        super().__init__(name=f"writer of {table.collection}", daemon=True)
        self.table = table
        self.rows: dict[Key, Row] = {}
        self.changes: list[Change] = []
        self.stamps = StampSource(table.letter)
        self.rolled_back: set[str] = set()
        self.error: BaseException | None = None
        self.transactions = 0
        self._connect = connect
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._connection: Connection | None = None

    def prepare(self, rows: int) -> None:
        """Create the table with some rows and attach it, before the thread is started."""
        began = time.monotonic()
        with self._connect() as connection:
            connection.execute(self.table.create.encode())
            draft = self._draft(connection)
            draft.insert(rows)
            self.rows = draft.rows
            self.attach(connection)
        self.changes.append(Change(Counter(), 1, began, time.monotonic()))

    def attach(self, connection: Connection) -> None:
        """Attach the table."""
        connection.execute(self.table.attach_statement().encode())

    def tell_to_stop(self) -> None:
        """Begin no other transaction."""
        self._stopping.set()

    def finish(self) -> None:
        """Stop, and raise what went wrong meanwhile."""
        self.tell_to_stop()
        self.join(120)
        assert not self.is_alive(), f"{self.name} hangs"
        if self._connection is not None:
            self._connection.close()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Write transaction after transaction."""
        try:
            while not self._stopping.wait(self._chance.uniform(*_PAUSE_SECONDS)):
                self._transact()
        except BaseException as error:  # noqa: BLE001  shown by the thread that waits for this one
            self.error = error

    def require_true(self, connection: Connection) -> None:
        """Fail where the table holds something else than these transactions wrote."""
        with connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(sql.SQL("SELECT * FROM {}").format(self.table.relation))
            found = {
                tuple(row.pop(column) for column in self.table.key_columns): row for row in cursor
            }
        assert found == {key: row.columns() for key, row in self.rows.items()}

    def _transact(self) -> None:
        connection = self._connected()
        self.transactions += 1
        number, began = self.transactions, time.monotonic()
        first_stamp = self.stamps.count
        draft = self._draft(connection)
        rolled_back = self._chance.random() < _ROLLED_BACK
        try:
            with connection.transaction(force_rollback=rolled_back):
                connection.execute(
                    "INSERT INTO faults.transaction VALUES (%s, %s)", [self.name, number]
                )
                for operation in random_operations(self._chance, len(self.rows) > _MOST_ROWS):
                    operation(draft)
        except psycopg.Error as error:
            if not _lost(error):
                raise
            connection.close()
            committed = self._committed(number)
        else:
            committed = not rolled_back
        if committed:
            self.rows = draft.rows
            self.changes.append(Change(draft.touched, draft.everything, began, time.monotonic()))
            self.rolled_back |= draft.undone
        else:
            self.rolled_back |= set(self.stamps.since(first_stamp))

    def _draft(self, connection: Connection) -> Draft:
        return Draft(self.table, connection, dict(self.rows), self.stamps, self._chance)

    def _committed(self, number: int) -> bool:
        row = self._connected().execute(
            "SELECT FROM faults.transaction WHERE writer = %s AND number = %s", [self.name, number]
        )
        return row.fetchone() is not None

    def _connected(self) -> Connection:
        """Return a connection that stands, waiting for Postgres as long as it takes."""
        deadline = time.monotonic() + 90
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = self._connect()
                    self._connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'".encode())
                self._connection.execute("SELECT 1")
            except psycopg.Error as error:
                if not _lost(error) or time.monotonic() > deadline:
                    raise
                if self._connection is not None:
                    self._connection.close()
                time.sleep(0.1)
            else:
                return self._connection


def _lost(error: psycopg.Error) -> bool:
    """Return whether the connection broke; an application need not expect anything else."""
    return isinstance(error, psycopg.OperationalError) and (
        error.sqlstate is None or re.match("57P|08", error.sqlstate) is not None
    )
