"""Deliveries of events to webhook endpoints: each attempt is claimed before it is made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, cast

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition

from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Item, Key, Page, Put, Range, Table, Update
from headroom.notifications.domain.webhooks import Delivery, DeliveryStatus

# Long enough to send again what a receiver missed.
DELIVERY_LASTS: Final = timedelta(days=30)


class DeliveryRecord(Record):
    """A delivery, with the very text that is sent. Moments are milliseconds."""

    org_id = UnicodeAttribute()
    delivery_id = UnicodeAttribute()
    endpoint_id = UnicodeAttribute()
    event_id = UnicodeAttribute()
    event_type = UnicodeAttribute()
    payload = UnicodeAttribute()
    created_at = IntegerAttribute()
    next_attempt_at = IntegerAttribute()
    status = UnicodeAttribute()
    round = IntegerAttribute()
    attempts = IntegerAttribute()
    last_attempt_at = IntegerAttribute(null=True)
    response_status = IntegerAttribute(null=True)
    error = UnicodeAttribute(null=True)
    expires_at = IntegerAttribute()


def find_delivery(table: Table, org_id: str, delivery_id: str) -> Delivery | None:
    """Return a delivery, None if the organization has none with this id."""
    item = table.get(keys.webhook_delivery(org_id, delivery_id))
    return None if item is None else read_delivery(item)


def deliveries_of(org_id: str) -> Range:
    """Where an organization's deliveries lie, the latest first."""
    return Range(f"ORG#{org_id}#DELIVERIES", descending=True)


def list_deliveries(table: Table, org_id: str, *, limit: int, start: Item | None) -> Page:
    """Return a page of deliveries, the latest events first."""
    return table.query(deliveries_of(org_id), limit=limit, start=start)


def put_delivery(delivery: Delivery) -> Put:
    """Return the write of a new delivery."""
    key = keys.webhook_delivery(delivery.org_id, delivery.delivery_id)
    record = DeliveryRecord(
        key.pk,
        key.sk,
        org_id=delivery.org_id,
        delivery_id=delivery.delivery_id,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        payload=delivery.payload,
        created_at=to_millis(delivery.created_at),
        next_attempt_at=to_millis(delivery.next_attempt_at),
        status=delivery.status,
        round=delivery.round,
        attempts=delivery.attempts,
        expires_at=int((delivery.created_at + DELIVERY_LASTS).timestamp()),
    )
    return Put(key, record.to_item(), DeliveryRecord.pk.does_not_exist())


def claim_attempt(table: Table, delivery: Delivery, now: datetime, until: datetime) -> Delivery:
    """Claim the next attempt; nobody else may make one before `until`.

    Raises:
        Refused: somebody else claimed it, or the delivery is settled.
    """
    item = table.update(
        Update(
            _key(delivery),
            [
                DeliveryRecord.attempts.set(delivery.attempts + 1),
                DeliveryRecord.last_attempt_at.set(to_millis(now)),
                DeliveryRecord.next_attempt_at.set(to_millis(until)),
            ],
            _is(delivery),
        )
    )
    return read_delivery(item)


def settle_attempt(
    delivery: Delivery,
    status: DeliveryStatus,
    *,
    response_status: int | None,
    error: str | None,
    next_attempt_at: datetime,
) -> Update:
    """Return the write of what came of an attempt, refused if a later one was claimed."""
    return Update(
        _key(delivery),
        [
            DeliveryRecord.status.set(status),
            DeliveryRecord.next_attempt_at.set(to_millis(next_attempt_at)),
            DeliveryRecord.response_status.remove()
            if response_status is None
            else DeliveryRecord.response_status.set(response_status),
            DeliveryRecord.error.remove() if error is None else DeliveryRecord.error.set(error),
        ],
        _is(delivery),
    )


def begin_round(delivery: Delivery, now: datetime) -> Update:
    """Return the write that sends a settled delivery anew, refused if somebody else did."""
    return Update(
        _key(delivery),
        [
            DeliveryRecord.status.set("pending"),
            DeliveryRecord.round.set(delivery.round + 1),
            DeliveryRecord.attempts.set(0),
            DeliveryRecord.next_attempt_at.set(to_millis(now)),
            DeliveryRecord.expires_at.set(int((now + DELIVERY_LASTS).timestamp())),
        ],
        (DeliveryRecord.round == delivery.round) & (DeliveryRecord.status == delivery.status),
    )


def read_delivery(item: Item) -> Delivery:
    """Read a delivery."""
    record = DeliveryRecord.of(item)
    return Delivery(
        org_id=record.org_id,
        delivery_id=record.delivery_id,
        endpoint_id=record.endpoint_id,
        event_id=record.event_id,
        event_type=record.event_type,
        payload=record.payload,
        created_at=from_millis(record.created_at),
        next_attempt_at=from_millis(record.next_attempt_at),
        status=cast("DeliveryStatus", record.status),
        round=record.round,
        attempts=record.attempts,
        last_attempt_at=_moment(record.last_attempt_at),
        response_status=record.response_status,
        error=record.error,
    )


def _is(delivery: Delivery) -> Condition:
    """Say that a delivery waits, and that nobody has claimed another attempt of it."""
    unclaimed: Condition = (
        (DeliveryRecord.status == "pending")
        & (DeliveryRecord.round == delivery.round)
        & (DeliveryRecord.attempts == delivery.attempts)
    )
    return unclaimed


def _key(delivery: Delivery) -> Key:
    return keys.webhook_delivery(delivery.org_id, delivery.delivery_id)


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)
