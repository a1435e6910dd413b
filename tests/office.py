"""One member with a seat, a table, and the use cases with most of their arguments filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from headroom.limits.usecases.settings import change_person
from headroom.organizations.domain.organization import LimitPeriod, Organization
from headroom.organizations.store.organizations import find_organization
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import find_budget
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.memory_table import MemoryTable

MODEL = "claude-sonnet-4-5"
THOUSAND_TOKENS = 15_000_000  # A thousand tokens of output at 15 dollars a million.
USER = "user_ada"


class Office:
    """An organization of one, which nobody else shares."""

    def __init__(
        self,
        now: datetime,
        *,
        zone: str = "UTC",
        allowance: Sequence[Mapping[str, str]] = (),
        spend_limit: str | None = None,
    ) -> None:
        self.table = MemoryTable()
        document: dict[str, Any] = {
            "id": "office",
            "plan": "enterprise",
            "name": "Office",
            "time_zone": zone,
            "extra_usage": {"enabled": True},
            "spend_limit": spend_limit,
            "seat_tiers": {"standard": {"allowance": list(allowance)}},
            "members": [
                {
                    "user_id": USER,
                    "name": "Ada",
                    "email": "ada@example.com",
                    "seat_tier": "standard",
                    "continue_with_extra_usage": True,
                }
            ],
        }
        self.org_id: str = provision(self.table, parse_provisioning(document), now)["id"]
        self._holds = self._events = 0

    @property
    def organization(self) -> Organization:
        found = find_organization(self.table, self.org_id)
        assert found is not None
        return found

    @property
    def budget(self) -> Budget:
        found = find_budget(self.table, self.org_id, USER)
        assert found is not None
        return found

    def limit(self, now: datetime, period: LimitPeriod, amount_nanos: int) -> None:
        change_person(
            self.table,
            self.org_id,
            USER,
            lambda old: replace(old, limits={period: amount_nanos}),
            now,
        )

    def hold(self, now: datetime, *, thousands: int = 1, ttl: timedelta | None = None) -> str:
        self._holds += 1
        body = {
            "user_id": USER,
            "model": MODEL,
            "input_tokens": 0,
            "max_tokens": thousands * 1000,
            "ttl_seconds": int((ttl or timedelta(hours=24)).total_seconds()),
        }
        answer = authorize(
            self.table,
            Hints(),
            self.organization,
            parse_authorization_request(body),
            now,
            entropy=self._holds.to_bytes(6),
        )
        return str(answer["id"])

    def spend(self, authorization_id: str, now: datetime, *, thousands: int = 1) -> dict[str, Any]:
        """Settle an authorization with that many thousand tokens of output."""
        self._events += 1
        event = {
            "id": f"event-{self._events}",
            "authorization_id": authorization_id,
            "user_id": USER,
            "model": MODEL,
            "occurred_at": now.isoformat(),
            "usage": {"input_tokens": 0, "output_tokens": thousands * 1000},
        }
        return record(self.table, Hints(), self.organization, parse_event(event, now), now)
