"""What has to reach Headroom, kept in a file until it has.

An entry is a usage event, the release of an authorization that came to nothing, or an authorization
whose answer was lost and that is to be given back. It is written down before anybody tries to send
it, so that neither a crash, nor `kill -9`, nor a Headroom that cannot be reached loses it; that it
may be sent twice is Headroom's promise to bear, by the event's id. What Headroom rejects for what
it is, is parked with the reason and never sent again.

The file is SQLite in WAL mode. Threads, forks and processes of one machine may share it: whoever
sends entries leases them first. A lease names its owner; when the owner is gone, the next who looks
takes over. What settles a hold that is still open is sent first, and retried before the hold
expires. One file belongs to one organization.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from headroom_client import batch_holds
from headroom_client.batch_holds import BatchHold, Settlement
from headroom_client.errors import OutboxFull
from headroom_client.owners import Owner, is_gone, life_file, owner_ids

ENTRIES_MAX: Final = 100_000
# Longer than one attempt. It matters where nobody can see that an owner is gone, or one hangs.
LEASE_SECONDS: Final = 60
# How often to look whether those who lease something still run.
LOOK_SECONDS: Final = 1.0
# What settles a hold is tried again so long before the hold expires, and then as often as this.
HOLD_MARGIN_SECONDS: Final = 10.0
HOLD_RETRY_SECONDS: Final = 1.0
BUSY_SECONDS: Final = 10

Kind = Literal["event", "release", "give_back"]

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS entries ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " kind TEXT NOT NULL,"
    " id TEXT NOT NULL,"
    " body TEXT NOT NULL,"
    " added_at REAL NOT NULL,"
    " attempts INTEGER NOT NULL DEFAULT 0,"
    " not_before REAL NOT NULL DEFAULT 0,"
    " leased_until REAL NOT NULL DEFAULT 0,"
    " parked_because TEXT,"
    " UNIQUE (kind, id))",
    "CREATE INDEX IF NOT EXISTS waiting ON entries (kind, seq) WHERE parked_because IS NULL",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS owners ("
    " id TEXT PRIMARY KEY,"
    " pid INTEGER NOT NULL,"
    " host TEXT NOT NULL,"
    " since REAL NOT NULL,"
    " locked INTEGER NOT NULL)",
)
# What files of earlier versions do not have; their clients do not mind it.
_COLUMNS_ADDED: Final = {"leased_by": "TEXT", "hold_until": "REAL", "last_error": "TEXT"}
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS holding ON entries (kind, hold_until)"
    " WHERE parked_because IS NULL AND hold_until IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS leased ON entries (leased_by) WHERE leased_by IS NOT NULL",
)

_DUE: Final = (
    "SELECT seq, kind, id, body, attempts, hold_until FROM entries WHERE kind = :kind"
    " AND parked_because IS NULL AND not_before <= :now AND leased_until <= :now AND "
)
_SETTLES_AN_OPEN_HOLD: Final = f"{_DUE} hold_until > :now ORDER BY hold_until LIMIT :count"
_SETTLES_NONE: Final = (
    f"{_DUE} (hold_until IS NULL OR hold_until <= :now) ORDER BY seq LIMIT :count"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to send.

    `body` is the JSON of an event, of the request of an authorization to give back, whose
    idempotency key is the id then, and empty for a release. `hold_until` is when the hold that it
    settles expires, in seconds of the epoch, if that is known.
    """

    seq: int
    kind: Kind
    id: str
    body: str
    attempts: int = 0
    hold_until: float | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """How many entries still wait, and why."""

    count: int
    because: str


@dataclass(frozen=True, slots=True)
class ParkedEntry:
    """One thing that Headroom rejected for what it is, and why."""

    kind: Kind
    id: str
    body: str
    because: str


