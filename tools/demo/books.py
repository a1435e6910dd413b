"""An organization's books as they stand in the table: settings, counters and the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from headroom.core.store import keys
from headroom.core.store.table import Range, Table, each
from headroom.organizations.domain.organization import UNLIMITED_NANOS, Member, Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.organizations import find_organization, find_pool, list_members
from headroom.organizations.store.pool_record import PoolRecord
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import read_budget
from headroom.spending.store.ledger import list_lines
from headroom.spending.store.line_record import LineRecord
from headroom.spending.store.unpriced import unpriced_of
from headroom.wallets.store.wallets import list_wallet_entries

READ_ATTEMPTS_MAX: Final = 20
READ_TOGETHER: Final = 100


class BooksMoving(Exception):
    """Somebody else kept spending while the books were read."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a usage line says of money, in nanos; `parts` is what its components sum to."""

    event_id: str
    user_id: str
    period: str
    source: str
    cost: int
    parts: int
    charged: int
    unbilled: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Settings, pools and budgets of one instant. Budgets of past periods are among them."""

    organization: Organization
    members: tuple[Member, ...]
    pool: Pool
    past_pools: tuple[Pool, ...]
    budgets: tuple[Budget, ...]

    @property
    def periods(self) -> tuple[str, ...]:
        """Every billing period that left a trace, the earliest first."""
        pools = {pool.period for pool in (self.pool, *self.past_pools)}
        return tuple(sorted(pools | {budget.period for budget in self.budgets}))

    def budget_of(self, user_id: str, period: str | None = None) -> Budget | None:
        """Return a member's budget of a period, by default the pool's."""
        wanted = period or self.pool.period
        found = (each for each in self.budgets if (each.user_id, each.period) == (user_id, wanted))
        return next(found, None)


@dataclass(frozen=True, slots=True)
class Books:
    """Counters with the ledger that they have to agree with.

    `given` is what the wallet was given altogether.
    """

    counters: Counters
    lines: tuple[Line, ...]
    given: int


def read_books(
    table: Table,
    org_id: str,
    *,
    watch: Callable[[Sequence[Member]], Iterable[Member]] = tuple,
) -> Books:
    """Read all there is of an organization, as of one instant.

    The members are gone through by way of `watch`, which may show how far that is.

    The counters are read before ledger and wallet, and after them: if nothing moved, all of it
    belongs together, since neither a line nor an entry is written without a counter.

    Raises:
        BooksMoving: something moved every time.
    """
    counters = read_counters(table, org_id)
    for _ in range(READ_ATTEMPTS_MAX):
        lines = tuple(
            _line(record)
            for member in watch(counters.members)
            for period in counters.periods
            for record in list_lines(table, org_id, member.user_id, period)
        )
        # In no period, and of no amount, until there is a price.
        lines += tuple(_line(LineRecord.of(item)) for item in each(table, unpriced_of(org_id)))
        given = _given(table, counters.organization)
        again = read_counters(table, org_id)
        if again == counters:
            return Books(counters, lines, given)
        counters = again
    raise BooksMoving(f"the books of {org_id} did not stand still")


def read_counters(table: Table, org_id: str) -> Counters:
    """Read settings, pools and budgets, each consistently."""
    organization = find_organization(table, org_id)
    if organization is None:
        raise LookupError(f"the table has no organization {org_id}")
    members = tuple(list_members(table, org_id))
    pools = keys.past_pool(org_id, "")
    return Counters(
        organization=organization,
        members=members,
        pool=find_pool(table, org_id),
        past_pools=tuple(
            PoolRecord.of(item).to_domain() for item in each(table, Range(pools.pk, pools.sk))
        ),
        budgets=tuple(
            read_budget(item, org_id, member.user_id)
            for member in members
            for item in each(
                table,
                Range(
                    keys.budget(org_id, member.user_id).pk, keys.budget(org_id, member.user_id).sk
                ),
            )
        ),
    )


def find_lines(
    table: Table, events: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], LineRecord]:
    """Return the lines of those events, by organization and event id, that are in the ledger."""
    wanted = {keys.line(*event): event for event in events}
    places = list(wanted)
    found: dict[tuple[str, str], LineRecord] = {}
    for start in range(0, len(places), READ_TOGETHER):
        for key, item in table.get_many(places[start : start + READ_TOGETHER]).items():
            found[wanted[key]] = LineRecord.of(item)
    return found


def _line(record: LineRecord) -> Line:
    return Line(
        event_id=record.event_id,
        user_id=record.user_id,
        period=record.period,
        source=record.source,
        cost=record.cost,
        parts=sum(component[-1] for component in record.components),
        charged=record.charged,
        unbilled=record.unbilled,
    )


def _given(table: Table, organization: Organization) -> int:
    """Return what the wallet was given: its entries, without those that book what was spent.

    An Enterprise organization is invoiced, and spends from a wallet without a bottom.
    """
    if organization.plan == "enterprise":
        return UNLIMITED_NANOS
    entries = list_wallet_entries(table, organization.org_id)
    return sum(entry.amount for entry in entries if entry.kind != "usage")
