"""Everything that is promised of an organization, checked after each single store operation.

It knows nothing of how the use cases come to their writes: from one look at the table to the next
it keeps accounts of its own, and holds the table's counters against them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from headroom.core.domain.instants import to_millis
from headroom.core.domain.periods import day_of, period_of, time_zone, week_of
from headroom.core.store.table import Item
from headroom.organizations.domain.organization import LimitPeriod, admits, effective_limits
from headroom.spending.domain.allotment import limit_used
from headroom.spending.domain.authorization import AuthorizationId, Hold
from headroom.spending.domain.budget import Budget, OpenWindow
from tests.books import Books, extra_nanos, overdue

# What each refusal claims to have been true.
CLAIMS: Final = {
    "organization_limit_reached": "cap",
    "wallet_empty": "wallet",
    "user_limit_reached": "user",
    "seat_tier_limit_reached": "seat_tier",
    "included_limit_reached": "consent",
    "extra_usage_disabled": "enabled",
    "member_not_enabled": "admitted",
    "payment_past_due": "paid",
}


@dataclass
class Watch:
    """A request under way, and everything that was in its favour at each instant so far.

    `least` says how much the request needs at least, None once that cannot be told any more.
    """

    user_id: str
    now: datetime
    least: Callable[[Books], int | None]
    chooses: bool | None = None
    always: set[str] = field(default_factory=lambda: set(CLAIMS.values()))
    seat_had_some: bool = True
    fitted: bool = True
    alone: bool = True
    met_a_cut: bool = False

    def refused(self, reason: str) -> None:
        """Hold a refusal against what was seen: it has to have been true at some instant."""
        if reason == "contended":
            assert not self.alone, "refused as contended, although nobody else was there"
            return
        assert CLAIMS[reason] not in self.always, f"{reason}, although it fitted all the time"
        assert not self.seat_had_some, f"{reason}, although the seat had something all the time"

    def left_unbilled(self) -> None:
        """Hold usage that was not billed against what was seen: it has to have been too much."""
        assert not self.fitted, "left unbilled, although it fitted all the time"


@dataclass(frozen=True)
class Terms:
    """What the settings allowed at one time."""

    may_spend: bool
    admitted: frozenset[str]
    cap: int
    limits: dict[tuple[str, LimitPeriod], int]


class Promises:
    """The promises made to one organization, since the books that it began with."""

    def __init__(self, books: Books) -> None:
        self._opening = books.pool.funds
        self._before = books
        self._terms = [_terms(books)]
        self._changing: Counter[str] = Counter()
        self._unfinished: set[str] = set()
        self._settled_by_day: Counter[tuple[str, str]] = Counter()
        self._included: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self._antedated: set[tuple[str, str, int]] = set()
        self._watches: dict[int, Watch] = {}

    def check(self, books: Books, *, movers: int = 0) -> None:
        """Check every promise as of this instant, which is one store operation after the last."""
        for watch in self._watches.values():
            watch.alone &= movers <= 1
        if books is self._before:
            self._forget_old_terms()
            return
        self._account(books)
        self._check_budgets(books)
        self._check_days(books)
        self._check_windows(books)
        self._check_conservation(books)
        self._check_ledger(books)
        self._check_wallet(books)
        self._check_growth(books)
        self._before = books
        self.observe(books)

    def watch(self, number: int, watch: Watch, books: Books) -> None:
        """Watch a request from now on."""
        self._watches[number] = watch
        _observe(watch, books)

    def forget(self, number: int) -> None:
        """Watch a request no longer."""
        del self._watches[number]

    def observe(self, books: Books) -> None:
        """Look on behalf of every request under way."""
        for watch in self._watches.values():
            _observe(watch, books)

    def check_rest(self, books: Books) -> None:
        """Check that nothing is left of holds, allotments and registrations."""
        assert not [each for each in books.all_budgets if each.holds or each.allotment]
        assert not books.registered

    @contextmanager
    def changing(self, subject: str) -> Iterator[None]:
        """Until a change of settings returns, what it replaces may still be relied on.

        A change that was cut off leaves that open, until it is repeated and returns.
        """
        self._changing[subject] += 1
        try:
            yield
        except BaseException:
            self._unfinished.add(subject)
            raise
        else:
            self._unfinished.discard(subject)
        finally:
            self._changing[subject] -= 1

    # Accounts, kept from step to step.

    def _account(self, books: Books) -> None:
        open_before: dict[tuple[str, str], Hold] = {
            (budget.user_id, key): hold
            for budget in self._before.all_budgets
            for key, hold in budget.holds.items()
        }
        for event_id in books.lines.keys() - self._before.lines.keys():
            self._account_line(books, books.lines[event_id], open_before)
        for event_id, line in self._before.lines.items():
            assert books.lines[event_id] == line, "a line of the ledger was changed"

    def _account_line(
        self, books: Books, line: Item, open_before: dict[tuple[str, str], Hold]
    ) -> None:
        user_id, source = line["user_id"]["S"], line["source"]["S"]
        cost, charged = int(line["cost"]["N"]), int(line["charged"]["N"])
        budget, hold = books.budgets.get(user_id), None
        if "authorization_id" in line:
            org_id = books.organization.org_id
            parsed = AuthorizationId.parse(line["authorization_id"]["S"], org_id=org_id)
            hold = open_before.get((user_id, parsed.key))
        if not cost and hold is None:
            return
        assert budget is not None, "usage that costs something has a budget"
        if hold is not None:
            assert hold.key not in {each.key for each in books.holds(user_id)}
            assert source == hold.source, "a settlement has the source of its hold"
            if cost <= hold.amount_nanos:
                assert not int(line["unbilled"]["N"]), "usage within its hold was not billed"
        if source == "included":
            opened = [window.opened_at for window in budget.windows]
            taken_at = hold.taken_at if hold else max(opened)
            self._included[user_id].append((taken_at, cost))
        within = min(charged, hold.amount_nanos) if hold else 0
        if hold:
            self._settled_by_day[user_id, day_of(hold.taken_at)] += within
        self._settled_by_day[user_id, budget.day] += charged - within

    def _used_since(self, books: Books, user_id: str, days: Callable[[str], bool]) -> int:
        """What counts in the days of which `days` is true: settled, or held since then."""
        settled = sum(
            amount
            for (who, day), amount in self._settled_by_day.items()
            if who == user_id and days(day)
        )
        held = sum(
            extra_nanos(hold) for hold in books.holds(user_id) if days(day_of(hold.taken_at))
        )
        return settled + held

    # Promises about one instant.

    def _check_budgets(self, books: Books) -> None:
        for budget in books.all_budgets:
            assert budget.held == sum(map(extra_nanos, budget.holds.values()))
            assert budget.granted == budget.allotment + budget.held + budget.spent
            assert min(budget.allotment, budget.held, budget.spent, budget.unbilled) >= 0
        for budget in books.budgets.values():
            if budget.allotment or budget.holds:
                assert budget.user_id in books.registered, "a recall would overlook this member"

    def _check_days(self, books: Books) -> None:
        for user_id, budget in books.budgets.items():
            assert limit_used(budget, "daily") == self._used_since(
                books,
                user_id,
                lambda day, today=budget.day: day == today,  # type: ignore[misc]
            )
            assert limit_used(budget, "weekly") == self._used_since(
                books,
                user_id,
                lambda day, monday=budget.week: _monday(day) == monday,  # type: ignore[misc]
            )

    def _check_windows(self, books: Books) -> None:
        """Every window has what it started with, less what was taken from it since it opened."""
        for user_id, budget in books.budgets.items():
            before = self._before.budgets.get(user_id)
            known = (
                {(each.duration, each.resets_at_millis) for each in before.windows}
                if before
                else set()
            )
            for window in budget.windows:
                taken = self._taken_from(window, user_id, books)
                place = user_id, window.duration, window.resets_at_millis
                if taken and place[1:] not in known:
                    # A clock that is behind may open a window that a change of the seat brought
                    # "before" usage which was never taken from it: no clock can tell them apart.
                    self._antedated.add(place)
                if place in self._antedated:
                    continue
                left = budget.included_left + window.excess_nanos
                assert left == window.amount_nanos - taken, (left, taken, window)
            if budget.windows:
                assert min(window.excess_nanos for window in budget.windows) == 0

    def _taken_from(self, window: OpenWindow, user_id: str, books: Books) -> int:
        settled = [
            cost for taken_at, cost in self._included[user_id] if taken_at >= window.opened_at
        ]
        held = [
            hold.amount_nanos
            for hold in books.holds(user_id)
            if hold.source == "included" and hold.taken_at >= window.opened_at
        ]
        return sum(settled) + sum(held)

    def _check_conservation(self, books: Books) -> None:
        pool, cap = books.pool, books.organization.cap
        granted = sum(each.granted for each in books.all_budgets if each.period == pool.period)
        assert granted + pool.unallotted == cap
        outside = sum(each.allotment + each.held + each.spent for each in books.all_budgets)
        given = self._opening if books.wallet is None else books.wallet.given
        assert pool.funds + outside == given
        assert pool.funds >= 0, "more was handed out than the wallet had"
        if pool.drained_at == pool.grants:
            idle = [each for each in books.budgets.values() if each.allotment]
            assert not idle, "the pool says that nobody holds an allotment"

    def _check_wallet(self, books: Books) -> None:
        """Entries = what the lots have = the balance, but for what was spent and is not booked."""
        wallet = books.wallet
        if wallet is None:
            return
        running = 0
        for entry in books.entries:
            running += entry.amount
            assert entry.balance == running >= 0
        assert running == wallet.total
        assert all(lot.remaining > 0 for lot in wallet.lots)
        booked = Counter(dict.fromkeys(wallet.booked, 0))
        for entry in books.entries:
            if entry.kind == "usage":
                booked[entry.period] -= entry.amount
        assert booked == wallet.booked
        spent: Counter[str] = Counter()
        for budget in books.all_budgets:
            spent[budget.period] += budget.spent
        assert all(booked[period] <= spent[period] for period in booked), "booked before spent"
        assert books.balance == wallet.total - (spent.total() - booked.total()) >= 0
        known = {entry.version: entry for entry in self._before.entries}
        for entry in books.entries:
            before = known.pop(entry.version, entry)
            assert before.to_item() == entry.to_item(), "an entry was changed"
        assert not known, "an entry is gone"

    def _check_ledger(self, books: Books) -> None:
        totals: Counter[tuple[str, str, str]] = Counter()
        for line in books.lines.values():
            place = line["user_id"]["S"], line["period"]["S"]
            totals[*place, "spent"] += int(line["charged"]["N"])
            totals[*place, "unbilled"] += int(line["unbilled"]["N"])
            if line["source"]["S"] == "included":
                totals[*place, "included"] += int(line["cost"]["N"])
        for budget in books.all_budgets:
            for counter in ("spent", "included", "unbilled"):
                key = (budget.user_id, budget.period, counter)
                assert getattr(budget, counter) == totals.pop(key, 0)
        assert not +totals, "the ledger has what no counter knows"

    # Promises about what changed since the last instant.

    def _check_growth(self, books: Books) -> None:
        """Settled and held together grow only as far as the settings in force allow."""
        terms = _terms(books)
        if terms != self._terms[-1]:
            self._terms.append(terms)
        self._forget_old_terms()
        used, used_before = _used(books), _used(self._before)
        if used[books.pool.period] > used_before[books.pool.period]:
            assert any(each.may_spend for each in self._terms), "spent while disabled"
            allowed = max(each.cap for each in self._terms)
            assert used[books.pool.period] <= allowed, "over the organization's cap"
        for user_id, budget in books.budgets.items():
            before = self._before.budgets.get(user_id)
            for period in ("monthly", "daily", "weekly"):
                self._check_own_growth(budget, before, period)

    def _forget_old_terms(self) -> None:
        if not +self._changing and not self._unfinished:
            self._terms = self._terms[-1:]

    def _check_own_growth(self, budget: Budget, before: Budget | None, period: LimitPeriod) -> None:
        used = limit_used(budget, period)
        if before is not None and _turn(before, period) == _turn(budget, period):
            if used <= limit_used(before, period):
                return
        elif not used:
            return
        assert any(budget.user_id in each.admitted for each in self._terms), "not admitted"
        allowed = [each.limits.get((budget.user_id, period)) for each in self._terms]
        assert any(each is None or used <= each for each in allowed), f"over a {period} limit"


def _observe(watch: Watch, books: Books) -> None:
    """Strike what is not in the request's favour at this instant."""
    budget = books.budgets.get(watch.user_id)
    lacking = _lacking(watch, books, budget)
    has_seat = books.members[watch.user_id].active
    seat_has_some = has_seat and _included_left(watch, books, budget)
    watch.always -= lacking
    watch.seat_had_some &= seat_has_some
    watch.met_a_cut |= books.pool.is_being_enforced(watch.now)
    watch.fitted &= seat_has_some or not lacking


