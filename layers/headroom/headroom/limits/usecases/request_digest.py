"""Once a day, each organization with requests that wait for an answer is reminded of them."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Final

from headroom.core.domain.periods import day_of
from headroom.core.errors import Overloaded
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Contended, Refused, Table
from headroom.limits.store.increases import list_waiting

OUTSTANDING: Final = "spend_limit.increase_requests_outstanding"
# A digest names some and counts all: an event carries 256 KB.
NAMED_MAX: Final = 100


def digest_requests(table: Table, now: datetime) -> int:
    """Announce the outstanding requests of each organization, once a day; return how many did."""
    waiting: dict[str, list[str]] = defaultdict(list)
    for org_id, request_id in list_waiting(table, now):
        waiting[org_id].append(request_id)
    for org_id, request_ids in waiting.items():
        facts = {"pending": len(request_ids), "request_ids": sorted(request_ids)[:NAMED_MAX]}
        told = put_announcement(org_id, f"{org_id}_digest_{day_of(now)}", OUTSTANDING, facts, now)
        try:
            table.transact([told])
        except Refused:
            continue
        except Contended as error:
            raise Overloaded("others announce the same; try again") from error
    return len(waiting)
