"""Every change of a member's budget, each one atomic and safe to repeat.

Hot writes touch the budget alone. Their conditions name the epoch that the caller has seen:
everything that may not be assumed any more (a limit, a seat tier, a consent, a period, a recall)
changes the epoch, so one comparison stands for all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from pynamodb.expressions.condition import Condition, size
from pynamodb.expressions.operand import Path, Value
from pynamodb.expressions.update import Action

from headroom.core.domain.instants import to_millis
from headroom.core.domain.periods import day_of, week_of
from headroom.core.store import keys
from headroom.core.store.table import (
    Change,
    Contended,
    Delete,
    Key,
    Put,
    Range,
    Refused,
    Table,
    Update,
    each,
)
from headroom.organizations.domain.organization import Member, Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.member_record import MemberRecord
from headroom.organizations.store.pool_record import PoolRecord
from headroom.organizations.store.settings_record import SettingsRecord
from headroom.spending.domain.allotment import HOLDS_MAX, Grant
from headroom.spending.domain.answers import Noting
from headroom.spending.domain.authorization import Hold
from headroom.spending.domain.budget import CLOSED, Budget, return_allowance
from headroom.spending.store.budget_record import (
    BudgetRecord,
    answer_path,
    hold_path,
    hold_value,
    holds_value,
    read_budget,
    windows_value,
)
from headroom.spending.store.registrations import RegistrationRecord
from headroom.wallets.store.records import WalletRecord


@dataclass(frozen=True, slots=True)
class Picture:
    """Settings, member, pool and budget as they stood at one instant."""

    organization: Organization
    member: Member
    pool: Pool
    budget: Budget | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What becomes of the money that is taken: the rest of the write that takes `amount`."""

    amount: int
    actions: tuple[Action, ...]
    condition: Condition | None = None
    also: tuple[Change, ...] = ()
    hold: Hold | None = None


def as_hold(hold: Hold, noting: Noting | None = None, also: tuple[Change, ...] = ()) -> Spending:
    """Take the money into a new hold. Repeating it is refused, as the hold is there already.

    With an answer to note it is refused if there is one in its place, or if others are not as seen.
    """
    actions: list[Action] = [hold_path(hold.key).set(hold_value(hold))]
    if hold.source == "extra_usage":
        actions.append(BudgetRecord.held.set(BudgetRecord.held + hold.amount_nanos))
    condition = hold_path(hold.key).does_not_exist() & (size(BudgetRecord.holds) < HOLDS_MAX)
    if noting is not None:
        noted, unanswered = _note(noting)
        actions += noted
        condition &= unanswered
    return Spending(hold.amount_nanos, tuple(actions), condition, also, hold)


def as_enlargement(old: Hold, new: Hold) -> Spending:
    """Take what an open hold lacks. Repeating it is refused, as the hold has changed by then."""
    added = new.amount_nanos - old.amount_nanos
    actions: list[Action] = [hold_path(old.key).set(hold_value(new))]
    if old.source == "extra_usage":
        actions.append(BudgetRecord.held.set(BudgetRecord.held + added))
    condition = (hold_path(old.key, "amount") == old.amount_nanos) & (
        hold_path(old.key, "until") == old.until_millis
    )
    return Spending(added, tuple(actions), condition, (), new)


def as_overrun(hold: Hold, cost: int, line: Put) -> Spending:
    """Settle an open hold of extra usage with more than it holds, and take what is missing.

    Refused if the hold was closed or changed; then nothing is taken.
    """
    actions: tuple[Action, ...] = (
        hold_path(hold.key).remove(),
        BudgetRecord.held.set(BudgetRecord.held - hold.amount_nanos),
        BudgetRecord.spent.set(BudgetRecord.spent + cost),
    )
    condition = hold_path(hold.key, "amount") == hold.amount_nanos
    return Spending(cost - hold.amount_nanos, actions, condition, (line,))