def _lacking(watch: Watch, books: Books, budget: Budget | None) -> set[str]:
    """What stands against extra usage at this instant."""
    organization, member = books.organization, books.members[watch.user_id]
    lacking: set[str] = set()
    if not organization.enabled:
        lacking.add("enabled")
    if organization.past_due:
        lacking.add("paid")
    # Whoever left has neither a seat nor extra usage; what they used all the same is kept.
    if not member.active or not admits(organization, member):
        lacking.add("admitted")
    is_open = budget is not None and budget.is_open(watch.now)
    consents = member.continues and not (budget and is_open and not budget.consents)
    if not (consents if watch.chooses is None else watch.chooses):
        lacking.add("consent")
    least = watch.least(books)
    if least is None:
        return lacking | {"cap", "wallet", "user", "seat_tier"}
    period = max(
        period_of(watch.now, time_zone(organization.time_zone)),
        books.pool.period,
        budget.period if budget else "",
    )
    millis = to_millis(watch.now)
    used, free = 0, books.pool.funds
    for each in books.all_budgets:
        held = sum(extra_nanos(hold) for hold in each.holds.values() if not overdue(hold, millis))
        free += each.allotment + each.held - held
        if each.period == period:
            used += each.spent + held
    if used + least > organization.cap:
        lacking.add("cap")
    if least > free:
        lacking.add("wallet")
    for limit in effective_limits(organization, member):
        if _own_used(watch, books, budget, limit.period, period) + least > limit.amount_nanos:
            lacking.add(limit.source)
    return lacking


