"""Webhook endpoints as owners manage them: made, changed, rotated, removed, tried."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from headroom.core.domain.actor import Actor
from headroom.core.domain.instants import to_wire
from headroom.core.errors import Conflict, NotFound, Overloaded
from headroom.core.gateways.queue import Queue
from headroom.core.store.announcements import detail
from headroom.core.store.table import Change, Contended, Item, Refused, Table
from headroom.core.usecases.idempotency import Keyed
from headroom.core.usecases.pages import Listed, filtered, last_key
from headroom.notifications.domain.webhooks import (
    ENDPOINTS_MAX,
    TEST,
    Delivery,
    Endpoint,
    EndpointStatus,
    delivery_to,
    previous_end,
    rotated,
    secret_of,
)
from headroom.notifications.gateways.webhook_key import ReadKey
from headroom.notifications.store.deliveries import (
    begin_round,
    find_delivery,
    list_deliveries,
    put_delivery,
    read_delivery,
)
from headroom.notifications.store.endpoints import (
    change_endpoint,
    delete_endpoint,
    find_endpoint,
    list_endpoints,
    put_endpoint,
    rotate_endpoint,
)
from headroom.notifications.usecases.webhook_delivery import enqueue
from headroom.organizations.domain.audit import Facts, difference
from headroom.organizations.domain.organization import Organization
from headroom.organizations.usecases.minor_settings import Note, note_change

ID_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an owner asks of an endpoint."""

    url: str
    description: str | None
    event_types: tuple[str, ...] | None


def create_endpoint(
    table: Table,
    read_key: ReadKey,
    org_id: str,
    wanted: Wanted,
    actor: Actor,
    now: datetime,
    keyed: Keyed | None = None,
) -> dict[str, Any]:
    """Make an endpoint; its secret is in this answer, and in none to a repeat of the request.

    Raises:
        Conflict: there are too many endpoints.
        Overloaded: the same request is being answered at this moment; repeat it.
    """
    endpoint_id = f"whe_{_name(keyed).hex()}"
    endpoint = Endpoint(
        org_id, endpoint_id, wanted.url, wanted.description, wanted.event_types, now
    )
    shown = endpoint_to_wire(endpoint, now)

    def decide(organization: Organization) -> Note | None:
        known = {each.endpoint_id for each in list_endpoints(table, org_id)}
        if endpoint_id in known:
            raise Overloaded("the same request is being answered; try again")
        if len(known) >= ENDPOINTS_MAX:
            raise Conflict(f"url: there are {ENDPOINTS_MAX} endpoints; remove one first")
        return Note(
            "webhook_endpoint.created",
            endpoint_id,
            {},
            _facts(endpoint),
            organization,
            [put_endpoint(endpoint), *_filing(keyed, shown)],
        )

    note_change(table, org_id, decide, actor, now)
    return {**shown, "secret": secret_of(read_key(), org_id, endpoint_id, endpoint.rotation)}


def alter_endpoint(
    table: Table,
    org_id: str,
    endpoint_id: str,
    actor: Actor,
    now: datetime,
    *,
    changes: dict[str, Any],
    status: EndpointStatus | None,
) -> Endpoint:
    """Change an endpoint's address, description, filter or status; enabling forgives failures.

    Raises:
        NotFound: there is no such endpoint.
    """

    def decide(organization: Organization) -> Note | None:
        old = require_endpoint(table, org_id, endpoint_id)
        new = replace(old, **changes)
        if status == "enabled" and old.status == "disabled":
            new = replace(new, status="enabled", disabled_reason=None, failing_since=None)
        elif status == "disabled" and old.status == "enabled":
            new = replace(new, status="disabled", disabled_reason="owner")
        before, after = difference(_facts(old), _facts(new))
        if before == after:
            return None
        return Note(
            "webhook_endpoint.changed",
            endpoint_id,
            before,
            {"url": new.url, **after},
            organization,
            [change_endpoint(new)],
        )

    note_change(table, org_id, decide, actor, now)
    return require_endpoint(table, org_id, endpoint_id)


