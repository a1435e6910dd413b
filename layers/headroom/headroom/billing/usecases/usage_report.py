"""Usage reports: what the ledger says of a stretch of time, grouped, exact to the nano."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal

from headroom.billing.usecases.ledger_sums import Lines, Shelf, Span, gather
from headroom.core.domain.csv_files import Columns, csv_head, csv_lines
from headroom.core.domain.money import format_amount
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.spending.store.ledger import Entry

GroupBy = Literal["user", "model", "product", "seat_tier", "day"]
GROUPS: Final[tuple[GroupBy, ...]] = ("user", "model", "product", "seat_tier", "day")

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

# Rows of a CSV file that are written together.
ROWS_TOGETHER: Final = 1000

# A row's place: its values of the groups, in their order.
Place = tuple[str, ...]


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

    def merge(self, other: Figures) -> None:
        """Count all that another row counted."""
        for name, value in other.sums.items():
            self.sums[name] += value

    def wire(self) -> dict[str, Any]:
        """Return the sums as the wire has them."""
        return {
            name: format_amount(value) if name in MONEY else value
            for name, value in self.sums.items()
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report: its rows in the order of their places, and the sum of all of them.

    `names` are the members' by their ids, if rows are grouped by them.
    """

    groups: tuple[GroupBy, ...]
    rows: Sequence[tuple[Place, Figures]]
    totals: Figures
    names: Mapping[str, str]

    def name(self, place: Place) -> str:
        """Return the name of a row's member, "" where rows are not members'."""
        return self.names.get(place[self.groups.index("user")], "") if "user" in self.groups else ""

    def row(self, place: Place, figures: Figures) -> dict[str, Any]:
        """Return a row as the wire has it; usage without a product has none."""
        named = {COLUMNS[group]: value for group, value in zip(self.groups, place, strict=True)}
        if "product" in named:
            named["product"] = named["product"] or None  # type: ignore[assignment]
        if "user" in self.groups:
            named["name"] = self.name(place)
        return {**named, **figures.wire()}


def report(
    table: Table,
    shelf: Shelf,
    organization: Organization,
    span: Span,
    groups: Sequence[GroupBy],
    now: datetime,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Report:
    """Total the ledger.

    Raises:
        Overloaded: there was no time to read all of it; the next call goes on.
    """
    made = _Rows(tuple(groups))
    gather(table, shelf, organization, span, made, now, may_go_on)
    totals = Figures()
    for figures in made.rows.values():
        totals.merge(figures)
    rows = sorted(made.rows.items(), key=lambda row: row[0])
    return Report(made.groups, rows, totals, made.names)


@dataclass(slots=True)
class _Rows:
    """The rows of a report, while lines are added to them."""

    groups: tuple[GroupBy, ...]
    rows: dict[Place, Figures] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, lines: Lines) -> None:
        if "user" in self.groups and lines.entries:
            self.names[lines.user_id] = lines.name
        for entry in lines.entries:
            place = tuple(_PLACES[group](entry) for group in self.groups)
            figures = self.rows.get(place)
            if figures is None:
                figures = self.rows[place] = Figures()
            figures.add(entry)

    def pack(self) -> dict[str, Any]:
        rows = [[place, list(figures.sums.values())] for place, figures in self.rows.items()]
        return {"rows": rows, "names": self.names}

    def unpack(self, raw: dict[str, Any]) -> None:
        self.rows = {
            tuple(place): Figures(dict(zip(FIGURES, sums, strict=True)))
            for place, sums in raw["rows"]
        }
        # What an earlier release filed, an hour ago at most, has none.
        self.names = raw.get("names", {})


def _day(entry: Entry) -> str:
    return entry.occurred_at[:10]


_PLACES: Final[dict[GroupBy, Callable[[Entry], str]]] = {
    "user": lambda entry: entry.user_id,
    "model": lambda entry: entry.model,
    "product": lambda entry: entry.product or "",
    "seat_tier": lambda entry: entry.seat_tier,
    "day": _day,
}


def report_csv(report: Report) -> Iterator[bytes]:
    """Return a whole report as a CSV file, some rows at a time, the names of the columns first."""
    columns = csv_columns(report.groups)
    is_named = "user" in report.groups
    yield csv_head(columns).encode()
    rows = (
        [*place, *map(str, figures.wire().values()), *([report.name(place)] if is_named else [])]
        for place, figures in report.rows
    )
    lines = csv_lines(columns, rows)
    while together := list(islice(lines, ROWS_TOGETHER)):
        yield "".join(together).encode()


def csv_columns(groups: Sequence[GroupBy]) -> Columns:
    """Return the columns of a report's CSV file."""
    columns: Columns = {
        **{COLUMNS[group]: "text" for group in groups},
        **dict.fromkeys(FIGURES, "number"),
        # Last, where nobody who counts columns had another one.
        **({"name": "text"} if "user" in groups else {}),
    }
    return columns
