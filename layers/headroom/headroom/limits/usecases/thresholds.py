"""Following the budgets by the table's stream: period-to-date totals, and thresholds crossed."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from headroom.core.domain.money import format_amount
from headroom.core.domain.periods import day_of, week_of
from headroom.core.errors import Overloaded
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Contended, Refused, Table
from headroom.limits.domain.thresholds import crossed
from headroom.limits.store.figures import TOGETHER_MAX, raise_total
from headroom.organizations.domain.organization import (
    LimitPeriod,
    Member,
    Organization,
    effective_limits,
    generation_of,
)
from headroom.organizations.store.organizations import find_members, find_organization, read_member
from headroom.spending.domain.budget import Budget
from headroom.spending.domain.spending import spent_so_far
from headroom.spending.usecases.recall import batches

# A shard's batches come ten at a time, and all of them may be of one organization.
ATTEMPTS_MAX: Final = 16
REMEMBERED_MAX: Final = 10_000
REACHED: Final = "spend_limit.threshold_reached"


class Announced:
    """The crossings that this process has seen announced, so that it need not ask again."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._seen

    def add(self, event_id: str) -> None:
        """Remember a crossing, and forget the one seen longest ago when there are too many."""
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)


def follow(
    table: Table, budgets: Iterable[Budget], announced: Announced, now: datetime
) -> list[Organization]:
    """Bring the totals up to these budgets, and announce each threshold that was crossed.

    Budgets may come repeatedly and in any order. Returns the organizations that they are of.

    Raises:
        Overloaded: others move the same figures; the same budgets may simply come again.
    """
    latest: dict[tuple[str, str], dict[str, Budget]] = defaultdict(dict)
    for budget in budgets:
        members = latest[budget.org_id, budget.period]
        known = members.get(budget.user_id)
        if known is None or budget.spent >= known.spent:
            members[budget.user_id] = budget
    followed = []
    for (org_id, period), members in latest.items():
        organization = find_organization(table, org_id)
        if organization is None:
            continue
        for together in batches(members.values(), TOGETHER_MAX):
            spent = {budget.user_id: budget.spent for budget in together if budget.spent}
            total = _raise(table, org_id, period, spent)
            _announce_organization(table, organization, period, total, announced, now)
            _announce_members(table, organization, together, announced, now)
        followed.append(organization)
    return followed


def _raise(table: Table, org_id: str, period: str, spent: dict[str, int]) -> int:
    for _ in range(ATTEMPTS_MAX):
        try:
            return raise_total(table, org_id, period, spent)
        except (Refused, Contended):
            continue
    raise Overloaded("others are on these figures; try again")


def _announce_organization(
    table: Table,
    organization: Organization,
    period: str,
    total: int,
    announced: Announced,
    now: datetime,
) -> None:
    if organization.cap_nanos is None:
        return
    for level in crossed(total, organization.cap_nanos):
        facts = {
            "scope": {"type": "organization"},
            "period": "monthly",
            "starts": period,
            "threshold_percent": level,
            "amount": format_amount(organization.cap_nanos),
            "period_to_date_spend": format_amount(total),
        }
        place = f"{organization.org_id}_{period}_{organization.cap_nanos}"
        event_id = f"{place}_{level}{_since(organization.cap_generation)}"
        _announce(table, organization.org_id, event_id, facts, announced, now)


def _announce_members(
    table: Table,
    organization: Organization,
    budgets: list[Budget],
    announced: Announced,
    now: datetime,
) -> None:
    found = find_members(table, organization.org_id, [budget.user_id for budget in budgets])
    members = {member.user_id: member for member in map(read_member, found.values())}
    for budget in budgets:
        member = members.get(budget.user_id)
        if member is not None:
            _announce_member(table, organization, member, budget, announced, now)


def _announce_member(
    table: Table,
    organization: Organization,
    member: Member,
    budget: Budget,
    announced: Announced,
    now: datetime,
) -> None:
    for limit in effective_limits(organization, member):
        spent = spent_so_far(budget, organization, limit.period, now)
        for level in crossed(spent, limit.amount_nanos):
            starts = _starts(limit.period, budget, now)
            facts = {
                "scope": {"type": "user", "user_id": member.user_id},
                "period": limit.period,
                "starts": starts,
                "threshold_percent": level,
                "amount": format_amount(limit.amount_nanos),
                "period_to_date_spend": format_amount(spent),
            }
            place = f"{member.user_id}_{limit.period}_{starts}_{limit.amount_nanos}"
            generation = generation_of(organization, member, limit)
            event_id = f"{place}_{level}{_since(generation)}"
            _announce(table, organization.org_id, event_id, facts, announced, now)


def _starts(period: LimitPeriod, budget: Budget, now: datetime) -> str:
    return {"monthly": budget.period, "daily": day_of(now), "weekly": week_of(now)}[period]


def _since(generation: int) -> str:
    """A limit that is set back to an earlier amount is crossed anew."""
    return f"_{generation}" if generation else ""


def _announce(
    table: Table,
    org_id: str,
    event_id: str,
    facts: dict[str, Any],
    announced: Announced,
    now: datetime,
) -> None:
    if event_id in announced:
        return
    try:
        table.transact([put_announcement(org_id, event_id, REACHED, facts, now)])
    except Refused:
        # Announced before: the event's id is derived from the crossing.
        pass
    except Contended as error:
        raise Overloaded("others announce the same; try again") from error
    announced.add(event_id)
