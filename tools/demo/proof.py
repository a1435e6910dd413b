"""The proof that nothing was lost, invented, exceeded or left open: from the table, to the nano.

Every check compares two things that were written independently of each other, and says what it
found where they differ. None looks at what a function answered, but for the last: what was
acknowledged to a client has to be in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from headroom.organizations.domain.organization import effective_limits
from headroom.spending.domain.allotment import limit_used
from headroom.spending.domain.authorization import Hold
from headroom.spending.domain.budget import Budget
from tools.demo.books import Books, Counters, Line
from tools.demo.replay import Outcome, Recording


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, what it was tested on, and where it does not hold."""

    claim: str
    tested: str
    findings: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class Proof:
    """All checks of a run. `foreign_holds` were open before it and are none of its business."""

    checks: tuple[Check, ...]
    foreign_holds: int = 0

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)


@dataclass(slots=True)
class _Sums:
    """What a member's lines of one period add up to."""

    charged: int = 0
    included: int = 0
    unbilled: int = 0

    def add(self, line: Line) -> None:
        self.charged += line.charged
        self.included += line.cost if line.source == "included" else 0
        self.unbilled += line.unbilled


@dataclass(slots=True)
class _Tested:
    """How much a check looked at, and what it found."""

    count: int = 0
    findings: list[str] = field(default_factory=list)

    def equal(self, what: str, left: int, right: int) -> None:
        self.count += 1
        if left != right:
            self.findings.append(f"{what}: {left} is not {right} nanos")

    def within(self, what: str, amount: int, limit: int) -> None:
        self.count += 1
        if amount > limit:
            self.findings.append(f"{what}: {amount} is more than {limit} nanos")


def prove(
    before: Sequence[Counters],
    after: Sequence[Books],
    outcomes: Sequence[Outcome],
    *,
    started_at: datetime,
) -> Proof:
    """Return the proof of a run that found `before`, and left `after`."""
    open_before = {(place, hold) for counters in before for place, hold in _holds(counters)}
    open_after = [(place, hold) for books in after for place, hold in _holds(books.counters)]
    ours = [
        (place, hold)
        for place, hold in open_after
        if (place, hold) not in open_before and hold.taken_at >= started_at
    ]
    return Proof(
        (
            _ledger_equals_counters(after),
            _lines_add_up(after),
            _money_is_conserved(after),
            _limits_hold(before, after),
            _acknowledged_is_recorded(after, outcomes),
            Check(
                "nothing is left held",
                f"{sum(each.allowed for each in outcomes):,} authorizations",
                tuple(f"{user}: {hold.amount_nanos} nanos" for (_, user), hold in ours),
            ),
        ),
        foreign_holds=len(open_after) - len(ours),
    )


def _ledger_equals_counters(all_books: Iterable[Books]) -> Check:
    tested = _Tested()
    lines = 0
    for books in all_books:
        sums: dict[tuple[str, str], _Sums] = {}
        for line in books.lines:
            sums.setdefault((line.user_id, line.period), _Sums()).add(line)
        budgets = {(each.user_id, each.period): each for each in books.counters.budgets}
        lines += len(books.lines)
        for place in sorted(sums.keys() | budgets.keys()):
            total, budget = sums.get(place, _Sums()), budgets.get(place)
            name = " in ".join(place)
            tested.count += 1
            spent, included, unbilled = (
                (budget.spent, budget.included, budget.unbilled) if budget else (0, 0, 0)
            )
            for what, of_lines, counted in (
                ("extra", total.charged, spent),
                ("included", total.included, included),
                ("unbilled", total.unbilled, unbilled),
            ):
                if of_lines != counted:
                    tested.findings.append(
                        f"{name}: the lines have {of_lines} nanos {what}, the counter {counted}"
                    )
    return Check(
        "ledger = counters, to the nano",
        f"{lines:,} lines, {tested.count:,} members and periods",
        tuple(tested.findings),
    )


def _lines_add_up(all_books: Iterable[Books]) -> Check:
    tested = _Tested()
    for books in all_books:
        for line in books.lines:
            tested.equal(f"{line.event_id}: its parts and its cost", line.parts, line.cost)
            if line.source != "included":
                borne = line.charged + line.unbilled
                tested.equal(f"{line.event_id}: who bears it and its cost", borne, line.cost)
        events = Counter(line.event_id for line in books.lines)
        tested.findings += [f"{event} has {n} lines" for event, n in events.items() if n > 1]
    return Check(
        "every line is the sum of its parts, once",
        f"{sum(len(books.lines) for books in all_books):,} lines",
        tuple(tested.findings),
    )


