"""Pages of limits, of effective limits and of requests: constant work a page, and no scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from headroom.core.domain.names import fold
from headroom.core.store.table import READ_TOGETHER, Item, Key, Table
from headroom.core.usecases.pages import Listed, filtered, last_key
from headroom.limits.store.increases import list_requests, read_request
from headroom.limits.store.limits import SCOPE_TYPES, ScopeType, list_limits, read_limit
from headroom.limits.usecases.increase_requests import show
from headroom.limits.usecases.members import member_to_wire
from headroom.limits.usecases.spend_limits import effective_rows, limit_to_wire
from headroom.organizations.domain.organization import LimitPeriod, Member, Organization
from headroom.organizations.store.organizations import find_members, members_page, read_member
from headroom.spending.store.budgets import find_budgets

# How many a search looks at for a page, and in one call: an answer is due in time.
LOOKED_AT_MAX = 10_000
LOOKED_AT_TOGETHER = 1_000


def limits_page(
    table: Table,
    organization: Organization,
    scope_types: Sequence[ScopeType],
    *,
    limit: int,
    start: Item | None,
) -> Listed:
    """Return a page of the limits that are set: organization, then tiers, then members."""
    found: list[Item] = []
    wanted = [kind for kind in SCOPE_TYPES if not scope_types or kind in scope_types]
    for kind in wanted:
        rank = f"{SCOPE_TYPES.index(kind)}#"
        if start is not None and start["sk"]["S"][:2] > rank:
            continue
        begin = start if start is not None and start["sk"]["S"].startswith(rank) else None
        while len(found) <= limit:
            page = list_limits(
                table, organization.org_id, kind, limit=limit + 1 - len(found), start=begin
            )
            found += page.items
            begin = page.next_key
            if begin is None:
                break
    rows = [limit_to_wire(organization, read_limit(item)) for item in found[:limit]]
    return rows, last_key(found, limit)


def current_page(
    table: Table, org_id: str, user_ids: Sequence[str] = (), *, limit: int, start: Item | None
) -> Listed:
    """Return a page of current members, all of them or those named.

    Those who left leave no gaps in it.
    """
    found = list(islice(_current(table, org_id, user_ids, limit, start), limit + 1))
    rows = [member_to_wire(read_member(item)) for item in found[:limit]]
    return rows, last_key(found, limit)


def search_page(
    table: Table, org_id: str, wanted: str, *, limit: int, start: Item | None
) -> Listed:
    """Return a page of current members in whose name or address there is what is wanted.

    A page ends behind LOOKED_AT_MAX members, however few it found: the next one goes on there.
    """
    needle = fold(wanted)
    found: list[Member] = []
    looked_at = 0
    while looked_at < LOOKED_AT_MAX:
        page = members_page(table, org_id, limit=LOOKED_AT_TOGETHER, start=start)
        for item in page.items:
            member = read_member(item)
            if member.active and needle in fold(f"{member.name} {member.email}"):
                found.append(member)
                if len(found) == limit:
                    behind = Key(item["pk"]["S"], item["sk"]["S"]).attributes()
                    return [member_to_wire(each) for each in found], behind
        looked_at += len(page.items)
        start = page.next_key
        if start is None:
            break
    return [member_to_wire(each) for each in found], start


def effective_page(
    table: Table,
    organization: Organization,
    user_ids: Sequence[str],
    periods: Sequence[LimitPeriod],
    now: datetime,
    *,
    limit: int,
    start: Item | None,
) -> Listed:
    """Return the effective limits of up to `limit` current members; a member is never split."""
    found: list[tuple[Member, Item]] = []
    for item in _current(table, organization.org_id, user_ids, limit, start):
        found.append((read_member(item), item))
        if len(found) > limit:
            break
    members = [member for member, _ in found[:limit]]
    rows: list[dict[str, Any]] = []
    for first in range(0, len(members), READ_TOGETHER):
        together = members[first : first + READ_TOGETHER]
        budgets = find_budgets(table, organization.org_id, [member.user_id for member in together])
        for member in together:
            rows += effective_rows(organization, member, budgets.get(member.user_id), periods, now)
    return rows, last_key([item for _, item in found], limit)


def requests_page(
    table: Table,
    organization: Organization,
    statuses: Sequence[str],
    actor_ids: Sequence[str],
    now: datetime,
    *,
    limit: int,
    start: Item | None,
) -> Listed:
    """Return a page of increase requests, the most recent first."""

    def is_wanted(item: Item) -> bool:
        request = read_request(item)
        return (not statuses or request.status in statuses) and (
            not actor_ids or request.user_id in actor_ids
        )

    found = filtered(
        lambda begin: list_requests(table, organization.org_id, limit=limit + 1, start=begin),
        is_wanted,
        limit,
        start,
    )
    rows = [show(table, organization, read_request(item), now) for item in found[:limit]]
    return rows, last_key(found, limit)


def _current(
    table: Table, org_id: str, user_ids: Sequence[str], limit: int, start: Item | None
) -> Iterator[Item]:
    """Walk through the items of current members, all of them or those named."""
    if user_ids:
        after = "" if start is None else start["sk"]["S"]
        items = find_members(table, org_id, user_ids)
        for key in sorted(items, key=lambda each: each.sk):
            if key.sk > after and read_member(items[key]).active:
                yield items[key]
        return
    begin = start
    while True:
        page = members_page(table, org_id, limit=limit + 1, start=begin)
        yield from (item for item in page.items if read_member(item).active)
        begin = page.next_key
        if begin is None:
            return
