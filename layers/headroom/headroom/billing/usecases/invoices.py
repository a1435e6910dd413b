"""Writing the document of a closed period, and showing it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from headroom.billing.domain.invoice import (
    Invoice,
    Kind,
    Movement,
    Terms,
    additions_to,
    in_state,
    invoice_id,
)
from headroom.billing.domain.tally import Priced, Sum, Tally
from headroom.billing.store.invoices import change_invoice, find_invoice, find_numbers, issue
from headroom.billing.usecases.ledger_sums import Lines, Shelf, Span, gather
from headroom.billing.usecases.period_close import closing_of, organization_of
from headroom.billing.usecases.period_sums import Share, document_name, tally_entries
from headroom.billing.usecases.statements import movement_of, prove_statement
from headroom.core.domain.money import format_amount
from headroom.core.errors import Conflict, NotFound
from headroom.core.gateways.files import Files
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Contended, Refused, Table
from headroom.organizations.domain.organization import SEAT_TIERS, Organization
from headroom.organizations.store.closings import Closing, put_moved
from headroom.organizations.store.organizations import find_pool
from headroom.organizations.usecases.first_period import first_closing

ATTEMPTS_MAX: Final = 16
ASK_AFTER: Final = timedelta(hours=1)
FINALIZED: Final = "invoice.finalized"
# Members listed in a document; the CSV detail has all of them.
BY_MEMBER_MAX: Final = 10_000
_NONE: Final[Mapping[str, str]] = {}


def write_invoice(
    table: Table,
    org_id: str,
    period: str,
    now: datetime,
    *,
    terms: Terms,
) -> Invoice:
    """Write the document of a closed period, once; the same again returns the first.

    Raises:
        Conflict: the period is not closed yet.
        StatementUnproved: a statement is not what the wallet's entries come to.
        Contended: others are on the series.
    """
    for _ in range(ATTEMPTS_MAX):
        closing = closing_of(table, org_id, period)
        organization = organization_of(table, org_id)
        if closing.state == "invoiced":
            assert closing.invoice_id is not None, "an invoiced period has a document"
            written = find_invoice(table, org_id, closing.invoice_id)
            assert written is not None, "it was written in the same transaction"
            return written
        if closing.state != "closed":
            raise Conflict(f"period: {period} is not closed yet")
        is_team = organization.plan == "team"
        movement = prove_statement(table, organization, closing, now) if is_team else None
        draft = _draft(organization, closing, movement, now, terms)
        done = replace(closing, state="invoiced", due_at=None)
        try:
            return issue(table, draft, look_at(draft, terms), [put_moved(closing, done)])
        except Refused:
            continue
    raise Contended


def draft_invoice(
    table: Table,
    shelf_of: Callable[[str], Shelf],
    organization: Organization,
    now: datetime,
    may_go_on: Callable[[], bool],
    *,
    terms: Terms,
) -> tuple[Invoice, Share]:
    """Return what the running period's document would be if it ended now.

    Holds that are open count as nothing yet. `shelf_of` tells where a period's sums are kept.

    Raises:
        Overloaded: there was no time to read all of the ledger; the next call goes on.
    """
    period = find_pool(table, organization.org_id).period
    closing = replace(first_closing(organization, period), tax=organization.tax)
    drafted = _Drafted(organization, closing)
    span = Span(closing.starts_at, closing.ends_at, period)
    gather(table, shelf_of(period), organization, span, drafted, now, may_go_on)
    share = drafted.share
    closing = replace(closing, state="closed", charged=share.tally.charged)
    movement = movement_of(table, closing) if organization.plan == "team" else None
    draft = _draft(organization, closing, movement, now, terms)
    return replace(draft, status="draft", number="", due_at=closing.ends_at + terms.net), share


@dataclass(slots=True)
class _Drafted:
    """The sums of a period that runs, while lines are added to them."""

    organization: Organization
    closing: Closing
    share: Share = field(default_factory=Share.empty)

    def add(self, lines: Lines) -> None:
        tally = tally_entries(self.organization, self.closing, lines.entries)
        self.share.add(lines.user_id, lines.name, tally)

    def pack(self) -> dict[str, Any]:
        return self.share.pack()

    def unpack(self, raw: dict[str, Any]) -> None:
        self.share = Share.unpack(raw)


def announce(table: Table, invoice: Invoice, now: datetime, terms: Terms) -> Invoice:
    """Tell the event bus of a document whose files are in their place, once.

    Raises:
        Contended: others change it all the time.
    """
    current: Invoice | None = invoice
    for _ in range(ATTEMPTS_MAX):
        assert current is not None, "documents are never removed"
        if current.announced:
            return current
        numbers = find_numbers(table, current.org_id, filter(None, [current.credits_invoice]))
        told = put_announcement(
            current.org_id,
            f"{current.invoice_id}_finalized",
            FINALIZED,
            facts(current, numbers),
            now,
        )
        try:
            return change_invoice(
                table, current, replace(current, announced=True), look_at(current, terms), [told]
            )
        except Refused:
            current = find_invoice(table, current.org_id, current.invoice_id)
    raise Contended


def look_at(invoice: Invoice, terms: Terms) -> datetime | None:
    """Return when somebody has to look at a document again, None when it is settled."""
    if invoice.kind != "invoice":
        return None
    if invoice.charging is not None:
        # What came of it may have to be asked for, if nobody tells us.
        return datetime.fromisoformat(invoice.charging.since) + ASK_AFTER
    if not invoice.amount_due:
        return invoice.due_at if invoice.escalated else None
    if invoice.status == "open":
        return invoice.due_at
    return None if invoice.escalated else invoice.due_at + terms.grace


def shown(table: Table, files: Files, invoice: Invoice) -> dict[str, Any]:
    """Return a whole document as the wire has it."""
    summary = header(table, invoice)
    if invoice.kind == "credit_note":
        return {**summary, **_credit(invoice, summary["credits_invoice_number"])}
    body = files.get(document_name(invoice.org_id, invoice.invoice_id))
    assert body is not None, "the sums are filed before the document is written"
    return {**summary, **content(table, invoice, Share.unpack(json.loads(body)))}


def header(table: Table, invoice: Invoice) -> dict[str, Any]:
    """Return what a document is about and how it stands, as the wire has it."""
    return headers(table, invoice.org_id, [invoice])[0]


def headers(table: Table, org_id: str, invoices: Sequence[Invoice]) -> list[dict[str, Any]]:
    """Return what documents are about and how they stand, as the wire has it.

    A credit note tells the number of what it credits, for that is what people have in hand.
    """
    credited = [invoice.credits_invoice for invoice in invoices if invoice.credits_invoice]
    numbers = find_numbers(table, org_id, credited)
    return [_header(invoice, numbers) for invoice in invoices]


def find_shown(table: Table, org_id: str, wanted: str) -> Invoice:
    """Return a document by its id.

    Raises:
        NotFound: the organization has none with this id.
    """
    invoice = find_invoice(table, org_id, wanted)
    if invoice is None:
        raise NotFound("invoice_id: the organization has no invoice with this id")
    return invoice


def _header(invoice: Invoice, numbers: Mapping[str, str]) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "type": "invoice",
        "id": "draft" if invoice.status == "draft" else invoice.invoice_id,
        "number": invoice.number or None,
        "organization_id": invoice.org_id,
        "kind": invoice.kind,
        "status": invoice.status,
        "period": invoice.period,
        "starts_at": _moment(invoice.starts_at),
        "ends_at": _moment(invoice.ends_at),
        "currency": invoice.currency,
        "subtotal": format_amount(invoice.subtotal),
        "rounding": format_amount(invoice.rounding),
        "tax": format_amount(invoice.tax),
        "total": format_amount(invoice.total),
        "credited": None,
        "paid": None,
        "surplus": None,
        "amount_due": format_amount(invoice.amount_due),
        "issued_at": None if invoice.status == "draft" else _moment(invoice.issued_at),
        "due_at": _moment(invoice.due_at) if invoice.kind == "invoice" else None,
        "paid_at": invoice.paid_at,
        "credits_invoice": invoice.credits_invoice,
        "credits_invoice_number": numbers.get(invoice.credits_invoice or ""),
        "pdf": f"/v1/organizations/invoices/{invoice.invoice_id}/pdf"
        if invoice.announced
        else None,
    }
    if invoice.kind == "invoice":
        # Total less these is what is due, and what was too much goes back.
        wire |= {
            "credited": format_amount(invoice.credited),
            "paid": format_amount(invoice.paid),
            "surplus": format_amount(invoice.surplus),
        }
    if invoice.movement is not None:
        wire |= {
            "opening_balance": format_amount(invoice.movement.opening),
            "purchases": format_amount(invoice.movement.purchases),
            "usage": format_amount(invoice.subtotal),
            "closing_balance": format_amount(invoice.closing_balance),
        }
    return wire


def content(table: Table, invoice: Invoice, share: Share) -> dict[str, Any]:
    """Return what a document lists, as the wire has it.

    Lines and adjustments sum to `subtotal`, and so do tiers, and members with the others.
    """
    tally = share.tally
    own = [line for line in tally.sorted_lines if not line[0].late_for]
    parts = sorted((part for part in share.parts if part[2]), key=lambda part: (-part[2], part[0]))
    others = sum(amount for _, _, amount in parts[BY_MEMBER_MAX:])
    return {
        "lines": [_line(*line) for line in own],
        "adjustments": list(_adjustments(table, invoice, tally)),
        "by_seat_tier": [
            {"seat_tier": tier, "amount": format_amount(tally.tiers[tier])}
            for tier in SEAT_TIERS
            if tier in tally.tiers
        ],
        "by_member": [
            {"user_id": user_id, "name": name, "amount": format_amount(amount)}
            for user_id, name, amount in parts[:BY_MEMBER_MAX]
        ],
        "other_members_amount": format_amount(others),
        "members": share.members,
        "taxes": _taxes(invoice),
        "included_amount": format_amount(tally.included),
        "unbilled_amount": format_amount(tally.unbilled),
    }


def facts(invoice: Invoice, numbers: Mapping[str, str] = _NONE) -> dict[str, Any]:
    """Return what the event bus hears of a document; of a credit note with what it credits."""
    wire = _header(invoice, numbers)
    names = ["number", "kind", "status", "period", "currency", "total", "amount_due", "due_at"]
    if invoice.credits_invoice:
        names.append("credits_invoice_number")
    return {"invoice_id": invoice.invoice_id, **{name: wire[name] for name in names}}


def _draft(
    organization: Organization,
    closing: Closing,
    movement: Movement | None,
    now: datetime,
    terms: Terms,
) -> Invoice:
    kind: Kind = "statement" if organization.plan == "team" else "invoice"
    additions = additions_to(kind, closing.charged, closing.tax)
    invoice = Invoice(
        org_id=organization.org_id,
        invoice_id=invoice_id(organization.org_id, kind, closing.period),
        number="",
        kind=kind,
        period=closing.period,
        starts_at=closing.starts_at,
        ends_at=closing.ends_at,
        currency=organization.currency,
        subtotal=closing.charged,
        rounding=additions.rounding,
        taxes=additions.taxes,
        issued_at=now,
        due_at=now + terms.net,
    )
    if kind == "statement":
        return replace(invoice, status="paid", movement=movement)
    return in_state(invoice, now, paid_at=_moment(now))


def _line(priced: Priced, each: Sum) -> dict[str, Any]:
    return {
        "model": priced.model,
        "kind": priced.kind,
        "quantity": each.quantity,
        "unit_price": format_amount(priced.unit_nanos),
        "per": priced.per,
        "price_version": priced.price_version,
        "amount": format_amount(each.amount),
    }


def _adjustments(table: Table, invoice: Invoice, tally: Tally) -> Iterable[dict[str, Any]]:
    """Return what belongs to earlier periods, each linked to the document of its period."""
    periods: dict[str, list[tuple[Priced, Sum]]] = {}
    for priced, each in tally.sorted_lines:
        if priced.late_for:
            periods.setdefault(priced.late_for, []).append((priced, each))
    ids = {period: invoice_id(invoice.org_id, invoice.kind, period) for period in periods}
    numbers = find_numbers(table, invoice.org_id, ids.values())
    for period, lines in periods.items():
        yield {
            "kind": "late_usage",
            "period": period,
            "invoice_id": ids[period],
            "invoice_number": numbers.get(ids[period]),
            "amount": format_amount(sum(each.amount for _, each in lines)),
            "lines": [_line(*line) for line in lines],
        }


def _credit(invoice: Invoice, credited_number: str | None) -> dict[str, Any]:
    return {
        "lines": [],
        "adjustments": [
            {
                "kind": "credit",
                "period": invoice.period,
                "invoice_id": invoice.credits_invoice,
                "invoice_number": credited_number,
                "amount": format_amount(invoice.subtotal),
                "lines": [],
                "description": invoice.reason,
            }
        ],
        "by_seat_tier": [],
        "by_member": [],
        "other_members_amount": "0",
        "members": 0,
        "taxes": _taxes(invoice),
        "included_amount": "0",
        "unbilled_amount": "0",
    }


def _taxes(invoice: Invoice) -> list[dict[str, str]]:
    return [
        {"name": tax.name, "rate": tax.rate, "amount": format_amount(tax.amount)}
        for tax in invoice.taxes
    ]


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
