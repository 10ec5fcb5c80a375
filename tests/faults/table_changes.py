"""What a random transaction does to an attached table, in SQL and in a dictionary alike."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from tests.faults.attached_tables import AttachedTable, Key, Row
from tests.faults.fleet import Connection

_WORDS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbour", "kelp", "ridge")
#: Everything but the key.
_COLUMNS = ("title", "summary", "body", "tenant", "note", "published")
_PARAGRAPH = "\n\n"


class StampSource:
    """Makes words that stand in one document alone, and knows in whose."""

    def __init__(self, letter: str) -> None:
        self._letter = letter
        self._lineages: list[int] = []
        self._made: list[float] = []

    @property
    def count(self) -> int:
        """How many were made."""
        return len(self._lineages)

    def make(self, lineage: int) -> str:
        """Return a new one for a row."""
        self._lineages.append(lineage)
        self._made.append(time.monotonic())
        return self._name(self.count - 1)

    def since(self, first: int) -> list[str]:
        """Return all that were made after the first so many."""
        return [self._name(number) for number in range(first, self.count)]

    def lineage(self, stamp: str) -> int:
        """Return whose it is."""
        return self._lineages[int(stamp[1:])]

    def made(self, stamp: str) -> float:
        """Return when it was made, on the monotonic clock."""
        return self._made[int(stamp[1:])]

    def _name(self, number: int) -> str:
        return f"{self._letter}{number:07}"


class Draft:
    """A table inside of a transaction: ``rows`` is what stands there if it commits.

    ``touched`` says how many statements changed each lineage, ``everything`` how many changed all;
    ``undone`` are the stamps that were taken back to a savepoint.
    """

    def __init__(
        self,
        table: AttachedTable,
        connection: Connection,
        rows: dict[Key, Row],
        stamps: StampSource,
        chance: random.Random,
    ) -> None:
        self.rows = rows
        self.touched: Counter[int] = Counter()
        self.everything = 0
        self.undone: set[str] = set()
        self.table = table
        self._connection = connection
        self._stamps = stamps
        self._chance = chance
        self._names = {
            "table": table.relation,
            "keys": _listed(table.key_columns),
            "columns": _listed(_COLUMNS),
            "all": _listed((*table.key_columns, *_COLUMNS)),
            "new_columns": _listed(_COLUMNS, of="new"),
            "excluded_columns": _listed(_COLUMNS, of="excluded"),
            "new_keys": _listed(table.key_columns, of="new"),
            "old_keys": _listed(table.key_columns, of="old"),
        }

    # Operations, each one statement

    def insert(self, count: int = 0) -> None:
        """Insert new rows."""
        rows = self._new_rows(count or self._chance.randint(1, 12))
        self._run("INSERT INTO {table} ({all}) SELECT {all} FROM {given}", rows)
        self._put(rows)

    def copy(self) -> None:
        """Copy many new rows in."""
        rows = self._new_rows(40)
        statement = sql.SQL("COPY {table} ({all}) FROM STDIN").format(**self._names)
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for key, row in rows.items():
                copy.write_row((*key, *row.columns().values()))
        self._put(rows)

    def upsert(self) -> None:
        """Insert rows, some of which are there already."""
        rows = self._new_rows(3) | {
            key: self._new_row(row.lineage) for key, row in self._some().items()
        }
        self._run(
            "INSERT INTO {table} ({all}) SELECT {all} FROM {given} ON CONFLICT ({keys}) "
            "DO UPDATE SET ({columns}) = ROW ({excluded_columns})",
            rows,
        )
        self._put(rows)

    def edit_paragraph(self) -> None:
        """Change one paragraph of each of some rows."""
        self._rewrite(self._with_new_paragraph)

    def edit_title(self) -> None:
        """Change the titles of some rows."""
        self._rewrite(lambda row: replace(row, title=self._title(row.lineage)))

    def edit_filter(self) -> None:
        """Change what some rows are filtered by, and nothing else."""
        self._rewrite(lambda row: replace(row, tenant=self._chance.choice((1, 2, 3, None))))

    def edit_note(self) -> None:
        """Change a column that is not searched: nothing is to be done."""
        self._rewrite(lambda row: replace(row, note=self._chance.choice(_WORDS)), touch=False)

    def edit_nothing(self) -> None:
        """Write what stands there already."""
        self._rewrite(lambda row: row, touch=False)

    def publish(self) -> None:
        """Turn around whether some rows belong."""
        self._rewrite(lambda row: replace(row, published=not row.published))

    def delete(self) -> None:
        """Delete some rows."""
        self._remove(self._some(9))

    def delete_many(self) -> None:
        """Delete half of the rows."""
        self._remove(self._some(len(self.rows) // 2))

    def move(self) -> None:
        """Change the keys of some rows."""
        rows = self._some()
        moved = {key: self.table.move_key(key, self._next_number()) for key in rows}
        moved = {old: new for old, new in moved.items() if new not in self.rows}
        names = [f"old_{number}" for number in range(len(self.table.key_columns))]
        given = [
            dict(zip((*self.table.key_columns, *names), (*new, *old), strict=True))
            for old, new in moved.items()
        ]
        types = [
            sql.SQL("{} text, {} text").format(sql.Identifier(column), sql.Identifier(name))
            for column, name in zip(self.table.key_columns, names, strict=True)
        ]
        matches = [
            sql.SQL("old.{}::text = new.{}").format(sql.Identifier(column), sql.Identifier(name))
            for column, name in zip(self.table.key_columns, names, strict=True)
        ]
        # Each key column in its own type.
        sets = [
            sql.SQL("{0} = (json_populate_record(NULL::{1}, to_json(new))).{0}").format(
                sql.Identifier(column), self.table.relation
            )
            for column in self.table.key_columns
        ]
        self._connection.execute(
            sql.SQL(
                "UPDATE {} AS old SET {} FROM json_to_recordset(%s) AS new ({}) WHERE {}"
            ).format(
                self.table.relation,
                sql.SQL(", ").join(sets),
                sql.SQL(", ").join(types),
                sql.SQL(" AND ").join(matches),
            ),
            [json.dumps(given)],
        )
        for old, new in moved.items():
            self.rows[new] = self.rows.pop(old)
            self.touched[self.rows[new].lineage] += 1

    def truncate(self) -> None:
        """Empty the table."""
        self._connection.execute(sql.SQL("TRUNCATE {table}").format(**self._names))
        self.everything += 1
        self.rows.clear()

    def truncate_and_fill(self) -> None:
        """Empty the table and write the same rows again, some of them changed."""
        rows = {
            key: row if self._chance.random() < 0.5 else self._with_new_paragraph(row)
            for key, row in self.rows.items()
        }
        self.truncate()
        self._run("INSERT INTO {table} ({all}) SELECT {all} FROM {given}", rows)
        self._put(rows)

    def delete_and_fill(self) -> None:
        """Delete some rows and write them again as they were, in the same transaction."""
        rows = self._some()
        self._remove(rows)
        self._run("INSERT INTO {table} ({all}) SELECT {all} FROM {given}", rows)
        self._put(rows)

    def take_back(self) -> None:
        """Change something and go back to the savepoint before it."""
        rows, touched, first = dict(self.rows), self.touched.copy(), self._stamps.count
        everything = self.everything
        with self._connection.transaction(force_rollback=True):
            self._chance.choice((Draft.insert, Draft.edit_paragraph, Draft.delete))(self)
        self.rows, self.touched, self.everything = rows, touched, everything
        self.undone |= set(self._stamps.since(first))

    def attach_anew(self) -> None:
        """Detach the table and attach it again: all of it is indexed anew."""
        self._connection.execute("SELECT rankgres.detach(%s)", [self.table.collection])
        self._connection.execute(self.table.attach_statement().encode())
        self.everything += 1

    # What they are made of

    def _rewrite(self, change: Callable[[Row], Row], *, touch: bool = True) -> None:
        rows = {key: change(row) for key, row in self._some().items()}
        self._run(
            "UPDATE {table} AS old SET ({columns}) = ROW ({new_columns}) FROM {given} AS new "
            "WHERE ({old_keys}) = ({new_keys})",
            rows,
        )
        if touch:
            self._put(rows)
        else:
            self.rows |= rows

    def _remove(self, rows: Mapping[Key, Row]) -> None:
        self._run(
            "DELETE FROM {table} AS old USING {given} AS new WHERE ({old_keys}) = ({new_keys})",
            rows,
        )
        for key, row in rows.items():
            del self.rows[key]
            self.touched[row.lineage] += 1

    def _run(self, statement: str, rows: Mapping[Key, Row]) -> None:
        given = [
            dict(zip(self.table.key_columns, key, strict=True)) | row.columns()
            for key, row in rows.items()
        ]
        source = sql.SQL("json_populate_recordset(NULL::{table}, %s)").format(**self._names)
        self._connection.execute(
            sql.SQL(statement).format(given=source, **self._names), [json.dumps(given)]
        )

    def _put(self, rows: Mapping[Key, Row]) -> None:
        self.rows.update(rows)
        self.touched.update(row.lineage for row in rows.values())

    def _some(self, most: int = 6) -> dict[Key, Row]:
        count = min(len(self.rows), self._chance.randint(1, max(1, most)))
        return {key: self.rows[key] for key in self._chance.sample(list(self.rows), count)}

    def _new_rows(self, count: int) -> dict[Key, Row]:
        numbers = [self._next_number() for _ in range(count)]
        return {self.table.make_key(number): self._new_row(number) for number in numbers}

    def _next_number(self) -> int:
        # Every number is a stamp too, so that none is used twice.
        return int(self._stamps.make(self._stamps.count)[1:])

    def _new_row(self, lineage: int) -> Row:
        paragraphs = 8 if lineage % 10 == 0 else self._chance.randint(1, 2)
        return Row(
            lineage,
            title=self._title(lineage) if self._chance.random() < 0.8 else None,
            summary=self._sentence(lineage),
            body=_PARAGRAPH.join(self._sentence(lineage) for _ in range(paragraphs)),
            tenant=self._chance.choice((1, 2, 3, None)),
            note="",
            published=self._chance.random() < 0.8,
        )

    def _with_new_paragraph(self, row: Row) -> Row:
        paragraphs = row.body.split(_PARAGRAPH)
        paragraphs[self._chance.randrange(len(paragraphs))] = self._sentence(row.lineage)
        return replace(row, body=_PARAGRAPH.join(paragraphs))

    def _title(self, lineage: int) -> str:
        return f"Note {self._stamps.make(lineage)}"

    def _sentence(self, lineage: int) -> str:
        words = self._chance.choices(_WORDS, k=self._chance.randint(6, 14))
        return f"{' '.join(words)} {self._stamps.make(lineage)}.".capitalize()


#: With how often each is drawn.
_OPERATIONS: Sequence[tuple[Callable[[Draft], None], float]] = (
    (Draft.insert, 20),
    (Draft.copy, 2),
    (Draft.upsert, 8),
    (Draft.edit_paragraph, 20),
    (Draft.edit_title, 4),
    (Draft.edit_filter, 10),
    (Draft.edit_note, 8),
    (Draft.edit_nothing, 3),
    (Draft.publish, 6),
    (Draft.delete, 10),
    (Draft.move, 8),
    (Draft.truncate, 0.5),
    (Draft.truncate_and_fill, 0.7),
    (Draft.delete_and_fill, 2),
    (Draft.take_back, 3),
    (Draft.attach_anew, 0.5),
)


def random_operations(chance: random.Random, crowded: bool) -> list[Callable[[Draft], None]]:
    """Return what one transaction does; in a crowded table it makes room first."""
    operations = chance.choices(
        [operation for operation, _ in _OPERATIONS],
        [weight for _, weight in _OPERATIONS],
        k=chance.choice((1, 1, 1, 2, 4)),
    )
    return [Draft.delete_many, *operations] if crowded else operations


def _listed(names: Iterable[str], of: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (of, name))) for name in names)