def remove_endpoint(
    table: Table, org_id: str, endpoint_id: str, actor: Actor, now: datetime
) -> None:
    """Remove an endpoint; what is on its way there is given up.

    Raises:
        NotFound: there is no such endpoint.
    """
    require_endpoint(table, org_id, endpoint_id)

    def decide(organization: Organization) -> Note | None:
        endpoint = find_endpoint(table, org_id, endpoint_id)
        if endpoint is None:
            return None
        return Note(
            "webhook_endpoint.deleted",
            endpoint_id,
            _facts(endpoint),
            {},
            organization,
            [delete_endpoint(endpoint)],
        )

    note_change(table, org_id, decide, actor, now)


def rotate_secret(
    table: Table,
    read_key: ReadKey,
    org_id: str,
    endpoint_id: str,
    actor: Actor,
    now: datetime,
    keyed: Keyed | None = None,
) -> dict[str, Any]:
    """Give an endpoint a new secret, which is in this answer; for a day the old one signs as well.

    A repeat of the request changes nothing, and its answer is without the secret.

    Raises:
        NotFound: there is no such endpoint.
        Conflict: it was rotated several times within the day.
    """
    made: list[Endpoint] = []

    def decide(organization: Organization) -> Note | None:
        endpoint = require_endpoint(table, org_id, endpoint_id)
        next_one = rotated(endpoint, now)
        if next_one is None:
            raise Conflict("secret: was rotated several times within a day; wait for the old ones")
        rotation, previous = next_one
        made[:] = [replace(endpoint, rotation=rotation, previous=previous)]
        shown = endpoint_to_wire(made[0], now)
        return Note(
            "webhook_endpoint.secret_rotated",
            endpoint_id,
            {"rotation": endpoint.rotation},
            {"rotation": rotation, "url": endpoint.url},
            organization,
            [rotate_endpoint(endpoint, rotation, previous), *_filing(keyed, shown)],
        )

    note_change(table, org_id, decide, actor, now)
    (endpoint,) = made
    secret = secret_of(read_key(), org_id, endpoint_id, endpoint.rotation)
    return {**endpoint_to_wire(endpoint, now), "secret": secret}


def try_endpoint(
    table: Table,
    queue: Queue,
    org_id: str,
    endpoint_id: str,
    now: datetime,
    keyed: Keyed | None = None,
) -> Delivery:
    """Send an endpoint an event that means nothing; the delivery shows what came of it.

    Raises:
        NotFound: there is no such endpoint.
        Conflict: it is disabled.
    """
    endpoint = _require_enabled(table, org_id, endpoint_id)
    event_id = f"{endpoint_id}_test_{_name(keyed).hex()}"
    begun_at = now if keyed is None else keyed.begun_at
    told = detail(org_id, event_id, {"endpoint_id": endpoint_id}, begun_at)
    delivery = delivery_to(endpoint, TEST, told, now)
    try:
        table.transact([put_delivery(delivery)])
    except Refused:
        # By an attempt that was cut off before it sent the message.
        delivery = require_delivery(table, org_id, delivery.delivery_id)
    except Contended as error:
        raise Overloaded("others begin the same delivery; try again") from error
    if delivery.status == "pending":
        enqueue(queue, delivery)
    return delivery


def redeliver(table: Table, queue: Queue, org_id: str, delivery_id: str, now: datetime) -> Delivery:
    """Send an event again to its endpoint. While it is on its way, it is on its way already.

    Raises:
        NotFound: there is no such delivery.
        Conflict: its endpoint was removed, or is disabled.
    """
    delivery = require_delivery(table, org_id, delivery_id)
    if find_endpoint(table, org_id, delivery.endpoint_id) is None:
        raise Conflict("endpoint: was removed")
    _require_enabled(table, org_id, delivery.endpoint_id)
    if delivery.status != "pending":
        try:
            delivery = read_delivery(table.update(begin_round(delivery, now)))
        except Refused:
            delivery = require_delivery(table, org_id, delivery_id)
    # Also if it waits already: the run that let it wait may have been cut off before it sent this.
    enqueue(queue, delivery)
    return delivery


