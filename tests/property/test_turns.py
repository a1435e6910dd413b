"""What passes from one period, day, week or window into the next, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.domain.allotment import limit_used
from headroom.domain.budget import Budget
from headroom.domain.organization import Organization
from headroom.errors import Conflict, SpendRefused
from headroom.store.budgets import find_budget
from headroom.store.organizations import find_organization
from headroom.usecases.acquiring import Hints
from headroom.usecases.authorizing import authorize, extend, release
from headroom.usecases.governing import change_person
from headroom.usecases.provisioning import provision
from headroom.usecases.sweeping import sweep
from headroom.wire.authorizations import parse_authorization_request
from headroom.wire.organizations import parse_provisioning
from tests.memory_table import MemoryTable

MODEL = "claude-sonnet-4-5"
THOUSAND_TOKENS = 15_000_000  # A thousand tokens of output at 15 dollars a million.
USER = "user_ada"

# Monday the 30th: the month ends in this week.
MONDAY = datetime(2026, 11, 30, 12, tzinfo=UTC)
TUESDAY = datetime(2026, 12, 1, 9, tzinfo=UTC)


class Office:
    """One member who has a seat tier of their own, and a table."""

    def __init__(self, now: datetime, *, zone: str = "UTC", allowance: object = ()) -> None:
        self.table = MemoryTable()
        document: dict[str, Any] = {
            "id": "office",
            "plan": "enterprise",
            "name": "Office",
            "time_zone": zone,
            "extra_usage": {"enabled": True},
            "seat_tiers": {"standard": {"allowance": list(allowance)}},  # type: ignore[call-overload]
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
        self._holds = 0

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

    def limit(self, now: datetime, **limits: int) -> None:
        change_person(
            self.table,
            self.org_id,
            USER,
            lambda old: replace(old, limits=limits),  # type: ignore[arg-type]
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


def test_a_hold_of_last_month_gives_back_to_the_weekly_limit_what_it_leaves_over() -> None:
    office = Office(MONDAY)
    office.limit(MONDAY, weekly=3 * THOUSAND_TOKENS)
    held = office.hold(MONDAY, thousands=2)
    office.hold(TUESDAY, thousands=1)
    with pytest.raises(SpendRefused, match="own spend limit"):
        office.hold(TUESDAY, thousands=1)

    release(office.table, office.org_id, held)

    office.hold(TUESDAY, thousands=2)
    assert limit_used(office.budget, "weekly") == 3 * THOUSAND_TOKENS


def test_a_hold_of_last_month_gives_back_to_the_daily_limit_if_the_utc_day_goes_on() -> None:
    """In Berlin the month is an hour ahead: at 23:30 UTC it is December, and still Monday."""
    before, after = MONDAY.replace(hour=22, minute=30), MONDAY.replace(hour=23, minute=30)
    office = Office(before, zone="Europe/Berlin")
    office.limit(before, daily=2 * THOUSAND_TOKENS)
    held = office.hold(before, thousands=2)
    with pytest.raises(SpendRefused, match="own spend limit"):
        office.hold(after, thousands=1)
    assert office.budget.period == "2026-12"

    release(office.table, office.org_id, held)

    office.hold(after, thousands=2)


def test_an_overdue_hold_of_last_month_refuses_nobody_by_their_weekly_limit() -> None:
    """Its money is free from the moment it expires, although nobody has looked at it since."""
    office = Office(MONDAY)
    office.limit(MONDAY, weekly=2 * THOUSAND_TOKENS)
    office.hold(MONDAY, thousands=2, ttl=timedelta(hours=20))
    with pytest.raises(SpendRefused, match="own spend limit"):
        office.hold(MONDAY + timedelta(hours=19), thousands=1)

    office.hold(MONDAY + timedelta(hours=20), thousands=2)


def test_a_clock_that_is_behind_takes_from_the_window_that_another_has_opened() -> None:
    """What it leaves over returns to that window, although the clock says it opened later."""
    window = {"window": "PT5H", "amount": "10"}
    office = Office(MONDAY, allowance=[window])
    office.hold(MONDAY, ttl=timedelta(minutes=1))
    later = MONDAY + timedelta(hours=5, minutes=1)
    office.hold(later, thousands=1)
    held = office.hold(later - timedelta(seconds=3), thousands=2)
    assert office.budget.included_left == 100_000_000 - 3 * THOUSAND_TOKENS

    # Something else ends the epoch, so that the windows are told by their times.
    office.limit(later, weekly=0)
    office.hold(later, thousands=1)
    release(office.table, office.org_id, held)

    assert office.budget.included_left == 100_000_000 - 2 * THOUSAND_TOKENS


def test_an_included_hold_is_not_enlarged_out_of_a_younger_window() -> None:
    office = Office(MONDAY, allowance=[{"window": "PT5H", "amount": "10"}])
    held = office.hold(MONDAY, ttl=timedelta(hours=20))
    later = MONDAY + timedelta(hours=6)
    office.hold(later)
    with pytest.raises(Conflict, match="authorize anew"):
        extend(office.table, office.organization, held, later, ttl=None, max_tokens=3000)

    release(office.table, office.org_id, held)
    assert office.budget.included_left == 100_000_000 - THOUSAND_TOKENS


def test_two_holds_of_last_month_both_give_back_to_the_longer_window() -> None:
    """The shorter window was reset since, so that only the longer one's excess moves."""
    office = Office(
        MONDAY,
        allowance=[{"window": "PT5H", "amount": "5"}, {"window": "P7D", "amount": "50"}],
    )
    first, second = office.hold(MONDAY), office.hold(MONDAY)
    office.hold(TUESDAY)
    long = office.budget.windows[1]
    assert long.amount_nanos - long.excess_nanos - office.budget.included_left == 45_000_000

    release(office.table, office.org_id, first)
    release(office.table, office.org_id, second)

    long = office.budget.windows[1]
    assert long.amount_nanos - long.excess_nanos - office.budget.included_left == 15_000_000


def test_the_sweep_frees_what_expired_in_a_period_that_is_over() -> None:
    office = Office(MONDAY)
    office.limit(MONDAY, weekly=10 * THOUSAND_TOKENS)
    office.hold(MONDAY, thousands=2)
    office.hold(TUESDAY, thousands=3)
    assert limit_used(office.budget, "weekly") == 5 * THOUSAND_TOKENS

    sweep(office.table, MONDAY + timedelta(hours=25), lambda: True)

    assert limit_used(office.budget, "weekly") == 3 * THOUSAND_TOKENS