def as_charge(amount: int, source: str, line: Put) -> Spending:
    """Spend the money at once with its usage line, whose id makes that happen once."""
    counter = BudgetRecord.spent if source == "extra_usage" else BudgetRecord.included
    return Spending(amount, (counter.set(counter + amount),), None, (line,))


def find_budget(table: Table, org_id: str, user_id: str) -> Budget | None:
    """Return a member's current budget, None until their first request."""
    item = table.get(keys.budget(org_id, user_id))
    return None if item is None else read_budget(item, org_id, user_id)


def find_past_budget(table: Table, org_id: str, user_id: str, period: str) -> Budget | None:
    """Return a member's budget of a period that is over for them, None if there was none."""
    item = table.get(keys.past_budget(org_id, user_id, period))
    return None if item is None else read_budget(item, org_id, user_id)


def find_past_budgets(table: Table, budget: Budget) -> list[Budget]:
    """Return a member's budgets of past periods in which holds may still be open."""
    return [
        past
        for period in budget.past_periods
        if (past := find_past_budget(table, budget.org_id, budget.user_id, period))
    ]


def list_budgets(table: Table, org_id: str, user_id: str) -> Iterator[Budget]:
    """Walk through a member's budgets, the current one and those of all past periods."""
    for _, budget in walk_budgets(table, org_id, user_id):
        yield budget


def walk_budgets(table: Table, org_id: str, user_id: str) -> Iterator[tuple[Key, Budget]]:
    """Walk through a member's budgets, each with the place that it is at now."""
    for item in each(table, Range(keys.budget(org_id, user_id).pk, prefix="BUDGET")):
        yield Key(item["pk"]["S"], item["sk"]["S"]), read_budget(item, org_id, user_id)


def find_budgets(table: Table, org_id: str, user_ids: Sequence[str]) -> dict[str, Budget]:
    """Return the current budgets of up to 100 members, those that have one, by user id."""
    by_key = {keys.budget(org_id, user_id): user_id for user_id in user_ids}
    return {
        by_key[key]: read_budget(item, org_id, by_key[key])
        for key, item in table.get_many(list(by_key)).items()
    }


def find_budgets_of(
    table: Table, org_id: str, user_ids: Sequence[str], period: str
) -> dict[str, Budget]:
    """Return the budgets of one period of up to 100 members, current or past, by user id.

    The current ones are read first: a period that turns in between is then seen as past.
    """
    found = {
        user_id: budget
        for user_id, budget in find_budgets(table, org_id, user_ids).items()
        if budget.period == period
    }
    by_key = {keys.past_budget(org_id, user_id, period): user_id for user_id in user_ids}
    for key, item in table.get_many(list(by_key)).items():
        found[by_key[key]] = read_budget(item, org_id, by_key[key])
    return found


def take_picture(table: Table, org_id: str, user_id: str) -> Picture | None:
    """Return all that a decision looks at, as of one instant; None if there is no such member."""
    settings, member, pool, budget = table.snapshot(
        [
            keys.settings(org_id),
            keys.member(org_id, user_id),
            keys.pool(org_id),
            keys.budget(org_id, user_id),
        ]
    )
    if settings is None or member is None or pool is None:
        return None
    return Picture(
        SettingsRecord.of(settings).to_domain(),
        MemberRecord.of(member).to_domain(),
        PoolRecord.of(pool).to_domain(),
        None if budget is None else read_budget(budget, org_id, user_id),
    )


def take_included(table: Table, seen: Budget, spending: Spending, now: datetime) -> Budget:
    """Take from the included allowance: its whole bound, while anything is left at all.

    Raises:
        Refused: the epoch is another, or nothing is left.
    """
    return _take(
        table,
        seen,
        spending,
        [BudgetRecord.included_left.set(BudgetRecord.included_left - spending.amount)],
        (BudgetRecord.valid_until > to_millis(now)) & (BudgetRecord.included_left > 0),
    )


