"""The close of a billing period, step by step; each may be cut off anywhere and repeated.

`begin` forces the pool into the next period, so that nothing more is granted in this one. Then,
shard by shard of the members, `turn_members` files their budgets and frees overdue holds until
none is open, and `total_members` sums their ledger and proves it against the counters. `seal`
adds the shards up. After that nothing in the table can change what the period comes to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from headroom.billing.domain.invoice import Kind, additions_to, invoice_id
from headroom.billing.usecases.period_sums import Share, read_share, write_share
from headroom.core.domain.instants import to_millis
from headroom.core.domain.money import format_amount
from headroom.core.domain.periods import next_period
from headroom.core.errors import NotFound
from headroom.core.gateways.files import Files
from headroom.core.store.announcements import put_announcement
from headroom.core.store.keys import DUE_SHARDS
from headroom.core.store.table import READ_TOGETHER, Contended, Put, Refused, Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.closings import (
    Closing,
    find_closing,
    list_due,
    move_closing,
    put_closing,
)
from headroom.organizations.store.organizations import (
    find_organization,
    find_pool,
    list_members,
    members_between,
    roll_pool,
)
from headroom.organizations.usecases.first_period import first_closing
from headroom.spending.domain.budget import Budget, turn
from headroom.spending.store.budgets import find_budget, find_budgets, find_budgets_of, turn_budgets
from headroom.spending.usecases.recall import batches, recall_member
from headroom.spending.usecases.settlement import expire_overdue

ATTEMPTS_MAX: Final = 16

# Whoever was handed a close has this long before it is handed out again.
HANDED_OUT_FOR: Final = timedelta(minutes=30)
# A close that waits for open holds, which last a day at most, is not handed out meanwhile.
CLOSES_WITHIN: Final = timedelta(hours=26)
# What the steps of a close take together, in seconds of one invocation, beside a slow processor.
CLOSE_SECONDS: Final = 4
# Holds are mostly settled long before they expire, so waiting looks again this often.
LOOK_AGAIN: Final = timedelta(hours=1)
SHARD_MEMBERS: Final = 250
# Budgets turned in one transaction: few enough that seldom one of them moves meanwhile.
TURN_TOGETHER: Final = 25

CLOSED: Final = "billing_period.closed"


@dataclass(frozen=True, slots=True)
class Shard:
    """The members whose ids lie behind `after` and up to `upto`; "" is no bound."""

    index: int
    after: str
    upto: str


class StillOpen(Exception):
    """A hold of the period is open: its totals are not final."""


def hand_out(
    table: Table, shard: int, now: datetime, may_go_on: Callable[[], bool] = lambda: True
) -> Iterator[Closing]:
    """Walk through the closes of a shard that are due, each this caller's for half an hour."""
    for due in list_due(table, shard, now):
        if not may_go_on():
            return
        claimed = replace(due, attempts=due.attempts + 1, due_at=now + HANDED_OUT_FOR)
        try:
            yield move_closing(table, due, claimed)
        except (Refused, Contended):
            # Somebody else was faster, or the index showed what was.
            continue


def begins_after(shard: int, number: int, concurrency: int) -> int:
    """Return after how many seconds a shard's nth close begins, counted from 0.

    All shards together begin as many closes a second as so many parallel invocations carry. What
    takes them longer is late, and nobody else's requests are.
    """
    return (number * DUE_SHARDS + shard) * CLOSE_SECONDS // concurrency


def begin(table: Table, org_id: str, period: str, now: datetime) -> list[Shard]:
    """Let no more be held in a period that is over, and return the shards of its members.

    Raises:
        NotFound: the organization has no such period, or it is not over.
        Contended: others are on the pool.
    """
    closing = closing_of(table, org_id, period)
    if now < closing.ends_at:
        raise NotFound(f"period: {period} is not over")
    organization = organization_of(table, org_id)
    _turn_pool(table, org_id, period)
    # A release that did not keep its cut may have begun the close: cut none of it, and all is lost.
    if closing.state == "open" or (closing.state == "closing" and not closing.bounds):
        moved = replace(
            closing,
            state="closing",
            due_at=now + CLOSES_WITHIN,
            bounds=_bounds(table, organization),
            tax=organization.tax,
        )
        try:
            closing = move_closing(table, closing, moved)
        except Refused:
            # Another run began, and cut the members.
            closing = closing_of(table, org_id, period)
    return _shards(closing.bounds)


