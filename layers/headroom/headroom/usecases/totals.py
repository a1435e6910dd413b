"""An organization's figures, exact: read from the pool and from whoever holds something."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from headroom.domain.allotment import Pool
from headroom.domain.organization import Organization
from headroom.store.budgets import find_budgets, find_past_budgets
from headroom.store.organizations import find_pool, list_registered
from headroom.store.table import Table
from headroom.usecases.recalling import TOGETHER_MAX, batches

ATTEMPTS_MAX: Final = 8


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
