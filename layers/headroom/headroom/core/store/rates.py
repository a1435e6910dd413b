"""How often an organization may call, counted by the minute."""

from __future__ import annotations

from datetime import datetime, timedelta

from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Refused, Table, Update


class RateRecord(Record):
    """A count of calls in one minute."""

    calls = IntegerAttribute()
    expires_at = IntegerAttribute()


def count_call(table: Table, org_id: str, most: int, now: datetime) -> bool:
    """Count a call in the running minute; False if `most` were made in it already.

    A call that is counted twice, because a reply was lost, costs its caller one of sixty.
    """
    minute = now.strftime("%Y-%m-%dT%H:%M")
    expires_at = int((now + timedelta(minutes=5)).timestamp())
    update = Update(
        keys.rate(org_id, minute),
        [RateRecord.calls.add(1), RateRecord.expires_at.set(expires_at)],
        RateRecord.calls.does_not_exist() | (RateRecord.calls < most),
    )
    try:
        table.update(update)
    except Refused:
        return False
    return True
