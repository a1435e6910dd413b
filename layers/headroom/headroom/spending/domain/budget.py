"""A member's budget: the money that is theirs to spend, and the usage their seat includes.

The table's item is the truth; these are the pure rules of how one state follows from another.
`granted = allotment + held + spent` in the budget's period, at every instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.domain.periods import (
    day_bounds,
    day_of,
    period_bounds,
    period_of,
    time_zone,
    week_of,
)
from headroom.organizations.domain.organization import (
    AllowanceWindow,
    EffectiveLimit,
    Member,
    Organization,
    SeatTier,
    effective_limits,
)
from headroom.spending.domain.authorization import Hold

# The state of a budget that nobody has used yet, and of one that a recall has closed.
CLOSED: Final = 0


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """One included window as it stands.

    All windows fall by the same amounts, so only the least of them moves, as the budget's
    `included_left`; `excess_nanos` is how much more this one has left than the least.
    """

    duration: str
    minutes: int
    amount_nanos: int
    excess_nanos: int
    resets_at_millis: int

    @property
    def opened_at(self) -> datetime:
        """The moment of the request that opened this window."""
        return from_millis(self.resets_at_millis) - timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Budget:
    """One member's budget. Amounts are nanos; `day` and `week` are the first day of each, UTC."""

    org_id: str
    user_id: str
    period: str
    seat_tier: SeatTier
    epoch: int = 0
    valid_until_millis: int = CLOSED
    allotment: int = 0
    held: int = 0
    spent: int = 0
    granted: int = 0
    included: int = 0
    unbilled: int = 0
    day: str = ""
    day_granted: int = 0
    week: str = ""
    week_granted: int = 0
    included_left: int = 0
    windows: tuple[OpenWindow, ...] = ()
    consents: bool = False
    holds: Mapping[str, Hold] = field(default_factory=dict)
    slice_nanos: int = 0
    granted_at_millis: int = 0
    registered: bool = False
    past_periods: tuple[str, ...] = ()
    limits: tuple[EffectiveLimit, ...] = ()
    # First answers to recent authorizations by idempotency key (see `domain/answers.py`), None
    # where an earlier release wrote the budget; until when one of its receipts may be in the table.
    answers: Mapping[str, str] | None = None
    receipts_until_millis: int = 0

    def is_open(self, now: datetime) -> bool:
        """Tell whether the state still holds: no window, day, week or period ended since."""
        return self.valid_until_millis > to_millis(now)

    @property
    def exhausted_window(self) -> OpenWindow | None:
        """The included window that runs out first, or None if the seat includes nothing."""
        least = [window for window in self.windows if not window.excess_nanos]
        return max(least, key=lambda window: window.resets_at_millis, default=None)

    @property
    def exhausted_minutes(self) -> int:
        """The length of the window that ran out, 0 if the seat includes nothing."""
        window = self.exhausted_window
        return window.minutes if window else 0

    def overdue(self, now: datetime) -> tuple[Hold, ...]:
        """Return the holds that nobody settled in time."""
        return tuple(hold for hold in self.holds.values() if hold.until_millis <= to_millis(now))


def idle_between(before: Budget | None, after: Budget) -> int | None:
    """Return what may have been in an allotment, at most, at an instant between two looks at it.

    It was there before, or came since: from the pool, or from holds that were closed meanwhile.
    What a hold takes only makes it less. None if another epoch began, so that nothing is known.
    """
    if before is None:
        return after.granted
    if before.epoch != after.epoch:
        return None
    home = away = 0
    for key, hold in before.holds.items():
        if hold.source == "extra_usage" and key not in after.holds:
            # One of an earlier epoch gives back to the pool, and counts as granted no more.
            home += hold.amount_nanos if hold.epoch == before.epoch else 0
            away += hold.amount_nanos if hold.epoch != before.epoch else 0
    return before.allotment + home + max(after.granted - before.granted + away, 0)


