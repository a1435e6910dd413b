"""Credit notes: an invoice is never edited; another document reverses what was wrong on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from headroom.billing.domain.invoice import Invoice, Terms, in_state, invoice_id, taxes_on_credit
from headroom.billing.store.invoices import find_invoice, issue, put_changed
from headroom.billing.usecases.invoices import find_shown, look_at
from headroom.billing.usecases.period_close import organization_of
from headroom.core.domain.actor import Actor
from headroom.core.domain.money import format_amount
from headroom.core.errors import Conflict, InvalidRequest
from headroom.core.store.table import Contended, Refused, Table
from headroom.organizations.domain.audit import Entry
from headroom.organizations.store.audit import put_note

ATTEMPTS_MAX: Final = 8


def credit_invoice(
    table: Table,
    terms: Terms,
    credited: Invoice,
    *,
    amount: int | None,
    reference: str,
    reason: str,
    actor: Actor,
    now: datetime,
) -> Invoice:
    """Write a credit note on an invoice, and return it; the same reference is one credit.

    None credits all that was not credited before. A credit is of the net amount and of its taxes.
    What is credited of an unpaid invoice is not due any more; of a paid one it is owed to the
    customer (`surplus`).

    Raises:
        InvalidRequest: the document is no invoice, or the amount more than it came to.
        Conflict: the reference was used for another amount.
        Contended: others change the invoice all the time.
    """
    if credited.kind != "invoice":
        raise InvalidRequest("invoice_id", "only an invoice can be credited")
    note_id = invoice_id(
        credited.org_id, "credit_note", credited.period, f"{credited.invoice_id}|{reference}"
    )
    for _ in range(ATTEMPTS_MAX):
        if (found := find_invoice(table, credited.org_id, note_id)) is not None:
            if amount is not None and -found.total != amount:
                raise Conflict("reference: it was used for a credit of another amount")
            return found
        left = credited.total - credited.credited
        nanos = left if amount is None else amount
        if not 0 < nanos <= left:
            raise InvalidRequest("amount", f"must be above zero, and at most {format_amount(left)}")
        after = in_state(replace(credited, credited=credited.credited + nanos), now)
        note = _note(credited, note_id, nanos, reason, now)
        entry = Entry(
            credited.org_id,
            organization_of(table, credited.org_id).version,
            now,
            actor,
            "invoice.credited",
            credited.invoice_id,
            {"status": credited.status, "amount_due": format_amount(credited.amount_due)},
            {
                "number": credited.number,
                "status": after.status,
                "amount_due": format_amount(after.amount_due),
                "amount": format_amount(nanos),
                "reason": reason,
            },
        )
        also = [put_changed(credited, after, look_at(after, terms)), put_note(entry, note_id)]
        try:
            return issue(table, note, None, also)
        except Refused:
            credited = find_shown(table, credited.org_id, credited.invoice_id)
    raise Contended


def _note(invoice: Invoice, note_id: str, nanos: int, reason: str, now: datetime) -> Invoice:
    taxes = taxes_on_credit(invoice, nanos)
    return Invoice(
        org_id=invoice.org_id,
        invoice_id=note_id,
        number="",
        kind="credit_note",
        period=invoice.period,
        starts_at=invoice.starts_at,
        ends_at=invoice.ends_at,
        currency=invoice.currency,
        subtotal=-nanos - sum(tax.amount for tax in taxes),
        rounding=0,
        taxes=taxes,
        issued_at=now,
        due_at=now,
        status="paid",
        credits_invoice=invoice.invoice_id,
        reason=reason,
    )
