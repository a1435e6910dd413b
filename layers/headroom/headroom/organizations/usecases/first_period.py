"""The first period of an organization that is to be closed; each close opens the next one."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Final

from headroom.core.domain.periods import period_bounds, time_zone
from headroom.core.store.table import Refused, Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.closings import Closing, last_closings, put_closing
from headroom.organizations.store.organizations import (
    find_organization,
    find_pool,
    first_past_period,
)

# A close begins a little after the period's end, when what was on its way has arrived.
GRACE: Final = timedelta(minutes=5)


def first_closing(organization: Organization, period: str) -> Closing:
    """Return a period that has begun, to be closed when it is over."""
    starts_at, ends_at = period_bounds(period, time_zone(organization.time_zone))
    return Closing(organization.org_id, period, "open", starts_at, ends_at, due_at=ends_at + GRACE)


def open_closings(table: Table, organization: Organization, period: str) -> None:
    """Let an organization's periods be closed from its first one on, if none ever was.

    Organizations are provisioned with that. `period` is the pool's: the first one, if no other is
    filed. Repeating it, or running two at once, is harmless.

    Raises:
        Contended: others open them at the same time.
    """
    if last_closings(table, organization.org_id, limit=1):
        return
    first = first_past_period(table, organization.org_id) or period
    with suppress(Refused):
        table.transact([put_closing(first_closing(organization, first))])


def open_forgotten_closings(table: Table, org_id: str) -> bool:
    """Let the periods of an organization be closed that may never be used again.

    Whoever comes by in the background does this; returns whether there was anything to open.

    Raises:
        Contended: others open them at the same time.
    """
    if last_closings(table, org_id, limit=1):
        return False
    organization = find_organization(table, org_id)
    if organization is None:
        return False
    open_closings(table, organization, find_pool(table, org_id).period)
    return True
