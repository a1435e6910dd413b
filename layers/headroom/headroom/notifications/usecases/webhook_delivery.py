"""Events on their way to webhook endpoints: at least once to each, with back-off, then given up.

An event of the bus becomes a delivery for each endpoint that wants it, and a message in the queue
for each delivery. Every attempt is claimed by one conditional write, so a message that comes
twice makes no second attempt; a run that is cut off leaves a claim that lapses.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from headroom.core.domain.instants import to_millis
from headroom.core.errors import Overloaded
from headroom.core.gateways.queue import Queue
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Contended, Refused, Table
from headroom.notifications.domain.webhooks import (
    DISABLED,
    FAILING_MAX,
    GONE,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Endpoint,
    deliveries_of,
    retry_after,
    secret_of,
)
from headroom.notifications.gateways.webhook_key import ReadKey
from headroom.notifications.gateways.webhooks import NotDelivered, Sender, sign
from headroom.notifications.store.deliveries import (
    claim_attempt,
    find_delivery,
    put_delivery,
    settle_attempt,
)
from headroom.notifications.store.endpoints import (
    find_endpoint,
    list_endpoints,
    note_failure,
    note_success,
    switch_off,
)

# A claim outlives the longest attempt, and the function that makes it.
CLAIM_LASTS: Final = timedelta(seconds=60)
# So that what failed together is not tried together again: up to so much longer.
JITTER: Final = 0.1


def fan_out(
    table: Table, queue: Queue, event_type: str, detail: Mapping[str, Any], now: datetime
) -> int:
    """Begin the deliveries of an event; return how many. The event may come again.

    A delivery is written before its message is sent: a run cut off between the two is repeated
    by the event's own message, and then sends it.
    """
    begun = 0
    endpoints = list_endpoints(table, detail["organization_id"])
    for delivery in deliveries_of(event_type, detail, endpoints, now):
        try:
            table.transact([put_delivery(delivery)])
        except Refused:
            known = find_delivery(table, delivery.org_id, delivery.delivery_id)
            if known is None or known.status != "pending":
                continue
        except Contended as error:
            raise Overloaded("others begin the same delivery; try again") from error
        enqueue(queue, delivery)
        begun += 1
    return begun


def enqueue(queue: Queue, delivery: Delivery) -> None:
    """Let a delivery be attempted as soon as the queue gets to it."""
    message = {
        "organization_id": delivery.org_id,
        "delivery_id": delivery.delivery_id,
        "round": delivery.round,
    }
    queue.send([message])


def attempt(
    table: Table,
    sender: Sender,
    read_key: ReadKey,
    message: Mapping[str, Any],
    now: datetime,
) -> timedelta | None:
    """Make the attempt that a message stands for, if it is due.

    Return after how long the message is to come again, None when its delivery is settled.
    """
    delivery = find_delivery(table, message["organization_id"], message["delivery_id"])
    if delivery is None or delivery.round != message["round"] or delivery.status != "pending":
        return None
    if delivery.next_attempt_at > now:
        return delivery.next_attempt_at - now
    endpoint = find_endpoint(table, delivery.org_id, delivery.endpoint_id)
    try:
        if endpoint is None or endpoint.status == "disabled":
            error = "endpoint_deleted" if endpoint is None else "endpoint_disabled"
            _give_up(table, delivery, now, error)
            return None
        claimed = claim_attempt(table, delivery, now, now + CLAIM_LASTS)
    except Refused:
        # Somebody else has just claimed it; by then it is settled, or due again.
        return CLAIM_LASTS
    status, reason = _send(sender, read_key, endpoint, claimed, now)
    if status is not None and 200 <= status < 300:
        # In this order: a run cut off between the two sends it again, and an endpoint that works
        # is never taken for one that fails.
        if endpoint.failing_since is not None:
            note_success(table, endpoint)
        return _settle(table, claimed, now, status, None, None)
    since = note_failure(table, endpoint, now)
    if since is not None and status == GONE:
        _switch_off(table, endpoint, "gone", since, now)
        return _settle(table, claimed, now, status, "endpoint_gone", None)
    if since is not None and now - since >= FAILING_MAX:
        _switch_off(table, endpoint, "failing", since, now)
    return _settle(table, claimed, now, status, reason, retry_after(claimed.attempts))


def _send(
    sender: Sender, read_key: ReadKey, endpoint: Endpoint, delivery: Delivery, now: datetime
) -> tuple[int | None, str]:
    """Return the status of the answer, or None, and what to tell owners if it is no success."""
    secrets = [
        secret_of(read_key(), endpoint.org_id, endpoint.endpoint_id, rotation)
        for rotation in endpoint.signing(now)
    ]
    headers = sign(secrets, delivery.event_id, delivery.payload, now)
    try:
        status = sender.send(endpoint.url, headers, delivery.payload.encode())
    except NotDelivered as error:
        return None, error.reason
    return status, f"status_{status}"


def _settle(
    table: Table,
    delivery: Delivery,
    now: datetime,
    response_status: int | None,
    error: str | None,
    wait: timedelta | None,
) -> timedelta | None:
    """Write what came of a claimed attempt, and return after how long the next is due."""
    status: DeliveryStatus = "succeeded" if error is None else "failed"
    if wait is not None:
        status = "pending"
        wait += wait * random.random() * JITTER  # noqa: S311 - it spreads load, and hides nothing.
    update = settle_attempt(
        delivery,
        status,
        response_status=response_status,
        error=error,
        next_attempt_at=now + (wait or timedelta()),
    )
    try:
        table.update(update)
    except Refused:
        # The claim lapsed meanwhile, and another attempt was made: that one's outcome counts.
        return CLAIM_LASTS
    return wait


def _give_up(table: Table, delivery: Delivery, now: datetime, error: str) -> None:
    table.update(
        settle_attempt(delivery, "failed", response_status=None, error=error, next_attempt_at=now)
    )


def _switch_off(
    table: Table, endpoint: Endpoint, reason: DisabledReason, since: datetime, now: datetime
) -> None:
    """Disable an endpoint, once, and say so."""
    facts = {"endpoint_id": endpoint.endpoint_id, "url": endpoint.url, "reason": reason}
    # Enabled again it may fail again, since a later moment: that is another event.
    event_id = f"{endpoint.endpoint_id}_{reason}_{to_millis(since)}"
    told = put_announcement(endpoint.org_id, event_id, DISABLED, facts, now)
    try:
        table.transact([switch_off(endpoint, reason), told])
    except Refused:
        return
    except Contended as error:
        raise Overloaded("others are on this endpoint; try again") from error
