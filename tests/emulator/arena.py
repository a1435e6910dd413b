"""One organization that many threads spend from, and what can be proved about it.

Clients are functions of the use cases, each with hints of its own, as separate Lambdas have. Prices
are real: a token of output costs the same everywhere here, so that what fits is exactly computable.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from pynamodb.connection import Connection

from headroom.core.store import keys
from headroom.core.store.table import Change, DynamoTable, Item, Key, Page, Range, Table, Update
from headroom.core.wire.fields import digest_of
from headroom.organizations.domain.organization import Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.pool_record import PoolRecord
from headroom.organizations.store.settings_record import SettingsRecord
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import read_budget
from headroom.spending.store.budgets import find_past_budget
from headroom.spending.store.ledger import list_lines
from headroom.spending.store.line_record import LineRecord
from headroom.spending.usecases.authorizations import Idempotency, authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event

MODEL = "claude-sonnet-4-5"
TOKEN_NANOS = 15_000  # One token of output at the list price of 15 dollars a million.
CENT_NANOS = 10_000_000

# Generous: only a deadlock takes so long, and it should fail the test rather than hang it.
PATIENCE_SECONDS = 60.0

START = datetime(2026, 11, 18, 12, tzinfo=UTC)  # A Wednesday in the middle of a month.

Answer = TypeVar("Answer")
Each = TypeVar("Each")

_arenas = count(1)


def connect(endpoint_url: str, table_name: str, *, retries: int = 3) -> DynamoTable:
    """Return the table through a client for as many threads as any test has."""
    connection = Connection(
        region="us-east-1",
        host=endpoint_url,
        max_pool_connections=96,
        read_timeout_seconds=30.0,
        max_retry_attempts=retries,
    )
    _ = connection.client
    return DynamoTable(connection, table_name)


class Clock:
    """Real time that passes from a fixed moment, so that no test meets a month's end."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._since = time.monotonic()

    def __call__(self) -> datetime:
        return self._start + timedelta(seconds=time.monotonic() - self._since)

    def skip(self, duration: timedelta) -> None:
        self._start += duration


@dataclass(frozen=True)
class Totals:
    """An organization as it stood at one instant."""

    organization: Organization
    pool: Pool
    budgets: tuple[Budget, ...]

    @property
    def used(self) -> int:
        """Settled and held: what may never be more than what is allowed."""
        return sum(budget.spent + budget.held for budget in self.budgets)

    def faults(self) -> list[str]:
        """Say what does not add up."""
        found = []
        granted = sum(budget.granted for budget in self.budgets)
        if granted + self.pool.unallotted != self.organization.cap:
            found.append(f"granted {granted} + {self.pool.unallotted} != the cap")
        for budget in self.budgets:
            open_holds = sum(
                hold.amount_nanos for hold in budget.holds.values() if hold.source == "extra_usage"
            )
            if budget.held != open_holds:
                found.append(f"{budget.user_id} has {budget.held} held, in holds {open_holds}")
            if budget.granted != budget.allotment + budget.held + budget.spent:
                found.append(f"{budget.user_id}'s budget does not add up: {budget}")
            if min(budget.allotment, budget.held, budget.spent) < 0:
                found.append(f"{budget.user_id} is below zero: {budget}")
        return found


