"""Rounds of random writing under random faults, each ended by a proof that nothing is wrong.

A round depends on its seed alone: it begins with new tables, half filled, attaches them, and lets
faults strike while they are filled, written and indexed. Then everything is healed and drained,
and the index must equal the source; of what the models read, nothing may be read twice without a
reason.
"""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from service.local.process import tail
from tests.faults.attached_tables import TABLES
from tests.faults.attached_truth import AttachedTruth, unexplained_encodings
from tests.faults.encoding_log import Trouble
from tests.faults.fault_worker import give_order
from tests.faults.fleet import LEASE_SECONDS, WORKERS, Connection, Fleet
from tests.faults.writer import Writer
from tests.support.waiting import eventually

#: Between two faults.
_PAUSE_SECONDS = (0.2, 1.2)
_ROWS_AT_FIRST = 60
#: From the last fault until everything is indexed: leases that have to end, pauses after failures.
_DRAIN_SECONDS = 120.0
#: Longer than a lease that nobody extends.
_FREEZE_SECONDS = LEASE_SECONDS + 1.5
#: The machine itself may stop this process for a while, and the workers with it.
_STALL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What happened in a round that ended well."""

    faults: Counter[str]
    transactions: int
    texts: int
    read_again: int
    dead_letters: int
    seconds: float
    drain_seconds: float


@dataclass(slots=True)
class Campaign:
    """Rounds on one fleet, which must be running."""

    fleet: Fleet
    seed: str
    _truth: AttachedTruth = field(default_factory=AttachedTruth)

    def run_round(self, number: int, faults: int) -> RoundReport:
        """Run one round; raises at the first thing that is wrong, and says how to see it again."""
        try:
            return self._run_round(number, faults)
        except Exception as error:
            for log in sorted(self.fleet.folder.glob("*.log")):
                error.add_note(f"--- {log.name}\n{tail(log)}")
            error.add_note(
                f"round {number} failed; from there again: "
                f"make test-faults SEED={self.seed} ROUND={number}"
            )
            raise

    def _run_round(self, number: int, faults: int) -> RoundReport:
        began = time.monotonic()
        writers = self._new_writers(number)
        for writer in writers:
            writer.start()
        with _stalls() as stalls:
            harm = Harm(self.fleet, random.Random(f"{self.seed}/{number}"))
            try:
                for _ in range(faults):
                    harm.strike()
                    self.fleet.revive()
                harm.heal()
            finally:
                for writer in writers:
                    writer.tell_to_stop()
            for writer in writers:
                writer.finish()
            healed = time.monotonic()
            with self.fleet.connect() as connection:
                dead = self._drain(connection)
                drained = time.monotonic()
                self._require_true(connection, writers)
        encoded, model_troubles = self.fleet.log.read()
        troubles = [trouble for trouble in harm.troubles if trouble.name in _LOSE_WORK]
        unexplained = unexplained_encodings(encoded, writers, [*troubles, *model_troubles, *stalls])
        assert not unexplained, f"read too often: {unexplained[:5]} and others"
        read = {stamp for _, _, stamps in encoded for stamp in stamps}
        for writer in writers:
            assert not read & writer.rolled_back, "a model read what was never committed"
        names = Counter(trouble.name for trouble in harm.troubles)
        texts = len({text.digest for text in encoded})
        return RoundReport(
            names,
            sum(writer.transactions for writer in writers),
            texts,
            len(encoded) - texts,
            dead,
            time.monotonic() - began,
            drained - healed,
        )

    def _new_writers(self, number: int) -> list[Writer]:
        """Return writers of new, attached tables; everything of the round before is gone."""
        with self.fleet.connect() as connection:
            connection.execute(
                "SELECT rankgres.detach(name) FROM rankgres.collection "
                "JOIN rankgres.source ON source.collection_id = collection.id"
            )
            connection.execute(
                "DROP SCHEMA IF EXISTS faults CASCADE; CREATE SCHEMA faults; "
                "CREATE TABLE faults.transaction (writer text, number bigint, "
                "PRIMARY KEY (writer, number))"
            )
        self.fleet.log.clear()
        writers = [
            Writer(self.fleet.connect, table, f"{self.seed}/{number}/{table.collection}")
            for table in TABLES
        ]
        for writer in writers:
            writer.prepare(_ROWS_AT_FIRST)
        return writers

    def _drain(self, connection: Connection) -> int:
        """Wait until nothing is queued, trying dead letters once more; return how many there were.

        A document whose worker was killed again and again is a dead letter for good reason.
        """
        self._wait_drained(connection)
        dead = 0
        for table in TABLES:
            row = connection.execute("SELECT rankgres.retry(%s)", [table.collection]).fetchone()
            assert row is not None
            dead += row[0]
        self._wait_drained(connection)
        return dead

    def _wait_drained(self, connection: Connection) -> None:
        def drained() -> bool:
            self.fleet.revive()
            return not _waiting(connection)

        eventually(drained, "drained", _DRAIN_SECONDS)

    def _require_true(self, connection: Connection, writers: list[Writer]) -> None:
        for writer in writers:
            writer.require_true(connection)
            found = connection.execute(
                "SELECT * FROM rankgres.verify(%s)", [writer.table.collection]
            ).fetchall()
            assert found == [], f"verify found in {writer.table.collection}: {found}"
            # By other means than verify's.
            self._truth.assert_index_equals(connection, writer.table, writer.rows)


def _waiting(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM rankgres.outbox WHERE dead_at IS NULL) "
        "OR EXISTS (SELECT FROM rankgres.source_change) "
        "OR EXISTS (SELECT FROM rankgres.backfill WHERE finished_at IS NULL)"
    ).fetchone()
    assert row is not None
    return bool(row[0])


@contextmanager
def _stalls() -> Iterator[list[Trouble]]:
    """Note the times in which this process, and so every other, did not run."""
    stalls: list[Trouble] = []
    stop = threading.Event()

    def watch() -> None:
        before = time.monotonic()
        while not stop.wait(0.05):
            now = time.monotonic()
            if now - before > _STALL_SECONDS:
                stalls.append(Trouble("stall", before, now))
            before = now

    thread = threading.Thread(target=watch, name="stalls")
    thread.start()
    yield stalls
    stop.set()
    thread.join()


class Harm:
    """Random faults, one after the other; what they break is mended later, or by healing."""

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self.troubles: list[Trouble] = []
        self._fleet = fleet
        self._chance = chance
        self._mends: list[tuple[float, Callable[[], None]]] = []
        self._orders = 0

    def strike(self) -> None:
        """Wait a moment, mend what is due, and break something."""
        time.sleep(self._chance.uniform(*_PAUSE_SECONDS))
        self._mend(time.monotonic())
        names, weights = zip(*_FAULTS.items(), strict=True)
        [name] = self._chance.choices(names, weights)
        began = time.monotonic()
        with suppress(psycopg.OperationalError):  # Postgres itself is being started again
            getattr(self, name)()
        self.troubles.append(Trouble(name, began, time.monotonic()))

    def heal(self) -> None:
        """Mend everything."""
        self._mend(float("inf"))
        for order in (self._fleet.folder / "orders").iterdir():
            with suppress(FileNotFoundError):
                order.unlink()
        for name in self._fleet.names:
            if "spare" in name:
                self._fleet.end_process(name)

    def _later(self, seconds: float, mend: Callable[[], None]) -> None:
        self._mends.append((time.monotonic() + seconds, mend))

    def _mend(self, until: float) -> None:
        due = [mend for at, mend in self._mends if at <= until]
        self._mends = [item for item in self._mends if item[0] > until]
        for mend in due:
            mend()

    def _any(self, role: str) -> str:
        return self._chance.choice([name for name in self._fleet.names if name.startswith(role)])

    # The faults

    def kill_worker(self) -> None:
        name = self._any("worker")
        self._fleet.end_process(name)
        self._fleet.start_process(name)

    def kill_every_worker(self) -> None:
        for name in [name for name in self._fleet.names if name.startswith("worker")]:
            self._fleet.end_process(name)
        for number in range(WORKERS):
            self._fleet.start_process(f"worker-{number}")

    def stop_worker(self) -> None:
        name = self._any("worker")
        self._fleet.end_process(name, signal.SIGTERM)
        self._fleet.start_process(name)

    def freeze_worker(self) -> None:
        name = self._any("worker")
        self._fleet.freeze(name)
        began = time.monotonic()

        def thaw() -> None:
            self._fleet.thaw(name)
            self.troubles.append(Trouble("freeze_worker", began, time.monotonic()))

        self._later(_FREEZE_SECONDS, thaw)

    def kill_relay(self) -> None:
        name = self._any("relay")
        self._fleet.end_process(name)
        if "spare" not in name:
            self._fleet.start_process(name)

    def double_relay(self) -> None:
        if sum(name.startswith("relay") for name in self._fleet.names) < 3:
            self._fleet.start_spare("relay")

    def crash_postgres(self) -> None:
        self._fleet.crash_postgres()
        time.sleep(self._chance.choice((0, 0, 1)))
        self._fleet.start_postgres()

    def flush_redis(self) -> None:
        self._fleet.flush_redis()

    def stop_redis(self) -> None:
        self._fleet.kill_redis()
        time.sleep(self._chance.uniform(0, 1.5))
        self._fleet.start_redis()

    def cut_connections(self) -> None:
        self._fleet.cut_connections(self._chance.choice((0.3, 1.0)))

    def break_model(self) -> None:
        for _ in range(self._chance.choice((1, 1, 3))):
            self._orders += 1
            give_order(self._fleet.folder, "raise", self._orders)

    def ask_model_too_often(self) -> None:
        self._orders += 1
        give_order(self._fleet.folder, "busy", self._orders, 1.0)

    def hang_model(self) -> None:
        # Within a lease, longer than one, and longer than any worker waits for its model.
        leases = self._chance.choice((0.5, 0.5, 3, 3, 12))
        self._orders += 1
        give_order(self._fleet.folder, "hang", self._orders, leases * LEASE_SECONDS)


#: With how often each strikes.
_FAULTS = {
    "kill_worker": 5,
    "kill_every_worker": 1,
    "stop_worker": 1,
    "freeze_worker": 1,
    "kill_relay": 2,
    "double_relay": 2,
    "crash_postgres": 2,
    "flush_redis": 2,
    "stop_redis": 2,
    "cut_connections": 3,
    "break_model": 3,
    "ask_model_too_often": 1,
    "hang_model": 2,
}
#: After these a model may have to read again what it had read. A relay or a Redis that is lost is
#: no reason, and neither are two relays.
_LOSE_WORK = {
    "kill_worker",
    "kill_every_worker",
    "stop_worker",
    "freeze_worker",
    "crash_postgres",
    "cut_connections",
}