def _own_used(
    watch: Watch, books: Books, budget: Budget | None, kind: LimitPeriod, period: str
) -> int:
    """What counts against a member's own limit at the request's moment, without overdue holds."""
    if budget is None:
        return 0
    turn = {
        "monthly": period,
        "daily": max(day_of(watch.now), budget.day),
        "weekly": max(week_of(watch.now), budget.week),
    }[kind]
    if turn != _turn(budget, kind):
        return 0
    late = [
        hold
        for hold in books.holds(watch.user_id)
        if overdue(hold, to_millis(watch.now))
        and {
            "monthly": hold.key in budget.holds,
            "daily": day_of(hold.taken_at) == budget.day,
            "weekly": week_of(hold.taken_at) == budget.week,
        }[kind]
    ]
    return limit_used(budget, kind) - sum(map(extra_nanos, late))


def _included_left(watch: Watch, books: Books, budget: Budget | None) -> bool:
    """Tell whether the seat would include the request at this instant."""
    member = books.members[watch.user_id]
    allowance = books.organization.tiers[member.seat_tier].allowance
    if budget is None:
        return all(window.amount_nanos > 0 for window in allowance) and bool(allowance)
    millis = to_millis(watch.now)
    if budget.is_open(watch.now) and budget.seat_tier != member.seat_tier:
        return False  # The change of the seat is under way: either answer is right.
    running = {
        window.duration: window for window in budget.windows if window.resets_at_millis > millis
    }
    lefts = []
    for granted in allowance:
        window = running.get(granted.duration)
        if window is None:
            lefts.append(granted.amount_nanos)
            continue
        given_back = sum(
            hold.amount_nanos
            for hold in books.holds(watch.user_id)
            if hold.source == "included"
            and overdue(hold, millis)
            and hold.taken_at >= window.opened_at
        )
        left = budget.included_left + window.excess_nanos + given_back
        lefts.append(left + granted.amount_nanos - window.amount_nanos)
    return bool(lefts) and min(lefts) > 0


def _terms(books: Books) -> Terms:
    return Terms(
        books.organization.enabled and not books.organization.past_due,
        frozenset(
            member.user_id
            for member in books.members.values()
            if member.active and admits(books.organization, member)
        ),
        books.organization.cap,
        {
            (member.user_id, limit.period): limit.amount_nanos
            for member in books.members.values()
            for limit in effective_limits(books.organization, member)
        },
    )


def _used(books: Books) -> Counter[str]:
    """Settled and held by period."""
    used: Counter[str] = Counter()
    for budget in books.all_budgets:
        used[budget.period] += budget.spent + budget.held
    return used


def _turn(budget: Budget, period: LimitPeriod) -> str:
    return {"monthly": budget.period, "daily": budget.day, "weekly": budget.week}[period]


def _monday(day: str) -> str:
    if not day:
        # A budget that only keeps what somebody used who had left never had a day.
        return ""
    return week_of(datetime.fromisoformat(f"{day}T00:00:00+00:00"))
