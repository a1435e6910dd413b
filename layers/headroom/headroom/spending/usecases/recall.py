"""Bringing idle money back into the pool, so that cuts hold and nobody is refused falsely."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Literal, TypeVar

from headroom.core.store.table import Contended, Refused, Table
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.organizations import find_pool, mark_drained
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import (
    close_budget,
    close_together,
    find_budget,
    find_budgets,
    find_past_budgets,
    reclaim,
    reclaim_together,
)
from headroom.spending.store.registrations import list_registered
from headroom.spending.usecases.settlement import expire_overdue

ATTEMPTS_MAX: Final = 8

# Budgets read in one call, and recalled in one transaction beside the pool: all it can take.
TOGETHER_MAX: Final = 99

# Later than any hold: what a drained pool expects to expire when nothing is held.
NEVER_MILLIS: Final = 10**14

Recall = Literal["enough", "drained", "moved"]

Each = TypeVar("Each")


def recall(
    table: Table, org_id: str, now: datetime, *, need: int | None = None, begin: str = ""
) -> Recall:
    """Take back every allotment and overdue hold, or stop as soon as the pool has `need` nanos.

    "drained" says that at the end of the round nobody but the pool had anything: each member was
    closed in turn, and the pool counted no grant from the round's start to its end. "moved" says
    that there were grants meanwhile, so that nothing is certain.

    The round goes through the members from `begin` on, so that several at once share the work.
    """
    pool = find_pool(table, org_id)
    if need is not None and pool.available >= need:
        return "enough"
    expiry_millis = NEVER_MILLIS
    busy = False
    for number, user_ids in enumerate(batches(list_registered(table, org_id, begin), TOGETHER_MAX)):
        if number and need is not None:
            found = find_pool(table, org_id)
            if found.available >= need:
                return "enough"
            if found.is_drained(now):
                # By somebody else's round, which ended before this one.
                return "drained"
        if busy:
            # What cannot be closed together is taken in halves below.
            with suppress(Contended):
                close_together(table, org_id, user_ids)
        budgets = list(find_budgets(table, org_id, user_ids).values())
        left, refused = _recall_together(table, budgets, pool, now)
        busy = busy or refused
        expiry_millis = min([expiry_millis, *_ends(left)])
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
    pool = find_pool(table, org_id)
    for user_ids in batches(list_registered(table, org_id), TOGETHER_MAX):
        found = find_budgets(table, org_id, user_ids).values()
        _recall_together(table, [each for each in found if touches(each)], pool, now)


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
    table: Table, budgets: Sequence[Budget], pool: Pool, now: datetime
) -> tuple[list[Budget], bool]:
    """Take back what several members do not use, most of them in one transaction.

    If one of them spends meanwhile it is refused, which is told beside the budgets that are left.
    """
    left: list[Budget] = []
    gathering: list[Budget] = []
    alone: list[Budget] = []
    for budget in budgets:
        if budget.overdue(now) or budget.past_periods:
            alone.append(budget)
        elif _may_gather(budget):
            gathering.append(budget)
        else:
            left.append(budget)
    busy = False
    if gathering:
        try:
            left += reclaim_together(table, gathering, pool.period)
        except (Refused, Contended):
            busy = True
            left += _recall_busy(table, gathering, pool, now)
    for budget in alone:
        left += recall_member(table, budget, now)
    return left, busy


def _recall_busy(
    table: Table, budgets: Sequence[Budget], pool: Pool, now: datetime
) -> list[Budget]:
    """Take back what members do not use who go on spending; return their budgets after it.

    All are closed first, whatever they do: from then on no spending is in the way. Where others
    are on them all the same, fewer at a time meet fewer of them: halves, down to one.
    """
    if len(budgets) == 1:
        return recall_member(table, budgets[0], now)
    org_id, user_ids = budgets[0].org_id, [budget.user_id for budget in budgets]
    try:
        close_together(table, org_id, user_ids)
        budgets = list(find_budgets(table, org_id, user_ids).values())
        return reclaim_together(table, budgets, pool.period)
    except (Refused, Contended):
        half = len(budgets) // 2
        first, second = budgets[:half], budgets[half:]
        return _recall_busy(table, first, pool, now) + _recall_busy(table, second, pool, now)


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
