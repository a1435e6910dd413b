"""Invoices, statements and credit notes: written once, numbered in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, cast

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from headroom.billing.domain.invoice import (
    Charging,
    Invoice,
    Kind,
    Movement,
    Receipt,
    Status,
    invoice_number,
)
from headroom.billing.domain.invoice import invoice_id as invoice_id_of
from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.domain.periods import previous_period
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import (
    Change,
    Contended,
    Item,
    Page,
    Put,
    Range,
    Refused,
    Table,
    each,
)
from headroom.organizations.domain.tax import TaxLine

PAGE: Final = 100
# Documents of one organization and kind are numbered one after the other; they seldom meet.
ATTEMPTS_MAX: Final = 8


class SeriesRecord(Record):
    """The last number that was given out."""

    last = IntegerAttribute()


class PayerRecord(Record):
    """Whom an organization's invoices are charged to."""

    customer_id = UnicodeAttribute()


class BookingRecord(Record):
    """A ledger entry that is no usage. Its amount is in nanos, and never changes."""

    org_id = UnicodeAttribute()
    invoice_id = UnicodeAttribute()
    kind = UnicodeAttribute()
    amount = IntegerAttribute()
    at = UnicodeAttribute()


class InvoiceRecord(Record):
    """A document and how it stands. In the index `by_due` while somebody has to look at it."""

    org_id = UnicodeAttribute()
    invoice_id = UnicodeAttribute()
    number = UnicodeAttribute()
    kind = UnicodeAttribute()
    period = UnicodeAttribute()
    starts_at = IntegerAttribute()
    ends_at = IntegerAttribute()
    currency = UnicodeAttribute()
    subtotal = IntegerAttribute()
    rounding = IntegerAttribute()
    taxes = JSONAttribute()
    issued_at = IntegerAttribute()
    pay_by = IntegerAttribute()
    status = UnicodeAttribute()
    receipts = JSONAttribute()
    credited = IntegerAttribute()
    paid_at = UnicodeAttribute(null=True)
    charges = IntegerAttribute()
    charging = JSONAttribute(null=True)
    charging_card = UnicodeAttribute(null=True)
    declined_cards = JSONAttribute(null=True)
    announced = BooleanAttribute()
    escalated = BooleanAttribute()
    credits_invoice = UnicodeAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    movement = JSONAttribute(null=True)
    # Beside the movement: an earlier release takes exactly what that has.
    read_from = IntegerAttribute(null=True)
    version = IntegerAttribute()
    due_shard = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)


def find_invoice(table: Table, org_id: str, invoice_id: str) -> Invoice | None:
    """Return a document, None if the organization has none with this id."""
    item = table.get(keys.invoice(org_id, invoice_id))
    return None if item is None else read_invoice(item)


def invoices_of(org_id: str) -> Range:
    """Where an organization's documents lie, the latest period first."""
    return Range(f"ORG#{org_id}#INVOICES", descending=True)


def invoices_page(table: Table, org_id: str, *, limit: int, start: Item | None) -> Page:
    """Return a page of an organization's documents, the latest period first."""
    return table.query(invoices_of(org_id), limit=limit, start=start)


def list_invoices(table: Table, org_id: str) -> Iterator[Invoice]:
    """Walk through all documents of an organization, in the order of their periods."""
    for item in each(table, Range(f"ORG#{org_id}#INVOICES")):
        yield read_invoice(item)


def find_numbers(table: Table, org_id: str, invoice_ids: Iterable[str]) -> dict[str, str]:
    """Return the numbers of those of some documents that exist, by id."""
    wanted = [keys.invoice(org_id, invoice_id) for invoice_id in dict.fromkeys(invoice_ids)]
    numbers: dict[str, str] = {}
    for first in range(0, len(wanted), PAGE):
        for item in table.get_many(wanted[first : first + PAGE]).values():
            numbers[item["invoice_id"]["S"]] = item["number"]["S"]
    return numbers


def find_statement_before(table: Table, org_id: str, period: str) -> Invoice | None:
    """Return an organization's last statement of an earlier period, None if it has none.

    It is that of the period before, one read, unless that is missing.
    """
    derived = invoice_id_of(org_id, "statement", previous_period(period))
    last = find_invoice(table, org_id, derived)
    if last is not None:
        return last
    for item in each(table, Range(f"ORG#{org_id}#INVOICES", descending=True)):
        invoice = read_invoice(item)
        if invoice.kind == "statement" and invoice.period < period:
            return invoice
    return None


def list_overdue(table: Table, now: datetime) -> Iterator[Invoice]:
    """Walk through the documents that somebody has to look at by now, wherever they are."""
    for shard in range(keys.DUE_SHARDS):
        for item in each(
            table, Range(keys.invoice_shard(shard), index="by_due", until=to_millis(now))
        ):
            yield read_invoice(item)


def issue(
    table: Table,
    draft: Invoice,
    look_at: datetime | None,
    also: Sequence[Change] = (),
) -> Invoice:
    """Write a document under the next number of its series, with what else belongs to it.

    The number is counted in the same transaction, so a series has no gaps.

    Raises:
        Refused: the document exists, or one of `also` was refused (they come first).
        Contended: others are on them.
    """
    series = keys.invoice_series(draft.org_id, draft.kind)
    for _ in range(ATTEMPTS_MAX):
        item = table.get(series)
        last = 0 if item is None else SeriesRecord.of(item).last
        number = invoice_number(draft.org_id, draft.kind, last + 1)
        numbered = replace(draft, number=number)
        counting = Put(
            series,
            SeriesRecord(series.pk, series.sk, last=last + 1).to_item(),
            SeriesRecord.pk.does_not_exist() if item is None else SeriesRecord.last == last,
        )
        try:
            table.transact([*also, *_bookings(numbered), _put(numbered, look_at, None), counting])
        except Refused as refused:
            if all(not refused.refused(index) for index in range(len(refused.items) - 1)):
                # Another document took the number.
                continue
            raise
        return numbered
    raise Contended


