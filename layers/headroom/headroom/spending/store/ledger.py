"""Usage lines: immutable, one for each event that was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from pynamodb.expressions.condition import Condition

from headroom.core.domain.money import format_amount
from headroom.core.store import keys
from headroom.core.store.records import wire_moment
from headroom.core.store.table import Item, Page, Put, Range, Table, each
from headroom.organizations.domain.organization import SeatTier
from headroom.pricing.domain.modifiers import applied_modifiers
from headroom.pricing.domain.usage import Component, PricedUsage
from headroom.spending.store.line_record import LineRecord

# A page of the table holds about as many.
LINES_TOGETHER: Final = 1000


@dataclass(frozen=True, slots=True)
class UsageLine:
    """What one usage event cost, who bears it, and why. Amounts are nanos.

    `model` is the one that it was priced as, `model_named` what the client called it.
    `cost = charged + unbilled`, except for included usage, which is neither.
    """

    org_id: str
    user_id: str
    event_id: str
    authorization_id: str | None
    digest: str
    model: str
    model_named: str
    product: str | None
    seat_tier: SeatTier
    source: str
    because: str | None
    cost: int
    charged: int
    unbilled: int
    period: str
    occurred_at: datetime
    recorded_at: datetime
    priced: PricedUsage
    usage: dict[str, Any]


def put_line(line: UsageLine) -> Put:
    """Return the write of a line, refused if the event was recorded before.

    If all that is recorded is that this very event has no price, its line takes that one's place:
    so there is one of them at every instant, whoever prices it, and however often.
    """
    key = keys.line(line.org_id, line.event_id)
    record = LineRecord(
        key.pk,
        key.sk,
        org_id=line.org_id,
        user_id=line.user_id,
        event_id=line.event_id,
        authorization_id=line.authorization_id,
        digest=line.digest,
        model=line.model,
        product=line.product,
        seat_tier=line.seat_tier,
        source=line.source,
        because=line.because,
        cost=line.cost,
        charged=line.charged,
        unbilled=line.unbilled,
        period=line.period,
        occurred_at=f"{wire_moment(line.occurred_at)}#{line.event_id}",
        recorded_at=wire_moment(line.recorded_at),
        price_version=line.priced.price_version,
        components=[_packed(part, line) for part in line.priced.components],
        model_named=None if line.model_named == line.model else line.model_named,
        notes=list(line.priced.notes) or None,
        usage=line.usage,
        member_period=keys.lines_of(line.org_id, line.user_id, line.period),
    )
    is_new: Condition = LineRecord.pk.does_not_exist()
    return Put(key, record.to_item(), is_new | (LineRecord.unpriced_digest == line.digest))


def _packed(part: Component, line: UsageLine) -> list[str | int]:
    """Return a component as it is stored; with a model and price where they are not the line's."""
    packed: list[str | int] = [
        part.kind,
        part.quantity,
        part.unit_nanos,
        part.per,
        part.amount_nanos,
    ]
    if (part.model, part.price_version) == (line.model, line.priced.price_version):
        return packed
    return [*packed, part.model, part.price_version]


def find_line(table: Table, org_id: str, event_id: str) -> LineRecord | None:
    """Return the line of an event, None if it was not recorded."""
    item = table.get(keys.line(org_id, event_id))
    return None if item is None else LineRecord.of(item)


def latest_lines_of(org_id: str, user_id: str, period: str) -> Range:
    """Where a member's lines of a period lie, the latest usage first."""
    return Range(keys.lines_of(org_id, user_id, period), index="by_member", descending=True)


def lines_page(
    table: Table,
    org_id: str,
    user_id: str,
    period: str,
    *,
    limit: int,
    start: Item | None,
) -> Page:
    """Return a page of a member's lines of a period, the latest usage first."""
    return table.query(latest_lines_of(org_id, user_id, period), limit=limit, start=start)


