"""The sums of a closed period: of a shard's members, proved member by member, and of all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from headroom.billing.domain.invoice import Additions
from headroom.billing.domain.tally import Tally
from headroom.core.domain.csv_files import CONTENT_TYPE as CSV
from headroom.core.domain.csv_files import Columns, csv_head, csv_lines
from headroom.core.domain.money import format_amount
from headroom.core.domain.periods import period_of, time_zone
from headroom.core.errors import HeadroomError
from headroom.core.gateways.files import Files
from headroom.core.store.records import wire_moment
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.closings import Closing
from headroom.spending.domain.authorization import AuthorizationId
from headroom.spending.domain.budget import Budget
from headroom.spending.store.ledger import Entry, list_entries

JSON: Final = "application/json"
COLUMNS: Final[Columns] = {
    "user_id": "text",
    "name": "text",
    "usage_period": "text",
    "model": "text",
    "kind": "text",
    "quantity": "number",
    "unit_price": "number",
    "per": "number",
    "price_version": "text",
    "amount": "number",
}

# A member's part of an invoice: id, name, nanos.
MemberPart = tuple[str, str, int]


class LedgerIncomplete(Exception):
    """The lines that were read do not come to what the counters say.

    For a moment that is the index lagging behind; if it stays, it is a fault, and no invoice
    may be written over it.
    """


@dataclass(slots=True)
class Share:
    """What some members' usage of a period comes to. `members` is how many of them used any."""

    tally: Tally
    members: int = 0
    parts: list[MemberPart] = field(default_factory=list)

    @classmethod
    def empty(cls) -> Share:
        """Return the share of nobody."""
        return cls(Tally())

    def add(self, user_id: str, name: str, tally: Tally) -> None:
        """Count some lines of a member; all of one member follow each other."""
        if not tally.requests:
            return
        self.tally.merge(tally)
        before = 0
        if self.parts and self.parts[-1][0] == user_id:
            before = self.parts.pop()[2]
        else:
            self.members += 1
        self.parts.append((user_id, name, before + tally.charged))

    def merge(self, other: Share) -> None:
        """Add another share."""
        self.tally.merge(other.tally)
        self.members += other.members
        self.parts += other.parts

    def pack(self) -> dict[str, Any]:
        """Return the share as JSON."""
        return {"tally": self.tally.pack(), "members": self.members, "parts": self.parts}

    @classmethod
    def unpack(cls, raw: dict[str, Any]) -> Share:
        """Read a packed share."""
        parts = [(user_id, name, amount) for user_id, name, amount in raw["parts"]]
        return cls(Tally.unpack(raw["tally"]), raw["members"], parts)

    def file(
        self,
        files: Files,
        org_id: str,
        period: str,
        invoice_id: str,
        shards: int,
        additions: Additions,
    ) -> None:
        """File the whole of a period: its sums, and the detail of all shards with additions."""
        files.put(document_name(org_id, invoice_id), _bytes(self), JSON)
        files.put_stream(
            detail_name(org_id, invoice_id), _details(files, org_id, period, shards, additions), CSV
        )


def document_name(org_id: str, invoice_id: str) -> str:
    """Where the sums that a document shows are filed."""
    return f"invoices/{org_id}/{invoice_id}.json"


def detail_name(org_id: str, invoice_id: str) -> str:
    """Where a document's detail, member by member, is filed."""
    return f"invoices/{org_id}/{invoice_id}.csv"


def credit_note_detail(period: str, credit: int, additions: Additions) -> bytes:
    """Return a credit note's CSV file; `credit` is the net amount that it takes back."""
    lines = csv_lines(COLUMNS, _additional_rows(period, additions, credit))
    return "".join([csv_head(COLUMNS), *lines]).encode()


