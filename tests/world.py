"""An organization under random use, and everything that is promised of it.

`check` compares the items of the table, after each single store operation, with sums worked out
from scratch; it knows nothing of how the use cases come to their writes.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headroom.domain.allotment import Pool
from headroom.domain.budget import Budget
from headroom.domain.instants import to_millis
from headroom.domain.organization import SEAT_TIERS, Limits, Organization
from headroom.errors import Conflict, SpendRefused
from headroom.store.models import PoolRecord, SettingsRecord, read_budget
from headroom.store.table import Item
from headroom.usecases.acquiring import Hints
from headroom.usecases.authorizing import Idempotency, authorize, bound_of, extend, release
from headroom.usecases.governing import change_person, set_cap, set_enabled
from headroom.usecases.provisioning import provision
from headroom.usecases.recording import record
from headroom.usecases.sweeping import sweep
from headroom.wire.authorizations import parse_authorization_request
from headroom.wire.organizations import parse_provisioning
from headroom.wire.usage_events import parse_event
from tests.interleaving import Interleaving
from tests.memory_table import MemoryTable

CENT = 10_000_000
MODEL = "claude-sonnet-4-5"


@dataclass
class Watch:
    """A request under way: whether it would have fitted, at each instant so far."""

    least: int
    now: datetime
    fitted_cap: bool = True
    fitted_wallet: bool = True


@dataclass
class Books:
    """The table's items that matter, read."""

    organization: Organization
    pool: Pool
    budgets: list[Budget]
    past: list[Budget]
    lines: list[Item]
    registered: set[str]

    @property
    def all_budgets(self) -> list[Budget]:
        return [*self.budgets, *self.past]


