"""Looking after members in the background: expired holds, idle allotments, who is done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from headroom.core.domain.instants import to_millis
from headroom.core.store import keys
from headroom.core.store.table import Contended, Range, Refused, Table
from headroom.organizations.usecases.first_period import open_forgotten_closings
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import (
    deregister,
    find_budget,
    find_past_budgets,
    look_again,
)
from headroom.spending.store.registrations import RegistrationRecord
from headroom.spending.usecases.recall import recall_member
from headroom.spending.usecases.settlement import expire_overdue

# An active member is looked at this often, or when their first hold expires, if that is sooner.
LOOK_EVERY: Final = timedelta(minutes=10)
LOOK_EVERY_MILLIS: Final = int(LOOK_EVERY.total_seconds() * 1000)
PAGE: Final = 100


def sweep(table: Table, now: datetime, may_go_on: Callable[[], bool]) -> int:
    """Look at every member whose moment has come, until there are none or time is up.

    Returns how many were looked at. Repeating it, or running two at once, is harmless.
    """
    looked = 0
    for shard in range(keys.DUE_SHARDS):
        due = Range(keys.due_shard(shard), index="by_due", until=to_millis(now))
        # The index lags a little, so a member may be met twice; that costs a read.
        start = None
        while may_go_on():
            page = table.query(due, limit=PAGE, start=start)
            for item in page.items:
                record = RegistrationRecord.of(item)
                look_at(table, record.org_id, record.user_id, now)
                looked += 1
            start = page.next_key
            if start is None:
                break
    return looked


def look_at(table: Table, org_id: str, user_id: str, now: datetime) -> None:
    """Free a member's overdue holds, take back what they left idle, and plan the next look."""
    budget = find_budget(table, org_id, user_id)
    if budget is None:
        return
    try:
        left = [budget, *find_past_budgets(table, budget)]
        expired = [expire_overdue(table, each, budget, now) for each in left]
        if any(expired):
            budget = find_budget(table, org_id, user_id) or budget
            left = [budget, *find_past_budgets(table, budget)]
        if _is_idle(budget, now):
            left = recall_member(table, budget, now)
        if any(each.holds for each in left) or left[0].allotment:
            look_again(table, org_id, user_id, min(next_look(each, now) for each in left))
        else:
            # Before, so that it is done again if it was cut off: nobody may look here ever after.
            open_forgotten_closings(table, org_id)
            deregister(table, left[0])
    except (Refused, Contended):
        # The member is busy: whoever moved the budget meanwhile has seen to it. The registration
        # still stands, so the next sweep looks again.
        return


def next_look(budget: Budget, now: datetime) -> int:
    """Return the moment, in milliseconds, at which the sweeper should look at a member next."""
    ends = [hold.until_millis for hold in budget.holds.values()]
    return min([to_millis(now) + LOOK_EVERY_MILLIS, *ends])


def _is_idle(budget: Budget, now: datetime) -> bool:
    age = to_millis(now) - budget.granted_at_millis
    return budget.allotment != 0 and not budget.holds and age >= LOOK_EVERY_MILLIS
