"""Events out, by way of the table: written with what they tell, passed on by its stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import Item, Put

# The version of the shape of `detail`, which is what other programs read from the event bus.
DETAIL_VERSION: Final = "1"
ANNOUNCEMENT_LASTS: Final = timedelta(days=30)


class AnnouncementRecord(Record):
    """An event for the bus, written in the transaction of what it tells."""

    detail_type = UnicodeAttribute()
    detail = JSONAttribute()
    expires_at = IntegerAttribute()


def put_announcement(
    org_id: str, event_id: str, detail_type: str, facts: Mapping[str, Any], now: datetime
) -> Put:
    """Return the write of an event; `event_id` is derived from its cause, so it happens once."""
    key = keys.announcement(org_id, event_id)
    record = AnnouncementRecord(
        key.pk,
        key.sk,
        detail_type=detail_type,
        detail=detail(org_id, event_id, facts, now),
        expires_at=int((now + ANNOUNCEMENT_LASTS).timestamp()),
    )
    return Put(key, record.to_item(), AnnouncementRecord.pk.does_not_exist())


def detail(org_id: str, event_id: str, facts: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the detail of an event as the bus carries it."""
    return {
        "version": DETAIL_VERSION,
        "id": f"evt_{event_id}",
        "organization_id": org_id,
        "occurred_at": wire_moment(now),
        **facts,
    }


def read_announcement(image: Item) -> tuple[str, dict[str, Any]]:
    """Read detail type and detail off an item that announces something."""
    detail_type: str = image["detail_type"]["S"]
    told: dict[str, Any] = json.loads(image["detail"]["S"])
    return detail_type, told