def refresh(
    budget: Budget | None,
    organization: Organization,
    member: Member,
    now: datetime,
    *,
    pool_period: str,
) -> Budget:
    """Return the budget as it starts its next epoch: counters rolled over, windows opened.

    Expects a budget without an allotment, since one that is left belongs to the limits of the
    epoch that ends. Holds stay with the period under which they were taken: if the period ends
    they are not in the answer, and the caller files them with the old period's counters.
    Time never runs backwards: a clock that is behind works in the period, day and week that the
    others have reached.
    """
    if budget is not None and budget.allotment:
        raise ValueError("an allotment must be recalled before its epoch ends")
    zone = time_zone(organization.time_zone)
    period, day, week = max(period_of(now, zone), pool_period), day_of(now), week_of(now)
    old = budget or Budget(
        organization.org_id, member.user_id, period, member.seat_tier, answers={}
    )
    period, day, week = max(period, old.period), max(day, old.day), max(week, old.week)
    windows, included_left = _reopen(old, organization.tiers[member.seat_tier].allowance, now)
    turns = [
        period_bounds(period, zone)[1],
        day_bounds(day)[1],
        *(from_millis(window.resets_at_millis) for window in windows),
    ]
    fresh = replace(
        old,
        seat_tier=member.seat_tier,
        consents=member.continues,
        limits=effective_limits(organization, member),
        epoch=old.epoch + 1,
        valid_until_millis=to_millis(min(turns)),
        windows=windows,
        included_left=included_left,
        day=day,
        day_granted=old.day_granted if day == old.day else 0,
        week=week,
        week_granted=old.week_granted if week == old.week else 0,
    )
    return fresh if period == old.period else _in_period(fresh, period)


def turn(budget: Budget, period: str) -> Budget:
    """Return the budget as a later period begins without a request: empty, and closed until one.

    Its windows stay as they are, because only a request opens them. Expects no allotment.
    """
    if budget.allotment:
        raise ValueError("an allotment must be recalled before its period ends")
    closed = replace(budget, epoch=budget.epoch + 1, valid_until_millis=CLOSED)
    return _in_period(closed, period)


def return_allowance(budget: Budget, hold: Hold, nanos: int) -> Budget:
    """Return the budget with `nanos` of an included hold back in the windows it was taken from.

    A window that was reset since the hold was taken is full anyway and gets nothing.
    """
    lefts = [
        budget.included_left
        + window.excess_nanos
        + (nanos if window.opened_at <= hold.taken_at else 0)
        for window in budget.windows
    ]
    windows, included_left = _with_lefts(budget.windows, lefts)
    return replace(budget, windows=windows, included_left=included_left)


def _in_period(budget: Budget, period: str) -> Budget:
    """Empty the counters, and remember the old period while holds are open in it."""
    past = budget.past_periods
    return replace(
        budget,
        period=period,
        held=0,
        spent=0,
        granted=0,
        included=0,
        unbilled=0,
        holds={},
        past_periods=(*past, budget.period) if budget.holds else past,
    )


def _reopen(
    old: Budget, allowance: tuple[AllowanceWindow, ...], now: datetime
) -> tuple[tuple[OpenWindow, ...], int]:
    """Carry over the windows that still run, moved as their amounts were, and open the others."""
    running = {
        window.duration: window
        for window in old.windows
        if window.resets_at_millis > to_millis(now)
    }
    windows: list[OpenWindow] = []
    lefts: list[int] = []
    for granted in allowance:
        carried = running.get(granted.duration)
        if carried is None:
            resets_at = to_millis(now) + granted.minutes * 60_000
            left = granted.amount_nanos
        else:
            resets_at = carried.resets_at_millis
            left = old.included_left + carried.excess_nanos
            left += granted.amount_nanos - carried.amount_nanos
        windows.append(
            OpenWindow(granted.duration, granted.minutes, granted.amount_nanos, 0, resets_at)
        )
        lefts.append(left)
    return _with_lefts(tuple(windows), lefts)


def _with_lefts(
    windows: tuple[OpenWindow, ...], lefts: list[int]
) -> tuple[tuple[OpenWindow, ...], int]:
    least = min(lefts, default=0)
    return tuple(
        replace(window, excess_nanos=left - least)
        for window, left in zip(windows, lefts, strict=True)
    ), least
