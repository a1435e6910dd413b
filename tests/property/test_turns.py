"""What passes from one period, day, week or window into the next, worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headroom.core.errors import Conflict, SpendRefused
from headroom.spending.domain.allotment import limit_used
from headroom.spending.usecases.authorizations import extend, release
from headroom.spending.usecases.expiry import sweep
from tests.office import THOUSAND_TOKENS, Office

# Monday the 30th: the month ends in this week.
MONDAY = datetime(2026, 11, 30, 12, tzinfo=UTC)
TUESDAY = datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_a_hold_of_last_month_gives_back_to_the_weekly_limit_what_it_leaves_over() -> None:
    office = Office(MONDAY)
    office.limit(MONDAY, "weekly", 3 * THOUSAND_TOKENS)
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
    office.limit(before, "daily", 2 * THOUSAND_TOKENS)
    held = office.hold(before, thousands=2)
    with pytest.raises(SpendRefused, match="own spend limit"):
        office.hold(after, thousands=1)
    assert office.budget.period == "2026-12"

    release(office.table, office.org_id, held)

    office.hold(after, thousands=2)


def test_an_overdue_hold_of_last_month_refuses_nobody_by_their_weekly_limit() -> None:
    """Its money is free from the moment it expires, although nobody has looked at it since."""
    office = Office(MONDAY)
    office.limit(MONDAY, "weekly", 2 * THOUSAND_TOKENS)
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
    office.limit(later, "weekly", 0)
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
    office.limit(MONDAY, "weekly", 10 * THOUSAND_TOKENS)
    office.hold(MONDAY, thousands=2)
    office.hold(TUESDAY, thousands=3)
    assert limit_used(office.budget, "weekly") == 5 * THOUSAND_TOKENS

    sweep(office.table, MONDAY + timedelta(hours=25), lambda: True)

    assert limit_used(office.budget, "weekly") == 3 * THOUSAND_TOKENS