def turn_members(
    table: Table, org_id: str, period: str, shard: Shard, now: datetime
) -> timedelta | None:
    """File the budgets of a shard's members, and free overdue holds.

    Returns how long to wait before looking again, None when no hold is open any more.

    Raises:
        Contended: others moved a budget every time.
    """
    pool_period = find_pool(table, org_id).period
    assert pool_period > period, "the pool was turned first"
    latest = 0
    for user_ids in batches(_ids(table, org_id, shard), READ_TOGETHER):
        found = find_budgets(table, org_id, user_ids).values()
        behind = [budget for budget in found if budget.period <= period]
        for together in batches(behind, TURN_TOGETHER):
            _turn_together(table, together, pool_period, now)
        for past in find_budgets_of(table, org_id, user_ids, period).values():
            if past.holds:
                latest = max(latest, _free_overdue(table, past, now))
    if not latest:
        return None
    wait = timedelta(milliseconds=max(latest - to_millis(now), 0) + 1000)
    return min(wait, LOOK_AGAIN)


def total_members(
    table: Table, files: Files, org_id: str, period: str, shard: Shard
) -> dict[str, Any]:
    """Sum the ledger of a shard's members, prove it, and file the sums.

    Raises:
        StillOpen: a hold is open.
        LedgerIncomplete: the index lags behind, or ledger and counters disagree.
    """
    organization = organization_of(table, org_id)
    closing = closing_of(table, org_id, period)

    def budgets() -> Iterator[tuple[str, Budget]]:
        members = members_between(table, org_id, shard.after, shard.upto)
        for together in batches(members, READ_TOGETHER):
            names = {member.user_id: member.name for member in together}
            found = find_budgets_of(table, org_id, list(names), period)
            for user_id, name in names.items():
                if budget := found.get(user_id):
                    if budget.holds or budget.held or budget.allotment:
                        raise StillOpen(f"{user_id} has something open in {period}")
                    yield name, budget

    share = write_share(table, files, organization, closing, shard.index, budgets())
    return {"members": share.members, "requests": share.tally.requests}


def seal(
    table: Table, files: Files, org_id: str, period: str, shards: int, now: datetime
) -> Closing:
    """Add up the shards of a period: from now on it is closed, and the next one waits to be.

    Raises:
        NotFound: the organization has no such period.
        Contended: others are on it.
    """
    assert shards, "even an organization without members is one shard"
    for _ in range(ATTEMPTS_MAX):
        closing = closing_of(table, org_id, period)
        if closing.state in ("closed", "invoiced"):
            return closing
        organization = organization_of(table, org_id)
        whole = Share.empty()
        for index in range(shards):
            whole.merge(read_share(files, org_id, period, index))
        kind = _kind(organization)
        document = invoice_id(org_id, kind, period)
        additions = additions_to(kind, whole.tally.charged, closing.tax)
        whole.file(files, org_id, period, document, shards, additions)
        closed = replace(
            closing,
            state="closed",
            requests=whole.tally.requests,
            charged=whole.tally.charged,
            included=whole.tally.included,
            unbilled=whole.tally.unbilled,
            invoice_id=document,
        )
        also = [
            _next(organization, period),
            put_announcement(org_id, f"{org_id}_{period}_closed", CLOSED, _facts(closed), now),
        ]
        try:
            return move_closing(table, closing, closed, also)
        except Refused:
            continue
    raise Contended


