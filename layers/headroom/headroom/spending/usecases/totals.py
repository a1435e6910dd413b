"""An organization's figures, exact: read from the pool and from whoever holds something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.organizations import find_pool
from headroom.spending.domain.budget import Budget, idle_between
from headroom.spending.store.budgets import find_budgets, find_past_budgets
from headroom.spending.store.registrations import list_registered
from headroom.spending.usecases.recall import TOGETHER_MAX, batches

ATTEMPTS_MAX: Final = 8
FREE_ATTEMPTS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Totals:
    """Nanos of the running period: settled, held, and what the wallet still has.

    `held_earlier` is what holds of earlier periods still keep: it counts against no limit of this
    one, but is money of the wallet all the same. `certain` is false if money was handed out all
    the time while the members were read.
    """

    period: str
    spent: int
    held: int
    held_earlier: int
    balance: int
    certain: bool = True


def total(table: Table, organization: Organization) -> Totals:
    """Return an organization's figures of the pool's period.

    What was handed out is known from the pool alone; what of it is not spent lies with the
    registered members. If the pool moved in between, it is all read again: it counts every grant
    and every move of the wallet, and between these money only comes back, so a pool that looks
    the same was the same all along. Then only settlements happened, and the balance is no less
    than it was at the end of the reading and no more than at its beginning.
    """
    pool = find_pool(table, organization.org_id)
    for _ in range(ATTEMPTS_MAX):
        totals = _total(table, organization, pool)
        again = find_pool(table, organization.org_id)
        if again == pool:
            return totals
        pool = again
    return replace(_total(table, organization, pool), certain=False)


def free_at_most(table: Table, org_id: str, now: datetime) -> int | None:
    """Return what was free to spend at most, at an instant of this look: in the pool or idle.

    What is held is not free. Others may spend all the while: the members are read before the pool
    and after it, and whatever could have been an allotment in between counts. None if that cannot
    be told, since a recall went on.
    """
    for _ in range(FREE_ATTEMPTS_MAX):
        before = _budgets(table, org_id, list_registered(table, org_id))
        pool = find_pool(table, org_id)
        if pool.is_drained(now):
            # Nobody has anything but the pool.
            return pool.funds
        after = _budgets(table, org_id, {*before, *list_registered(table, org_id)})
        idle = [idle_between(before.get(user_id), budget) for user_id, budget in after.items()]
        if None not in idle:
            return pool.funds + sum(each or 0 for each in idle)
    return None


def is_anything_idle(table: Table, org_id: str, now: datetime) -> bool:
    """Tell whether a recall would find anything: an allotment, or a hold whose time is over."""
    return any(
        budget.allotment or budget.overdue(now)
        for together in batches(list_registered(table, org_id), TOGETHER_MAX)
        for budget in find_budgets(table, org_id, together).values()
    )


def _budgets(table: Table, org_id: str, user_ids: Iterable[str]) -> dict[str, Budget]:
    found: dict[str, Budget] = {}
    for together in batches(user_ids, TOGETHER_MAX):
        found |= find_budgets(table, org_id, together)
    return found


def _total(table: Table, organization: Organization, pool: Pool) -> Totals:
    held = allotted = held_earlier = allotted_earlier = 0
    for user_ids in batches(list_registered(table, organization.org_id), TOGETHER_MAX):
        for budget in find_budgets(table, organization.org_id, user_ids).values():
            held_earlier += sum(past.held for past in find_past_budgets(table, budget))
            if budget.period == pool.period:
                held += budget.held
                allotted += budget.allotment
            else:
                held_earlier += budget.held
                allotted_earlier += budget.allotment
    granted = organization.cap - pool.unallotted
    unspent = held + allotted + held_earlier + allotted_earlier
    return Totals(
        period=pool.period,
        spent=granted - held - allotted,
        held=held,
        held_earlier=held_earlier,
        balance=pool.funds + unspent,
    )
