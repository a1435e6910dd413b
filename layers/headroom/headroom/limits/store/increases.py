"""Members' requests for a higher limit: at most one of each member is pending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from headroom.core.domain.actor import Actor
from headroom.core.domain.instants import to_millis
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import Change, Delete, Item, Page, Put, Range, Table, Update, each
from headroom.organizations.domain.organization import LIMIT_PERIODS, LimitPeriod

Status = Literal["pending", "approved", "denied"]

STATUSES: tuple[Status, ...] = ("pending", "approved", "denied")


class IncreaseRecord(Record):
    """A member's request for a higher limit, and what became of it."""

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    period = UnicodeAttribute()
    status = UnicodeAttribute()
    created_at = UnicodeAttribute()
    note = UnicodeAttribute(null=True)
    resolved_at = UnicodeAttribute(null=True)
    resolved_by = JSONAttribute(null=True)


class PendingRecord(Record):
    """Which request of a member is pending, and since when."""

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    request_id = UnicodeAttribute()
    due_shard = UnicodeAttribute()
    due_at = IntegerAttribute()


@dataclass(frozen=True, slots=True)
class IncreaseRequest:
    """One request; `resolved_by` is None while it is pending."""

    org_id: str
    request_id: str
    user_id: str
    period: LimitPeriod
    status: Status
    created_at: str
    note: str | None = None
    resolved_at: str | None = None
    resolved_by: Actor | None = None


def create_request(
    table: Table, request: IncreaseRequest, announcement: Change, now: datetime
) -> None:
    """Write a new request, and the event that tells of it.

    Raises:
        Refused: first if the member has one pending (the item says which), then if it exists.
    """
    pending_key = keys.pending_request(request.org_id, request.user_id)
    pending = PendingRecord(
        pending_key.pk,
        pending_key.sk,
        org_id=request.org_id,
        user_id=request.user_id,
        request_id=request.request_id,
        due_shard=keys.digest_shard(keys.shard_of(request.org_id, request.user_id)),
        due_at=to_millis(now),
    )
    table.transact(
        [
            Put(pending_key, pending.to_item(), PendingRecord.pk.does_not_exist()),
            _put(request),
            announcement,
        ]
    )


def resolve(request: IncreaseRequest, status: Status, actor: Actor, now: datetime) -> list[Change]:
    """Return the writes that close a pending request; refused if it is closed already."""
    key = keys.increase_request(request.org_id, request.request_id)
    return [
        Update(
            key,
            [
                IncreaseRecord.status.set(status),
                IncreaseRecord.resolved_at.set(wire_moment(now)),
                IncreaseRecord.resolved_by.set(actor.wire()),
            ],
            IncreaseRecord.status == "pending",
        ),
        Delete(keys.pending_request(request.org_id, request.user_id)),
    ]


def find_request(table: Table, org_id: str, request_id: str) -> IncreaseRequest | None:
    """Return a request, None if the organization has none with this id."""
    item = table.get(keys.increase_request(org_id, request_id))
    return None if item is None else read_request(item)


def requests_of(org_id: str) -> Range:
    """Where an organization's increase requests lie, the most recent first."""
    return Range(f"ORG#{org_id}#REQUESTS", descending=True)


def list_requests(table: Table, org_id: str, *, limit: int, start: Item | None) -> Page:
    """Return a page of requests, the most recent first."""
    return table.query(requests_of(org_id), limit=limit, start=start)


def find_pending(table: Table, org_id: str, user_id: str) -> str | None:
    """Return the id of a member's request that waits for an answer, None if there is none."""
    item = table.get(keys.pending_request(org_id, user_id))
    return None if item is None else PendingRecord.of(item).request_id


def list_pending(table: Table, org_id: str) -> Iterator[str]:
    """Walk through the ids of the requests that wait for an answer."""
    for item in each(table, Range(f"ORG#{org_id}#PENDING")):
        yield PendingRecord.of(item).request_id


def list_waiting(table: Table, now: datetime) -> Iterator[tuple[str, str]]:
    """Walk through all requests that wait, in all organizations: organization and request id."""
    for shard in range(keys.DUE_SHARDS):
        waiting = Range(keys.digest_shard(shard), index="by_due", until=to_millis(now))
        for item in each(table, waiting):
            record = PendingRecord.of(item)
            yield record.org_id, record.request_id


def read_request(item: Item) -> IncreaseRequest:
    """Read a request."""
    record = IncreaseRecord.of(item)
    resolved_by = cast("dict[str, Any] | None", record.resolved_by)
    return IncreaseRequest(
        org_id=record.org_id,
        request_id=record.sk.removeprefix("REQUEST#"),
        user_id=record.user_id,
        period=_one_of(LIMIT_PERIODS, record.period),
        status=_one_of(STATUSES, record.status),
        created_at=record.created_at,
        note=record.note,
        resolved_at=record.resolved_at,
        resolved_by=Actor(resolved_by["type"], resolved_by["id"]) if resolved_by else None,
    )


def _put(request: IncreaseRequest) -> Put:
    key = keys.increase_request(request.org_id, request.request_id)
    record = IncreaseRecord(
        key.pk,
        key.sk,
        org_id=request.org_id,
        user_id=request.user_id,
        period=request.period,
        status=request.status,
        created_at=request.created_at,
        note=request.note,
    )
    return Put(key, record.to_item(), IncreaseRecord.pk.does_not_exist())


def _one_of(known: Sequence[Any], value: str) -> Any:  # noqa: ANN401 - one of `known`
    return known[known.index(value)]
