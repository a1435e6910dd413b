"""Getting hold of money: the hot write first, and the whole decision only when that is refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from headroom.core.domain.periods import period_of, time_zone
from headroom.core.errors import NotFound
from headroom.core.store.table import Contended, Refused, Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_member, roll_pool
from headroom.organizations.usecases.first_period import open_closings
from headroom.spending.domain.allotment import HOLDS_MAX, Claim, Grant, Refusal, Shortage, decide
from headroom.spending.domain.authorization import Source
from headroom.spending.domain.budget import Budget, refresh, turn
from headroom.spending.store.budget_record import read_budget
from headroom.spending.store.budgets import (
    Picture,
    Spending,
    budget_after,
    find_budget,
    find_past_budgets,
    refresh_budget,
    take_allotted,
    take_granted,
    take_included,
    take_picture,
)
from headroom.spending.usecases.expiry import next_look
from headroom.spending.usecases.recall import recall, recall_member
from headroom.spending.usecases.settlement import expire_overdue
from headroom.wallets.gateways.reloads import AskReload, ask_nobody

# Every failed attempt means that someone else made progress. After so many the answer is
# "contended", which says just that.
ATTEMPTS_MAX: Final = 24
# A round that met other transactions has waited for them several times already.
CONTENDED_MAX: Final = 3
HINTS_MAX: Final = 10_000
# Attempts at the hot write, each with what the one before it found.
HOT_MAX: Final = 4

# How the money taken is written: from source, budget as seen, hold's epoch and amount.
SpendingOf = Callable[[Source, Budget, int, int], Spending]
# What is asked of each look at the budget before anything is taken; it raises what ends that.
Look = Callable[[Budget], None]


def see_nothing(budget: Budget) -> None:
    """Find nothing in a budget that would end the taking."""


class AlreadyDone(Exception):
    """The receipt or usage line that the money was to be taken with exists; nothing was taken."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Money that was taken: the budget after it, and what became of the money."""

    budget: Budget
    spending: Spending
    asks_reload: bool = False