def take_allotted(table: Table, seen: Budget, spending: Spending, now: datetime) -> Budget:
    """Take from the allotment, once the seat includes nothing more.

    Raises:
        Refused: the epoch is another, the seat has something left, or the allotment too little.
    """
    return _take(
        table,
        seen,
        spending,
        [BudgetRecord.allotment.set(BudgetRecord.allotment - spending.amount)],
        (BudgetRecord.valid_until > to_millis(now))
        & (BudgetRecord.included_left <= 0)
        & (BudgetRecord.allotment >= spending.amount),
    )


def take_granted(
    table: Table, picture: Picture, grant: Grant, spending: Spending, now: datetime
) -> None:
    """Move a grant from the pool to the member and spend of it, in one transaction.

    Refused unless the settings are those of the decision, the pool still has it, and the member
    stays within every limit of their own. A grant that asks for a reload marks the wallet as due in
    the same write, so that whoever looks after wallets finds it, whatever becomes of us.

    Raises:
        Refused: the picture no longer holds.
        Contended: others are on the pool or the budget.
    """
    budget, pool = picture.budget, picture.pool
    assert budget is not None, "a grant is decided on a budget"
    condition = (
        (BudgetRecord.epoch == budget.epoch)
        & (BudgetRecord.valid_until > to_millis(now))
        & (BudgetRecord.included_left <= 0)
        & (BudgetRecord.allotment >= spending.amount - grant.take)
    )
    granted = {
        "monthly": BudgetRecord.granted,
        "daily": BudgetRecord.day_granted,
        "weekly": BudgetRecord.week_granted,
    }
    for limit in grant.limits:
        condition &= granted[limit.period] <= limit.amount_nanos - grant.take
    actions: list[Action] = [
        BudgetRecord.allotment.set(BudgetRecord.allotment + (grant.take - spending.amount)),
        *(counter.set(counter + grant.take) for counter in granted.values()),
    ]
    if grant.opens:
        actions += [
            BudgetRecord.slice.set(grant.take),
            BudgetRecord.granted_at.set(to_millis(now)),
        ]
    pool_condition, pool_actions = _grant_from(pool, grant, spending, now)
    table.transact(
        [
            Update(
                keys.budget(budget.org_id, budget.user_id),
                [*actions, *spending.actions],
                _both(condition, spending.condition),
            ),
            Update(
                keys.pool(budget.org_id),
                pool_actions,
                (PoolRecord.version == picture.organization.version)
                & (PoolRecord.period == budget.period)
                & pool_condition,
            ),
            *([_wallet_is_due(budget.org_id, now)] if grant.asks_reload else []),
            *spending.also,
        ]
    )


def settle_home(
    table: Table,
    budget_key: Key,
    hold: Hold,
    *,
    period: str,
    cost: int,
    unbilled: int = 0,
    line: Put | None = None,
    due: datetime | None = None,
) -> None:
    """Close a hold whose epoch still lasts: its cost is spent, the rest is the member's again.

    Without a line it is a release. With `due` it is an expiry: refused if the hold was prolonged.

    Raises:
        Refused: first the budget (no such hold, of another amount, source or epoch, or in another
            period), then the line.
        Contended: others are on the budget.
    """
    rest = hold.amount_nanos - cost
    condition = (
        _is_as_said(hold)
        & (hold_path(hold.key, "epoch") == Path(BudgetRecord.epoch))
        & (BudgetRecord.period == period)
    )
    actions: list[Action] = [hold_path(hold.key).remove()]
    if hold.source == "included":
        actions += [
            BudgetRecord.included_left.set(BudgetRecord.included_left + rest),
            BudgetRecord.included.set(BudgetRecord.included + cost),
        ]
    else:
        actions += [
            BudgetRecord.allotment.set(BudgetRecord.allotment + rest),
            *_settled(hold, cost, unbilled),
        ]
    _write(table, Update(budget_key, actions, _both(condition, _is_due(hold, due))), line)


