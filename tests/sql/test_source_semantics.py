"""Whatever is written to an attached table, in whatever order it is folded, compared and indexed.

Hypothesis makes up tables, statements and steps of ours; a dictionary beside Postgres says what
must come of them. Indexing is simulated: what a worker would read and note, without chunks.
"""

from collections import Counter
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.db.connection import Connection, connect
from tests.support.collections import generation_of, value
from tests.support.source_model import (
    ATTACH,
    COLLECTION,
    SHAPES,
    Document,
    Key,
    Row,
    Rows,
    document,
)
from tests.support.source_statements import (
    Delete,
    Insert,
    Merge,
    Rotate,
    Runner,
    Statement,
    Truncate,
    Update,
)

_TEXTS = st.sampled_from([None, "", "one", "two", "two ", "TWO", "a\n\nb", "{x}"])
_VALUES: dict[str | None, st.SearchStrategy[Any]] = {
    "title": _TEXTS,
    "body": _TEXTS,
    "tenant": st.sampled_from([None, 1, 2]),
    "data": st.sampled_from([None, {}, {"a": 1}, {"a": 2}]),
    "live": st.sampled_from([True, True, False, None]),
    "note": _TEXTS,
    None: st.none(),
}
_ROWS = st.builds(Row, **{name: values for name, values in _VALUES.items() if name})


