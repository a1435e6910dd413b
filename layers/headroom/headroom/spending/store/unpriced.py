"""Usage that has no price yet: an item that says so, until its usage line takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from headroom.core.domain.instants import to_millis
from headroom.core.store import keys
from headroom.core.store.records import wire_moment
from headroom.core.store.table import Item, Put, Range, Refused, Table, Update
from headroom.spending.store.line_record import LineRecord

UNPRICED: Final = "unpriced"
# Each time after twice as long: a model may never get a price, and a book is seldom refreshed.
TRY_AGAIN_AFTER: Final = timedelta(minutes=10)
TRY_AGAIN_AFTER_MAX: Final = timedelta(hours=6)
# As many are counted for those who look at a page: beyond it is "many".
COUNTED_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class UnpricedEvent:
    """A usage event as it was sent, and the member of it that has no price."""

    org_id: str
    event_id: str
    user_id: str
    authorization_id: str | None
    digest: str
    model: str
    product: str | None
    occurred_at: datetime
    recorded_at: datetime
    usage: dict[str, Any]
    as_sent: dict[str, Any]
    field: str
    message: str
    attempts: int = 0


def put_unpriced(event: UnpricedEvent) -> Put:
    """Return the write of an event without a price, refused if the event was recorded before."""
    key = keys.line(event.org_id, event.event_id)
    record = LineRecord(
        key.pk,
        key.sk,
        org_id=event.org_id,
        user_id=event.user_id,
        event_id=event.event_id,
        authorization_id=event.authorization_id,
        digest=event.digest,
        model=event.model,
        product=event.product,
        seat_tier="",
        source=UNPRICED,
        cost=0,
        charged=0,
        unbilled=0,
        period="",
        occurred_at=f"{wire_moment(event.occurred_at)}#{event.event_id}",
        recorded_at=wire_moment(event.recorded_at),
        price_version="",
        components=[],
        usage=event.usage,
        member_period=keys.unpriced_of(event.org_id),
        unpriced_digest=event.digest,
        unpriced=[event.field, event.message],
        as_sent=event.as_sent,
        attempts=event.attempts,
        due_shard=keys.unpriced_shard(event.org_id, event.event_id),
        due_at=to_millis(event.recorded_at + TRY_AGAIN_AFTER),
    )
    return Put(key, record.to_item(), LineRecord.pk.does_not_exist())


def unpriced_of(org_id: str) -> Range:
    """Where an organization's usage without a price lies, the latest first."""
    return Range(keys.unpriced_of(org_id), index="by_member", descending=True)


def count_unpriced(table: Table, org_id: str) -> int:
    """Return how much usage has no price, 100 if there is more. The index is a moment behind."""
    counted, start = 0, None
    while counted < COUNTED_MAX:
        # A page ends at 1 MB, which few long events fill.
        page = table.query(unpriced_of(org_id), limit=COUNTED_MAX - counted, start=start)
        counted += len(page.items)
        start = page.next_key
        if start is None:
            break
    return counted


def due_unpriced(table: Table, shard: int, now: datetime) -> Iterator[UnpricedEvent]:
    """Walk the events of a shard whose price is to be looked for again."""
    due = Range(keys.unpriced_due(shard), index="by_due", until=to_millis(now))
    start: Item | None = None
    while True:
        page = table.query(due, start=start)
        yield from map(read_unpriced, page.items)
        start = page.next_key
        if start is None:
            return


def put_off(table: Table, event: UnpricedEvent, now: datetime) -> None:
    """Look for an event's price again later, unless it has its line by now."""
    wait = min(TRY_AGAIN_AFTER * 2 ** min(event.attempts + 1, 10), TRY_AGAIN_AFTER_MAX)
    try:
        table.update(
            Update(
                keys.line(event.org_id, event.event_id),
                [
                    LineRecord.attempts.set(event.attempts + 1),
                    LineRecord.due_at.set(to_millis(now + wait)),
                ],
                LineRecord.unpriced_digest == event.digest,
            )
        )
    except Refused:
        return  # It was priced meanwhile.


def read_unpriced(item: Item) -> UnpricedEvent:
    """Read an event without a price."""
    record = LineRecord.of(item)
    field, message = cast("list[str]", record.unpriced)
    return UnpricedEvent(
        org_id=record.org_id,
        event_id=record.event_id,
        user_id=record.user_id,
        authorization_id=record.authorization_id,
        digest=record.digest,
        model=record.model,
        product=record.product,
        occurred_at=datetime.fromisoformat(record.occurred_at.partition("#")[0]),
        recorded_at=datetime.fromisoformat(record.recorded_at),
        usage=cast("dict[str, Any]", record.usage),
        as_sent=cast("dict[str, Any]", record.as_sent),
        field=field,
        message=message,
        attempts=record.attempts or 0,
    )


def unpriced_to_wire(item: Item) -> dict[str, Any]:
    """Return an event without a price as the wire has it."""
    event = read_unpriced(item)
    return {
        "type": "unpriced_usage",
        "id": event.event_id,
        "authorization_id": event.authorization_id,
        "user_id": event.user_id,
        "model": event.model,
        "product": event.product,
        "occurred_at": wire_moment(event.occurred_at),
        "recorded_at": wire_moment(event.recorded_at),
        "unpriced": {"field": event.field, "message": event.message},
        "usage": event.usage,
    }
