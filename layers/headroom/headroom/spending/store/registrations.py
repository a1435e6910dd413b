"""Members of whom an organization may have to recall something."""

from __future__ import annotations

from collections.abc import Iterator

from pynamodb.attributes import UnicodeAttribute

from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Range, Table, each


class RegistrationRecord(Record):
    """A member of whom the organization may have to recall something, and when to look."""

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    due_shard = UnicodeAttribute()
    due_at = IntegerAttribute()


def list_registered(table: Table, org_id: str, begin: str = "") -> Iterator[str]:
    """Walk through the members who may hold an allotment or an open hold.

    Goes round: from `begin` to the last of them, and on from the first.
    """
    everyone = Range(f"ORG#{org_id}#REGISTRY")
    start = keys.registration(org_id, begin).attributes() if begin else None
    for item in each(table, everyone, start):
        yield RegistrationRecord.of(item).user_id
    if not begin:
        return
    for item in each(table, everyone):
        user_id = RegistrationRecord.of(item).user_id
        if user_id > begin:
            return
        yield user_id


def registered_page(table: Table, org_id: str, *, limit: int) -> list[str]:
    """Return the first of the members who may hold an allotment or an open hold."""
    page = table.query(Range(f"ORG#{org_id}#REGISTRY"), limit=limit)
    return [RegistrationRecord.of(item).user_id for item in page.items]
