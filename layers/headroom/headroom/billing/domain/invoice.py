"""Invoices, statements and credit notes: what they come to, and what state they are in.

Amounts are nanos, like everywhere; only totals are whole cents, and the nanos by which they
differ from what they sum are a line of their own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from headroom.core.domain.money import round_to_cents
from headroom.organizations.domain.tax import Tax, TaxLine, levy

Kind = Literal["invoice", "statement", "credit_note"]
Status = Literal["draft", "open", "paid", "past_due", "void"]


_LETTERS: Final = {"invoice": "i", "statement": "s", "credit_note": "c"}
_SERIES: Final = {"invoice": "", "statement": "S", "credit_note": "C"}
_PREFIX_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PREFIX_LENGTH: Final = 10


@dataclass(frozen=True, slots=True)
class Terms:
    """When an invoice is due, and how long a past due one is borne before spending stops."""

    net: timedelta = timedelta(days=30)
    grace: timedelta = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money that came for an invoice, or went back (then it is negative).

    `id` is the processor's payment or the operator's reference: the same one counts once.
    """

    id: str
    amount: int
    at: str
    by: str


@dataclass(frozen=True, slots=True)
class Charging:
    """A charge that was begun, and of which we may not know yet what came of it.

    `card` is the payment method that is charged, None where an earlier release did not note it.
    """

    key: str
    amount_cents: int
    since: str
    card: str | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """What a statement tells of a wallet beside its usage.

    The balance before, what came in less what went out otherwise, and the last entry counted. The
    next statement reads the wallet's entries from `read_from` on; from the first, if that is 0.
    """

    opening: int
    purchases: int
    last_entry: int
    read_from: int = 0


@dataclass(frozen=True, slots=True)
class Additions:
    """What a document comes to beside its subtotal: what makes that whole cents, and the taxes."""

    rounding: int = 0
    taxes: tuple[TaxLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Invoice:
    """One document of an organization. It is never edited: receipts and credits come beside it.

    `version` counts its changes of state; `charges` the attempts to collect that have ended, and
    `declined_cards` are those that did not pay it. `movement` is a statement's.
    """

    org_id: str
    invoice_id: str
    number: str
    kind: Kind
    period: str
    starts_at: datetime
    ends_at: datetime
    currency: str
    subtotal: int
    rounding: int
    taxes: tuple[TaxLine, ...]
    issued_at: datetime
    due_at: datetime
    status: Status = "open"
    receipts: tuple[Receipt, ...] = ()
    credited: int = 0
    paid_at: str | None = None
    charges: int = 0
    charging: Charging | None = None
    declined_cards: tuple[str, ...] = ()
    announced: bool = False
    escalated: bool = False
    credits_invoice: str | None = None
    reason: str | None = None
    movement: Movement | None = None
    version: int = 1

    @property
    def closing_balance(self) -> int:
        """What a statement ends with: what there was, and was bought, less what was used."""
        if self.movement is None:
            return 0
        return self.movement.opening + self.movement.purchases - self.subtotal

    @property
    def additions(self) -> Additions:
        """What it comes to beside its subtotal."""
        return Additions(self.rounding, self.taxes)

    @property
    def tax(self) -> int:
        """The sum of the taxes."""
        return sum(line.amount for line in self.taxes)

    @property
    def total(self) -> int:
        """What the document comes to, in whole cents."""
        return self.subtotal + self.rounding + self.tax

    @property
    def paid(self) -> int:
        """What came in, less what went back."""
        return sum(receipt.amount for receipt in self.receipts)

    @property
    def amount_due(self) -> int:
        """What is still to be paid; a statement or credit note asks for nothing."""
        if self.kind != "invoice":
            return 0
        return max(self.total - self.credited - self.paid, 0)

    @property
    def surplus(self) -> int:
        """What was paid and credited beyond the total, and goes back to the customer."""
        if self.kind != "invoice":
            return 0
        return max(self.paid + self.credited - self.total, 0)

    @property
    def was_returned(self) -> bool:
        """Whether money went back: who disputed a charge or was refunded is not charged again."""
        return any(receipt.amount < 0 for receipt in self.receipts)

    def has_receipt(self, receipt_id: str) -> bool:
        """Tell whether this payment was counted before."""
        return any(receipt.id == receipt_id for receipt in self.receipts)


def additions_to(kind: Kind, subtotal: int, tax: Tax | None) -> Additions:
    """Return what a document comes to beside its subtotal: nothing, if it is a statement."""
    if kind == "statement":
        return Additions()
    rounded = round_to_cents(subtotal)
    return Additions(rounded - subtotal, levy(tax, rounded))


def with_receipt(
    invoice: Invoice, receipt: Receipt, now: datetime, *, key: str | None = None
) -> Invoice:
    """Return the invoice with a payment counted, once, and in the state that follows from it.

    `key` is that of the charge which brought it. Another charge whose end we do not know yet stays
    noted: it may have been made, and nothing else may be charged before that is known.
    """
    if invoice.has_receipt(receipt.id):
        return invoice
    after = replace(invoice, receipts=(*invoice.receipts, receipt))
    if invoice.charging is not None and invoice.charging.key == key:
        after = replace(after, charging=None, charges=invoice.charges + 1)
    return in_state(after, now, paid_at=receipt.at)


def waits_for_card(invoice: Invoice) -> bool:
    """Tell whether another card than those that were declined should be charged at once."""
    return (
        bool(invoice.amount_due)
        and invoice.charging is None
        and (bool(invoice.declined_cards) or invoice.status == "past_due")
        and not invoice.was_returned
    )


def in_state(invoice: Invoice, now: datetime, *, paid_at: str | None = None) -> Invoice:
    """Return the invoice in the state that its amounts and its due date make."""
    if invoice.status == "void":
        return invoice
    if not invoice.amount_due:
        reversed_unpaid = invoice.credited and invoice.paid <= 0
        return replace(
            invoice,
            status="void" if reversed_unpaid else "paid",
            paid_at=invoice.paid_at or paid_at,
        )
    return replace(invoice, status="past_due" if now >= invoice.due_at else "open", paid_at=None)


def taxes_on_credit(invoice: Invoice, nanos: int) -> tuple[TaxLine, ...]:
    """Return what of the next `nanos` that are credited of an invoice reverses its taxes.

    In proportion, and counted from the first credit on: when all is credited, all tax is.
    """

    def reversed_by(tax: TaxLine, credited: int) -> int:
        return round_to_cents(tax.amount * credited, invoice.total)

    before, after = invoice.credited, invoice.credited + nanos
    return tuple(
        TaxLine(tax.name, tax.rate, reversed_by(tax, before) - reversed_by(tax, after))
        for tax in invoice.taxes
    )


def invoice_id(org_id: str, kind: Kind, period: str, reference: str = "") -> str:
    """Return the id of a document: derived from what it is about, and sorting as periods do."""
    digest = hashlib.sha256(f"{org_id}|{kind}|{period}|{reference}".encode()).hexdigest()
    return f"inv_{period.replace('-', '')}{_LETTERS[kind]}{digest[:16]}"


def invoice_number(org_id: str, kind: Kind, sequence: int) -> str:
    """Return the number that people quote: an organization's series counts 1, 2, 3 without gaps.

    Each kind of document has a series of its own.
    """
    left = int.from_bytes(hashlib.sha256(org_id.encode()).digest()[:8])
    prefix = ""
    for _ in range(_PREFIX_LENGTH):
        left, index = divmod(left, len(_PREFIX_ALPHABET))
        prefix += _PREFIX_ALPHABET[index]
    return f"{prefix}-{_SERIES[kind]}{sequence:04d}"
