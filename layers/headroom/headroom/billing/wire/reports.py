"""The query of a usage report, and its pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from headroom.billing.usecases.ledger_sums import Span
from headroom.billing.usecases.usage_report import (
    COLUMNS,
    GROUPS,
    Figures,
    GroupBy,
    Place,
    Report,
)
from headroom.core.domain.periods import parse_period, period_bounds, period_of, time_zone
from headroom.core.errors import InvalidRequest
from headroom.core.store.table import Item
from headroom.core.wire.fields import moment
from headroom.core.wire.http import Request
from headroom.core.wire.pages import PageRequest, parse_page
from headroom.organizations.domain.organization import Organization

SPAN_MAX: Final = timedelta(days=366)
_KNOWN: Final = frozenset(
    {"starting_at", "ending_at", "period", "group_by", "order_by", "limit", "page"}
)
# The dearest first. Otherwise rows are in the order of their places.
_AMOUNT: Final = "amount"


Row = tuple[Place, Figures]
# What a row is ordered by, before its place, and its place.
Rank = tuple[int, Place]


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a client wants to see of the ledger."""

    span: Span
    groups: tuple[GroupBy, ...]
    page: PageRequest
    as_csv: bool
    by_amount: bool


def parse_report(request: Request, organization: Organization, now: datetime) -> ReportRequest:
    """Read a report's query. Without a span it is about the running period.

    `period` counts as an invoice does, by the period in which usage is billed; a span counts by
    the moment at which it occurred.

    Raises:
        InvalidRequest: a parameter is unknown or wrong; the error names it.
    """
    query = request.query(_KNOWN)
    groups = _groups(request.query_list("group_by"))
    span = _span(query, organization, now)
    filters = [list(groups), query.get("starting_at"), query.get("ending_at"), query.get("period")]
    by_amount = _is_by_amount(query)
    if by_amount:
        filters.append(_AMOUNT)
    page = parse_page(
        query,
        org_id=organization.org_id,
        route="usage_report",
        filters=filters,
        fits=lambda cursor: _is_cursor(cursor, len(groups), by_amount=by_amount),
    )
    return ReportRequest(span, groups, page, wants_csv(request), by_amount)


def wants_csv(request: Request) -> bool:
    """Tell whether a client asks for a CSV file rather than for JSON."""
    return (request.header("accept") or "").lower().startswith("text/csv")


def report_answer(report: Report, page: PageRequest, *, by_amount: bool = False) -> dict[str, Any]:
    """Return a page of a report as the wire has it; the totals are of the whole report."""

    def rank(row: Row) -> Rank:
        place, figures = row
        return -figures.sums[_AMOUNT] if by_amount else 0, place

    rows = sorted(report.rows, key=rank)
    if page.start is not None:
        after = _rank_of(page.start)
        rows = [row for row in rows if rank(row) > after]
    shown = rows[: page.limit]
    next_page = page.cursor(_cursor(rank(shown[-1]))) if len(rows) > page.limit else None
    return {
        "type": "usage_report",
        "data": [report.row(place, figures) for place, figures in shown],
        "has_more": next_page is not None,
        "next_page": next_page,
        "totals": report.totals.wire(),
    }


def _cursor(rank: Rank) -> Item:
    first, place = rank
    item: Item = {"place": {"L": [{"S": value} for value in place]}}
    return item if not first else {**item, "first": {"N": str(first)}}


def _is_cursor(cursor: object, columns: int, *, by_amount: bool) -> bool:
    """Tell whether something is a rank as `_cursor` writes it, of a place with so many columns."""
    try:
        rank = _rank_of(cursor)  # type: ignore[arg-type]
        written = _cursor(rank)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    first, place = rank
    texts = all(isinstance(value, str) for value in place)
    return cursor == written and texts and len(place) == columns and (by_amount or not first)


def _rank_of(cursor: Item) -> Rank:
    place = tuple(each["S"] for each in cursor["place"]["L"])
    return int(cursor["first"]["N"]) if "first" in cursor else 0, place


def _is_by_amount(query: dict[str, str]) -> bool:
    wanted = query.get("order_by")
    if wanted not in (None, _AMOUNT):
        raise InvalidRequest("order_by", f"must be {_AMOUNT}, or left out")
    return wanted == _AMOUNT


def _groups(values: Sequence[str]) -> tuple[GroupBy, ...]:
    for value in values:
        if value not in COLUMNS:
            raise InvalidRequest("group_by", f"must be among {', '.join(GROUPS)}")
    return cast("tuple[GroupBy, ...]", tuple(dict.fromkeys(values)))


def _span(query: dict[str, str], organization: Organization, now: datetime) -> Span:
    zone = time_zone(organization.time_zone)
    if query.get("period"):
        if "starting_at" in query or "ending_at" in query:
            raise InvalidRequest("period", "cannot be combined with starting_at or ending_at")
        period = parse_period(query["period"], "period")
        return Span(*period_bounds(period, zone), period=period)
    starting_at, ending_at = period_bounds(period_of(now, zone), zone)
    if query.get("starting_at"):
        starting_at = moment(query, "starting_at")
    if query.get("ending_at"):
        ending_at = moment(query, "ending_at")
    if ending_at <= starting_at:
        raise InvalidRequest("ending_at", "must be after starting_at")
    if ending_at - starting_at > SPAN_MAX:
        raise InvalidRequest("ending_at", "must be at most 366 days after starting_at")
    return Span(starting_at, ending_at)