def settle_into_pool(
    table: Table,
    budget_key: Key,
    hold: Hold,
    *,
    org_id: str,
    period: str,
    counts: Sequence[str],
    current_key: Key | None = None,
    pool_period: str,
    cost: int,
    unbilled: int = 0,
    line: Put | None = None,
    due: datetime | None = None,
) -> None:
    """Close a hold of extra usage whose rest belongs to the pool.

    `counts` names the day and week counters ("day", "week") that the hold still counts in; the
    caller has compared the hold's own day and week, and the write is refused if they moved on.
    They are the current budget's: a month may end in the middle of a week, and in the middle of a
    UTC day. `current_key` says where that is when the hold lies in the budget of a past period.
    If the pool has moved on to another period, only the money itself returns: the old cap is
    history.

    Raises:
        Refused: first the budget, then the pool, then the current budget or the line.
        Contended: others are on them.
    """
    rest = hold.amount_nanos - cost
    condition = (
        _is_as_said(hold)
        & (hold_path(hold.key, "epoch") == hold.epoch)
        & (BudgetRecord.period == period)
        & (BudgetRecord.epoch != hold.epoch)
    )
    actions: list[Action] = [
        hold_path(hold.key).remove(),
        BudgetRecord.granted.set(BudgetRecord.granted - rest),
        *_settled(hold, cost, unbilled),
    ]
    counted: list[Action] = []
    stands: Condition | None = None
    for name, first_day, counter, of in (
        ("day", BudgetRecord.day, BudgetRecord.day_granted, day_of),
        ("week", BudgetRecord.week, BudgetRecord.week_granted, week_of),
    ):
        own = of(hold.taken_at)
        if name in counts:
            stands = _both(first_day == own, stands)
            counted.append(counter.set(counter - rest))
        elif current_key is None:
            stands = _both(first_day != own, stands)
    pool_condition = PoolRecord.period == pool_period
    pool_actions: list[Action] = [PoolRecord.funds.set(PoolRecord.funds + rest)]
    if pool_period == period:
        pool_actions.append(PoolRecord.unallotted.set(PoolRecord.unallotted + rest))
    pool_change = Update(keys.pool(org_id), pool_actions, pool_condition)
    condition = _both(condition, _is_due(hold, due))
    changes: list[Change]
    if current_key is None:
        condition = _both(condition, stands)
        changes = [Update(budget_key, [*actions, *counted], condition), pool_change]
    else:
        changes = [Update(budget_key, actions, condition), pool_change]
        if stands is not None:
            changes.append(Update(current_key, counted, stands))
    table.transact([*changes, line] if line else changes)


def settle_included_late(
    table: Table,
    current: Budget,
    past_period: str | None,
    hold: Hold,
    *,
    cost: int,
    line: Put | None = None,
    due: datetime | None = None,
) -> None:
    """Close an included hold from an earlier epoch, or from a past period's budget.

    What it did not use returns to those windows that have not been reset since.

    Raises:
        Refused: first the current budget, then the past one or the line.
        Contended: others are on them.
    """
    after = return_allowance(current, hold, hold.amount_nanos - cost)
    current_key = keys.budget(current.org_id, current.user_id)
    closing: list[Action] = [
        hold_path(hold.key).remove(),
        BudgetRecord.included.set(BudgetRecord.included + cost),
    ]
    stands = (hold_path(hold.key, "amount") == hold.amount_nanos) & (
        hold_path(hold.key, "epoch") == hold.epoch
    )
    windows: list[Action] = [
        BudgetRecord.included_left.set(after.included_left),
        Path(BudgetRecord.windows).set(windows_value(after.windows)),
    ]
    # All of the windows: what is given back to a longer one alone moves only its excess.
    unmoved = (
        (BudgetRecord.epoch == current.epoch)
        & (BudgetRecord.included_left == current.included_left)
        & (Path(BudgetRecord.windows) == windows_value(current.windows))
    )
    changes: list[Change]
    if past_period is None:
        changes = [
            Update(
                current_key,
                [*windows, *closing],
                _both(unmoved & stands, _is_due(hold, due)),
            )
        ]
    else:
        past_key = keys.past_budget(current.org_id, current.user_id, past_period)
        changes = [
            Update(current_key, windows, unmoved),
            Update(past_key, closing, _both(stands, _is_due(hold, due))),
        ]
    table.transact([*changes, line] if line else changes)


