"""Statements on an attached table, as data: each runs on Postgres and on the dictionary alike."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from psycopg import sql

from service.db.connection import Connection
from tests.support.source_model import RELATION, Key, Row, Rows, Shape


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT, where ``conflict`` says what happens to keys that are there."""

    rows: Sequence[tuple[Key, Row]]
    conflict: str

    def run(self, table: "Runner") -> None:
        """Run it on Postgres."""
        statement = {
            "none": "INSERT INTO {table} SELECT * FROM {given}",
            "nothing": "INSERT INTO {table} SELECT * FROM {given} ON CONFLICT DO NOTHING",
            "update": "INSERT INTO {table} SELECT * FROM {given} ON CONFLICT ({keys}) "
            "DO UPDATE SET (title, body, tenant, data, live) = "
            "ROW (excluded.title, excluded.body, excluded.tenant, excluded.data, excluded.live)",
        }
        table.execute(statement[self.conflict], self.rows)

    def apply(self, rows: Rows) -> None:
        """Do the same to the dictionary."""
        for key, row in self.rows:
            there = rows.get(key)
            if there is None:
                rows.put(key, row)
            elif self.conflict == "update":
                rows.put(key, replace(row, note=there.note))


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE of one column, or of a column by itself where ``column`` is None."""

    keys: Sequence[Key]
    column: str | None
    value: Any

    def run(self, table: "Runner") -> None:
        """Run it on Postgres."""
        rows = [(key, Row()) for key in self.keys]
        column = sql.Identifier("NOTE" if self.column == "note" else self.column or "title")
        table.execute(
            "UPDATE {table} AS old SET {column} = {value} FROM {given} AS new WHERE {match}",
            rows,
            column=column,
            value=sql.Literal(
                json.dumps(self.value) if isinstance(self.value, dict) else self.value
            )
            if self.column
            else sql.Identifier("old", "title"),
        )

    def apply(self, rows: Rows) -> None:
        """Do the same to the dictionary."""
        for key in self.keys:
            row = rows.get(key)
            if row is not None and self.column:
                rows.put(key, replace(row, **{self.column: self.value}))


@dataclass(frozen=True, slots=True)
class Rotate:
    """UPDATE of keys: each row gets the next one's key, in one statement.

    Where the keys are not deferrable this is one row that moves to a free key.
    """

    keys: Sequence[Key]

    def moves(self, shape: Shape) -> list[tuple[Key, Key]]:
        """Return old and new keys."""
        moves = list(zip(self.keys, [*self.keys[1:], self.keys[0]], strict=True))
        return moves if shape.deferrable else moves[:1]

    def run(self, table: "Runner") -> None:
        """Run it on Postgres."""
        table.move(self.moves(table.shape))

    def apply(self, rows: Rows) -> None:
        """Do the same to the dictionary."""
        moved = [(new, rows.remove(old)) for old, new in self.moves(rows.shape)]
        for new, row in moved:
            if row is not None:
                rows.put(new, row)


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE."""

    keys: Sequence[Key]

    def run(self, table: "Runner") -> None:
        """Run it on Postgres."""
        rows = [(key, Row()) for key in self.keys]
        table.execute("DELETE FROM {table} AS old USING {given} AS new WHERE {match}", rows)

    def apply(self, rows: Rows) -> None:
        """Do the same to the dictionary."""
        for key in self.keys:
            rows.remove(key)


@dataclass(frozen=True, slots=True)
class Merge:
    """MERGE: rows that are there are deleted or rewritten, others inserted, in one statement."""

    rows: Sequence[tuple[Key, Row]]

    def run(self, table: "Runner") -> None:
        """Run it on Postgres."""
        table.execute(
            "MERGE INTO {table} AS old USING {given} AS new ON {match} "
            "WHEN MATCHED AND old.tenant IS NULL THEN DELETE "
            "WHEN MATCHED THEN UPDATE SET body = new.body "
            "WHEN NOT MATCHED THEN INSERT VALUES (new.*)",
            self.rows,
        )

    def apply(self, rows: Rows) -> None:
        """Do the same to the dictionary."""
        for key, row in self.rows:
            there = rows.get(key)
            if there is None:
                rows.put(key, row)
            elif there.tenant is None:
                rows.remove(key)
            else:
                rows.put(key, replace(there, body=row.body))


@dataclass(frozen=True, slots=True)
class Truncate:
    """TRUNCATE."""

    def run(self, table: "Runner") -> None:
        """Run it on Postgres."""
        table.execute("TRUNCATE {table}", [])

    def apply(self, rows: Rows) -> None:
        """Do the same to the dictionary."""
        rows.clear()


Statement = Insert | Update | Rotate | Delete | Merge | Truncate


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs statements on the table."""

    connection: Connection
    shape: Shape

    def execute(
        self,
        statement: str,
        rows: Sequence[tuple[Key, Row]],
        **parts: sql.Composable,
    ) -> None:
        """Run a statement over rows that are given as JSON; keys in their exact form."""
        names = self.shape.columns
        given = [dict(zip(names, key, strict=True)) | _columns(row) for key, row in rows]
        match = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("old", name), sql.Identifier("new", name))
            for name in names
        )
        self.connection.execute(
            sql.SQL(statement).format(
                table=RELATION,
                given=sql.SQL("json_populate_recordset(NULL::{}, {})").format(
                    RELATION, sql.Literal(json.dumps(given))
                ),
                match=match,
                keys=sql.SQL(", ").join(map(sql.Identifier, names)),
                **parts,
            )
        )

    def move(self, moves: Sequence[tuple[Key, Key]]) -> None:
        """Change keys in one statement."""
        names = self.shape.columns
        old = [dict(zip(names, key, strict=True)) for key, _ in moves]
        new = [dict(zip(names, key, strict=True)) for _, key in moves]
        self.connection.execute(
            sql.SQL(
                "UPDATE {table} AS here SET {sets} FROM ROWS FROM ("
                "json_populate_recordset(NULL::{table}, {old}), "
                "json_populate_recordset(NULL::{table}, {new})) AS move ({columns}) WHERE {match}"
            ).format(
                table=RELATION,
                old=sql.Literal(json.dumps(old)),
                new=sql.Literal(json.dumps(new)),
                columns=_listed(
                    f"{side}{n}" for side in ("from", "to") for n in range(self._width)
                ),
                sets=sql.SQL(", ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier(f"to{n}"))
                    for n, name in enumerate(names)
                ),
                match=sql.SQL(" AND ").join(
                    sql.SQL("{} = {}").format(
                        sql.Identifier("here", name), sql.Identifier("move", f"from{n}")
                    )
                    for n, name in enumerate(names)
                ),
            )
        )

    @property
    def _width(self) -> int:
        return len(self.shape.columns) + len(fields(Row))


def _listed(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _columns(row: Row) -> dict[str, Any]:
    values = asdict(row)
    values["NOTE"] = values.pop("note")
    return values
