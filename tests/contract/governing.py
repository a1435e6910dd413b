"""An organization on a table in memory, as owners govern it and members spend in it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from headroom.core.domain.actor import Actor
from headroom.core.errors import SpendRefused
from headroom.core.store.table import Item
from headroom.limits.store.limits import LimitPlace, LimitRow, ScopeType
from headroom.limits.usecases.spend_limits import set_limit
from headroom.limits.usecases.thresholds import Announced
from headroom.organizations.domain.organization import LimitPeriod, Organization
from headroom.organizations.store.audit import entry_to_wire, list_entries
from headroom.organizations.store.organizations import find_organization
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import read_budget
from headroom.spending.store.budgets import find_budget
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.memory_table import MemoryTable

# A Monday, early in a month, so that day, week and month have room.
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
OWNER = Actor("user", "user_olga")
CENT = 10_000_000
ANN, BEN, PAM, OLGA = "user_ann", "user_ben", "user_pam", "user_olga"


class House:
    """One organization. `ask` is an authorization of a few cents: 1,000 tokens each way."""

    def __init__(self, plan: str = "enterprise", **document: Any) -> None:
        self.table = MemoryTable()
        self.hints = Hints()
        self.announced = Announced()
        members = [
            {"user_id": ANN, "role": "member", "seat_tier": "standard"},
            {"user_id": BEN, "role": "member", "seat_tier": "standard"},
            {"user_id": PAM, "role": "admin", "seat_tier": "premium"},
            {"user_id": OLGA, "role": "primary_owner", "seat_tier": "premium"},
        ]
        shown: dict[str, Any] = {
            "id": "house",
            "plan": plan,
            "name": "House",
            "extra_usage": {"enabled": True, "members": "everyone"},
            "spend_limit": "100000",
            "members": [
                {
                    "name": member["user_id"],
                    "email": f"{member['user_id']}@house.example",
                    "continue_with_extra_usage": True,
                    **member,
                }
                for member in members
            ],
            **({"wallet": {"balance": "50000"}} if plan == "team" else {}),
            **document,
        }
        self.answer = provision(self.table, parse_provisioning(shown), NOW)
        self.org_id = str(self.answer["id"])

    @property
    def organization(self) -> Organization:
        found = find_organization(self.table, self.org_id)
        assert found is not None
        return found

    def place(self, kind: ScopeType, name: str = "", period: LimitPeriod = "monthly") -> LimitPlace:
        return LimitPlace(self.org_id, kind, name, period)

    def limit(
        self,
        kind: ScopeType,
        name: str,
        cents: int | None,
        period: LimitPeriod = "monthly",
        now: datetime = NOW,
    ) -> LimitRow:
        nanos = None if cents is None else cents * CENT
        return set_limit(
            self.table, self.organization, self.place(kind, name, period), nanos, OWNER, now
        )

    def ask(self, user_id: str = ANN, now: datetime = NOW, **more: Any) -> dict[str, Any]:
        body = {
            "user_id": user_id,
            "model": "claude-sonnet-4-5",
            "input_tokens": 1000,
            "max_tokens": 1000,
            **more,
        }
        return authorize(
            self.table,
            self.hints,
            self.organization,
            parse_authorization_request(body),
            now,
            entropy=secrets.token_bytes(6),
        )

    def refusal(self, user_id: str = ANN, now: datetime = NOW) -> str | None:
        """Why nothing starts, None if something does."""
        try:
            self.ask(user_id, now)
        except SpendRefused as refused:
            return str(refused.facts["reason"])
        return None

    def spend(self, user_id: str = ANN, now: datetime = NOW, output_tokens: int = 1000) -> str:
        """Authorize a request and settle it; return what it cost."""
        held = self.ask(user_id, now)
        return self.settle(held, user_id, now, output_tokens)

    def settle(
        self,
        held: dict[str, Any],
        user_id: str = ANN,
        now: datetime = NOW,
        output_tokens: int = 1000,
    ) -> str:
        event = {
            "id": f"msg_{secrets.token_hex(8)}",
            "authorization_id": held["id"],
            "user_id": user_id,
            "model": "claude-sonnet-4-5",
            "occurred_at": now.isoformat(),
            "usage": {"input_tokens": 1000, "output_tokens": output_tokens},
        }
        told = record(self.table, self.hints, self.organization, parse_event(event, now), now)
        assert (told["status"], told["source"]) == ("recorded", "extra_usage")
        return str(told["amount"])

    def use(
        self,
        user_id: str,
        now: datetime,
        *,
        product: str | None = None,
        web: int = 0,
        occurred_at: datetime | None = None,
        output_tokens: int = 1000,
    ) -> dict[str, Any]:
        """Report usage that nothing was held for; return its result."""
        event = {
            "id": f"msg_{secrets.token_hex(8)}",
            "user_id": user_id,
            "model": "claude-sonnet-4-5",
            "occurred_at": (occurred_at or now).isoformat(),
            "usage": {
                "input_tokens": 1001,
                "output_tokens": output_tokens,
                "server_tool_use": {"web_search_requests": web},
            },
            **({"product": product} if product else {}),
        }
        told = record(self.table, self.hints, self.organization, parse_event(event, now), now)
        assert told["status"] == "recorded", told
        return told

    def settle_late(
        self, held: dict[str, Any], user_id: str, now: datetime, occurred_at: datetime
    ) -> dict[str, Any]:
        """Settle an authorization whose hold may be gone."""
        event = {
            "id": f"msg_{secrets.token_hex(8)}",
            "authorization_id": held["id"],
            "user_id": user_id,
            "model": "claude-sonnet-4-5",
            "occurred_at": occurred_at.isoformat(),
            "usage": {"input_tokens": 1000, "output_tokens": 700},
        }
        return record(self.table, self.hints, self.organization, parse_event(event, now), now)

    def budget(self, user_id: str = ANN) -> Budget:
        found = find_budget(self.table, self.org_id, user_id)
        assert found is not None
        return found

    def audit(self) -> list[dict[str, Any]]:
        """All audit entries, the latest first."""
        page = list_entries(self.table, self.org_id, limit=1000)
        return [entry_to_wire(item) for item in page.items]

    def told(self, detail_type: str) -> list[Item]:
        """Everything that the event bus is to hear under a name."""
        return [
            item
            for item in self.table.items.values()
            if item.get("detail_type") == {"S": detail_type}
        ]

    def all_told(self) -> int:
        return sum("detail_type" in item for item in self.table.items.values())

    def follow(self, *budgets: Budget, now: datetime = NOW) -> None:
        """As if the stream brought these budgets, or all as they are now."""
        found = budgets or tuple(
            read_budget(item, self.org_id, key.pk.rpartition("#")[2])
            for key, item in self.table.items.items()
            if key.sk == "BUDGET"
        )
        follow_budgets(self.table, found, self.announced, now)
