"""Plans of the statements that run inside SQL functions, as the server itself prints them.

auto_explain is no part of the servers that the tests run on. debug_print_plan is part of every
Postgres: it logs the tree of each plan that is made, and the client may ask to be sent the log.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.errors import Diagnostic

from service.db.connection import Connection

#: A node that reads, with its fields up to the next such node, which may be below it.
_SCAN = re.compile(r"\{(\w*SCAN) ((?:(?!\{\w*SCAN ).)*)")
#: What the scans' numbers stand for, in order; only tables have an oid.
_RELATION = re.compile(r"\{RANGETBLENTRY .*?:rtekind \d+(?: :relid (\d+))?")


@dataclass(frozen=True, slots=True, order=True)
class Scan:
    """How one table is read: the node of the plan, and the name of the index or of the table."""

    node: str
    name: str


@dataclass(slots=True)
class Plans:
    """What was planned while the plans were watched; filled when that ends."""

    statements: list[list[Scan]] = field(default_factory=list)

    def scans(self, beginning: str) -> set[Scan]:
        """Return the scans of tables and indexes whose name begins so, of all statements."""
        return {
            scan
            for statement in self.statements
            for scan in statement
            if scan.name.startswith(beginning)
        }


@contextmanager
def watched_plans(connection: Connection) -> Iterator[Plans]:
    """Collect the plans of everything that is planned meanwhile, also inside functions."""
    trees: list[str] = []

    def keep(message: Diagnostic) -> None:
        if message.message_primary == "plan:":
            # The server breaks lines at blanks.
            trees.append(" ".join((message.message_detail or "").split()))

    plans = Plans()
    connection.add_notice_handler(keep)
    try:
        # Plans that functions of this session made before would not be made again.
        connection.execute("DISCARD PLANS")
        connection.execute("SET LOCAL client_min_messages = log")
        connection.execute("SET LOCAL debug_print_plan = on")
        yield plans
        connection.execute("SET LOCAL debug_print_plan = off")
        connection.execute("SET LOCAL client_min_messages = notice")
    finally:
        connection.remove_notice_handler(keep)
    plans.statements += [_scans(connection, tree) for tree in trees]


def _scans(connection: Connection, tree: str) -> list[Scan]:
    relations = _RELATION.findall(tree)
    found = []
    for node, fields in _SCAN.findall(tree):
        index = re.search(r":indexid (\d+)", fields)
        place = re.search(r":(?:scan\.)?scanrelid (\d+)", fields)
        oid = index[1] if index else relations[int(place[1]) - 1] if place else ""
        # Scans of subqueries, functions and lists of values read no table.
        if oid:
            found.append(Scan(node, _name(connection, oid)))
    return found


def _name(connection: Connection, oid: str) -> str:
    row = connection.execute(
        sql.SQL("SELECT relname FROM pg_class WHERE oid = {}").format(sql.Literal(int(oid)))
    ).fetchone()
    return row[0] if row else oid