def deliveries_page(
    table: Table,
    org_id: str,
    endpoint_ids: Sequence[str],
    statuses: Sequence[str],
    *,
    limit: int,
    start: Item | None,
) -> Listed:
    """Return a page of deliveries, the latest events first."""

    def is_wanted(item: Item) -> bool:
        delivery = read_delivery(item)
        return (not endpoint_ids or delivery.endpoint_id in endpoint_ids) and (
            not statuses or delivery.status in statuses
        )

    found = filtered(
        lambda begin: list_deliveries(table, org_id, limit=limit + 1, start=begin),
        is_wanted,
        limit,
        start,
    )
    rows = [delivery_to_wire(read_delivery(item)) for item in found[:limit]]
    return rows, last_key(found, limit)


def require_endpoint(table: Table, org_id: str, endpoint_id: str) -> Endpoint:
    """Return an endpoint.

    Raises:
        NotFound: the organization has none with this id.
    """
    endpoint = find_endpoint(table, org_id, endpoint_id)
    if endpoint is None:
        raise NotFound("endpoint_id: there is no webhook endpoint with this id")
    return endpoint


def require_delivery(table: Table, org_id: str, delivery_id: str) -> Delivery:
    """Return a delivery.

    Raises:
        NotFound: the organization has none with this id.
    """
    delivery = find_delivery(table, org_id, delivery_id)
    if delivery is None:
        raise NotFound("delivery_id: there is no webhook delivery with this id")
    return delivery


def endpoint_to_wire(endpoint: Endpoint, now: datetime) -> dict[str, Any]:
    """Return an endpoint as the wire has it, without its secret."""
    since, ends = endpoint.failing_since, previous_end(endpoint, now)
    return {
        "type": "webhook_endpoint",
        "id": endpoint.endpoint_id,
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": None if endpoint.event_types is None else list(endpoint.event_types),
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": None if since is None else to_wire(since),
        "created_at": to_wire(endpoint.created_at),
        "previous_secret_expires_at": None if ends is None else to_wire(ends),
    }


def delivery_to_wire(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery as the wire has it."""
    last = delivery.last_attempt_at
    is_pending = delivery.status == "pending"
    return {
        "type": "webhook_delivery",
        "id": delivery.delivery_id,
        "endpoint_id": delivery.endpoint_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "created_at": to_wire(delivery.created_at),
        "last_attempt_at": None if last is None else to_wire(last),
        "next_attempt_at": to_wire(delivery.next_attempt_at) if is_pending else None,
        "response_status": delivery.response_status,
        "error": delivery.error,
    }


def _require_enabled(table: Table, org_id: str, endpoint_id: str) -> Endpoint:
    endpoint = require_endpoint(table, org_id, endpoint_id)
    if endpoint.status == "disabled":
        raise Conflict("endpoint: is disabled; enable it first")
    return endpoint


def _facts(endpoint: Endpoint) -> Facts:
    """Return what owners decide about an endpoint, flat, as the audit shows it."""
    return {
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": None if endpoint.event_types is None else list(endpoint.event_types),
        "status": endpoint.status,
    }


def _name(keyed: Keyed | None) -> bytes:
    """Return the end of an id: under an idempotency key the same at every attempt."""
    return secrets.token_bytes(ID_BYTES) if keyed is None else keyed.entropy(ID_BYTES)


def _filing(keyed: Keyed | None, shown: dict[str, Any]) -> list[Change]:
    """Return the write of an answer without its secret, in the transaction of what it tells of."""
    return [] if keyed is None else [keyed.filing(shown)]