def closing_of(table: Table, org_id: str, period: str) -> Closing:
    """Return how far a close has come.

    Raises:
        NotFound: the organization has no such period.
    """
    closing = find_closing(table, org_id, period)
    if closing is None:
        raise NotFound(f"period: the organization has no period {period}")
    return closing


def organization_of(table: Table, org_id: str) -> Organization:
    """Return the settings of an organization.

    Raises:
        NotFound: there is none with this id.
    """
    organization = find_organization(table, org_id)
    if organization is None:
        raise NotFound("organization: there is none with this id")
    return organization


def _kind(organization: Organization) -> Kind:
    return "statement" if organization.plan == "team" else "invoice"


def _next(organization: Organization, period: str) -> Put:
    return put_closing(first_closing(organization, next_period(period)))


def _facts(closed: Closing) -> dict[str, Any]:
    return {
        "period": closed.period,
        "requests": closed.requests,
        "charged": format_amount(closed.charged),
        "included": format_amount(closed.included),
        "unbilled": format_amount(closed.unbilled),
    }


def _turn_pool(table: Table, org_id: str, period: str) -> None:
    for _ in range(ATTEMPTS_MAX):
        organization, pool = organization_of(table, org_id), find_pool(table, org_id)
        if pool.period > period:
            return
        try:
            roll_pool(table, organization, pool, next_period(period))
        except Refused:
            continue
    raise Contended


def _bounds(table: Table, organization: Organization) -> tuple[str, ...]:
    """Cut the members into shards, and return behind whom each begins.

    Whoever joins later falls into one of them, and has no budget in a period that was turned.
    """
    ends = [
        together[-1]
        for together in batches(
            (member.user_id for member in list_members(table, organization.org_id)), SHARD_MEMBERS
        )
    ]
    return ("", *ends[:-1])


def _shards(bounds: tuple[str, ...]) -> list[Shard]:
    """Return the shards between bounds. The last has no end, so that nobody is behind it."""
    return [
        Shard(index, after, bounds[index + 1] if index + 1 < len(bounds) else "")
        for index, after in enumerate(bounds)
    ]


def _ids(table: Table, org_id: str, shard: Shard) -> Iterator[str]:
    for member in members_between(table, org_id, shard.after, shard.upto):
        yield member.user_id


def _turn_together(table: Table, budgets: Sequence[Budget], period: str, now: datetime) -> None:
    """Turn several budgets in one transaction, and those that moved or hold something by one."""
    ready = [budget for budget in budgets if not budget.allotment]
    others = [budget for budget in budgets if budget.allotment]
    try:
        if ready:
            turn_budgets(table, [(budget, turn(budget, period)) for budget in ready])
    except (Refused, Contended):
        others = list(budgets)
    for budget in others:
        _turn_member(table, budget, period, now)


def _turn_member(table: Table, budget: Budget, period: str, now: datetime) -> None:
    current: Budget | None = budget
    for _ in range(ATTEMPTS_MAX):
        if current is None or current.period >= period:
            return
        if current.allotment:
            recall_member(table, current, now)
        else:
            try:
                turn_budgets(table, [(current, turn(current, period))])
            except Refused:
                pass
            else:
                return
        current = find_budget(table, budget.org_id, budget.user_id)
    raise Contended


def _free_overdue(table: Table, past: Budget, now: datetime) -> int:
    """Free overdue holds of a past period; return when the last of the others expires, or 0."""
    current = find_budget(table, past.org_id, past.user_id)
    assert current is not None, "a past budget lies beside a current one"
    expire_overdue(table, past, current, now)
    left = find_budgets_of(table, past.org_id, [past.user_id], past.period)[past.user_id]
    return max((hold.until_millis for hold in left.holds.values()), default=0)


def shards_to_wire(shards: Sequence[Shard]) -> list[dict[str, Any]]:
    """Return shards as the state machine carries them."""
    return [{"index": shard.index, "after": shard.after, "upto": shard.upto} for shard in shards]