def line_to_wire(item: Item) -> dict[str, Any]:
    """Return a line as the wire has it, with the price that was applied and why it was extra."""
    line = LineRecord.of(item)
    parts = cast("list[list[Any]]", line.components)
    return {
        "type": "usage_line",
        "id": line.event_id,
        "authorization_id": line.authorization_id,
        "model": line.model,
        "model_named": line.model_named or line.model,
        "product": line.product,
        "seat_tier": line.seat_tier,
        "source": line.source,
        "reason": line.because,
        "amount": format_amount(line.cost),
        "charged": format_amount(line.charged),
        "unbilled": format_amount(line.unbilled),
        "period": line.period,
        "occurred_at": line.occurred_at.partition("#")[0],
        "recorded_at": line.recorded_at,
        "price_version": line.price_version,
        "modifiers": applied_modifiers(line.price_version),
        "notes": line.notes or [],
        "components": [_component_to_wire(part, line) for part in parts],
    }


def _component_to_wire(part: Sequence[Any], line: LineRecord) -> dict[str, Any]:
    kind, quantity, unit_nanos, per, amount, *own = part
    model, price_version = own or (line.model, line.price_version)
    return {
        "kind": kind,
        "quantity": quantity,
        "unit_price": format_amount(unit_nanos),
        "per": per,
        "amount": format_amount(amount),
        "model": model,
        "price_version": price_version,
        "modifiers": applied_modifiers(price_version),
    }


@dataclass(frozen=True, slots=True)
class Entry:
    """What totals and reports read of a usage line. Amounts are nanos.

    `occurred_at` is as text that sorts as time; `components` are (kind, quantity, unit nanos, per,
    amount), with a model and price version behind them where they are not the line's.
    """

    user_id: str
    model: str
    product: str | None
    seat_tier: str
    source: str
    cost: int
    charged: int
    unbilled: int
    period: str
    occurred_at: str
    price_version: str
    authorization_id: str | None
    components: tuple[tuple[Any, ...], ...]


def read_entry(item: Item) -> Entry:
    """Read a line for totalling.

    By hand: a month may have a million, and the model's object costs more than all the rest.
    """
    return Entry(
        user_id=item["user_id"]["S"],
        model=item["model"]["S"],
        product=item["product"]["S"] if "product" in item else None,
        seat_tier=item["seat_tier"]["S"],
        source=item["source"]["S"],
        cost=int(item["cost"]["N"]),
        charged=int(item["charged"]["N"]),
        unbilled=int(item["unbilled"]["N"]),
        period=item["period"]["S"],
        occurred_at=item["occurred_at"]["S"].partition("#")[0],
        price_version=item["price_version"]["S"],
        authorization_id=item["authorization_id"]["S"] if "authorization_id" in item else None,
        components=tuple(tuple(part) for part in json.loads(item["components"]["S"])),
    )


def list_entries(table: Table, org_id: str, user_id: str, period: str) -> Iterator[Entry]:
    """Walk through a member's lines of a period; like `list_lines`, but cheap to read."""
    lines = Range(keys.lines_of(org_id, user_id, period), index="by_member")
    for item in each(table, lines):
        yield read_entry(item)


def entry_pages(
    table: Table, org_id: str, user_id: str, period: str, start: Item | None
) -> Iterator[tuple[list[Entry], Item | None]]:
    """Walk through a member's lines of a period, a page at a time, from behind the key `start`.

    With each page comes the key behind which the next begins, None with the last.
    """
    lines = Range(keys.lines_of(org_id, user_id, period), index="by_member")
    while True:
        page = table.query(lines, limit=LINES_TOGETHER, start=start)
        start = page.next_key
        yield [read_entry(item) for item in page.items], start
        if start is None:
            return


def list_lines(table: Table, org_id: str, user_id: str, period: str) -> Iterator[LineRecord]:
    """Walk through a member's lines of a period in the order of their usage.

    Reads an index, which may lag behind the ledger: whoever totals it compares with the counters.
    """
    lines = keys.lines_of(org_id, user_id, period)
    for item in each(table, Range(lines, index="by_member")):
        yield LineRecord.of(item)
