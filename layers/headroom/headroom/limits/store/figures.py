"""Figures that follow the budgets, exact however often and in what order the stream tells of them.

What a member has spent in a period only grows. So each member's part is kept beside the total, and
both move in one transaction by what is new: a record that was seen before, or comes late, is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pynamodb.expressions.condition import Condition

from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Change, Put, Table, Update

# Members in one transaction, beside the total: DynamoDB takes a hundred items.
TOGETHER_MAX = 50


class SpendRecord(Record):
    """A figure that follows the budgets: a member's part of it, or the organization's total."""

    spent = IntegerAttribute()


def raise_total(table: Table, org_id: str, period: str, spent: Mapping[str, int]) -> int:
    """Let the total contain what up to 50 members have spent by now, and return it.

    Raises:
        Refused: another run moved the same figures; look again.
        Contended: others are on them.
    """
    total_key = keys.spend_total(org_id, period)
    places = {keys.spend_of(org_id, period, user_id): user_id for user_id in spent}
    found = table.get_many([total_key, *places])
    counted = {key: SpendRecord.of(item).spent for key, item in found.items()}
    total = counted.pop(total_key, 0)
    changes: list[Change] = []
    added = 0
    for key, user_id in places.items():
        before = counted.get(key)
        new = spent[user_id] - (before or 0)
        if new <= 0:
            continue
        added += new
        changes.append(Put(key, _figure(spent[user_id]), _still(before)))
    if not added:
        return total
    change = Update(
        total_key,
        [SpendRecord.spent.add(added)],
        _still(total if total_key in found else None),
    )
    table.transact([change, *changes])
    return total + added


def find_totals(table: Table, org_id: str, periods: Collection[str]) -> dict[str, int]:
    """Return what an organization has spent in each of up to 100 periods, those with a total."""
    places = {keys.spend_total(org_id, period): period for period in periods}
    found = table.get_many(list(places))
    return {places[key]: SpendRecord.of(item).spent for key, item in found.items()}


def _still(before: int | None) -> Condition:
    if before is None:
        return SpendRecord.pk.does_not_exist()
    return SpendRecord.spent == before


def _figure(spent: int) -> dict[str, dict[str, str]]:
    return {"spent": {"N": str(spent)}}
