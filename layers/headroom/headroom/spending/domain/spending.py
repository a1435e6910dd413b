"""What a member has spent so far, read off their budget."""

from __future__ import annotations

from datetime import datetime

from headroom.core.domain.periods import day_of, period_of, time_zone, week_of
from headroom.organizations.domain.organization import LimitPeriod, Organization
from headroom.spending.domain.budget import Budget


def spent_so_far(
    budget: Budget | None, organization: Organization, period: LimitPeriod, now: datetime
) -> int:
    """Return the nanos of extra usage settled in the running month, week or day.

    Days and weeks have no counter of their own: what was granted in them, less what lies idle
    or is held, has been spent.
    """
    if budget is None:
        return 0
    if period == "monthly":
        running_period = period_of(now, time_zone(organization.time_zone))
        return budget.spent if budget.period == running_period else 0
    if period == "daily":
        granted, first, of = budget.day_granted, budget.day, day_of
    else:
        granted, first, of = budget.week_granted, budget.week, week_of
    if first != of(now):
        return 0
    held = sum(
        hold.amount_nanos
        for hold in budget.holds.values()
        if hold.source == "extra_usage" and of(hold.taken_at) == first
    )
    return granted - budget.allotment - held