def _money_is_conserved(all_books: Iterable[Books]) -> Check:
    tested = _Tested()
    for books in all_books:
        counters, name = books.counters, books.counters.organization.name
        for budget in counters.budgets:
            of = f"{budget.user_id} in {budget.period}"
            parts = budget.allotment + budget.held + budget.spent
            tested.equal(f"{of}: granted and its parts", budget.granted, parts)
            holds = [hold for hold in budget.holds.values() if hold.source == "extra_usage"]
            summed = sum(hold.amount_nanos for hold in holds)
            tested.equal(f"{of}: held and its holds", budget.held, summed)
        granted = sum(
            budget.granted for budget in counters.budgets if budget.period == counters.pool.period
        )
        total = counters.pool.unallotted + granted
        tested.equal(f"{name}: pool and members together, and the cap", total, _cap(counters))
        out = sum(each.allotment + each.held + each.spent for each in counters.budgets)
        total = counters.pool.funds + out
        tested.equal(f"{name}: wallet and members together, and what it got", total, books.given)
    return Check(
        "no money appears or vanishes: Σ granted + unallotted = cap",
        f"{tested.count:,} equations",
        tuple(tested.findings),
    )


def _limits_hold(before: Iterable[Counters], after: Iterable[Books]) -> Check:
    """Spent and held are within each limit, or were beyond it already and did not grow.

    They can be beyond a limit that an owner lowered under what was spent by then.
    """
    tested = _Tested()
    earlier = {
        (counters.organization.org_id, budget.user_id): budget
        for counters in before
        for budget in _current(counters)
    }
    for books in after:
        counters = books.counters
        organization = counters.organization
        members = {member.user_id: member for member in counters.members}
        used = was_used = 0
        for budget in _current(counters):
            was = earlier.get((organization.org_id, budget.user_id))
            was = was if was and was.period == budget.period else None
            used += budget.spent + budget.held
            was_used += was.spent + was.held if was else 0
            for limit in effective_limits(organization, members[budget.user_id]):
                amount = limit_used(budget, limit.period)
                floor = limit_used(was, limit.period) if was else 0
                what = f"{budget.user_id}: spent and held, {limit.period}"
                tested.within(what, amount, max(limit.amount_nanos, floor))
        name = organization.name
        tested.within(f"{name}: spent and held", used, max(_cap(counters), was_used))
        tested.within(f"{name}: owed by the wallet", -counters.pool.funds, 0)
    return Check(
        "no limit, cap or wallet is exceeded",
        f"{tested.count:,} of them",
        tuple(tested.findings),
    )


def _acknowledged_is_recorded(all_books: Iterable[Books], outcomes: Iterable[Outcome]) -> Check:
    findings: list[str] = []
    lines = {
        (books.counters.organization.org_id, line.event_id): line
        for books in all_books
        for line in books.lines
    }
    count = 0
    for outcome in outcomes:
        place = outcome.task.person.org_id, outcome.task.event_id
        if outcome.recorded > 1:
            findings.append(f"{place[1]} was taken {outcome.recorded} times")
        if outcome.recording is None:
            continue
        count += 1
        line = lines.get(place)
        if line is None:
            findings.append(f"{place[1]} was acknowledged, and is not in the ledger")
        elif _said(line) != outcome.recording:
            findings.append(f"{place[1]} was acknowledged as another amount than its line has")
    return Check(
        "what was acknowledged is in the ledger, once", f"{count:,} events", tuple(findings)
    )


def _said(line: Line) -> Recording:
    included = line.cost if line.source == "included" else 0
    return Recording(line.source, included, line.charged, line.unbilled)


def _current(counters: Counters) -> Iterator[Budget]:
    """The budgets of the pool's period; a member who was not seen in it has none."""
    return (each for each in counters.budgets if each.period == counters.pool.period)


def _cap(counters: Counters) -> int:
    return counters.organization.cap


def _holds(counters: Counters) -> Iterator[tuple[tuple[str, str], Hold]]:
    for budget in counters.budgets:
        for hold in budget.holds.values():
            yield (budget.org_id, budget.user_id), hold
