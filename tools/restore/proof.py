"""What a table promises of itself, proved from its items alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from headroom.domain.allotment import Pool
from headroom.domain.budget import Budget
from headroom.domain.organization import Organization
from headroom.store.keys import owner_of_budget
from headroom.store.models import LineRecord, PoolRecord, SettingsRecord, read_budget
from headroom.store.table import Item


@dataclass
class Ledger:
    """The items that the promises are about, by organization."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    budgets: dict[str, list[Budget]] = field(default_factory=lambda: defaultdict(list))
    charged: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    lines: int = 0


def read(items: Iterable[Item]) -> Ledger:
    """Sort a table's items."""
    ledger = Ledger()
    for item in items:
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        owner = owner_of_budget(pk, sk)
        if owner:
            ledger.budgets[owner[0]].append(read_budget(item, *owner))
        elif sk == "SETTINGS":
            organization = SettingsRecord.of(item).to_domain()
            ledger.organizations[organization.org_id] = organization
        elif sk == "POOL":
            ledger.pools[pk.removeprefix("ORG#")] = PoolRecord.of(item).to_domain()
        elif sk == "LINE":
            line = LineRecord.of(item)
            ledger.lines += 1
            ledger.charged[line.org_id, line.user_id, line.period] += line.charged
    return ledger


def findings(ledger: Ledger) -> Iterator[str]:
    """Say wherever counters and ledger disagree; nothing when all is well."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for org_id, organization in ledger.organizations.items():
        pool = ledger.pools.get(org_id)
        if pool is None:
            yield f"{org_id} has no pool"
            continue
        granted = 0
        for budget in ledger.budgets[org_id]:
            place = f"{org_id} {budget.user_id} {budget.period}"
            counted[org_id, budget.user_id, budget.period] += budget.spent
            if budget.granted != budget.allotment + budget.held + budget.spent:
                yield f"{place}: granted is not allotment, held and spent"
            if budget.period == pool.period:
                granted += budget.granted
        if pool.unallotted + granted != organization.cap:
            yield f"{org_id}: unallotted and granted are not the cap"
    for spent, charged in (counted - ledger.charged).items():
        yield f"{' '.join(spent)}: {charged} nanos are counted without a line"
    for spent, charged in (ledger.charged - counted).items():
        yield f"{' '.join(spent)}: {charged} nanos of lines are not counted"