class Hints:
    """The budgets that this process saw last. A stale one costs a write, never a wrong answer."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], Budget] = OrderedDict()

    def get(self, org_id: str, user_id: str) -> Budget | None:
        """Return the budget as last seen, None if it never was."""
        return self._seen.get((org_id, user_id))

    def keep(self, budget: Budget) -> None:
        """Remember a budget, and forget the one seen longest ago when there are too many."""
        place = (budget.org_id, budget.user_id)
        self._seen[place] = budget
        self._seen.move_to_end(place)
        if len(self._seen) > HINTS_MAX:
            self._seen.popitem(last=False)


def acquire(
    table: Table,
    hints: Hints,
    org_id: str,
    user_id: str,
    claim: Claim,
    spending_of: SpendingOf,
    now: datetime,
    *,
    look: Look = see_nothing,
    ask_reload: AskReload = ask_nobody,
) -> Taken | Refusal:
    """Take what the claim asks for, from the seat's allowance or else from extra usage.

    In the steady state this is one conditional write. `look` is shown the budget as last seen, and
    as each refusal finds it; what it raises ends the taking, and nothing was taken. Taking what
    brings the wallet to its threshold marks it in the same write, and asks for its reload at once.

    Raises:
        NotFound: the organization has no such member, or, unless the claim is for what has
            happened, has no more.
        AlreadyDone: what `spending_of` writes beside it exists already.
    """
    seen = hints.get(org_id, user_id) or find_budget(table, org_id, user_id)
    if seen is not None:
        look(seen)
    if seen is not None and seen.is_open(now):
        outcome = _take_hot(table, seen, claim, spending_of, now, look)
        hints.keep(_guess(outcome) if isinstance(outcome, Taken) else outcome)
        if isinstance(outcome, Taken):
            return outcome
    contended = 0
    for _ in range(ATTEMPTS_MAX):
        try:
            decided = _take_cold(table, org_id, user_id, claim, spending_of, now, look)
        except Contended:
            contended += 1
            if contended == CONTENDED_MAX:
                break
            continue
        if isinstance(decided, Taken):
            hints.keep(_guess(decided))
            if decided.asks_reload:
                ask_reload(org_id)
        if decided is not None:
            return decided
    # Read by itself: a picture would meet the same transactions.
    member = find_member(table, org_id, user_id)
    if member is None or not (member.active or claim.has_happened):
        raise _no_member(user_id)
    return Refusal("contended", "organization", user_id, member.seat_tier)


def bring_up_to_date(table: Table, org_id: str, user_id: str, now: datetime) -> Budget:
    """Return a member's budget of the period that runs, begun if it was not.

    That of somebody who left is begun closed.

    Raises:
        NotFound: the organization never had such a member.
        Contended: others are on the pool or the budget.
    """
    for _ in range(ATTEMPTS_MAX):
        try:
            picture = _picture(table, org_id, user_id, has_happened=True)
            picture = _brought_up_to_date(table, picture, now)
        except Refused:
            continue
        if picture.budget is not None:
            return picture.budget
    raise Contended


def _take_hot(
    table: Table,
    seen: Budget,
    claim: Claim,
    spending_of: SpendingOf,
    now: datetime,
    look: Look,
) -> Taken | Budget:
    """Try the one write; return what was taken, or else the budget as it is by now.

    A refused write returns the item, so a stale hint is corrected and tried once more, unless
    others remember or forget answers meanwhile.
    """
    for _ in range(HOT_MAX):
        source: Source = "included" if seen.included_left > 0 else "extra_usage"
        may = seen.consents if claim.chooses is None else claim.chooses
        if source == "extra_usage" and not may:
            return seen
        spending = spending_of(source, seen, seen.epoch, claim.wanted)
        take = take_included if source == "included" else take_allotted
        try:
            return Taken(take(table, seen, spending, now), spending)
        except Contended:
            return seen
        except Refused as refused:
            _raise_if_done(refused, spending)
            item = refused.found(0)
        if item is None:
            return seen
        before, seen = seen, read_budget(item, seen.org_id, seen.user_id)
        look(seen)
        if _is_in(spending, seen):
            # An attempt whose reply was lost had succeeded.
            return Taken(seen, spending)
        changed = (
            before.epoch != seen.epoch
            or (before.included_left > 0) != (seen.included_left > 0)
            or before.answers != seen.answers
        )
        fits = seen.included_left > 0 or seen.allotment >= claim.wanted
        if not (changed and fits and seen.is_open(now)):
            return seen
    return seen


def _take_cold(
    table: Table,
    org_id: str,
    user_id: str,
    claim: Claim,
    spending_of: SpendingOf,
    now: datetime,
    look: Look,
) -> Taken | Refusal | None:
    """Bring pool and budget up to date, decide, and carry the decision out.

    Returns None when the picture moved before it could be acted on.

    Raises:
        Contended: others are on the pool or the budget.
    """
    picture = _picture(table, org_id, user_id, look, has_happened=claim.has_happened)
    if picture.pool.is_being_enforced(now) and picture.budget and picture.budget.allotment:
        # It is about to be taken back: whoever does that should not meet us there.
        return Refusal("contended", "organization", user_id, picture.member.seat_tier)
    try:
        picture = _brought_up_to_date(table, picture, now)
    except Refused:
        return None
    budget = picture.budget
    if budget is None:
        return None
    # The seat of somebody who left includes nothing any more.
    if budget.included_left > 0 and picture.member.active:
        spending = spending_of("included", budget, budget.epoch, claim.wanted)
        if refusal := _too_many(spending, budget):
            return refusal
        try:
            return Taken(take_included(table, budget, spending, now), spending)
        except Refused as refused:
            return _found_done(refused, spending, budget, look)
    decision = decide(picture.organization, picture.member, picture.pool, budget, claim, now)
    match decision:
        case Refusal():
            return decision
        case Shortage():
            recall(table, org_id, now, need=claim.wanted, begin=user_id)
            return None
        case Grant():
            epoch = budget.epoch if decision.opens else 0
            spending = spending_of("extra_usage", budget, epoch, decision.amount)
            if refusal := _too_many(spending, budget):
                return refusal
            try:
                take_granted(table, picture, decision, spending, now)
            except Refused as refused:
                done = _found_done(refused, spending, budget, look)
                return done and replace(done, asks_reload=decision.asks_reload)
            return Taken(_after(budget, decision), spending, decision.asks_reload)


def _picture(
    table: Table,
    org_id: str,
    user_id: str,
    look: Look = see_nothing,
    *,
    has_happened: bool = False,
) -> Picture:
    picture = take_picture(table, org_id, user_id)
    if picture is not None and picture.budget is not None:
        look(picture.budget)
    if picture is None or not (picture.member.active or has_happened):
        raise _no_member(user_id)
    return picture


def _no_member(user_id: str) -> NotFound:
    return NotFound(f"user_id: the organization has no member {user_id}")


def _brought_up_to_date(table: Table, picture: Picture, now: datetime) -> Picture:
    """Return the picture with the current period, no overdue holds and an open epoch.

    That of somebody who left is never opened: hot writes do not look at the member. The picture's
    budget is None when there was so much to do that the picture has to be taken again.

    Raises:
        Refused: something moved meanwhile.
        Contended: others are on the pool or the budget.
    """
    organization, pool, budget = picture.organization, picture.pool, picture.budget
    again = replace(picture, budget=None)
    period = _period(organization, budget, now)
    if pool.period < period:
        open_closings(table, organization, pool.period)
        roll_pool(table, organization, pool, period)
        return again
    if budget is not None:
        # Those of past periods too: a week, or a window, may have begun before this period.
        lying = [budget, *find_past_budgets(table, budget)]
        if any(expire_overdue(table, each, budget, now) for each in lying):
            return again
    left = not picture.member.active
    if budget is not None and budget.period == pool.period and (left or budget.is_open(now)):
        return picture
    if budget is not None and budget.allotment:
        recall_member(table, budget, now)
        return again
    if left:
        fresh = _closed(budget, picture)
    else:
        fresh = refresh(budget, organization, picture.member, now, pool_period=pool.period)
    refresh_budget(table, budget, fresh, next_look(fresh, now))
    return replace(picture, budget=replace(fresh, registered=True))


def _closed(budget: Budget | None, picture: Picture) -> Budget:
    """Return the budget of somebody who left as the pool's period begins without a request."""
    member, period = picture.member, picture.pool.period
    if budget is not None:
        return turn(budget, period)
    return Budget(member.org_id, member.user_id, period, member.seat_tier, epoch=1, answers={})