def write_share(
    table: Table,
    files: Files,
    organization: Organization,
    closing: Closing,
    index: int,
    budgets: Iterable[tuple[str, Budget]],
) -> Share:
    """Total the lines of members with a budget in a period, prove each, and file the shard.

    Repeating it writes the same again. One member's lines are read at a time.

    Raises:
        LedgerIncomplete: a member's lines do not come to their counters.
    """
    share = Share.empty()
    detail: list[str] = []
    for name, budget in budgets:
        lines = list_entries(table, organization.org_id, budget.user_id, closing.period)
        tally = tally_entries(organization, closing, lines)
        prove(tally, budget)
        share.add(budget.user_id, name, tally)
        detail += csv_lines(COLUMNS, _rows(budget, name, closing.period, tally))
    place = _shard_name(organization.org_id, closing.period, index)
    files.put(f"{place}.csv", "".join(detail).encode(), CSV)
    # Last, because it says that the shard is done.
    files.put(f"{place}.json", _bytes(share), JSON)
    return share


def read_share(files: Files, org_id: str, period: str, index: int) -> Share:
    """Read a shard's share."""
    body = files.get(f"{_shard_name(org_id, period, index)}.json")
    assert body is not None, "a shard is filed before the period is sealed"
    return Share.unpack(json.loads(body))


def tally_entries(organization: Organization, closing: Closing, entries: Iterable[Entry]) -> Tally:
    """Total lines of a period."""
    tally = Tally()
    starts_at = wire_moment(closing.starts_at)
    for entry in entries:
        late_for = ""
        if entry.occurred_at < starts_at:
            late_for = _late_for(entry, organization)
        tally.add(
            model=entry.model,
            seat_tier=entry.seat_tier,
            source=entry.source,
            cost=entry.cost,
            charged=entry.charged,
            unbilled=entry.unbilled,
            price_version=entry.price_version,
            components=entry.components,
            late_for=late_for,
        )
    return tally


def prove(tally: Tally, budget: Budget) -> None:
    """Check that a member's lines come to their counters, to the nano.

    Raises:
        LedgerIncomplete: they do not.
    """
    lines = (tally.charged, tally.included, tally.unbilled)
    counters = (budget.spent, budget.included, budget.unbilled)
    if lines != counters:
        raise LedgerIncomplete(
            f"{budget.user_id} in {budget.period}: lines come to {lines}, counters to {counters}"
        )


def _bytes(share: Share) -> bytes:
    return json.dumps(share.pack(), separators=(",", ":")).encode()


def _details(
    files: Files, org_id: str, period: str, shards: int, additions: Additions
) -> Iterator[bytes]:
    yield csv_head(COLUMNS).encode()
    for index in range(shards):
        body = files.get(f"{_shard_name(org_id, period, index)}.csv")
        assert body is not None, "a shard's detail is filed before its sums"
        yield body
    for line in csv_lines(COLUMNS, _additional_rows(period, additions)):
        yield line.encode()


def _additional_rows(period: str, additions: Additions, credit: int = 0) -> Iterator[Sequence[str]]:
    """Return what a document comes to beside usage: with it, all amounts sum to its total."""
    amounts = [("", "credit", credit), ("", "rounding", additions.rounding)]
    amounts += [(tax.name, "tax", tax.amount) for tax in additions.taxes]
    for name, kind, amount in amounts:
        if amount or kind == "tax":
            yield "", name, period, "", kind, "1", "", "", "", format_amount(amount)


def _rows(budget: Budget, name: str, period: str, tally: Tally) -> Iterator[Sequence[str]]:
    for priced, each in tally.sorted_lines:
        yield (
            budget.user_id,
            name,
            priced.late_for or period,
            priced.model,
            priced.kind,
            str(each.quantity),
            format_amount(priced.unit_nanos),
            str(priced.per),
            priced.price_version,
            format_amount(each.amount),
        )


def _late_for(entry: Entry, organization: Organization) -> str:
    """Return the earlier period that usage belongs to, "" if its hold was taken in this one."""
    if entry.authorization_id is not None:
        try:
            held = AuthorizationId.parse(entry.authorization_id, org_id=organization.org_id)
        except HeadroomError:
            pass
        else:
            if held.period == entry.period:
                return ""
    occurred_at = datetime.fromisoformat(entry.occurred_at)
    return period_of(occurred_at, time_zone(organization.time_zone))


def _shard_name(org_id: str, period: str, index: int) -> str:
    return f"closings/{org_id}/{period}/{index:06d}"
