"""Webhook endpoints: what owners decide about them, and what deliveries find out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Delete, Item, Key, Put, Range, Refused, Table, Update, each
from headroom.notifications.domain.webhooks import DisabledReason, Endpoint, EndpointStatus


class EndpointRecord(Record):
    """A webhook endpoint. Its secret is derived and stored nowhere."""

    org_id = UnicodeAttribute()
    endpoint_id = UnicodeAttribute()
    url = UnicodeAttribute()
    description = UnicodeAttribute(null=True)
    event_types = JSONAttribute(null=True)
    created_at = IntegerAttribute()
    status = UnicodeAttribute()
    disabled_reason = UnicodeAttribute(null=True)
    failing_since = IntegerAttribute(null=True)
    rotation = IntegerAttribute()
    previous = JSONAttribute()


def find_endpoint(table: Table, org_id: str, endpoint_id: str) -> Endpoint | None:
    """Return an endpoint, None if the organization has none with this id."""
    item = table.get(keys.webhook_endpoint(org_id, endpoint_id))
    return None if item is None else _read(item)


def list_endpoints(table: Table, org_id: str) -> Iterator[Endpoint]:
    """Walk through an organization's endpoints, which are few."""
    for item in each(table, Range(f"ORG#{org_id}#WEBHOOKS")):
        yield _read(item)


def put_endpoint(endpoint: Endpoint) -> Put:
    """Return the write of a new endpoint."""
    key = keys.webhook_endpoint(endpoint.org_id, endpoint.endpoint_id)
    record = EndpointRecord(
        key.pk,
        key.sk,
        org_id=endpoint.org_id,
        endpoint_id=endpoint.endpoint_id,
        url=endpoint.url,
        description=endpoint.description,
        event_types=_to_json(endpoint),
        created_at=to_millis(endpoint.created_at),
        status=endpoint.status,
        rotation=endpoint.rotation,
        previous=[list(each) for each in endpoint.previous],
    )
    return Put(key, record.to_item(), EndpointRecord.pk.does_not_exist())


def change_endpoint(endpoint: Endpoint) -> Update:
    """Return the write of what owners decide about an endpoint that exists."""
    actions = [
        EndpointRecord.url.set(endpoint.url),
        EndpointRecord.status.set(endpoint.status),
        EndpointRecord.description.remove()
        if endpoint.description is None
        else EndpointRecord.description.set(endpoint.description),
        EndpointRecord.event_types.remove()
        if endpoint.event_types is None
        else EndpointRecord.event_types.set(_to_json(endpoint)),
        EndpointRecord.disabled_reason.remove()
        if endpoint.disabled_reason is None
        else EndpointRecord.disabled_reason.set(endpoint.disabled_reason),
        EndpointRecord.failing_since.remove()
        if endpoint.failing_since is None
        else EndpointRecord.failing_since.set(to_millis(endpoint.failing_since)),
    ]
    return Update(_key(endpoint), actions, EndpointRecord.pk.exists())


def rotate_endpoint(
    endpoint: Endpoint, rotation: int, previous: tuple[tuple[int, int], ...]
) -> Update:
    """Return the write of an endpoint's next secret, refused if it has that or a later one."""
    return Update(
        _key(endpoint),
        [
            EndpointRecord.rotation.set(rotation),
            EndpointRecord.previous.set([list(each) for each in previous]),
        ],
        EndpointRecord.rotation == endpoint.rotation,
    )


def delete_endpoint(endpoint: Endpoint) -> Delete:
    """Return the removal of an endpoint."""
    return Delete(_key(endpoint))


def note_failure(table: Table, endpoint: Endpoint, now: datetime) -> datetime | None:
    """Record that an endpoint fails and return since when, None if it is gone or off."""
    since = EndpointRecord.failing_since
    try:
        item = table.update(
            Update(
                _key(endpoint),
                [since.set(since | to_millis(now))],
                EndpointRecord.status == "enabled",
            )
        )
    except Refused:
        return None
    return _read(item).failing_since


def note_success(table: Table, endpoint: Endpoint) -> None:
    """Record that an endpoint accepts events."""
    try:
        table.update(
            Update(
                _key(endpoint),
                [EndpointRecord.failing_since.remove()],
                EndpointRecord.failing_since.exists(),
            )
        )
    except Refused:
        # It did not fail, or somebody else has noted that it works, or it was deleted.
        return


def switch_off(endpoint: Endpoint, reason: DisabledReason) -> Update:
    """Return the write that disables an endpoint, refused if it is not enabled any more."""
    return Update(
        _key(endpoint),
        [
            EndpointRecord.status.set("disabled"),
            EndpointRecord.disabled_reason.set(reason),
        ],
        EndpointRecord.status == "enabled",
    )


def _key(endpoint: Endpoint) -> Key:
    return keys.webhook_endpoint(endpoint.org_id, endpoint.endpoint_id)


def _to_json(endpoint: Endpoint) -> list[str] | None:
    return None if endpoint.event_types is None else list(endpoint.event_types)


def _read(item: Item) -> Endpoint:
    record = EndpointRecord.of(item)
    event_types = cast("list[str] | None", record.event_types)
    previous = cast("list[Any]", record.previous)
    return Endpoint(
        org_id=record.org_id,
        endpoint_id=record.endpoint_id,
        url=record.url,
        description=record.description,
        event_types=None if event_types is None else tuple(event_types),
        created_at=from_millis(record.created_at),
        status=cast("EndpointStatus", record.status),
        disabled_reason=cast("DisabledReason | None", record.disabled_reason),
        failing_since=_moment(record.failing_since),
        rotation=record.rotation,
        previous=tuple((int(rotation), int(until)) for rotation, until in previous),
    )


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)