class Outbox:
    """The entries in a file. Every method is one short transaction, safe to cut off anywhere."""

    def __init__(
        self,
        path: str | Path,
        *,
        entries_max: int = ENTRIES_MAX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        self.entries_max = entries_max
        self._clock = clock
        self._pid = 0
        self._destination: str | None = None
        self._owner: Owner | None = None
        self._connect()

    def bind(self, destination: str, *, moved_from: str | None = None) -> None:
        """Tie the file to one Headroom, so that nothing kept for one is sent to another.

        With `moved_from`, the address that the file may be tied to yet, it is tied anew. That is
        safe when the same data is behind both: the ids are the client's, so what the old one had
        recorded already is a duplicate at the new one. Who is bound to the old address sends
        nothing of this file any more.

        Raises:
            ValueError: it belongs to another.
        """
        with self._transaction() as database:
            database.execute("INSERT OR IGNORE INTO facts VALUES ('destination', ?)", [destination])
            found = self._bound_to(database)
            if moved_from is not None and found == moved_from:
                database.execute(
                    "UPDATE facts SET value = ? WHERE name = 'destination'", [destination]
                )
                found = destination
        if found != destination:
            raise ValueError(
                f"{self.path} keeps what is meant for {found}, not for {destination}; if that is "
                f"where the same Headroom is now, say moved_from={found!r} or HEADROOM_MOVED_FROM"
            )
        self._destination = destination

    def put(
        self, kind: Kind, entry_id: str, body: str = "", *, hold_until: float | None = None
    ) -> None:
        """Keep an entry. One that is kept under its id already stays as it is.

        Safe to call from a destructor: what comes in the middle of one of our own transactions is
        kept when that has ended, before the method that runs it returns.

        Raises:
            OutboxFull: there is no room.
        """
        with self._turn() as database:
            if database is None:
                self._deferred.put((kind, entry_id, body, hold_until))
                return
            database.execute("BEGIN IMMEDIATE")
            try:
                self._check_room(database)
                self._insert(database, kind, entry_id, body, hold_until)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def check_room(self, count: int = 1) -> None:
        """See that so many more entries can be kept.

        Raises:
            OutboxFull: they cannot.
        """
        with self._reading() as database:
            self._check_room(database, count)

    def keep_batch(self, batch_id: str, holds: Iterable[BatchHold]) -> None:
        """Keep what is held for the requests of a batch, all of it or nothing."""
        with self._transaction() as database:
            batch_holds.keep(database, batch_id, holds, self._clock())

    def find_batch_holds(self, batch_id: str, custom_ids: Iterable[str]) -> dict[str, BatchHold]:
        """Return what is still to be settled of these requests of a batch, by custom id."""
        with self._reading() as database:
            return batch_holds.find(database, batch_id, custom_ids)

    def open_batch_requests(self) -> int:
        """Return how many requests of batches wait for somebody to read their results."""
        with self._reading() as database:
            return batch_holds.count_open(database)

    def settle_batch(self, batch_id: str, settlements: Sequence[Settlement]) -> None:
        """Keep what follows from results of a batch; what followed from them before stays as it is.

        Raises:
            OutboxFull: there is no room; none of them is settled.
        """
        now = self._clock()
        with self._transaction() as database:
            fresh = [
                each
                for each in settlements
                if batch_holds.mark_settled(database, batch_id, each.custom_id, now)
            ]
            self._check_room(database, len(fresh))
            for each in fresh:
                self._insert(database, each.kind, each.entry_id, each.body, each.hold_until)

    def lease(self, kind: Kind, count: int) -> list[Entry]:
        """Take up to `count` entries that are due from others for a while.

        Those come first whose hold expires next, then the oldest. What is leased by processes that
        are gone is free again.
        """
        now = self._clock()
        with self._transaction() as database:
            if self._is_moved(database):
                return []
            self._take_over(database, now)
            rows = [
                row
                for query in (_SETTLES_AN_OPEN_HOLD, _SETTLES_NONE)
                for row in database.execute(query, {"kind": kind, "now": now, "count": count})
            ][:count]
            if rows:
                self._extend_leases(database, [row[0] for row in rows], now)
        return [Entry(*row) for row in rows]

    def renew(self, entries: Sequence[Entry]) -> None:
        """Keep entries from others for a while longer."""
        with self._transaction() as database:
            self._extend_leases(database, [entry.seq for entry in entries], self._clock())

    def let_go(self, entries: Sequence[Entry]) -> None:
        """End the lease of entries that nothing became of, as if it had not been."""
        with self._transaction() as database:
            database.executemany(
                "UPDATE entries SET leased_until = 0, leased_by = NULL"
                " WHERE seq = ? AND leased_by = ?",
                [(entry.seq, self._own_id()) for entry in entries],
            )

    def done(self, entries: Sequence[Entry]) -> None:
        """Forget entries that Headroom has."""
        with self._transaction() as database:
            database.executemany("DELETE FROM entries WHERE seq = ?", [(e.seq,) for e in entries])

    def replace(self, entry: Entry, kind: Kind, entry_id: str, hold_until: float) -> None:
        """Keep what follows from an entry in its place, in one step."""
        with self._transaction() as database:
            self._insert(database, kind, entry_id, "", hold_until)
            database.execute("DELETE FROM entries WHERE seq = ?", [entry.seq])

    def postpone(self, entries: Sequence[Entry], seconds: float, because: str = "") -> None:
        """Let entries go, to be sent again after a while, or before the hold expires."""
        now = self._clock()
        with self._transaction() as database:
            database.executemany(
                "UPDATE entries SET attempts = attempts + 1, not_before = ?, last_error = ?,"
                " leased_until = 0, leased_by = NULL WHERE seq = ? AND leased_by = ?",
                [
                    (
                        _try_again_at(now, seconds, entry.hold_until),
                        because or None,
                        entry.seq,
                        self._own_id(),
                    )
                    for entry in entries
                ],
            )

    def park(self, entry: Entry, because: str) -> None:
        """Keep an entry for people to look at, and never send it again."""
        with self._transaction() as database:
            database.execute(
                "UPDATE entries SET parked_because = ?, leased_until = 0, leased_by = NULL"
                " WHERE seq = ?",
                [because, entry.seq],
            )

    def parked(self) -> list[ParkedEntry]:
        """Return what was rejected, the oldest first."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT kind, id, body, parked_because FROM entries"
                " WHERE parked_because IS NOT NULL ORDER BY seq"
            ).fetchall()
        return [ParkedEntry(*row) for row in rows]

    def unpark(self, entry_id: str) -> None:
        """Send what was parked under this id once more."""
        with self._transaction() as database:
            database.execute(
                "UPDATE entries SET parked_because = NULL, not_before = 0"
                " WHERE id = ? AND parked_because IS NOT NULL",
                [entry_id],
            )

    def discard(self, entry_id: str) -> None:
        """Forget what was parked under this id."""
        with self._transaction() as database:
            database.execute(
                "DELETE FROM entries WHERE id = ? AND parked_because IS NOT NULL", [entry_id]
            )

    def hasten(self) -> None:
        """Make due now all that waits for a later attempt."""
        with self._transaction() as database:
            database.execute("UPDATE entries SET not_before = 0 WHERE parked_because IS NULL")

    def waiting(self) -> int:
        """Return how many entries are still to reach Headroom."""
        with self._reading() as database:
            return self._waiting(database)

    def left(self) -> list[Left]:
        """Return what is still to reach Headroom, and why it has not."""
        now = self._clock()
        with self._reading() as database:
            if self._is_moved(database):
                bound_to = self._bound_to(database)
                count = self._waiting(database)
                return [Left(count, f"the outbox was moved to {bound_to}")] if count else []
            rows = database.execute(
                "SELECT leased_by, pid, host, since, last_error, count(*) FROM ("
                "  SELECT last_error, CASE WHEN leased_until > ? THEN coalesce(leased_by, '') END"
                "   AS leased_by FROM entries WHERE parked_because IS NULL"
                " ) LEFT JOIN owners ON owners.id = leased_by"
                " GROUP BY leased_by, last_error ORDER BY count(*) DESC",
                [now],
            ).fetchall()
        return [Left(row[-1], self._because(*row[:-1])) for row in rows]

    def due_in_seconds(self) -> float | None:
        """Return when to look for entries next: 0 if one is due, None if there is nothing to do.

        What others lease is looked at now and then, as they may die.
        """
        now = self._clock()
        with self._reading() as database:
            if self._is_moved(database):
                return None
            (at,) = database.execute(
                "SELECT min(max(not_before, CASE WHEN leased_by IS NULL OR leased_by = ?"
                " THEN leased_until ELSE min(leased_until, ?) END))"
                " FROM entries WHERE parked_because IS NULL",
                [self._own_id(), now + LOOK_SECONDS],
            ).fetchone()
        return None if at is None else max(float(at) - now, 0.0)

    def hold_expires_in_seconds(self) -> float | None:
        """Return when the next hold expires that something here settles, None if none does."""
        now = self._clock()
        with self._reading() as database:
            (at,) = database.execute(
                "SELECT min(hold_until) FROM entries"
                " WHERE parked_because IS NULL AND hold_until > ?",
                [now],
            ).fetchone()
        return None if at is None else float(at) - now

    def is_over(self, entry: Entry) -> bool:
        """Whether the hold that an entry is about has expired."""
        return entry.hold_until is not None and entry.hold_until <= self._clock()

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock:
            if self._owner is not None and self._pid == os.getpid():
                # Without it, others see by the lock that we are gone.
                with suppress(sqlite3.Error), self._transaction() as database:
                    self._forget(database, self._owner.id)
                self._owner.let_go()
                self._owner = None
            self._database.close()

    def _connect(self) -> None:
        # A connection must not cross a fork, and neither must a lock that another thread holds.
        self._lock = threading.RLock()
        self._depth = 0
        self._deferred: queue.SimpleQueue[tuple[Kind, str, str, float | None]] = queue.SimpleQueue()
        # Nor is the fork who leased what its parent did.
        self._owner = None
        self._database = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._pid = os.getpid()
        self._database.execute("PRAGMA journal_mode = WAL")
        # On the disk before `put` returns: a machine that dies loses nothing either.
        self._database.execute("PRAGMA synchronous = FULL")
        with self._transaction() as database:
            for statement in (*_SCHEMA, *batch_holds.SCHEMA):
                database.execute(statement)
            found = {row[1] for row in database.execute("PRAGMA table_info(entries)")}
            for name, kind in _COLUMNS_ADDED.items():
                if name not in found:
                    database.execute(f"ALTER TABLE entries ADD COLUMN {name} {kind}")
            for statement in _INDEXES:
                database.execute(statement)
            batch_holds.forget_old(database, self._clock())

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection | None]:
        """Wait for the connection; None if this very thread is using it further up the stack."""
        if self._pid != os.getpid():
            self._connect()
        with self._lock:
            self._depth += 1
            try:
                yield self._database if self._depth == 1 else None
            finally:
                self._depth -= 1
        while self._depth == 0:
            try:
                deferred = self._deferred.get_nowait()
            except queue.Empty:
                break
            kind, entry_id, body, hold_until = deferred
            self.put(kind, entry_id, body, hold_until=hold_until)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._turn() as database:
            assert database is not None, "only `put` is called from destructors"
            yield database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def _bound_to(self, database: sqlite3.Connection) -> str | None:
        found = database.execute("SELECT value FROM facts WHERE name = 'destination'").fetchone()
        return None if found is None else str(found[0])

    def _is_moved(self, database: sqlite3.Connection) -> bool:
        return self._destination is not None and self._bound_to(database) != self._destination

    def _own_id(self) -> str:
        return "" if self._owner is None else self._owner.id

    def _extend_leases(
        self, database: sqlite3.Connection, places: Sequence[int], now: float
    ) -> None:
        if self._owner is None:
            self._owner = Owner(self.path)
            names = {row[0] for row in database.execute("SELECT id FROM owners WHERE locked")}
            # Some died before their name was kept. None is about to be: we are in a transaction.
            for name in names | owner_ids(self.path):
                if is_gone(self.path, name):
                    self._forget(database, name)
            # Of these nobody can tell; who still lives is written down again with its next lease.
            database.execute(
                "DELETE FROM owners WHERE NOT locked AND id NOT IN"
                " (SELECT leased_by FROM entries WHERE leased_by IS NOT NULL)"
            )
        owner = self._owner
        database.execute(
            "INSERT OR IGNORE INTO owners VALUES (?, ?, ?, ?, ?)",
            [owner.id, owner.pid, owner.host, owner.since, owner.is_locked],
        )
        database.executemany(
            "UPDATE entries SET leased_until = ?, leased_by = ? WHERE seq = ?",
            [(now + LEASE_SECONDS, owner.id, place) for place in places],
        )

    def _take_over(self, database: sqlite3.Connection, now: float) -> None:
        """End the leases of those who are gone."""
        others = database.execute(
            "SELECT DISTINCT leased_by, locked FROM entries"
            " LEFT JOIN owners ON owners.id = leased_by"
            " WHERE leased_by IS NOT NULL AND leased_by != ? AND leased_until > ?",
            [self._own_id(), now],
        ).fetchall()
        for owner_id, locked in others:
            # One without a name here was taken for gone before.
            if locked is None or (locked and is_gone(self.path, owner_id)):
                self._forget(database, owner_id)

    def _forget(self, database: sqlite3.Connection, owner_id: str) -> None:
        database.execute(
            "UPDATE entries SET leased_until = 0, leased_by = NULL WHERE leased_by = ?", [owner_id]
        )
        database.execute("DELETE FROM owners WHERE id = ?", [owner_id])
        life_file(self.path, owner_id).unlink(missing_ok=True)

    def _because(
        self,
        leased_by: str | None,
        pid: int | None,
        host: str | None,
        since: float | None,
        last_error: str | None,
    ) -> str:
        if leased_by is None:
            return last_error or "not tried yet"
        if leased_by and leased_by == self._own_id():
            return "being delivered by this process"
        if since is None:
            return "being delivered by another process"
        at = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
        return f"being delivered by process {pid} on {host}, started {at}"

    def _insert(
        self,
        database: sqlite3.Connection,
        kind: Kind,
        entry_id: str,
        body: str,
        hold_until: float | None,
    ) -> None:
        database.execute(
            "INSERT OR IGNORE INTO entries (kind, id, body, added_at, hold_until)"
            " VALUES (?, ?, ?, ?, ?)",
            [kind, entry_id, body, self._clock(), hold_until],
        )

    def _check_room(self, database: sqlite3.Connection, wanted: int = 1) -> None:
        (count,) = database.execute("SELECT count(*) FROM entries").fetchone()
        if count + wanted > self.entries_max:
            raise OutboxFull(
                f"{self.path} keeps {count} entries already, and takes {self.entries_max}"
            )

    @staticmethod
    def _waiting(database: sqlite3.Connection) -> int:
        (count,) = database.execute(
            "SELECT count(*) FROM entries WHERE parked_because IS NULL"
        ).fetchone()
        return int(count)


def _try_again_at(now: float, seconds: float, hold_until: float | None) -> float:
    """Return when to try again: after a while, but while the hold is open still."""
    if hold_until is None or hold_until <= now:
        return now + seconds
    latest = max(hold_until - HOLD_MARGIN_SECONDS, now + HOLD_RETRY_SECONDS)
    return min(now + seconds, latest)