class SourceMachine(RuleBasedStateMachine):
    """One attached table in one transaction, which is rolled back at the end."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.connection: Connection = connect(self.url)

    def teardown(self) -> None:
        """Index what is left, and compare everything once more."""
        try:
            if hasattr(self, "attached"):
                self.settle()
        finally:
            self.connection.rollback()
            self.connection.close()

    @initialize(data=st.data(), shape=st.sampled_from(SHAPES))
    def attach(self, data: st.DataObject, shape: Any) -> None:
        """Attach a table that has some rows already."""
        self.shape = shape
        self.rows = Rows(shape)
        #: What the index holds, by document.
        self.indexed: dict[str, Document] = {}
        #: Documents in changes that were not folded yet, and in the outbox.
        self.noted: set[str] = set()
        self.queued: set[str] = set()
        self.runner = Runner(self.connection, shape)
        shape.create(self.connection)
        first = Insert(self._given(data), "none")
        first.run(self.runner)
        first.apply(self.rows)
        self.connection.execute(ATTACH.encode())
        self.generation = generation_of(self.connection, COLLECTION)
        self.attached = True

    # What the application does

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        """Run a statement: exactly the documents that it changed are noted."""
        statement = self._statement(data)
        before, last = self.rows.copy(), self._last_change()
        statement.run(self.runner)
        statement.apply(self.rows)
        if isinstance(statement, Truncate):
            assert self._unknown_since(last)
            return
        noted = self._noted_since(last)
        assert not self._unknown_since(last)
        assert _changed_documents(before, self.rows) <= noted <= _changed_rows(before, self.rows)
        self.noted |= noted

    @rule(data=st.data())
    def write_and_take_back(self, data: st.DataObject) -> None:
        """Roll a statement back: it leaves nothing."""
        statement, last = self._statement(data), self._last_change()
        self.connection.execute("SAVEPOINT taken_back")
        statement.run(self.runner)
        self.connection.execute("ROLLBACK TO SAVEPOINT taken_back")
        assert self._last_change() == last

    @rule(data=st.data())
    def write_unseen(self, data: st.DataObject) -> None:
        """Lose what the triggers noted, as if they had been off: only a comparison can find it."""
        statement, last = self._statement(data), self._last_change()
        statement.run(self.runner)
        statement.apply(self.rows)
        self.connection.execute("DELETE FROM rankgres.source_change WHERE id > %s", [last])

    # What we do

    @rule(rows=st.integers(1, 5))
    def fold(self, rows: int) -> None:
        """Move changes to the outbox; those not known are left for a comparison."""
        self.connection.execute("SELECT * FROM rankgres.source_change_fold_v1(%s)", [rows])
        left = self._noted_since(0)
        assert left <= self.noted
        self.queued |= self.noted - left
        self.noted = left
        assert self._outbox() >= self.queued
        self.queued = self._outbox()

    @rule(rows=st.integers(1, 4))
    def backfill(self, rows: int) -> None:
        """Queue the next rows of those that were there before."""
        self.connection.execute(
            "SELECT rankgres.backfill_step_v1(%s, %s, 1000)", [self.generation, rows]
        )
        found = self._outbox()
        assert self.queued <= found
        assert found - self.queued <= self.rows.by_id().keys()
        self.queued = found

    @rule(data=st.data())
    def index(self, data: st.DataObject) -> None:
        """Read some queued documents as a worker does, and note them as indexed."""
        if self.queued:
            some = st.sets(st.sampled_from(sorted(self.queued)), min_size=1)
            self._index(data.draw(some, label="indexed"))

    @rule()
    def compare(self) -> None:
        """Queue exactly what differs and is not known to: the comparison finds every change.

        A backfill goes first.
        """
        filled = self._filled()
        different = self._different() - self.queued
        count = value(
            self.connection,
            "SELECT rankgres.source_compare_v1(id, rankgres.source_changes_unknown_v1(id)) "
            "FROM rankgres.collection WHERE name = %s",
            [COLLECTION],
        )
        found = self._outbox() - self.queued
        assert count == len(found)
        if filled:
            assert different - self.noted <= found <= different
            assert not self._unknown_since(0)
            self.queued |= found
        else:
            assert not found

    @rule()
    def verify(self) -> None:
        """Report every difference by its kind; what is known to come is pending."""
        kinds = dict.fromkeys(self.queued | self.noted, "pending")
        documents, unknown, filled = self.rows.documents(), self._unknown_since(0), self._filled()
        for id_ in self._different() - kinds.keys():
            if id_ not in self.indexed:
                kinds[id_] = "missing" if filled else "pending"
            else:
                kinds[id_] = "stale" if id_ in documents else "gone"
            if unknown:
                kinds[id_] = "pending"
        rows = self.connection.execute("SELECT * FROM rankgres.verify_v1(%s)", [COLLECTION])
        assert {kind: count for kind, count, _ in rows} == Counter(kinds.values())

    @rule()
    def settle(self) -> None:
        """Do all there is to do: then the index equals the source."""
        while not self._filled():
            self.backfill(3)
        self.fold(1000)
        # Writes that no trigger saw, too.
        self.compare()
        self._index(set(self.queued))
        assert self.indexed == self.rows.documents()
        rows = self.connection.execute("SELECT * FROM rankgres.verify_v1(%s)", [COLLECTION])
        assert rows.fetchall() == []

    @precondition(lambda self: hasattr(self, "attached"))
    @invariant()
    def outbox_holds_what_is_queued(self) -> None:
        """Nothing comes into the outbox, or goes, by itself."""
        assert self._outbox() == self.queued

    # How

    def _statement(self, data: st.DataObject) -> Statement:
        kinds = [Insert, Insert, Update, Update, Rotate, Delete, Merge, Truncate]
        kind = data.draw(st.sampled_from(kinds), label="kind")
        if kind is Insert:
            conflict = "none"
            given = self._given(data)
            if self.shape.deferrable:
                given = [(key, row) for key, row in given if key not in self.rows]
            else:
                conflict = data.draw(st.sampled_from(["nothing", "update"]), label="conflict")
            statement: Statement = Insert(given, conflict)
        elif kind is Merge:
            statement = Merge(self._given(data))
        elif kind is Update:
            column = data.draw(st.sampled_from(list(_VALUES)), label="column")
            statement = Update(self._keys(data), column, data.draw(_VALUES[column]))
        elif kind is Rotate:
            keys = self._keys(data, least=1)
            if not self.shape.deferrable and len(keys) > 1 and keys[1] in self.rows:
                same = self.shape.same
                if same(keys[0]) != same(keys[1]):
                    keys = keys[:1]
            statement = Rotate(keys)
        else:
            statement = Delete(self._keys(data)) if kind is Delete else Truncate()
        return data.draw(st.just(statement), label="statement")

    def _given(self, data: st.DataObject) -> list[tuple[Key, Row]]:
        pairs = st.tuples(st.sampled_from(list(self.shape.keys)), _ROWS)
        same = self.shape.same
        return data.draw(st.lists(pairs, max_size=4, unique_by=lambda pair: same(pair[0])))

    def _keys(self, data: st.DataObject, least: int = 0) -> list[Key]:
        keys = st.sampled_from(list(self.shape.keys))
        return data.draw(st.lists(keys, min_size=least, max_size=4, unique=True))

    def _last_change(self) -> int:
        return int(
            value(self.connection, "SELECT coalesce(max(id), 0) FROM rankgres.source_change")
        )

    def _noted_since(self, last: int) -> set[str]:
        rows = self.connection.execute(
            "SELECT unnest(document_ids) FROM rankgres.source_change WHERE id > %s", [last]
        )
        return {row[0] for row in rows}

    def _unknown_since(self, last: int) -> bool:
        return bool(
            value(
                self.connection,
                "SELECT EXISTS (SELECT FROM rankgres.source_change "
                "WHERE id > %s AND document_ids IS NULL)",
                [last],
            )
        )

    def _outbox(self) -> set[str]:
        rows = self.connection.execute(
            "SELECT document_id FROM rankgres.outbox WHERE generation_id = %s", [self.generation]
        )
        return {row[0] for row in rows}

    def _different(self) -> set[str]:
        """Return the documents of which the index holds something else than the source."""
        documents = self.rows.documents()
        ids = documents.keys() | self.indexed.keys()
        return {id_ for id_ in ids if documents.get(id_) != self.indexed.get(id_)}

    def _filled(self) -> bool:
        return bool(
            value(
                self.connection,
                "SELECT NOT EXISTS (SELECT FROM rankgres.backfill "
                "WHERE generation_id = %s AND finished_at IS NULL)",
                [self.generation],
            )
        )

    def _index(self, ids: set[str]) -> None:
        """Read and note, as a worker does in its last transaction."""
        rows = self.connection.execute(
            "WITH read AS MATERIALIZED ("
            "SELECT * FROM rankgres.source_documents_v1("
            "(SELECT id FROM rankgres.collection WHERE name = %(name)s), %(ids)s)), "
            "finished AS (DELETE FROM rankgres.outbox "
            "WHERE generation_id = %(generation)s AND document_id = ANY (%(ids)s)), "
            "forgotten AS (DELETE FROM rankgres.indexed_document "
            "WHERE generation_id = %(generation)s AND document_id = ANY (%(ids)s) "
            "AND document_id NOT IN (SELECT document_id FROM read)), "
            "noted AS (INSERT INTO rankgres.indexed_document "
            "(generation_id, document_id, content_hash, chunk_count) "
            "SELECT %(generation)s, document_id, content_hash, 0 FROM read "
            "ON CONFLICT (generation_id, document_id) DO UPDATE "
            "SET content_hash = excluded.content_hash) "
            "SELECT document_id, title, text, metadata FROM read",
            {"name": COLLECTION, "ids": sorted(ids), "generation": self.generation},
        )
        read = {id_: Document(title, text, metadata) for id_, title, text, metadata in rows}
        documents = self.rows.documents()
        assert read == {id_: documents[id_] for id_ in ids if id_ in documents}
        self.indexed = {id_: known for id_, known in self.indexed.items() if id_ not in ids} | read
        self.queued -= ids


def _changed_documents(before: Rows, after: Rows) -> set[str]:
    """Return the documents that a statement changed: these have to be noted."""
    old, new = before.documents(), after.documents()
    return {id_ for id_ in old.keys() | new.keys() if old.get(id_) != new.get(id_)}


def _changed_rows(before: Rows, after: Rows) -> set[str]:
    """Return the ids of rows of which anything changed that is read: no other may be noted."""
    old, new = before.by_id(), after.by_id()
    return {id_ for id_ in old.keys() | new.keys() if _read(old.get(id_)) != _read(new.get(id_))}


def _read(row: Row | None) -> object:
    return row and (row.live, row.title, row.body, document(row))


# A failure is made smaller for up to five minutes before it is shown.
@pytest.mark.timeout(900)
def test_the_index_follows_whatever_is_written(database_url: str) -> None:
    machine = type("Machine", (SourceMachine,), {"url": database_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
