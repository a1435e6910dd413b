"""What the payment processor told us: stored before it is acted on, and known again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, cast

from pynamodb.attributes import UnicodeAttribute

from headroom.core.domain.instants import to_millis
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import Item, Put, Range, Refused, Table, Update
from headroom.wallets.domain.payments import EventKind, PaymentEvent

# Long after the processor's last repetition, which comes within days.
EVENTS_LAST: Final = timedelta(days=90)
# Whoever received an event acts on it at once; only after this does anybody else.
ACT_WITHIN: Final = timedelta(minutes=2)
ACT_AGAIN_AFTER_MAX: Final = timedelta(hours=1)


class PaymentEventRecord(Record):
    """What the payment processor told us. It is due until it was acted on, and kept for a while."""

    kind = UnicodeAttribute()
    created_at = UnicodeAttribute()
    received_at = UnicodeAttribute()
    payment_id = UnicodeAttribute(null=True)
    payment_key = UnicodeAttribute(null=True)
    customer_id = UnicodeAttribute(null=True)
    amount_cents = IntegerAttribute()
    state = UnicodeAttribute()
    attempts = IntegerAttribute(default=0)
    due_shard = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)
    expires_at = IntegerAttribute(null=True)


def store_event(table: Table, event: PaymentEvent, now: datetime) -> bool:
    """Store an event, once; tell whether it still has to be acted on."""
    key = keys.payment_event(event.event_id)
    record = PaymentEventRecord(
        key.pk,
        key.sk,
        kind=event.kind,
        created_at=wire_moment(event.created_at),
        received_at=wire_moment(now),
        payment_id=event.payment_id,
        payment_key=event.key,
        customer_id=event.customer_id,
        amount_cents=event.amount_cents,
        state="stored",
        due_shard=keys.payment_event_shard(event.event_id),
        due_at=to_millis(now + ACT_WITHIN),
    )
    try:
        table.transact([Put(key, record.to_item(), PaymentEventRecord.pk.does_not_exist())])
    except Refused as refused:
        known = refused.found(0)
        return known is None or PaymentEventRecord.of(known).state != "acted"
    return True


def close_event(table: Table, event_id: str, now: datetime) -> None:
    """Note that an event was acted on. Nobody has to look at it again."""
    table.update(
        Update(
            keys.payment_event(event_id),
            [
                PaymentEventRecord.state.set("acted"),
                PaymentEventRecord.due_shard.remove(),
                PaymentEventRecord.due_at.remove(),
                PaymentEventRecord.expires_at.set(int((now + EVENTS_LAST).timestamp())),
            ],
            PaymentEventRecord.pk.exists(),
        )
    )


def postpone_event(table: Table, event_id: str, attempts: int, now: datetime) -> None:
    """Look at an event again later, each time after twice as long, unless it was acted on."""
    wait = min(ACT_WITHIN * 2 ** min(attempts, 10), ACT_AGAIN_AFTER_MAX)
    try:
        table.update(
            Update(
                keys.payment_event(event_id),
                [
                    PaymentEventRecord.attempts.set(attempts + 1),
                    PaymentEventRecord.due_at.set(to_millis(now + wait)),
                ],
                PaymentEventRecord.state == "stored",
            )
        )
    except Refused:
        return  # Somebody else did it meanwhile.


def unfinished_events(table: Table, now: datetime) -> Iterator[tuple[PaymentEvent, int]]:
    """Walk the events that are due, each with how often it was looked at in vain."""
    for shard in range(keys.DUE_SHARDS):
        due = Range(keys.unfinished_shard(shard), index="by_due", until=to_millis(now))
        start: Item | None = None
        while True:
            page = table.query(due, start=start)
            for item in page.items:
                record = PaymentEventRecord.of(item)
                yield _event(record), record.attempts
            start = page.next_key
            if start is None:
                break


def _event(record: PaymentEventRecord) -> PaymentEvent:
    return PaymentEvent(
        event_id=record.pk.partition("#")[2],
        kind=cast("EventKind", record.kind),
        created_at=datetime.fromisoformat(record.created_at),
        payment_id=record.payment_id,
        key=record.payment_key,
        customer_id=record.customer_id,
        amount_cents=record.amount_cents,
    )