def prolong(table: Table, budget_key: Key, hold: Hold, until_millis: int) -> None:
    """Let an open hold last until a later moment.

    Raises:
        Refused: the hold is gone, or was changed meanwhile.
    """
    condition = (hold_path(hold.key, "until") == hold.until_millis) & (
        hold_path(hold.key, "amount") == hold.amount_nanos
    )
    table.update(Update(budget_key, [hold_path(hold.key, "until").set(until_millis)], condition))


def record_unbilled(table: Table, budget: Budget, amount: int, line: Put) -> None:
    """File usage that is charged to nobody, since it is beyond every limit, or costs nothing.

    Raises:
        Refused: first the budget (its period ended), then the line.
        Contended: others are on the budget.
    """
    count = Update(
        keys.budget(budget.org_id, budget.user_id),
        [BudgetRecord.unbilled.set(BudgetRecord.unbilled + amount)],
        BudgetRecord.period == budget.period,
    )
    table.transact([count, line])


def refresh_budget(table: Table, old: Budget | None, new: Budget, due_at_millis: int) -> None:
    """Start a budget's next epoch, if nothing moved since `old` was read.

    The member is registered with the first epoch. A period that ends keeps its counters and the
    holds still open under it in an item of its own, whose epoch none of these holds shares.

    Raises:
        Refused: something moved.
        Contended: others are on the budget.
    """
    key = keys.budget(new.org_id, new.user_id)
    changes: list[Change] = [
        Put(
            key,
            BudgetRecord.from_domain(key, replace(new, registered=True)).to_item(),
            BudgetRecord.pk.does_not_exist() if old is None else _unmoved(old),
        )
    ]
    if old is None or not old.registered:
        changes.append(_registration(new, due_at_millis))
    if old is not None and old.period != new.period:
        changes.append(_filed(old))
    table.transact(changes)


def turn_budgets(table: Table, turning: Sequence[tuple[Budget, Budget]]) -> None:
    """Let the next period of up to 50 budgets begin, if nothing moved since the old were read.

    Each is a pair of old and new. An old period keeps its counters and open holds in an item of
    its own.

    Raises:
        Refused: something moved.
        Contended: others are on the budgets.
    """
    changes: list[Change] = []
    for old, new in turning:
        key = keys.budget(new.org_id, new.user_id)
        item = BudgetRecord.from_domain(key, new).to_item()
        changes += [Put(key, item, _unmoved(old)), _filed(old)]
    table.transact(changes)


def close_budget(table: Table, org_id: str, user_id: str) -> Budget | None:
    """End a budget's epoch: nothing more is taken, and open holds return their rest to the pool.

    What is in the allotment stays frozen until `reclaim` moves it. Returns the closed budget,
    None if the member never had one.
    """
    try:
        return read_budget(table.update(_closing(org_id, user_id)), org_id, user_id)
    except Refused:
        return None


def close_together(table: Table, org_id: str, user_ids: Sequence[str]) -> None:
    """End the epochs of up to 100 budgets that exist, all or none, whatever happens to them.

    Raises:
        Contended: others are on them.
    """
    table.transact([_closing(org_id, user_id) for user_id in user_ids])


def reclaim(table: Table, closed: Budget, pool_period: str) -> None:
    """Move a closed budget's allotment back into the pool.

    Raises:
        Refused: the budget was opened again, or the pool moved on.
        Contended: others are on them.
    """
    amount = closed.allotment
    pool_actions: list[Action] = [PoolRecord.funds.set(PoolRecord.funds + amount)]
    if pool_period == closed.period:
        pool_actions.append(PoolRecord.unallotted.set(PoolRecord.unallotted + amount))
    budget_actions: list[Action] = [BudgetRecord.allotment.set(0)]
    for counter in (BudgetRecord.granted, BudgetRecord.day_granted, BudgetRecord.week_granted):
        budget_actions.append(counter.set(counter - amount))
    table.transact(
        [
            Update(
                keys.budget(closed.org_id, closed.user_id),
                budget_actions,
                (BudgetRecord.epoch == closed.epoch) & (BudgetRecord.allotment == amount),
            ),
            Update(keys.pool(closed.org_id), pool_actions, PoolRecord.period == pool_period),
        ]
    )


