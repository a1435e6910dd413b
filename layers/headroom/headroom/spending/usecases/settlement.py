"""Closing a hold: with its real cost, or with nothing when it is released or has expired."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from headroom.core.domain.periods import day_of, week_of
from headroom.core.store import keys
from headroom.core.store.table import Contended, Put, Refused, Table
from headroom.organizations.store.organizations import find_pool
from headroom.spending.domain.authorization import AuthorizationId, Hold
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import (
    find_budget,
    find_past_budgets,
    settle_home,
    settle_included_late,
    settle_into_pool,
)

# Each failed attempt means that the hold or its budget moved on; they do so seldom.
ATTEMPTS_MAX: Final = 8

# How a closed hold's cost is filed: (charged, unbilled) nanos to the line's write.
LineOf = Callable[[int, int], Put]


@dataclass(frozen=True, slots=True)
class Found:
    """An open hold, the budget that it lies in, and the member's current one."""

    hold: Hold
    budget: Budget
    current: Budget

    @property
    def is_past(self) -> bool:
        """Whether the hold lies in the budget of a period that is over."""
        return self.budget is not self.current


def find_hold(table: Table, authorization: AuthorizationId) -> Found | None:
    """Return an authorization's hold, None if it is settled, released or expired.

    None too if the id was made up, and says another source, period, seat tier or reason than the
    hold's own.
    """
    found = _find_by_key(table, authorization)
    if found is None:
        return None
    hold = found.hold
    said = (authorization.source, authorization.period, authorization.filed_as)
    # A hold that was taken before they kept it says nothing to compare.
    own = (hold.source, found.budget.period, hold.filed_as or authorization.filed_as)
    return found if own == said else None


def _find_by_key(table: Table, authorization: AuthorizationId) -> Found | None:
    current = find_budget(table, authorization.org_id, authorization.user_id)
    if current is None:
        return None
    if hold := current.holds.get(authorization.key):
        return Found(hold, current, current)
    for past in find_past_budgets(table, current):
        if hold := past.holds.get(authorization.key):
            return Found(hold, past, current)
    return None


def settle_at_once(
    table: Table, authorization: AuthorizationId, cost: int, line_of: LineOf | None
) -> None:
    """Close a hold by what its id says of it: one write, and no read.

    Raises:
        Refused: the id is not the whole story any more (or the event is recorded already).
        Contended: others are on the budget or the pool.
    """
    budget_key = keys.budget(authorization.org_id, authorization.user_id)
    hold = Hold(
        key=authorization.key,
        amount_nanos=authorization.amount_nanos,
        epoch=0,
        until_millis=0,
        source=authorization.source,
        filed_as=authorization.filed_as,
    )
    charged = min(cost, hold.amount_nanos) if hold.source == "extra_usage" else cost
    unbilled = cost - charged
    line = line_of(charged, unbilled) if line_of else None
    if authorization.home == "member" or hold.source == "included":
        settle_home(
            table,
            budget_key,
            hold,
            period=authorization.period,
            cost=charged,
            unbilled=unbilled,
            line=line,
        )
    else:
        settle_into_pool(
            table,
            budget_key,
            hold,
            org_id=authorization.org_id,
            period=authorization.period,
            counts=("day", "week"),
            pool_period=authorization.period,
            cost=charged,
            unbilled=unbilled,
            line=line,
        )


def close_hold(
    table: Table,
    found: Found,
    *,
    cost: int,
    line_of: LineOf | None = None,
    due: datetime | None = None,
) -> None:
    """Close a hold that was found, wherever its rest belongs by now.

    What the cost is more than the hold is unbilled. With `due`, only if it is overdue then.

    Raises:
        Refused: the hold or its surroundings moved; look again.
        Contended: others are on them.
    """
    hold, budget, current = found.hold, found.budget, found.current
    charged = min(cost, hold.amount_nanos) if hold.source == "extra_usage" else cost
    unbilled = cost - charged
    line = line_of(charged, unbilled) if line_of else None
    org_id, user_id = current.org_id, current.user_id
    if not found.is_past and hold.epoch == current.epoch:
        settle_home(
            table,
            keys.budget(org_id, user_id),
            hold,
            period=budget.period,
            cost=charged,
            unbilled=unbilled,
            line=line,
            due=due,
        )
    elif hold.source == "included":
        past_period = budget.period if found.is_past else None
        settle_included_late(table, current, past_period, hold, cost=cost, line=line, due=due)
    else:
        counts = []
        if current.day == day_of(hold.taken_at):
            counts.append("day")
        if current.week == week_of(hold.taken_at):
            counts.append("week")
        settle_into_pool(
            table,
            keys.past_budget(org_id, user_id, budget.period)
            if found.is_past
            else keys.budget(org_id, user_id),
            hold,
            org_id=org_id,
            period=budget.period,
            counts=counts,
            current_key=keys.budget(org_id, user_id) if found.is_past else None,
            pool_period=find_pool(table, org_id).period,
            cost=charged,
            unbilled=unbilled,
            line=line,
            due=due,
        )


def release(table: Table, authorization: AuthorizationId) -> None:
    """Give a hold's money back; nothing happens if the hold is closed already.

    Raises:
        Contended: the hold's surroundings moved every time.
    """
    try:
        settle_at_once(table, authorization, 0, None)
    except Refused:
        for _ in range(ATTEMPTS_MAX):
            found = find_hold(table, authorization)
            if found is None:
                return
            try:
                close_hold(table, found, cost=0)
            except Refused:
                continue
            return
        raise Contended from None


def expire_overdue(table: Table, budget: Budget, current: Budget, now: datetime) -> bool:
    """Free the money of holds that nobody settled in time; tell whether there were any.

    Holds that someone else moves meanwhile are left to whoever looks next.

    Raises:
        Contended: others are on the budget or the pool.
    """
    overdue = budget.overdue(now)
    is_past = budget is not current
    for hold in overdue:
        with suppress(Refused):
            close_hold(table, Found(hold, budget, current), cost=0, due=now)
        if hold.source == "included":
            # It moved the windows, against which the next one has to be closed.
            current = find_budget(table, current.org_id, current.user_id) or current
            budget = budget if is_past else current
    return bool(overdue)