@dataclass
class Arena:
    """An organization under fire, the members whom the clients act for, and the time."""

    table: Table
    organization: Organization
    user_ids: tuple[str, ...]
    opening_nanos: int
    clock: Clock = field(default_factory=Clock)

    @property
    def org_id(self) -> str:
        return self.organization.org_id

    def look(self) -> Totals:
        """Return settings, pool and all budgets as of one instant."""
        items = self.table.snapshot(self.whole())
        return self.read(dict(zip(self.whole(), items, strict=True)))

    def whole(self) -> list[Key]:
        return [
            keys.settings(self.org_id),
            keys.pool(self.org_id),
            *(keys.budget(self.org_id, user_id) for user_id in self.user_ids),
        ]

    def read(self, items: dict[Key, Item | None]) -> Totals:
        settings, pool = items[keys.settings(self.org_id)], items[keys.pool(self.org_id)]
        assert settings is not None
        assert pool is not None
        return Totals(
            SettingsRecord.of(settings).to_domain(),
            PoolRecord.of(pool).to_domain(),
            tuple(
                read_budget(item, self.org_id, user_id)
                for user_id in self.user_ids
                if (item := items[keys.budget(self.org_id, user_id)])
            ),
        )

    def authorize(
        self,
        user_id: str,
        tokens: int,
        *,
        hints: Hints | None = None,
        table: Table | None = None,
        idempotency_key: str | None = None,
        ttl_seconds: int = 600,
    ) -> dict[str, Any]:
        """Ask for a hold of exactly `tokens * TOKEN_NANOS`."""
        body = {
            "user_id": user_id,
            "model": MODEL,
            "input_tokens": 0,
            "max_tokens": tokens,
            "ttl_seconds": ttl_seconds,
        }
        return authorize(
            table or self.table,
            hints if hints is not None else Hints(),
            self.organization,
            parse_authorization_request(body),
            self.clock(),
            entropy=secrets.token_bytes(6),
            idempotency=Idempotency(idempotency_key, digest_of(body)) if idempotency_key else None,
        )

    def event(
        self, event_id: str, user_id: str, tokens: int, authorization_id: str | None = None
    ) -> dict[str, Any]:
        """Return a usage event that costs exactly `tokens * TOKEN_NANOS`."""
        event = {
            "id": event_id,
            "user_id": user_id,
            "model": MODEL,
            "occurred_at": self.clock().isoformat(),
            "usage": {"input_tokens": 0, "output_tokens": tokens},
        }
        return (
            event if authorization_id is None else {**event, "authorization_id": authorization_id}
        )

    def record(
        self, event: dict[str, Any], *, hints: Hints | None = None, table: Table | None = None
    ) -> dict[str, Any]:
        now = self.clock()
        return record(
            table or self.table,
            hints if hints is not None else Hints(),
            self.organization,
            parse_event(event, now),
            now,
        )

    def lines(self, user_id: str, period: str = "2026-11") -> list[LineRecord]:
        return list(list_lines(self.table, self.org_id, user_id, period))

    def prove(self, event_ids: Iterable[str]) -> Totals:
        """Hold ledger, counters and pool against each other to the nano; nothing may be held.

        `event_ids` are all events that were acknowledged as recorded: each must be in the ledger
        once, and nothing else.
        """
        totals = self.look()
        assert totals.faults() == []
        filed: list[str] = []
        for budget in totals.budgets:
            lines = self.lines(budget.user_id)
            filed += [line.event_id for line in lines]
            extra = [line for line in lines if line.source != "included"]
            included = [line for line in lines if line.source == "included"]
            assert sum(line.charged for line in extra) == budget.spent
            assert sum(line.unbilled for line in extra) == budget.unbilled
            assert sum(line.cost for line in included) == budget.included
            assert all(line.cost == line.charged + line.unbilled for line in extra)
            assert budget.held == 0
            assert not budget.holds
            assert not budget.past_periods
            assert find_past_budget(self.table, self.org_id, budget.user_id, "2026-10") is None
        assert sorted(filed) == sorted(event_ids)
        granted = sum(budget.granted for budget in totals.budgets)
        assert totals.pool.funds + granted == self.opening_nanos
        return totals


def open_arena(
    table: Table, *, members: int, document: dict[str, Any] | None = None, cap: str | None = None
) -> Arena:
    """Provision an organization; `cap` is in cents, and `document` has what else is special."""
    wanted = parse_provisioning(
        {
            "id": f"arena-{next(_arenas)}-{secrets.token_hex(4)}",
            "plan": "enterprise",
            "name": "Arena",
            "extra_usage": {"enabled": True, "members": "everyone"},
            "spend_limit": cap,
            "members": [
                {
                    "user_id": f"user_{number:03d}",
                    "name": f"Member {number}",
                    "email": f"{number}@arena.example",
                    "continue_with_extra_usage": True,
                }
                for number in range(members)
            ],
            **(document or {}),
        }
    )
    clock = Clock()
    provision(table, wanted, clock())
    arena = Arena(
        table,
        wanted.organization,
        tuple(member.user_id for member in wanted.members),
        0,
        clock,
    )
    arena.opening_nanos = arena.look().pool.funds
    return arena


class Witness:
    """A table that sees the whole organization in every picture that a decision looks at.

    It asks for all budgets in the same atomic read, keeps what it saw for each thread, and hands
    on only what was asked for. So a refusal can be judged as of the very instant it was decided.
    """

    def __init__(self, arena: Arena) -> None:
        self._table = arena.table
        self._arena = arena
        self._mine = threading.local()
        self.faults: list[str] = []
        self.pictures = 0

    @property
    def last(self) -> Totals:
        """What this thread's last decision looked at."""
        seen: Totals = self._mine.last
        return seen

    def snapshot(self, keys_: Sequence[Key]) -> list[Item | None]:
        whole = [*keys_, *(key for key in self._arena.whole() if key not in keys_)]
        items = self._table.snapshot(whole)
        self._mine.last = self._arena.read(dict(zip(whole, items, strict=True)))
        self.faults += self._mine.last.faults()
        self.pictures += 1
        return items[: len(keys_)]

    def get(self, key: Key) -> Item | None:
        return self._table.get(key)

    def get_many(self, keys_: Sequence[Key]) -> dict[Key, Item]:
        return self._table.get_many(keys_)

    def update(self, update: Update) -> Item:
        return self._table.update(update)

    def transact(self, changes: Sequence[Change]) -> None:
        self._table.transact(changes)

    def query(self, range_: Range, *, limit: int | None = None, start: Item | None = None) -> Page:
        return self._table.query(range_, limit=limit, start=start)

    def count(self, range_: Range) -> int:
        return self._table.count(range_)


def together(
    works: Sequence[Callable[[], Answer]], *, patience_seconds: float = PATIENCE_SECONDS
) -> list[Answer]:
    """Run all works at once, each in a thread of its own, and return their answers in order."""
    barrier = threading.Barrier(len(works))

    def started(work: Callable[[], Answer]) -> Answer:
        barrier.wait(patience_seconds)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        futures = [threads.submit(started, work) for work in works]
        return [future.result(patience_seconds) for future in futures]