def reclaim_together(table: Table, budgets: Sequence[Budget], pool_period: str) -> list[Budget]:
    """Close up to 99 budgets and move their allotments back into the pool, all or none.

    Returns the budgets as they are after it.

    Raises:
        Refused: one of the budgets changed, in their order, or at last the pool moved on.
        Contended: others are on them.
    """
    changes: list[Change] = []
    closed: list[Budget] = []
    for budget in budgets:
        amount = budget.allotment
        counters = (BudgetRecord.granted, BudgetRecord.day_granted, BudgetRecord.week_granted)
        actions: list[Action] = [
            BudgetRecord.valid_until.set(CLOSED),
            BudgetRecord.epoch.set(budget.epoch + 1),
            BudgetRecord.allotment.set(0),
            *(counter.set(counter - amount) for counter in counters),
        ]
        unmoved = (BudgetRecord.epoch == budget.epoch) & (BudgetRecord.allotment == amount)
        if budget.valid_until_millis != CLOSED:
            # So that the answer has all open holds; a closed budget's can only become fewer.
            unmoved &= BudgetRecord.holds == holds_value(budget.holds)
        changes.append(Update(keys.budget(budget.org_id, budget.user_id), actions, unmoved))
        closed.append(
            replace(
                budget,
                valid_until_millis=CLOSED,
                epoch=budget.epoch + 1,
                allotment=0,
                granted=budget.granted - amount,
                day_granted=budget.day_granted - amount,
                week_granted=budget.week_granted - amount,
            )
        )
    funds = sum(budget.allotment for budget in budgets)
    unallotted = sum(budget.allotment for budget in budgets if budget.period == pool_period)
    pool_actions: list[Action] = [
        PoolRecord.funds.set(PoolRecord.funds + funds),
        PoolRecord.unallotted.set(PoolRecord.unallotted + unallotted),
    ]
    pool_key = keys.pool(budgets[0].org_id)
    table.transact([*changes, Update(pool_key, pool_actions, PoolRecord.period == pool_period)])
    return closed


def budget_after(refused: Refused, index: int, budget: Budget) -> Budget:
    """Return a budget as a refused change found it, or as it was if that change was fit."""
    item = refused.found(index) if refused.refused(index) else None
    return budget if item is None else read_budget(item, budget.org_id, budget.user_id)


def look_sooner(table: Table, org_id: str, user_id: str, due_at_millis: int) -> None:
    """Let the sweeper look at a registered member by this moment, or sooner if it is to anyway."""
    update = Update(
        keys.registration(org_id, user_id),
        [RegistrationRecord.due_at.set(due_at_millis)],
        RegistrationRecord.due_at > due_at_millis,
    )
    with suppress(Refused, Contended):
        table.update(update)


def deregister(table: Table, budget: Budget) -> None:
    """Strike a member who holds nothing from the registry, and close the budget they are done with.

    Raises:
        Refused: the member holds something again.
        Contended: others are on the budget.
    """
    table.transact(
        [
            Update(
                keys.budget(budget.org_id, budget.user_id),
                [
                    BudgetRecord.registered.set(False),
                    BudgetRecord.valid_until.set(CLOSED),
                    BudgetRecord.epoch.set(BudgetRecord.epoch + 1),
                    BudgetRecord.past.set([]),
                ],
                (BudgetRecord.epoch == budget.epoch)
                & (BudgetRecord.allotment == 0)
                & (size(BudgetRecord.holds) == 0),
            ),
            Delete(keys.registration(budget.org_id, budget.user_id)),
        ]
    )


