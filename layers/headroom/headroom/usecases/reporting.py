"""Usage reports: what the ledger says of a stretch of time, grouped, exact to the nano."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from headroom.domain.bounds import HOLD_LIFE_MAX
from headroom.domain.money import format_amount
from headroom.domain.organization import Organization
from headroom.domain.periods import next_period, period_of, time_zone
from headroom.errors import Overloaded
from headroom.store.budgets import list_budget_owners
from headroom.store.ledger import Entry, list_entries
from headroom.store.models import wire_moment
from headroom.store.table import Table

GroupBy = Literal["user", "model", "product", "seat_tier", "day"]
GROUPS: Final[tuple[GroupBy, ...]] = ("user", "model", "product", "seat_tier", "day")

# How late usage may be recorded, and how far a client's clock may be ahead.
LATE_MAX: Final = timedelta(days=62)
SKEW_MAX: Final = timedelta(minutes=10)

# A priced component's kind to the figure it counts in.
_FIGURES: Final = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write_5m": "cache_creation_input_tokens",
    "cache_write_1h": "cache_creation_input_tokens",
    "web_search": "web_search_requests",
}
MONEY: Final = ("amount", "included_amount", "unbilled_amount")
COUNTS: Final = ("requests", *dict.fromkeys(_FIGURES.values()))
FIGURES: Final = (COUNTS[0], *MONEY, *COUNTS[1:])
COLUMNS: Final[dict[GroupBy, str]] = {
    "user": "user_id",
    "model": "model",
    "product": "product",
    "seat_tier": "seat_tier",
    "day": "day",
}

# A row's place: its values of the groups, in their order.
Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Which lines a report is about: those that occurred in a half-open span, or of one period.

    `period` is how an invoice counts; the span is how people look back.
    """

    starting_at: datetime
    ending_at: datetime
    period: str | None = None


@dataclass(slots=True)
class Figures:
    """Sums of a row. Amounts are nanos."""

    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIGURES, 0))

    def add(self, entry: Entry) -> None:
        """Count one line."""
        sums = self.sums
        sums["requests"] += 1
        sums["amount"] += entry.charged
        sums["unbilled_amount"] += entry.unbilled
        if entry.source == "included":
            sums["included_amount"] += entry.cost
        for kind, quantity, *_ in entry.components:
            sums[_FIGURES[kind]] += quantity

    def wire(self) -> dict[str, Any]:
        """Return the sums as the wire has them."""
        return {
            name: format_amount(value) if name in MONEY else value
            for name, value in self.sums.items()
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report: its rows in the order of their places, and the sum of all of them."""

    groups: tuple[GroupBy, ...]
    rows: Sequence[tuple[Place, Figures]]
    totals: Figures

    def row(self, place: Place, figures: Figures) -> dict[str, Any]:
        """Return a row as the wire has it; usage without a product has none."""
        named = {COLUMNS[group]: value for group, value in zip(self.groups, place, strict=True)}
        if "product" in named:
            named["product"] = named["product"] or None  # type: ignore[assignment]
        return {**named, **figures.wire()}


def report(
    table: Table,
    organization: Organization,
    span: Span,
    groups: Sequence[GroupBy],
    may_go_on: Callable[[], bool] = lambda: True,
) -> Report:
    """Total the ledger.

    Reads an index that may lag by a moment behind the latest lines.

    Raises:
        Overloaded: there was no time to read all of it.
    """
    rows: dict[Place, Figures] = {}
    totals = Figures()
    for entry in entries_of(table, organization, span, may_go_on):
        place = tuple(_PLACES[group](entry) for group in groups)
        figures = rows.get(place)
        if figures is None:
            figures = rows[place] = Figures()
        figures.add(entry)
        totals.add(entry)
    return Report(tuple(groups), sorted(rows.items(), key=lambda row: row[0]), totals)


def entries_of(
    table: Table, organization: Organization, span: Span, may_go_on: Callable[[], bool]
) -> Iterator[Entry]:
    """Walk through the lines of a span, member by member.

    Only members with a budget in a period have anything in it: the budgets say whom to ask.

    Raises:
        Overloaded: there was no time to read all of it.
    """
    periods = periods_of(organization, span)
    first, last = wire_moment(span.starting_at), wire_moment(span.ending_at)
    for user_id, period in list_budget_owners(table, organization.org_id, periods):
        if not may_go_on():
            raise Overloaded("the report is too large to be made at once; ask for a shorter span")
        for entry in list_entries(table, organization.org_id, user_id, period):
            if span.period is not None or first <= entry.occurred_at < last:
                yield entry


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


def _day(entry: Entry) -> str:
    return entry.occurred_at[:10]


_PLACES: Final[dict[GroupBy, Callable[[Entry], str]]] = {
    "user": lambda entry: entry.user_id,
    "model": lambda entry: entry.model,
    "product": lambda entry: entry.product or "",
    "seat_tier": lambda entry: entry.seat_tier,
    "day": _day,
}


def csv_rows(report: Report) -> Iterable[list[str]]:
    """Return a report as the rows of a CSV file, the names of the columns first."""
    yield [*(COLUMNS[group] for group in report.groups), *FIGURES]
    for place, figures in report.rows:
        yield [*place, *(str(value) for value in figures.wire().values())]
