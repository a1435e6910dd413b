"""Usage that had no price when it came: recorded as usage that comes late, once it has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from headroom.core.domain.instants import to_millis
from headroom.core.errors import InvalidRequest, Overloaded
from headroom.core.store.keys import DUE_SHARDS
from headroom.core.store.table import Contended, Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_organization
from headroom.spending.store.unpriced import UNPRICED, UnpricedEvent, due_unpriced, put_off
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import UsageEvent, record

# Reads an event as it was sent, at the moment at which it came.
ParseEvent = Callable[[Mapping[str, Any], datetime], UsageEvent]

HOUR_MILLIS = 3_600_000


def price_waiting(
    table: Table, now: datetime, may_go_on: Callable[[], bool], parse: ParseEvent
) -> int:
    """Record what has a price by now of the usage that waits for one; return how much did.

    Its line takes the place of what waited, in one write: repeating it, or running two at once,
    is harmless. What has no price still is put off.
    """
    priced = 0
    organizations: dict[str, Organization | None] = {}
    # Not always in the same order, so that nobody is left over each time that time is up.
    first = to_millis(now) // HOUR_MILLIS
    for number in range(DUE_SHARDS):
        for event in due_unpriced(table, (first + number) % DUE_SHARDS, now):
            if not may_go_on():
                return priced
            if event.org_id not in organizations:
                organizations[event.org_id] = find_organization(table, event.org_id)
            organization = organizations[event.org_id]
            if organization is not None and _price(table, organization, event, now, parse):
                priced += 1
            else:
                with suppress(Contended):
                    put_off(table, event, now)
    return priced


def _price(
    table: Table,
    organization: Organization,
    event: UnpricedEvent,
    now: datetime,
    parse: ParseEvent,
) -> bool:
    try:
        # As of when it came: by now it may be too old to be sent.
        read = parse(event.as_sent, event.recorded_at)
        result = record(table, Hints(), organization, read, now)
    except (InvalidRequest, Overloaded):
        return False
    return bool(result["status"] != "rejected" and result["source"] != UNPRICED)