def change_invoice(
    table: Table,
    old: Invoice,
    new: Invoice,
    look_at: datetime | None,
    also: Sequence[Change] = (),
) -> Invoice:
    """Write how a document stands, if nobody else changed it since `old` was read.

    `look_at` is when somebody has to look at it next.

    Raises:
        Refused: somebody did; or one of `also` was refused.
        Contended: others are on it.
    """
    table.transact([put_changed(old, new, look_at), *also])
    return replace(new, version=old.version + 1)


def put_changed(old: Invoice, new: Invoice, look_at: datetime | None) -> Put:
    """Return the write of how a document stands, refused if somebody else changed it."""
    return _put(replace(new, version=old.version + 1), look_at, old.version)


def read_invoice(item: Item) -> Invoice:
    """Read a document."""
    record = InvoiceRecord.of(item)
    charging = cast("list[Any] | None", record.charging)
    movement = cast("list[int] | None", record.movement)
    return Invoice(
        org_id=record.org_id,
        invoice_id=record.invoice_id,
        number=record.number,
        kind=cast("Kind", record.kind),
        period=record.period,
        starts_at=from_millis(record.starts_at),
        ends_at=from_millis(record.ends_at),
        currency=record.currency,
        subtotal=record.subtotal,
        rounding=record.rounding,
        taxes=tuple(TaxLine(*raw) for raw in cast("list[list[Any]]", record.taxes)),
        issued_at=from_millis(record.issued_at),
        due_at=from_millis(record.pay_by),
        status=cast("Status", record.status),
        receipts=tuple(Receipt(*raw) for raw in cast("list[list[Any]]", record.receipts)),
        credited=record.credited,
        paid_at=record.paid_at,
        charges=record.charges,
        charging=None
        if charging is None
        else replace(Charging(*charging), card=record.charging_card),
        declined_cards=tuple(cast("list[str]", record.declined_cards or [])),
        announced=record.announced,
        escalated=record.escalated,
        credits_invoice=record.credits_invoice,
        reason=record.reason,
        movement=None
        if movement is None
        else replace(Movement(*movement), read_from=record.read_from or 0),
        version=record.version,
    )


def _put(invoice: Invoice, look_at: datetime | None, over: int | None) -> Put:
    key = keys.invoice(invoice.org_id, invoice.invoice_id)
    record = InvoiceRecord(
        key.pk,
        key.sk,
        org_id=invoice.org_id,
        invoice_id=invoice.invoice_id,
        number=invoice.number,
        kind=invoice.kind,
        period=invoice.period,
        starts_at=to_millis(invoice.starts_at),
        ends_at=to_millis(invoice.ends_at),
        currency=invoice.currency,
        subtotal=invoice.subtotal,
        rounding=invoice.rounding,
        taxes=[[line.name, line.rate, line.amount] for line in invoice.taxes],
        issued_at=to_millis(invoice.issued_at),
        pay_by=to_millis(invoice.due_at),
        status=invoice.status,
        receipts=[[each.id, each.amount, each.at, each.by] for each in invoice.receipts],
        credited=invoice.credited,
        paid_at=invoice.paid_at,
        charges=invoice.charges,
        charging=None
        if (charging := invoice.charging) is None
        else [charging.key, charging.amount_cents, charging.since],
        charging_card=charging and charging.card,
        declined_cards=list(invoice.declined_cards) or None,
        announced=invoice.announced,
        escalated=invoice.escalated,
        credits_invoice=invoice.credits_invoice,
        reason=invoice.reason,
        movement=None
        if (movement := invoice.movement) is None
        else [movement.opening, movement.purchases, movement.last_entry],
        read_from=movement and movement.read_from,
        version=invoice.version,
    )
    if look_at is not None:
        record.due_shard = keys.invoice_shard(keys.shard_of(invoice.org_id, ""))
        record.due_at = to_millis(look_at)
    condition = InvoiceRecord.pk.does_not_exist() if over is None else InvoiceRecord.version == over
    return Put(key, record.to_item(), condition)


def _bookings(invoice: Invoice) -> Iterator[Put]:
    """Return the ledger entries that a document brings about beside the usage that it bills."""
    amounts = {"rounding": invoice.rounding, "tax": invoice.tax}
    if invoice.kind == "credit_note":
        amounts["credit"] = invoice.subtotal
    for kind, amount in amounts.items():
        if not amount:
            continue
        key = keys.booking(invoice.org_id, f"{invoice.invoice_id}#{kind}")
        record = BookingRecord(
            key.pk,
            key.sk,
            org_id=invoice.org_id,
            invoice_id=invoice.invoice_id,
            kind=kind,
            amount=amount,
            at=wire_moment(invoice.issued_at),
        )
        yield Put(key, record.to_item(), BookingRecord.pk.does_not_exist())


def put_payer(org_id: str, customer_id: str) -> Put:
    """Return the write of whom invoices are charged to, refused if there is somebody."""
    key = keys.payer(org_id)
    record = PayerRecord(key.pk, key.sk, customer_id=customer_id)
    return Put(key, record.to_item(), PayerRecord.pk.does_not_exist())


def find_payer(table: Table, org_id: str) -> str | None:
    """Return the customer that an organization's invoices are charged to, None if there is none."""
    item = table.get(keys.payer(org_id))
    return None if item is None else PayerRecord.of(item).customer_id