def look_again(table: Table, org_id: str, user_id: str, due_at_millis: int) -> None:
    """Set the moment at which the sweeper looks at a registered member next.

    Raises:
        Refused: the member is not registered any more.
    """
    table.update(
        Update(
            keys.registration(org_id, user_id),
            [RegistrationRecord.due_at.set(due_at_millis)],
            RegistrationRecord.pk.exists(),
        )
    )


def _closing(org_id: str, user_id: str) -> Update:
    actions: list[Action] = [
        BudgetRecord.valid_until.set(CLOSED),
        BudgetRecord.epoch.set(BudgetRecord.epoch + 1),
    ]
    return Update(keys.budget(org_id, user_id), actions, BudgetRecord.pk.exists())


def _take(
    table: Table,
    seen: Budget,
    spending: Spending,
    actions: list[Action],
    condition: Condition,
) -> Budget:
    key = keys.budget(seen.org_id, seen.user_id)
    condition &= BudgetRecord.epoch == seen.epoch
    update = Update(key, [*actions, *spending.actions], _both(condition, spending.condition))
    if not spending.also:
        return read_budget(table.update(update), seen.org_id, seen.user_id)
    table.transact([update, *spending.also])
    return seen


def _wallet_is_due(org_id: str, now: datetime) -> Update:
    """Mark a wallet to be looked at, at once. Whoever writes it from an earlier look is refused."""
    return Update(
        keys.wallet(org_id),
        [
            WalletRecord.crossed.set(True),
            WalletRecord.due_at.set(to_millis(now)),
            WalletRecord.version.set(WalletRecord.version + 1),
        ],
        WalletRecord.pk.exists(),
    )


def _grant_from(
    pool: Pool, grant: Grant, spending: Spending, now: datetime
) -> tuple[Condition, list[Action]]:
    """Return how the pool hands out a grant, and what has to be true of it.

    Every grant is counted, so that a recall notices those that happened behind its back. In a
    drained pool, a grant that leaves nothing idle keeps it drained, and its hold's end is
    remembered if it is the first to come.

    One grant asks for a reload: the one that takes the funds to where it is due. Any is refused if
    by now it would be another one, so that no two pass the threshold together unnoticed.
    """
    condition = (PoolRecord.unallotted >= grant.take) & (PoolRecord.funds >= grant.take)
    actions: list[Action] = [
        PoolRecord.unallotted.set(PoolRecord.unallotted - grant.take),
        PoolRecord.funds.set(PoolRecord.funds - grant.take),
        PoolRecord.grants.set(PoolRecord.grants + 1),
    ]
    if pool.reload_at is None:
        condition &= PoolRecord.reload_at.does_not_exist()
    else:
        condition &= (PoolRecord.reload_at == pool.reload_at) & (
            PoolRecord.reload_from == pool.reload_from_millis
        )
        if grant.asks_reload:
            condition &= PoolRecord.funds <= pool.reload_at + grant.take
            actions.append(PoolRecord.reload_at.remove())
        elif pool.left_to_reload(now) is not None:
            condition &= PoolRecord.funds > pool.reload_at + grant.take
    if grant.opens:
        return condition, actions
    if pool.drained_at != pool.grants:
        return condition & (PoolRecord.drained_at != Path(PoolRecord.grants)), actions
    condition &= PoolRecord.drained_at == Path(PoolRecord.grants)
    actions.append(PoolRecord.drained_at.set(PoolRecord.drained_at + 1))
    if spending.hold is not None:
        until_millis = spending.hold.until_millis
        if until_millis < pool.expiry_millis:
            condition &= PoolRecord.expiry >= until_millis
            actions.append(PoolRecord.expiry.set(until_millis))
        else:
            condition &= PoolRecord.expiry <= until_millis
    return condition, actions


