"""The close of billing periods: one item for each organization and period, moved by conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, cast

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Change, Item, Put, Range, Table, each
from headroom.organizations.domain.tax import Tax
from headroom.organizations.store.settings_record import read_tax, tax_value

# How a closed period stands: nothing may be held in it any more, its open holds are waited for,
# its totals are proved, its invoice is written.
ClosingState = Literal["open", "closing", "closed", "invoiced"]


class ClosingRecord(Record):
    """How far a close has come. It is in the index `by_due` until its invoice is written."""

    org_id = UnicodeAttribute()
    period = UnicodeAttribute()
    state = UnicodeAttribute()
    starts_at = IntegerAttribute()
    ends_at = IntegerAttribute()
    attempts = IntegerAttribute()
    version = IntegerAttribute()
    bounds = JSONAttribute(null=True)
    tax = JSONAttribute(null=True)
    requests = IntegerAttribute(null=True)
    charged = IntegerAttribute(null=True)
    included = IntegerAttribute(null=True)
    unbilled = IntegerAttribute(null=True)
    invoice_id = UnicodeAttribute(null=True)
    due_shard = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)


@dataclass(frozen=True, slots=True)
class Closing:
    """One period of one organization; `due_at` is when somebody has to see to it next.

    The sums are nanos, and zero until the period is closed. `bounds` are the members behind whom
    the shards of a close begin, fixed when it begins: every run of it cuts the members alike. So is
    the tax on its invoice.
    """

    org_id: str
    period: str
    state: ClosingState
    starts_at: datetime
    ends_at: datetime
    due_at: datetime | None
    attempts: int = 0
    requests: int = 0
    charged: int = 0
    included: int = 0
    unbilled: int = 0
    invoice_id: str | None = None
    bounds: tuple[str, ...] = ()
    tax: Tax | None = None
    version: int = 1


def put_closing(closing: Closing) -> Put:
    """Return the write of a period that has begun, refused if it has before."""
    return _put(closing, None)


def find_closing(table: Table, org_id: str, period: str) -> Closing | None:
    """Return how far a period's close has come, None if the organization has no such period."""
    item = table.get(keys.closing(org_id, period))
    return None if item is None else read_closing(item)


def last_closings(table: Table, org_id: str, *, limit: int) -> list[Closing]:
    """Return an organization's last periods, the latest first."""
    place = keys.closing(org_id, "")
    page = table.query(Range(place.pk, prefix=place.sk, descending=True), limit=limit)
    return [read_closing(item) for item in page.items]


def list_due(table: Table, shard: int, now: datetime) -> Iterator[Closing]:
    """Walk through the periods of a shard that somebody has to see to."""
    due = Range(keys.closing_shard(shard), index="by_due", until=to_millis(now))
    for item in each(table, due):
        yield read_closing(item)


def move_closing(table: Table, old: Closing, new: Closing, also: Sequence[Change] = ()) -> Closing:
    """Write how far a close has come, if nobody else moved it since `old` was read.

    Raises:
        Refused: somebody did; or one of `also` was refused.
        Contended: others are on it.
    """
    table.transact([put_moved(old, new), *also])
    return replace(new, version=old.version + 1)


def put_moved(old: Closing, new: Closing) -> Put:
    """Return the write of how far a close has come, refused if somebody else moved it."""
    return _put(replace(new, version=old.version + 1), old.version)


def _put(closing: Closing, over: int | None) -> Put:
    key = keys.closing(closing.org_id, closing.period)
    record = ClosingRecord(
        key.pk,
        key.sk,
        org_id=closing.org_id,
        period=closing.period,
        state=closing.state,
        starts_at=to_millis(closing.starts_at),
        ends_at=to_millis(closing.ends_at),
        attempts=closing.attempts,
        version=closing.version,
        bounds=list(closing.bounds),
        tax=tax_value(closing.tax),
        requests=closing.requests,
        charged=closing.charged,
        included=closing.included,
        unbilled=closing.unbilled,
        invoice_id=closing.invoice_id,
    )
    if closing.due_at is not None:
        record.due_shard = keys.closing_shard(keys.shard_of(closing.org_id, ""))
        record.due_at = to_millis(closing.due_at)
    condition = ClosingRecord.pk.does_not_exist() if over is None else ClosingRecord.version == over
    return Put(key, record.to_item(), condition)


def read_closing(item: Item) -> Closing:
    """Read how far a period's close has come."""
    record = ClosingRecord.of(item)
    due_millis: int | None = record.due_at
    return Closing(
        org_id=record.org_id,
        period=record.period,
        state=cast("ClosingState", record.state),
        starts_at=from_millis(record.starts_at),
        ends_at=from_millis(record.ends_at),
        due_at=None if due_millis is None else from_millis(due_millis),
        attempts=record.attempts,
        requests=record.requests or 0,
        charged=record.charged or 0,
        included=record.included or 0,
        unbilled=record.unbilled or 0,
        invoice_id=record.invoice_id,
        bounds=tuple(cast("list[str]", record.bounds or [])),
        tax=read_tax(record.tax),
        version=record.version,
    )
