"""An attached table as a Python dictionary, and the documents that are to be indexed of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import sql

from service.db.connection import Connection

RELATION = sql.Identifier("odd schema", "My Table")
COLLECTION = "modelled"

#: A key as its columns' texts, in the form in which Postgres writes them.
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row without its key. ``note`` is no part of the document; ``live`` says whether it is one.

    ``data`` is of type json, which has no equality; it holds an object or is NULL.
    """

    title: str | None = None
    body: str | None = None
    tenant: int | None = None
    data: dict[str, int] | None = None
    live: bool | None = True
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What is to be indexed of a row."""

    title: str
    text: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of table: its key, some keys that go with it, whether it is partitioned.

    ``same`` returns the same for keys that are equal to Postgres.
    """

    name: str
    types: tuple[str, ...]
    keys: Sequence[Key]
    partitioned: bool = False
    deferrable: bool = False
    same: Callable[[Key], Any] = lambda key: key

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the key columns, which have to be quoted."""
        return tuple(f"Key {number}" for number in range(len(self.types)))

    def create(self, connection: Connection) -> None:
        """Create the table."""
        keys = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        columns = [
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))
            for name, type_ in zip(self.columns, self.types, strict=True)
        ]
        first = sql.Identifier(self.columns[0])
        connection.execute('CREATE SCHEMA "odd schema"')
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} ({}, title text, body text, tenant integer, data json, "
                'live boolean, "NOTE" text, PRIMARY KEY ({}) {}) {}'
            ).format(
                RELATION,
                sql.SQL(", ").join(columns),
                keys,
                sql.SQL("DEFERRABLE" if self.deferrable else ""),
                sql.SQL("PARTITION BY HASH ({})").format(first)
                if self.partitioned
                else sql.SQL(""),
            )
        )
        for number in range(2 if self.partitioned else 0):
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} PARTITION OF {} FOR VALUES WITH (MODULUS 2, REMAINDER {})"
                ).format(
                    sql.Identifier("odd schema", f"Part {number}"), RELATION, sql.Literal(number)
                )
            )


SHAPES = (
    Shape("bigint", ("bigint",), [(str(n),) for n in (0, 1, 2, -3, 42, 2**63 - 1)]),
    Shape(
        "numeric",
        ("numeric",),
        [(text,) for text in ("1", "1.0", "1.00", "2.5", "-7", "0.10")],
        same=lambda key: Decimal(key[0]),
    ),
    Shape("text", ("text",), [(text,) for text in ("a", "it's", '{"x",\\}', "a,b", "NULL", "é")]),
    Shape(
        "uuid", ("uuid",), [(f"00000000-0000-4000-8000-{n:012}",) for n in (0, 1, 2, 3, 77, 999)]
    ),
    Shape(
        "timestamptz",
        ("timestamptz",),
        [(f"2024-02-29 12:00:0{n}+00",) for n in ("0", "1", "1.5", "1.000001")]
        + [("infinity",), ("0044-03-15 00:00:00+00 BC",)],
    ),
    Shape("bytea", ("bytea",), [(text,) for text in ("\\x", "\\x00", "\\x00ff", "\\x5c")]),
    Shape(
        "composite",
        ("text", "integer"),
        [("a", "1"), ("a", "11"), ("a1", "1"), ('"', "0"), ("b, c", "-1"), ("ü", "5")],
    ),
    Shape(
        "partitioned",
        ("integer", "text"),
        [(str(n), text) for n in (1, 2, 3) for text in ("x", "y")],
        partitioned=True,
    ),
    Shape("deferrable", ("integer",), [(str(n),) for n in range(1, 7)], deferrable=True),
)


class Rows:
    """The table: rows by key, where keys that are equal are one."""

    def __init__(self, shape: Shape, rows: Mapping[Any, tuple[Key, Row]] | None = None) -> None:
        self.shape = shape
        self._rows = dict(rows or {})

    def copy(self) -> "Rows":
        """Return another table with the same rows."""
        return Rows(self.shape, self._rows)

    def __contains__(self, key: Key) -> bool:
        return self.shape.same(key) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: Key) -> Row | None:
        """Return the row of a key."""
        found = self._rows.get(self.shape.same(key))
        return found[1] if found else None

    def put(self, key: Key, row: Row) -> None:
        """Write a row under a new key, or over the row there, whose key keeps its form."""
        same = self.shape.same(key)
        written = self._rows[same][0] if same in self._rows else key
        self._rows[same] = (written, row)

    def remove(self, key: Key) -> Row | None:
        """Take a row out and return it."""
        found = self._rows.pop(self.shape.same(key), None)
        return found[1] if found else None

    def clear(self) -> None:
        """Take every row out."""
        self._rows.clear()

    def by_id(self) -> dict[str, Row]:
        """Return the rows by the id that their documents have."""
        return {document_id(key): row for key, row in self._rows.values()}

    def documents(self) -> dict[str, Document]:
        """Return what is to be indexed now."""
        return {id_: document(row) for id_, row in self.by_id().items() if row.live}


def document_id(key: Key) -> str:
    """Return the id of a key's document."""
    return key[0] if len(key) == 1 else json.dumps(key, ensure_ascii=False)


def document(row: Row) -> Document:
    """Return the document of a row."""
    metadata = {"tenant": row.tenant, "data": row.data}
    return Document(
        row.title or "",
        row.body or "",
        {name: value for name, value in metadata.items() if value is not None},
    )


#: How the table is attached.
ATTACH = (
    f"SELECT rankgres.attach('{COLLECTION}', '\"odd schema\".\"My Table\"', title => 'title', "
    "text => '{body}', filters => '{tenant,data}', condition => 'live')"
)
