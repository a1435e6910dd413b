"""Bringing idle money back into the pool, so that cuts hold and nobody is refused falsely."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Literal, TypeVar

from headroom.domain.budget import Budget
from headroom.store.budgets import (
    budget_after,
    close_budget,
    find_budget,
    find_budgets,
    find_past_budgets,
    reclaim,
    reclaim_together,
)
from headroom.store.organizations import find_pool, list_registered, mark_drained
from headroom.store.table import Contended, Refused, Table
from headroom.usecases.settling import expire_overdue

ATTEMPTS_MAX: Final = 8

# Budgets read in one call, and recalled in one transaction: few enough that in a busy organization
# most transactions meet nobody who spends at that moment.
READ_TOGETHER: Final = 100
RECALL_TOGETHER: Final = 25
TOGETHER_ATTEMPTS_MAX: Final = 4

# Later than any hold: what a drained pool expects to expire when nothing is held.
NEVER_MILLIS: Final = 10**14

Recall = Literal["enough", "drained", "moved"]

Each = TypeVar("Each")


def recall(table: Table, org_id: str, now: datetime, *, need: int | None = None) -> Recall:
    """Take back every allotment and overdue hold, or stop as soon as the pool has `need` nanos.

    "drained" says that at the end of the round nobody but the pool had anything: each member was
    closed in turn, and the pool counted no grant from the round's start to its end. "moved" says
    that there were grants meanwhile, so that nothing is certain.
    """
    pool = find_pool(table, org_id)
    if need is not None and pool.available >= need:
        return "enough"
    expiry_millis = NEVER_MILLIS
    for user_ids in batches(list_registered(table, org_id), READ_TOGETHER):
        found = find_budgets(table, org_id, user_ids).values()
        for budgets in batches(found, RECALL_TOGETHER):
            left = _recall_together(table, budgets, pool.period, now)
            expiry_millis = min([expiry_millis, *_ends(left)])
        if need is not None and find_pool(table, org_id).available >= need:
            return "enough"
    try:
        mark_drained(table, org_id, pool.grants, expiry_millis)
    except Refused:
        return "moved"
    return "drained"


def recall_where(
    table: Table, org_id: str, touches: Callable[[Budget], bool], now: datetime
) -> None:
    """Close the members of whom `touches` is true, and take back what they do not use.

    Only members who hold something are looked at; nobody else can have been handed anything.

    Raises:
        Contended: others moved a budget every time.
    """
    pool_period = find_pool(table, org_id).period
    for user_ids in batches(list_registered(table, org_id), READ_TOGETHER):
        found = find_budgets(table, org_id, user_ids).values()
        for budgets in batches(filter(touches, found), RECALL_TOGETHER):
            _recall_together(table, budgets, pool_period, now)


def recall_member(table: Table, budget: Budget, now: datetime) -> list[Budget]:
    """Take back what one member does not use; return their budgets, current and past, after it.

    Afterwards nothing is in the allotment, and what open holds leave over goes to the pool.

    Raises:
        Contended: others moved the budget every time.
    """
    org_id, user_id = budget.org_id, budget.user_id
    current: Budget | None = budget
    for _ in range(ATTEMPTS_MAX):
        if current is None:
            return []
        past = find_past_budgets(table, current)
        expired = [expire_overdue(table, each, current, now) for each in (current, *past)]
        if not any(expired) and not _may_gather(current):
            return [current, *past]
        current = close_budget(table, org_id, user_id)
        if current is not None and current.allotment:
            # Whoever refuses this has moved the same money: the next look shows it.
            with suppress(Refused):
                reclaim(table, current, find_pool(table, org_id).period)
        current = find_budget(table, org_id, user_id)
    raise Contended


def _may_gather(budget: Budget) -> bool:
    """Tell whether the member has an allotment, or a hold whose rest would become one."""
    return budget.allotment != 0 or any(
        hold.source == "extra_usage" and hold.epoch == budget.epoch
        for hold in budget.holds.values()
    )


def _recall_together(
    table: Table, budgets: Sequence[Budget], pool_period: str, now: datetime
) -> list[Budget]:
    """Take back what several members do not use, most of them in one transaction."""
    left: list[Budget] = []
    gathering: list[Budget] = []
    for budget in budgets:
        if budget.overdue(now) or budget.past_periods:
            left += recall_member(table, budget, now)
        elif _may_gather(budget):
            gathering.append(budget)
        else:
            left.append(budget)
    for _ in range(TOGETHER_ATTEMPTS_MAX):
        if not gathering:
            return left
        try:
            return [*left, *reclaim_together(table, gathering, pool_period)]
        except Contended:
            break
        except Refused as refused:
            # Whoever spent meanwhile is taken as they are now, and the others as before.
            gathering = [
                budget_after(refused, index, budget) for index, budget in enumerate(gathering)
            ]
    for budget in gathering:
        left += recall_member(table, budget, now)
    return left


def _ends(budgets: Iterable[Budget]) -> Iterator[int]:
    """Return the moments at which holds of extra usage expire."""
    for budget in budgets:
        for hold in budget.holds.values():
            if hold.source == "extra_usage":
                yield hold.until_millis


def batches(items: Iterable[Each], size: int) -> Iterator[list[Each]]:
    """Cut a sequence into lists of at most `size`."""
    batch: list[Each] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