class World:
    """A small organization, tight enough that limits are met, and what may happen to it."""

    def __init__(self, seed: int, table: MemoryTable | None = None) -> None:
        self.chance = random.Random(seed)
        self.interleaving = Interleaving(random.Random(seed + 1))
        self.table = table or MemoryTable()
        self.now = datetime(
            2026, 11, self.chance.choice([23, 29, 30]), self.chance.choice([3, 23]), tzinfo=UTC
        )
        self.users = [f"user_{name}" for name in "abcd"[: self.chance.randrange(1, 5)]]
        answer = provision(self.table, parse_provisioning(self._document(seed)), self.now)
        self.org_id: str = answer["id"]
        books = self.books()
        self.organization = books.organization
        self.opening = books.pool.funds
        self.hints = [Hints() for _ in range(3)]
        self.authorizations: list[tuple[str, str]] = []
        self.watches: dict[int, Watch] = {}
        self.outcomes: Counter[str] = Counter()
        self.events = 0
        self.table.step = self.interleaving.step

    # What may happen.

    def authorize(self) -> None:
        now, max_tokens = self.now, self.chance.choice([100, 1000, 3000])
        body: dict[str, Any] = {
            "user_id": self.chance.choice(self.users),
            "model": MODEL,
            "input_tokens": self.chance.choice([0, 1000, 5000]),
            "max_tokens": max_tokens,
            "ttl_seconds": self.chance.choice([60, 600, 7200, 86400]),
        }
        if self.chance.random() < 0.3:
            body["min_tokens"] = self.chance.randrange(1, max_tokens)
        if self.chance.random() < 0.15:
            body["use_extra_usage"] = self.chance.random() < 0.7
        idempotency = None
        if self.chance.random() < 0.2:
            key = f"key-{self.chance.randrange(5)}"
            idempotency = Idempotency(key, json.dumps(body, sort_keys=True))
        asked = parse_authorization_request(body)
        bound = bound_of(self.organization, asked.request, now)
        watch = Watch(bound.amount(body.get("min_tokens", max_tokens)), now)
        watch.fitted_cap, watch.fitted_wallet = self._fits(self.books(), watch)
        mover = self.interleaving.current()
        assert mover is not None
        self.watches[mover] = watch
        try:
            answer = authorize(
                self.table,
                self.chance.choice(self.hints),
                self.organization,
                asked,
                now,
                entropy=self.chance.randbytes(6),
                idempotency=idempotency,
            )
        except SpendRefused as refusal:
            reason = refusal.facts["reason"]
            self.outcomes[reason] += 1
            self._observe(self.books())
            if reason == "organization_limit_reached":
                assert not watch.fitted_cap, "refused by the cap, although it fitted all the time"
            if reason == "wallet_empty":
                assert not watch.fitted_wallet, "refused by the wallet, although it fitted"
        except Conflict:
            self.outcomes["conflict"] += 1
        else:
            self.outcomes[answer["source"]] += 1
            self.authorizations.append((answer["user_id"], answer["id"]))
        finally:
            del self.watches[mover]

    def record(self) -> None:
        user_id, authorization_id = self.chance.choice(self.users), None
        if self.authorizations and self.chance.random() < 0.85:
            user_id, authorization_id = self.chance.choice(self.authorizations[-6:])
        self.events += 1
        event: dict[str, Any] = {
            # Now and then an id that was used before, for the same event or for another.
            "id": f"event-{max(0, self.events - (self.chance.random() < 0.2))}",
            "user_id": user_id,
            "model": MODEL,
            "occurred_at": self.now.isoformat(),
            "usage": {
                "input_tokens": self.chance.choice([0, 1000, 5000, 20000]),
                "output_tokens": self.chance.choice([0, 10, 100, 3000]),
            },
        }
        if authorization_id:
            event["authorization_id"] = authorization_id
        parsed = parse_event(event, self.now)
        for _ in range(self.chance.choice([1, 1, 2])):
            hints = self.chance.choice(self.hints)
            result = record(self.table, hints, self.organization, parsed, self.now)
            self.outcomes[f"{result['status']} {result.get('source')}"] += 1

    def release(self) -> None:
        if self.authorizations:
            _, authorization_id = self.chance.choice(self.authorizations[-6:])
            release(self.table, self.org_id, authorization_id)
            self.outcomes["released"] += 1

    def extend(self) -> None:
        if not self.authorizations:
            return
        _, authorization_id = self.chance.choice(self.authorizations[-6:])
        longer = timedelta(seconds=self.chance.choice([60, 7200]))
        try:
            extend(
                self.table,
                self.organization,
                authorization_id,
                self.now,
                ttl=longer if self.chance.random() < 0.5 else None,
                max_tokens=self.chance.choice([None, 100, 2000, 5000]),
            )
            self.outcomes["extended"] += 1
        except (Conflict, SpendRefused) as refusal:
            self.outcomes[f"not extended: {refusal.type}"] += 1

    def sweep(self) -> None:
        sweep(self.table, self.now, lambda: True)

    def set_cap(self) -> None:
        cap = self.chance.choice([None, 0, self.chance.randrange(400) * CENT])
        set_cap(self.table, self.org_id, cap, self.now)
        books = self.books()
        if books.organization.cap_nanos == cap and books.pool.available < 0:
            idle = [each.user_id for each in books.budgets if each.allotment]
            assert not idle, "a cut was answered while allotments were still out"

    def set_enabled(self) -> None:
        enabled = self.chance.random() < 0.6
        set_enabled(self.table, self.org_id, enabled, self.now)
        books = self.books()
        if not enabled and not books.organization.enabled:
            idle = [each.user_id for each in books.budgets if each.allotment]
            assert not idle, "disabling was answered while allotments were still out"

    def change_person(self) -> None:
        tier = self.chance.choice(SEAT_TIERS)
        continues = self.chance.random() < 0.8
        limits: Limits = self.chance.choice(
            [
                {},
                {"monthly": self.chance.randrange(50) * CENT},
                {"daily": self.chance.randrange(50) * CENT},
                {"weekly": self.chance.randrange(50) * CENT},
            ]
        )
        change_person(
            self.table,
            self.org_id,
            self.chance.choice(self.users),
            lambda old: replace(old, seat_tier=tier, continues=continues, limits=limits),
            self.now,
        )

    def pass_time(self) -> None:
        self.now += timedelta(seconds=self.chance.choice([30, 120, 3600, 21_600, 86_400]))

    # What is promised.

    def check(self) -> None:
        """Check every promise that can be read off the table at this instant."""
        books = self.books()
        if self.interleaving.failures:
            raise AssertionError(self.interleaving.failures[0])
        self._check_budgets(books)
        self._check_conservation(books)
        self._check_ledger(books)
        self._observe(books)

    def check_rest(self) -> None:
        """Check that nothing stays held, idle or registered once all holds have expired."""
        self.table.step = lambda name: None
        for _ in range(6):
            self.now += timedelta(days=1, seconds=1)
            sweep(self.table, self.now, lambda: True)
        self.check()
        books = self.books()
        assert not [each for each in books.all_budgets if each.holds or each.allotment]
        assert not books.registered

    def _check_budgets(self, books: Books) -> None:
        for budget in books.all_budgets:
            held = sum(
                hold.amount_nanos for hold in budget.holds.values() if hold.source == "extra_usage"
            )
            assert budget.held == held
            assert budget.granted == budget.allotment + budget.held + budget.spent
            assert min(budget.allotment, budget.held, budget.spent, budget.unbilled) >= 0
        for budget in books.budgets:
            assert budget.week_granted >= budget.day_granted >= budget.allotment
            if budget.allotment or budget.holds:
                assert budget.user_id in books.registered, "a recall would overlook this member"

    def _check_conservation(self, books: Books) -> None:
        pool, cap = books.pool, books.organization.cap
        granted = sum(each.granted for each in books.all_budgets if each.period == pool.period)
        assert granted + pool.unallotted == cap
        outside = sum(each.allotment + each.held + each.spent for each in books.all_budgets)
        assert pool.funds + outside == self.opening
        assert pool.funds >= 0, "more was handed out than the wallet had"
        if pool.drained_at == pool.grants:
            idle = [each for each in books.budgets if each.allotment]
            assert not idle, "the pool says that nobody holds an allotment"

    def _check_ledger(self, books: Books) -> None:
        totals: Counter[tuple[str, str, str]] = Counter()
        for line in books.lines:
            place = line["user_id"]["S"], line["period"]["S"]
            totals[*place, "spent"] += int(line["charged"]["N"])
            totals[*place, "unbilled"] += int(line["unbilled"]["N"])
            if line["source"]["S"] == "included":
                totals[*place, "included"] += int(line["cost"]["N"])
        for budget in books.all_budgets:
            for counter in ("spent", "included", "unbilled"):
                key = (budget.user_id, budget.period, counter)
                assert getattr(budget, counter) == totals.pop(key, 0)
        assert not +totals, "the ledger has what no counter knows"

    def _observe(self, books: Books) -> None:
        for watch in self.watches.values():
            cap, wallet = self._fits(books, watch)
            watch.fitted_cap &= cap
            watch.fitted_wallet &= wallet

    def _fits(self, books: Books, watch: Watch) -> tuple[bool, bool]:
        """Would the smallest acceptable amount fit now, if nothing idle or overdue counted?"""
        moment = to_millis(watch.now)
        used, free = 0, books.pool.funds
        for budget in books.all_budgets:
            extra = [each for each in budget.holds.values() if each.source == "extra_usage"]
            held = sum(each.amount_nanos for each in extra if each.until_millis > moment)
            free += budget.allotment + budget.held - held
            if budget.period == books.pool.period:
                used += budget.spent + held
        return used + watch.least <= books.organization.cap, watch.least <= free

    def books(self) -> Books:
        """Read the table, without a step."""
        organization: Organization | None = None
        pool: Pool | None = None
        budgets: list[Budget] = []
        past: list[Budget] = []
        lines: list[Item] = []
        registered: set[str] = set()
        for key, item in list(self.table.items.items()):
            kind = key.sk.partition("#")[0]
            if key.sk == "SETTINGS":
                organization = SettingsRecord.of(item).to_domain()
            elif key.sk == "POOL":
                pool = PoolRecord.of(item).to_domain()
            elif kind == "BUDGET":
                org_id, _, user_id = key.pk.removeprefix("ORG#").partition("#MEMBER#")
                budget = read_budget(item, org_id, user_id)
                (budgets if key.sk == "BUDGET" else past).append(budget)
            elif key.sk == "LINE":
                lines.append(item)
            elif key.pk.endswith("#REGISTRY"):
                registered.add(key.sk.removeprefix("MEMBER#"))
        assert organization is not None
        assert pool is not None
        return Books(organization, pool, budgets, past, lines, registered)

    def _document(self, seed: int) -> dict[str, Any]:
        chance = self.chance
        plan = chance.choice(["team", "enterprise"])
        windows = [
            {"window": "PT5H", "amount": str(chance.randrange(30))},
            {"window": "P7D", "amount": str(chance.randrange(60))},
        ]
        tiers: dict[str, Any] = {
            "standard": {"allowance": chance.choice([[], windows])},
            "premium": {},
        }
        if plan == "enterprise":
            tiers["premium"]["spend_limit"] = chance.choice([None, str(chance.randrange(5, 100))])
            tiers["premium"]["daily_spend_limit"] = chance.choice([None, "25"])
        members = [
            {
                "user_id": user_id,
                "name": user_id,
                "email": f"{user_id}@example.com",
                "seat_tier": chance.choice(["standard", "premium"]),
                "continue_with_extra_usage": chance.random() < 0.9,
            }
            for user_id in self.users
        ]
        document: dict[str, Any] = {
            "id": f"world-{seed}",
            "plan": plan,
            "name": "World",
            "extra_usage": {"enabled": True},
            "spend_limit": chance.choice([None, str(chance.randrange(1, 400))]),
            "seat_tiers": tiers,
            "members": members,
        }
        if plan == "team":
            document["wallet"] = {"balance": str(chance.randrange(300))}
        return document
