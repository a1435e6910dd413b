"""How one state of a budget follows from another. Amounts are made up and small."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headroom.core.domain.instants import to_millis
from headroom.organizations.domain.organization import (
    AllowanceWindow,
    Member,
    Organization,
    SeatTier,
    Tier,
)
from headroom.spending.domain.authorization import Hold, hold_key
from headroom.spending.domain.budget import Budget, OpenWindow, refresh, return_allowance

# A Monday.
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIVE_HOURS = AllowanceWindow("PT5H", 300, 50)
SEVEN_DAYS = AllowanceWindow("P7D", 10_080, 80)
MILLISECOND = timedelta(milliseconds=1)


def acme(*allowance: AllowanceWindow, zone: str = "UTC") -> Organization:
    return Organization(
        org_id="org_acme",
        plan="enterprise",
        name="Acme",
        currency="USD",
        time_zone=zone,
        language="en",
        enabled=True,
        admission="everyone",
        cap_nanos=None,
        tiers={
            "standard": Tier({}, allowance),
            "premium": Tier({"monthly": 900}, (AllowanceWindow("PT5H", 300, 70),)),
        },
        past_due=False,
        version=1,
    )


def ada(tier: SeatTier = "standard", *, continues: bool = True) -> Member:
    return Member(
        org_id="org_acme",
        user_id="user_ada",
        name="Ada",
        email="ada@example.com",
        role="member",
        seat_tier=tier,
        admitted=True,
        continues=continues,
    )


def first(*allowance: AllowanceWindow, now: datetime = NOW, zone: str = "UTC") -> Budget:
    return refresh(None, acme(*allowance, zone=zone), ada(), now, pool_period="2026-11")


def next_of(
    old: Budget,
    now: datetime,
    *allowance: AllowanceWindow,
    zone: str = "UTC",
    pool_period: str = "2026-11",
    tier: SeatTier = "standard",
) -> Budget:
    organization = acme(*allowance, zone=zone)
    return refresh(old, organization, ada(tier), now, pool_period=pool_period)


def included_hold(now: datetime, amount: int, epoch: int = 1) -> Hold:
    key = hold_key(now, b"sixsix")
    return Hold(key, amount, epoch, to_millis(now + timedelta(hours=1)), "included")


def lefts(budget: Budget) -> dict[str, int]:
    return {
        window.duration: budget.included_left + window.excess_nanos for window in budget.windows
    }


class TestTheFirstEpoch:
    def test_it_opens_every_window_in_full(self) -> None:
        budget = first(FIVE_HOURS, SEVEN_DAYS)
        assert lefts(budget) == {"PT5H": 50, "P7D": 80}
        assert budget.included_left == 50
        assert [window.opened_at for window in budget.windows] == [NOW, NOW]

    def test_it_has_the_period_day_and_week_of_its_moment_and_nothing_in_it(self) -> None:
        budget = first()
        assert (budget.period, budget.day, budget.week) == ("2026-11", "2026-11-23", "2026-11-23")
        assert budget.epoch == 1
        counters = (budget.allotment, budget.held, budget.spent, budget.granted, budget.included)
        assert counters == (0, 0, 0, 0, 0)

    def test_a_seat_without_an_allowance_has_nothing_left_and_no_window_that_ran_out(self) -> None:
        budget = first()
        assert budget.included_left == 0
        assert budget.exhausted_window is None
        assert budget.exhausted_minutes == 0

    def test_it_says_what_the_member_chose_and_is_limited_to(self) -> None:
        budget = refresh(None, acme(), ada("premium", continues=False), NOW, pool_period="2026-11")
        assert budget.seat_tier == "premium"
        assert not budget.consents
        assert [(limit.period, limit.amount_nanos) for limit in budget.limits] == [("monthly", 900)]


class TestHowLongAnEpochLasts:
    def test_without_windows_it_is_until_the_end_of_the_utc_day(self) -> None:
        midnight = datetime(2026, 11, 24, tzinfo=UTC)
        budget = first()
        assert budget.valid_until_millis == to_millis(midnight)
        assert budget.is_open(midnight - MILLISECOND)
        assert not budget.is_open(midnight)

    def test_a_window_that_resets_sooner_ends_it(self) -> None:
        assert first(FIVE_HOURS, SEVEN_DAYS).valid_until_millis == to_millis(
            NOW + timedelta(hours=5)
        )

    def test_the_organizations_own_midnight_ends_it_with_the_month(self) -> None:
        """In Kolkata December begins at 18:30 UTC, in the middle of the UTC day."""
        last = datetime(2026, 11, 30, 12, tzinfo=UTC)
        budget = first(now=last, zone="Asia/Kolkata")
        assert budget.valid_until_millis == to_millis(datetime(2026, 11, 30, 18, 30, tzinfo=UTC))

    def test_a_month_that_ends_after_the_clocks_change_ends_by_the_new_time(self) -> None:
        """New York is four hours behind UTC in October, and five in December."""
        summer = datetime(2026, 10, 31, 23, tzinfo=UTC)
        october = refresh(None, acme(zone="America/New_York"), ada(), summer, pool_period="2026-10")
        after_midnight = datetime(2026, 11, 1, 1, tzinfo=UTC)
        assert refresh(
            replace(october, valid_until_millis=0),
            acme(zone="America/New_York"),
            ada(),
            after_midnight,
            pool_period="2026-10",
        ).valid_until_millis == to_millis(datetime(2026, 11, 1, 4, tzinfo=UTC))
        winter = datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
        november = first(now=winter, zone="America/New_York")
        assert november.period == "2026-11"
        assert november.valid_until_millis == to_millis(datetime(2026, 12, 1, 5, tzinfo=UTC))


class TestTheNextEpoch:
    def test_it_counts_on_and_forgets_no_counter(self) -> None:
        old = replace(
            first(), held=3, spent=4, granted=7, day_granted=7, week_granted=9, included=2
        )
        new = next_of(old, NOW)
        assert new == replace(old, epoch=2)

    def test_an_allotment_of_the_epoch_that_ends_is_refused(self) -> None:
        with pytest.raises(ValueError, match="must be recalled"):
            next_of(replace(first(), allotment=1, granted=1), NOW)

    def test_a_new_day_counts_from_nothing_and_the_week_goes_on(self) -> None:
        old = replace(first(), day_granted=7, week_granted=9)
        just_before = datetime(2026, 11, 23, 23, 59, 59, 999_000, tzinfo=UTC)
        same = next_of(old, just_before)
        assert (same.day_granted, same.week_granted) == (7, 9)
        turned = next_of(old, just_before + MILLISECOND)
        assert (turned.day, turned.day_granted) == ("2026-11-24", 0)
        assert (turned.week, turned.week_granted) == ("2026-11-23", 9)

    def test_a_new_week_counts_from_nothing_on_monday(self) -> None:
        old = replace(first(), day_granted=7, week_granted=9)
        sunday = datetime(2026, 11, 29, 23, 59, 59, 999_000, tzinfo=UTC)
        assert next_of(old, sunday).week_granted == 9
        monday = next_of(old, sunday + MILLISECOND)
        assert (monday.week, monday.week_granted) == ("2026-11-30", 0)

    def test_a_new_period_begins_with_nothing_and_the_week_goes_on(self) -> None:
        hold = Hold(hold_key(NOW, b"sixsix"), 3, 1, to_millis(NOW), "extra_usage")
        old = replace(
            first(),
            held=3,
            spent=4,
            granted=7,
            included=2,
            unbilled=1,
            day="2026-11-30",
            week="2026-11-30",
            day_granted=6,
            week_granted=6,
            holds={hold.key: hold},
        )
        new = next_of(old, datetime(2026, 12, 1, tzinfo=UTC), pool_period="2026-12")
        assert new.period == "2026-12"
        assert (new.held, new.spent, new.granted, new.included, new.unbilled) == (0, 0, 0, 0, 0)
        assert (new.day_granted, new.week_granted) == (0, 6)
        assert new.holds == {}
        assert new.past_periods == ("2026-11",)

    def test_a_period_without_open_holds_is_not_looked_at_again(self) -> None:
        new = next_of(first(), datetime(2026, 12, 1, tzinfo=UTC), pool_period="2026-12")
        assert new.past_periods == ()

    def test_the_last_millisecond_belongs_to_the_old_period(self) -> None:
        assert next_of(first(), datetime(2026, 12, 1, tzinfo=UTC) - MILLISECOND).period == "2026-11"

    def test_a_clock_that_is_behind_works_in_what_the_others_have_reached(self) -> None:
        behind = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
        ahead = next_of(first(), datetime(2026, 12, 1, 0, 1, tzinfo=UTC), pool_period="2026-12")
        again = next_of(ahead, behind, pool_period="2026-12")
        assert (again.period, again.day, again.week) == ("2026-12", "2026-12-01", "2026-11-30")
        assert again.valid_until_millis == to_millis(datetime(2026, 12, 2, tzinfo=UTC))

    def test_the_pool_may_be_a_period_ahead_of_a_clock(self) -> None:
        behind = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
        assert next_of(first(), behind, pool_period="2026-12").period == "2026-12"


class TestWindows:
    def used(self, amount: int) -> Budget:
        budget = first(FIVE_HOURS, SEVEN_DAYS)
        return replace(budget, included_left=budget.included_left - amount)

    def test_what_is_used_falls_from_every_window(self) -> None:
        assert lefts(self.used(30)) == {"PT5H": 20, "P7D": 50}

    def test_a_window_runs_until_its_length_has_passed(self) -> None:
        reset = NOW + timedelta(hours=5)
        running = next_of(self.used(30), reset - MILLISECOND, FIVE_HOURS, SEVEN_DAYS)
        assert lefts(running) == {"PT5H": 20, "P7D": 50}
        reopened = next_of(self.used(30), reset, FIVE_HOURS, SEVEN_DAYS)
        assert lefts(reopened) == {"PT5H": 50, "P7D": 50}
        assert reopened.windows[0].opened_at == reset
        assert reopened.windows[1].opened_at == NOW

    def test_a_window_that_was_overdrawn_is_full_when_it_opens_again(self) -> None:
        reopened = next_of(self.used(65), NOW + timedelta(hours=5), FIVE_HOURS, SEVEN_DAYS)
        assert lefts(reopened) == {"PT5H": 50, "P7D": 15}
        assert reopened.included_left == 15

    def test_a_larger_amount_is_there_at_once_and_a_smaller_one_too(self) -> None:
        larger = replace(FIVE_HOURS, amount_nanos=60)
        assert lefts(next_of(self.used(30), NOW, larger, SEVEN_DAYS))["PT5H"] == 30
        smaller = replace(FIVE_HOURS, amount_nanos=25)
        assert lefts(next_of(self.used(30), NOW, smaller, SEVEN_DAYS))["PT5H"] == -5

    def test_another_seat_tier_carries_the_window_of_the_same_length_over(self) -> None:
        moved = next_of(self.used(30), NOW, FIVE_HOURS, SEVEN_DAYS, tier="premium")
        assert lefts(moved) == {"PT5H": 40}

    def test_the_window_that_ran_out_is_the_least_and_of_several_the_last_to_reset(self) -> None:
        assert self.used(50).exhausted_minutes == 300
        level = first(FIVE_HOURS, replace(SEVEN_DAYS, amount_nanos=50))
        assert level.exhausted_minutes == 10_080


class TestGivingBack:
    def test_every_window_that_the_hold_was_taken_from_gets_it_back(self) -> None:
        budget = replace(first(FIVE_HOURS, SEVEN_DAYS), included_left=20)
        back = return_allowance(budget, included_hold(NOW, 30), 30)
        assert lefts(back) == {"PT5H": 50, "P7D": 80}

    def test_a_window_that_opened_later_gets_nothing(self) -> None:
        later = NOW + timedelta(hours=5)
        old = replace(first(FIVE_HOURS, SEVEN_DAYS), included_left=20)
        reopened = next_of(old, later, FIVE_HOURS, SEVEN_DAYS)
        just_before = included_hold(later - MILLISECOND, 30)
        assert lefts(return_allowance(reopened, just_before, 30)) == {"PT5H": 50, "P7D": 80}
        at_its_opening = included_hold(later, 30)
        assert lefts(return_allowance(reopened, at_its_opening, 10)) == {"PT5H": 60, "P7D": 60}

    def test_what_is_given_back_to_the_longer_window_alone_may_make_it_no_longer_the_least(
        self,
    ) -> None:
        windows = (
            OpenWindow("PT5H", 300, 50, 30, to_millis(NOW + timedelta(hours=6))),
            OpenWindow("P7D", 10_080, 80, 0, to_millis(NOW + timedelta(days=7))),
        )
        budget = replace(first(), windows=windows, included_left=5)
        back = return_allowance(budget, included_hold(NOW, 60), 60)
        assert lefts(back) == {"PT5H": 35, "P7D": 65}
        assert back.included_left == 35

    def test_more_than_was_held_is_taken(self) -> None:
        budget = replace(first(FIVE_HOURS), included_left=20)
        assert lefts(return_allowance(budget, included_hold(NOW, 30), -25)) == {"PT5H": -5}


def test_a_hold_is_overdue_from_the_very_moment_it_was_to_end() -> None:
    hold = included_hold(NOW, 30)
    budget = replace(first(), holds={hold.key: hold})
    end = NOW + timedelta(hours=1)
    assert budget.overdue(end - MILLISECOND) == ()
    assert budget.overdue(end) == (hold,)
