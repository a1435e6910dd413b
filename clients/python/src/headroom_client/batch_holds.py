"""What is held for the requests of message batches, kept in the outbox's file until it is settled.

A row is one request of one batch. Whoever reads the request's result, in whatever process, settles
by it what was authorized by another. A row that is settled stays as a mark: the results may be read
again and again, and each is to be reported once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

# Results can be read for 29 days; after that no row is of any use.
KEPT_SECONDS: Final = 31 * 86_400

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS batch_requests ("
    " batch_id TEXT NOT NULL,"
    " custom_id TEXT NOT NULL,"
    " authorization_id TEXT,"
    " user_id TEXT,"
    " model TEXT,"
    " product TEXT,"
    " hold_until REAL,"
    " kept_at REAL NOT NULL,"
    " settled INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (batch_id, custom_id)) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class BatchHold:
    """What was authorized for one request of a batch.

    `hold_until` is when the hold expires, in seconds of the epoch.
    """

    custom_id: str
    authorization_id: str
    user_id: str
    model: str
    product: str | None
    hold_until: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """The entry of the outbox that follows from the result of one request of a batch.

    `hold_until` is that of the hold that the entry settles, None if it settles none.
    """

    custom_id: str
    kind: Literal["event", "release"]
    entry_id: str
    body: str = ""
    hold_until: float | None = None


def keep(
    database: sqlite3.Connection, batch_id: str, holds: Iterable[BatchHold], now: float
) -> None:
    """Write down what is held for a batch, and forget what nobody can read any more."""
    forget_old(database, now)
    database.executemany(
        "INSERT OR IGNORE INTO batch_requests (batch_id, custom_id, authorization_id, user_id,"
        " model, product, hold_until, kept_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                batch_id,
                hold.custom_id,
                hold.authorization_id,
                hold.user_id,
                hold.model,
                hold.product,
                hold.hold_until,
                now,
            )
            for hold in holds
        ],
    )


def find(
    database: sqlite3.Connection, batch_id: str, custom_ids: Iterable[str]
) -> dict[str, BatchHold]:
    """Return what is still to be settled of these requests, by their custom ids."""
    query = (
        "SELECT custom_id, authorization_id, user_id, model, product, hold_until"
        " FROM batch_requests WHERE batch_id = ? AND custom_id = ? AND NOT settled"
    )
    rows = [database.execute(query, [batch_id, each]).fetchone() for each in custom_ids]
    return {row[0]: BatchHold(*row) for row in rows if row is not None}


def mark_settled(database: sqlite3.Connection, batch_id: str, custom_id: str, now: float) -> bool:
    """Mark one request as settled, a request that nothing is known of too.

    Returns whether it was not marked before.
    """
    changed = database.execute(
        "INSERT INTO batch_requests (batch_id, custom_id, kept_at, settled) VALUES (?, ?, ?, 1)"
        " ON CONFLICT DO UPDATE SET settled = 1 WHERE NOT settled",
        [batch_id, custom_id, now],
    )
    return changed.rowcount > 0


def count_open(database: sqlite3.Connection) -> int:
    """Return how many requests are still to be settled."""
    (count,) = database.execute("SELECT count(*) FROM batch_requests WHERE NOT settled").fetchone()
    return int(count)


def forget_old(database: sqlite3.Connection, now: float) -> None:
    """Remove what is of batches whose results nobody can read any more."""
    database.execute("DELETE FROM batch_requests WHERE kept_at < ?", [now - KEPT_SECONDS])
