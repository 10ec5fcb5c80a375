"""The application's tables under fault: what they are, and what must be indexed of each row."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql

CHUNK_TOKENS, OVERLAP_TOKENS = 64, 8

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row, without its key. ``lineage`` follows it through every change; it is no column."""

    lineage: int
    title: str | None
    summary: str
    body: str
    tenant: int | None
    note: str
    published: bool

    def columns(self) -> dict[str, Any]:
        """Return what stands in the table beside the key."""
        values = asdict(self)
        del values["lineage"]
        return values


@dataclass(frozen=True, slots=True)
class AttachedTable:
    """A table of the application's, and how it is attached.

    ``letter`` begins every stamp in its texts. ``make_key`` makes a key of a number that no other
    row has; ``move_key`` one more for a row that has a key already.
    """

    collection: str
    letter: str
    relation: sql.Identifier
    key_columns: tuple[str, ...]
    create: str
    attach: str
    make_key: Callable[[int], Key]
    move_key: Callable[[Key, int], Key]
    text: Callable[[Row], str]
    belongs: Callable[[Row], bool] = lambda _row: True
    titled: bool = True

    def document_id(self, key: Key) -> str:
        """Return the id that a row's document has."""
        texts = [str(part) for part in key]
        return texts[0] if len(texts) == 1 else json.dumps(texts)

    def title(self, row: Row) -> str:
        """Return the title that a row's document has."""
        return (row.title or "") if self.titled else ""

    def filters(self, row: Row) -> dict[str, Any]:
        """Return what a row's chunks are filtered by."""
        return {} if row.tenant is None else {"tenant": row.tenant}

    def attach_statement(self) -> str:
        """Return the call that attaches the table, as an application writes it."""
        return (
            f"SELECT rankgres.attach('{self.collection}', {self.attach}, filters => '{{tenant}}', "
            f"chunk_tokens => {CHUNK_TOKENS}, overlap_tokens => {OVERLAP_TOKENS})"
        )


_COLUMNS = (
    "title text, summary text NOT NULL, body text NOT NULL, tenant integer, note text, "
    "published boolean NOT NULL"
)
_KINDS = ("call", "mail", "visit")

TABLES = (
    AttachedTable(
        "articles",
        "a",
        sql.Identifier("faults", "article"),
        ("id",),
        f"CREATE TABLE faults.article (id bigint PRIMARY KEY, {_COLUMNS})",
        "'faults.article', title => 'title', text => '{summary,body}', condition => 'published'",
        lambda number: (number,),
        lambda _key, number: (-number,),
        lambda row: f"{row.summary}\n\n{row.body}",
        belongs=lambda row: row.published,
    ),
    # A composite key, and names that have to be quoted.
    AttachedTable(
        "orders",
        "o",
        sql.Identifier("faults", "Order Line"),
        ("the region", "No"),
        'CREATE TABLE faults."Order Line" ("the region" text, "No" integer, '
        f'{_COLUMNS}, PRIMARY KEY ("the region", "No"))',
        "'faults.\"Order Line\"', template => '{summary}: {body}'",
        lambda number: (f'the "{number % 3}"', number),
        lambda _key, number: (f'moved "{number % 3}"', number),
        lambda row: f"{row.summary}: {row.body}",
        titled=False,
    ),
    # Partitions: a row whose kind changes moves to another one.
    AttachedTable(
        "events",
        "e",
        sql.Identifier("faults", "event"),
        ("kind", "id"),
        f"CREATE TABLE faults.event (kind text, id bigint, {_COLUMNS}, PRIMARY KEY (kind, id)) "
        "PARTITION BY LIST (kind); "
        + "; ".join(
            f"CREATE TABLE faults.event_{kind} PARTITION OF faults.event FOR VALUES IN ('{kind}')"
            for kind in _KINDS
        ),
        "'faults.event', title => 'title', text => '{body}'",
        lambda number: (_KINDS[number % 3], number),
        lambda key, _number: (_KINDS[(_KINDS.index(key[0]) + 1) % 3], key[1]),
        lambda row: row.body,
    ),
)
