"""What has to reach Headroom, kept in a file until it has.

An entry is a usage event, or the release of an authorization that came to nothing. It is written
down before anybody tries to send it, so that neither a crash, nor `kill -9`, nor a Headroom that
cannot be reached loses it; that it may be sent twice is Headroom's promise to bear, by the
event's id. What Headroom rejects for what it is, is parked with the reason and never sent again.

The file is SQLite in WAL mode. Threads, forks and processes may share it: whoever sends entries
leases them first. One file belongs to one organization.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from headroom_client.errors import OutboxFull

ENTRIES_MAX: Final = 100_000
LEASE_SECONDS: Final = 120
BUSY_SECONDS: Final = 10

Kind = Literal["event", "release"]

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
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to send. `body` is the JSON of an event, and empty for a release."""

    seq: int
    kind: Kind
    id: str
    body: str
    attempts: int = 0


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
        self._connect()

    def bind(self, destination: str) -> None:
        """Tie the file to one Headroom, so that nothing kept for one is sent to another.

        Raises:
            ValueError: it belongs to another.
        """
        with self._transaction() as database:
            database.execute("INSERT OR IGNORE INTO facts VALUES ('destination', ?)", [destination])
            (found,) = database.execute(
                "SELECT value FROM facts WHERE name = 'destination'"
            ).fetchone()
        if found != destination:
            raise ValueError(f"{self.path} keeps what is meant for {found}, not for {destination}")

    def put(self, kind: Kind, entry_id: str, body: str = "") -> None:
        """Keep an entry. One that is kept under its id already stays as it is.

        Safe to call from a destructor: what comes in the middle of one of our own transactions is
        kept when that has ended, before the method that runs it returns.

        Raises:
            OutboxFull: there is no room.
        """
        with self._turn() as database:
            if database is None:
                self._deferred.put((kind, entry_id, body))
                return
            database.execute("BEGIN IMMEDIATE")
            try:
                self._insert(database, kind, entry_id, body)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def check_room(self) -> None:
        """See that one more entry can be kept.

        Raises:
            OutboxFull: it cannot.
        """
        with self._reading() as database:
            if self._count(database) >= self.entries_max:
                raise OutboxFull(f"{self.path} keeps {self.entries_max} entries already")

    def lease(self, kind: Kind, count: int) -> list[Entry]:
        """Take up to `count` entries that are due, oldest first, from others for a while."""
        now = self._clock()
        with self._transaction() as database:
            rows = database.execute(
                "SELECT seq, kind, id, body, attempts FROM entries"
                " WHERE kind = ? AND parked_because IS NULL"
                " AND not_before <= ? AND leased_until <= ? ORDER BY seq LIMIT ?",
                [kind, now, now, count],
            ).fetchall()
            database.executemany(
                "UPDATE entries SET leased_until = ? WHERE seq = ?",
                [(now + LEASE_SECONDS, row[0]) for row in rows],
            )
        return [Entry(*row) for row in rows]

    def done(self, entries: Sequence[Entry]) -> None:
        """Forget entries that Headroom has."""
        with self._transaction() as database:
            database.executemany("DELETE FROM entries WHERE seq = ?", [(e.seq,) for e in entries])

    def postpone(self, entries: Sequence[Entry], seconds: float) -> None:
        """Let entries go, to be sent again after a while."""
        with self._transaction() as database:
            database.executemany(
                "UPDATE entries SET attempts = attempts + 1, not_before = ?, leased_until = 0"
                " WHERE seq = ?",
                [(self._clock() + seconds, entry.seq) for entry in entries],
            )

    def park(self, entry: Entry, because: str) -> None:
        """Keep an entry for people to look at, and never send it again."""
        with self._transaction() as database:
            database.execute(
                "UPDATE entries SET parked_because = ?, leased_until = 0 WHERE seq = ?",
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
            (count,) = database.execute(
                "SELECT count(*) FROM entries WHERE parked_because IS NULL"
            ).fetchone()
        return int(count)

    def due_in_seconds(self) -> float | None:
        """Return when the next entry is due, 0 if one is, None if nothing waits."""
        with self._reading() as database:
            (at,) = database.execute(
                "SELECT min(max(not_before, leased_until)) FROM entries"
                " WHERE parked_because IS NULL"
            ).fetchone()
        return None if at is None else max(float(at) - self._clock(), 0.0)

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock:
            self._database.close()

    def _connect(self) -> None:
        # A connection must not cross a fork, and neither must a lock that another thread holds.
        self._lock = threading.RLock()
        self._depth = 0
        self._deferred: queue.SimpleQueue[tuple[Kind, str, str]] = queue.SimpleQueue()
        self._database = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._pid = os.getpid()
        self._database.execute("PRAGMA journal_mode = WAL")
        # On the disk before `put` returns: a machine that dies loses nothing either.
        self._database.execute("PRAGMA synchronous = FULL")
        with self._transaction() as database:
            for statement in _SCHEMA:
                database.execute(statement)

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
            self.put(*deferred)

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

    def _insert(self, database: sqlite3.Connection, kind: Kind, entry_id: str, body: str) -> None:
        if self._count(database) >= self.entries_max:
            raise OutboxFull(f"{self.path} keeps {self.entries_max} entries already")
        database.execute(
            "INSERT OR IGNORE INTO entries (kind, id, body, added_at) VALUES (?, ?, ?, ?)",
            [kind, entry_id, body, self._clock()],
        )

    @staticmethod
    def _count(database: sqlite3.Connection) -> int:
        (count,) = database.execute("SELECT count(*) FROM entries").fetchone()
        return int(count)
