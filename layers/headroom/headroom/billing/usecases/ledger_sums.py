"""Adding up a stretch of the ledger over as many requests as it takes.

A request adds up what it has time for. If that is not all, it files how far it came and asks to be
sent again, and the next one goes on from there: however large the ledger is, every request comes
nearer to its end. What took more than one request is kept for an hour, so that the pages of an
answer and its file are of the same sums.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final, Protocol

from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.domain.periods import next_period, period_of, time_zone
from headroom.core.errors import Unfinished
from headroom.core.gateways.files import Files
from headroom.core.store.records import wire_moment
from headroom.core.store.table import READ_TOGETHER, Item, Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import (
    count_members,
    find_members,
    members_between,
    read_member,
)
from headroom.pricing.domain.bounds import HOLD_LIFE_MAX
from headroom.spending.store.budgets import find_budgets_of
from headroom.spending.store.ledger import Entry, entry_pages
from headroom.spending.usecases.recall import batches

# How late usage may be recorded, and how far a client's clock may be ahead.
LATE_MAX: Final = timedelta(days=62)
SKEW_MAX: Final = timedelta(minutes=10)
# How long sums are gone on with, and shown, after somebody last worked on them.
KEPT_FOR: Final = timedelta(hours=1)

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Span:
    """Which lines are added up: those that occurred in a half-open span, or of one period.

    `period` is how an invoice counts; the span is how people look back.
    """

    starting_at: datetime
    ending_at: datetime
    period: str | None = None


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The last page that was read: a member's lines of a period, up to the key `start`.

    Without `start` it was the last page of that member and period. `done` members lie before.
    """

    user_id: str
    period: str
    start: Item | None
    done: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines of one member, and how far the walk has come with them."""

    user_id: str
    name: str
    entries: Sequence[Entry]
    bookmark: Bookmark


class Sums(Protocol):
    """What lines are added to. Packed it is JSON, and unpacked it is the same again."""

    def add(self, lines: Lines) -> None:
        """Count some lines of one member."""

    def pack(self) -> dict[str, Any]:
        """Return the sums as JSON."""

    def unpack(self, raw: dict[str, Any]) -> None:
        """Take over sums that were packed."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where sums that take long are kept: under a name that says what they are of."""

    files: Files
    name: str


def gather(
    table: Table,
    shelf: Shelf,
    organization: Organization,
    span: Span,
    sums: Sums,
    now: datetime,
    may_go_on: Callable[[], bool],
) -> None:
    """Add all lines of a span to empty sums, going on from what was filed.

    Reads an index that may lag by a moment behind the latest lines.

    Raises:
        Unfinished: there was no time to read all of it; the next call goes on.
    """
    after = None
    filed = _filed(shelf, now)
    if filed is not None:
        sums.unpack(filed["sums"])
        if filed["done"]:
            return
        after = Bookmark(*filed["bookmark"])
    for lines in walk(table, organization, span, after):
        sums.add(lines)
        after = lines.bookmark
        if not may_go_on():
            begun = _begun(table, organization, now) if filed is None else filed
            _file(shelf, sums, after, begun, now, done=False)
            raise Unfinished(
                done=after.done,
                members=begun["members"],
                seconds_left=_seconds_left(begun, after.done, now),
            )
    if filed is not None:
        assert after is not None, "it was filed with a bookmark"
        _file(shelf, sums, after, filed, now, done=True)


def walk(
    table: Table, organization: Organization, span: Span, after: Bookmark | None = None
) -> Iterator[Lines]:
    """Walk through the lines of a span, member by member, from behind a bookmark.

    Only members with a budget in a period have anything in it: the budgets say whom to ask.
    """
    org_id, periods = organization.org_id, periods_of(organization, span)
    done = 0 if after is None else after.done
    first, last = wire_moment(span.starting_at), wire_moment(span.ending_at)
    for names in _names(table, org_id, after):
        found = {period: find_budgets_of(table, org_id, list(names), period) for period in periods}
        for user_id, name in names.items():
            for period in periods:
                start = None
                if after is not None and user_id == after.user_id:
                    if period < after.period or (period == after.period and after.start is None):
                        continue
                    start = after.start if period == after.period else None
                if user_id not in found[period]:
                    continue
                for page, upto in entry_pages(table, org_id, user_id, period, start):
                    entries = [
                        entry
                        for entry in page
                        if span.period is not None or first <= entry.occurred_at < last
                    ]
                    yield Lines(user_id, name, entries, Bookmark(user_id, period, upto, done))
            done += 1
        # Even where nobody used anything, the walk has come further.
        yield Lines(user_id, name, (), Bookmark(user_id, periods[-1], None, done - 1))


def periods_of(organization: Organization, span: Span) -> list[str]:
    """Return the billing periods in which a span's usage may lie.

    A line lies in the period of its hold, or else in that in which it was recorded.
    """
    if span.period is not None:
        return [span.period]
    zone = time_zone(organization.time_zone)
    period = period_of(span.starting_at - HOLD_LIFE_MAX - SKEW_MAX, zone)
    last = period_of(span.ending_at + LATE_MAX, zone)
    periods = [period]
    while period < last:
        period = next_period(period)
        periods.append(period)
    return periods


def _names(table: Table, org_id: str, after: Bookmark | None) -> Iterator[dict[str, str]]:
    """Walk through ids and names of members, some at a time, from that of the bookmark on."""
    start = ""
    if after is not None:
        start = after.user_id
        members = map(read_member, find_members(table, org_id, [start]).values())
        yield {member.user_id: member.name for member in members}
    for together in batches(members_between(table, org_id, start, ""), READ_TOGETHER):
        yield {member.user_id: member.name for member in together}


def _filed(shelf: Shelf, now: datetime) -> dict[str, Any] | None:
    body = shelf.files.get(shelf.name)
    if body is None:
        return None
    filed: dict[str, Any] = json.loads(body)
    return filed if now - from_millis(filed["at"]) < KEPT_FOR else None


def _begun(table: Table, organization: Organization, now: datetime) -> dict[str, Any]:
    return {"begun": to_millis(now), "members": count_members(table, organization.org_id)}


def _seconds_left(begun: dict[str, Any], done: int, now: datetime) -> int | None:
    """Return how long the members that are left take, at the pace of those of earlier requests."""
    before = begun["bookmark"][-1] if "bookmark" in begun else 0
    seconds = (to_millis(now) - begun["begun"]) / 1000
    return ceil(seconds / before * max(begun["members"] - done, 0)) if before and seconds else None


def _file(
    shelf: Shelf,
    sums: Sums,
    after: Bookmark,
    begun: dict[str, Any],
    now: datetime,
    *,
    done: bool,
) -> None:
    filed = {
        "at": to_millis(now),
        "begun": begun["begun"],
        "members": begun["members"],
        "bookmark": [after.user_id, after.period, after.start, after.done],
        "done": done,
        "sums": sums.pack(),
    }
    shelf.files.put(shelf.name, json.dumps(filed, separators=(",", ":")).encode(), JSON)