def _settled(hold: Hold, cost: int, unbilled: int) -> list[Action]:
    actions: list[Action] = [
        BudgetRecord.held.set(BudgetRecord.held - hold.amount_nanos),
        BudgetRecord.spent.set(BudgetRecord.spent + cost),
    ]
    if unbilled:
        actions.append(BudgetRecord.unbilled.set(BudgetRecord.unbilled + unbilled))
    return actions


def _write(table: Table, update: Update, line: Put | None) -> None:
    if line is None:
        table.update(update)
    else:
        table.transact([update, line])


def _is_as_said(hold: Hold) -> Condition:
    """What an id says of a hold is tested: anybody can make an id up, and a line is filed by it."""
    as_said: Condition = (hold_path(hold.key, "amount") == hold.amount_nanos) & (
        hold_path(hold.key, "source") == hold.source
    )
    if hold.filed_as:
        as_said &= hold_path(hold.key, "as") == hold.filed_as
    return as_said


def _is_due(hold: Hold, due: datetime | None) -> Condition | None:
    if due is None:
        return None
    overdue: Condition = hold_path(hold.key, "until") <= to_millis(due)
    return overdue


def _note(noting: Noting) -> tuple[list[Action], Condition]:
    if noting.receipts_until_millis is not None:
        return [
            Path(BudgetRecord.answers).set(Value({noting.place: noting.answer})),
            BudgetRecord.receipts.set(noting.receipts_until_millis),
        ], BudgetRecord.answers.does_not_exist()
    actions: list[Action] = [answer_path(noting.place).set(noting.answer)]
    unanswered: Condition = answer_path(noting.place).does_not_exist() & (
        size(BudgetRecord.answers) < noting.count_max
    )
    for place, answer in noting.forgets.items():
        actions.append(answer_path(place).remove())
        # Not a later one in its place.
        unanswered &= answer_path(place) == answer
    return actions, unanswered


def _both(condition: Condition, other: Condition | None) -> Condition:
    return condition if other is None else condition & other


def _unmoved(old: Budget) -> Condition:
    """Every write changes one of these, or the set of open holds or remembered answers."""
    unmoved: Condition = (
        (BudgetRecord.epoch == old.epoch)
        & (BudgetRecord.allotment == old.allotment)
        & (BudgetRecord.held == old.held)
        & (BudgetRecord.spent == old.spent)
        & (BudgetRecord.granted == old.granted)
        & (BudgetRecord.included == old.included)
        & (BudgetRecord.unbilled == old.unbilled)
        & (BudgetRecord.day_granted == old.day_granted)
        & (BudgetRecord.week_granted == old.week_granted)
        & (BudgetRecord.included_left == old.included_left)
        & (Path(BudgetRecord.windows) == windows_value(old.windows))
        & (BudgetRecord.registered == old.registered)
        & (BudgetRecord.holds == holds_value(old.holds))
    )
    # A hold that was taken and released leaves its answer alone behind.
    unmoved &= (
        BudgetRecord.answers.does_not_exist()
        if old.answers is None
        else Path(BudgetRecord.answers) == Value(dict(old.answers))
    )
    return unmoved


def _filed(old: Budget) -> Put:
    """Return the write of a budget whose period is over, under an epoch that no hold shares.

    The answers are remembered by the current one.
    """
    key = keys.past_budget(old.org_id, old.user_id, old.period)
    past = replace(
        old, valid_until_millis=CLOSED, epoch=old.epoch + 1, answers=None, receipts_until_millis=0
    )
    record = BudgetRecord.from_domain(key, past)
    return Put(key, record.to_item(), BudgetRecord.pk.does_not_exist())


def _registration(budget: Budget, due_at_millis: int) -> Put:
    key = keys.registration(budget.org_id, budget.user_id)
    record = RegistrationRecord(
        key.pk,
        key.sk,
        org_id=budget.org_id,
        user_id=budget.user_id,
        due_shard=keys.due_shard(keys.shard_of(budget.org_id, budget.user_id)),
        due_at=due_at_millis,
    )
    return Put(key, record.to_item())