def _period(organization: Organization, budget: Budget | None, now: datetime) -> str:
    period = period_of(now, time_zone(organization.time_zone))
    return period if budget is None else max(period, budget.period)


def _after(budget: Budget, grant: Grant) -> Budget:
    """The budget as the grant leaves it, for the next guess and for what the answer shows."""
    return replace(
        budget,
        allotment=budget.allotment + grant.take - grant.amount,
        held=budget.held + grant.amount,
        granted=budget.granted + grant.take,
        day_granted=budget.day_granted + grant.take,
        week_granted=budget.week_granted + grant.take,
    )


def _guess(taken: Taken) -> Budget:
    """Guess that the seat still includes something after a request that it included.

    Such a request takes its whole bound, which is most often more than what is left of a small
    window, and its settlement gives most of that back before the next one.
    """
    hold = taken.spending.hold
    if hold is None or hold.source != "included":
        return taken.budget
    return replace(taken.budget, included_left=max(taken.budget.included_left, 1))


def _too_many(spending: Spending, budget: Budget) -> Refusal | None:
    hold = spending.hold
    if hold is None or hold.key in budget.holds or len(budget.holds) < HOLDS_MAX:
        return None
    return Refusal("too_many_open_authorizations", "user", budget.user_id, budget.seat_tier)


def _is_in(spending: Spending, seen: Budget) -> bool:
    return spending.hold is not None and seen.holds.get(spending.hold.key) == spending.hold


def _found_done(refused: Refused, spending: Spending, budget: Budget, look: Look) -> Taken | None:
    """Return what an attempt took whose reply was lost, None if something really moved."""
    _raise_if_done(refused, spending)
    seen = budget_after(refused, 0, budget)
    look(seen)
    return Taken(seen, spending) if _is_in(spending, seen) else None


def _raise_if_done(refused: Refused, spending: Spending) -> None:
    """Tell a receipt or line that exists from a budget or pool that says no."""
    first = len(refused.items) - len(spending.also)
    if any(refused.refused(index) for index in range(first, len(refused.items))):
        raise AlreadyDone from refused
