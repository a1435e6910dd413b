"""Collecting what invoices come to: by card, by transfer, and what follows when nobody pays.

Every change of an invoice is conditioned on its version, and every payment counts once under its
id, so that webhooks, operators, retries and the schedule may meet on the same invoice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from headroom.billing.domain.invoice import (
    Charging,
    Invoice,
    Receipt,
    Terms,
    in_state,
    waits_for_card,
    with_receipt,
)
from headroom.billing.store.invoices import (
    change_invoice,
    find_invoice,
    find_payer,
    list_invoices,
    list_overdue,
    put_payer,
)
from headroom.billing.usecases.invoices import facts, find_shown, look_at
from headroom.billing.usecases.period_close import organization_of
from headroom.core.domain.actor import SYSTEM, Actor
from headroom.core.domain.instants import to_wire
from headroom.core.domain.money import NANOS_PER_CENT, format_amount
from headroom.core.errors import InvalidRequest, Overloaded
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Change, Contended, Refused, Table
from headroom.limits.usecases.settings import Reason, change_organization
from headroom.organizations.domain.audit import Entry
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.audit import put_note
from headroom.payments.gateways.payments import PaymentMethodRefused, Payments, PaymentUnknown
from headroom.wallets.domain.payments import Charge, Payment, PaymentEvent
from headroom.wallets.store.wallets import find_customer, put_customer

ATTEMPTS_MAX: Final = 16
PAID: Final = "invoice.paid"
PAST_DUE: Final = "invoice.past_due"

# A processor remembers a charge's key for a day; later, asking must not charge again.
PATIENCE: Final = timedelta(days=1)
KEY_IS_SAFE_FOR: Final = timedelta(hours=20)
# A charge for another amount than is due is only looked for. What the processor does not know by
# then was never asked for.
LOST_AFTER: Final = timedelta(hours=1)
_SKEW: Final = timedelta(hours=1)
_KEY_PREFIX: Final = "invoice/"

PROCESSOR: Final = Actor("system", "payment_processor")


@dataclass(frozen=True, slots=True)
class Collector:
    """How invoices are collected: through a processor (None: by transfer alone), on what terms."""

    payments: Payments | None
    terms: Terms


def is_invoice_key(key: str | None) -> bool:
    """Tell whether a payment's key says that it is for an invoice."""
    return key is not None and key.startswith(_KEY_PREFIX)


def collect(table: Table, collector: Collector, invoice: Invoice, now: datetime) -> Invoice:
    """Charge the card on file for what an invoice still asks; without one it waits for a transfer.

    So does one of which money went back, by a dispute or a refund.

    The charge is noted before it is made, under a key derived from the invoice, so a reply that
    was lost is asked for again and never charged twice.

    Raises:
        PaymentUnknown: the processor did not say what happened; repeat this.
        Contended: others change the invoice all the time.
    """
    payments = collector.payments
    if payments is None or invoice.kind != "invoice":
        return invoice
    if invoice.charging is None:
        if not invoice.amount_due or invoice.was_returned:
            return invoice
        method = payments.find_payment_method(_customer(table, payments, invoice))
        if method is None:
            return invoice
        charging = Charging(
            f"{_KEY_PREFIX}{invoice.org_id}/{invoice.invoice_id}/{invoice.charges}",
            invoice.amount_due // NANOS_PER_CENT,
            to_wire(now),
            method.payment_method_id,
        )
        try:
            invoice = _change(table, collector, invoice, replace(invoice, charging=charging))
        except Refused:
            # Somebody paid, or charges, meanwhile; whoever looks next sees what came of it.
            return find_shown(table, invoice.org_id, invoice.invoice_id)
    assert invoice.charging is not None, "it was noted above"
    try:
        payment = _charge(table, payments, invoice, invoice.charging, now)
    except PaymentMethodRefused:
        return _give_up(table, collector, invoice, invoice.charging.key)
    if payment is None:
        return _give_up(table, collector, invoice)
    return _apply(table, collector, invoice, payment, now)


def collect_anew(table: Table, collector: Collector, invoice: Invoice, now: datetime) -> Invoice:
    """Charge an invoice that a card did not pay to the one on file by now: once for each card.

    Raises:
        PaymentUnknown: the processor did not say what happened; repeat this.
        Contended: others change the invoice all the time.
    """
    payments = collector.payments
    if payments is None or not waits_for_card(invoice):
        return invoice
    method = payments.find_payment_method(_customer(table, payments, invoice))
    if method is None or method.payment_method_id in invoice.declined_cards:
        return invoice
    return collect(table, collector, invoice, now)


def apply_invoice_event(
    table: Table, collector: Collector, event: PaymentEvent, now: datetime
) -> bool:
    """Act on what the processor tells of an invoice's payment: in any order, and repeatedly.

    Looks at the payment or the card as it is by now, rather than believe what the event says of
    it. Returns whether it was about invoices.

    Raises:
        PaymentUnknown: the processor cannot be asked; deliver the event again.
    """
    if event.kind == "payment_method_changed":
        return _change_card(table, collector, event, now)
    if event.payment_id is None or collector.payments is None:
        return False
    if event.key is not None and not is_invoice_key(event.key):
        return False
    payment = collector.payments.find_payment(event.payment_id)
    if payment is None or payment.key is None or not is_invoice_key(payment.key):
        return False
    org_id, invoice_id, _ = payment.key.removeprefix(_KEY_PREFIX).split("/")
    invoice = find_invoice(table, org_id, invoice_id)
    if invoice is None:
        return False
    invoice = _apply(table, collector, invoice, payment, now)
    disputed = event.amount_cents * NANOS_PER_CENT
    receipts = {
        "dispute_opened": [(f"{payment.payment_id}:dispute", -disputed)],
        "dispute_lost": [(f"{payment.payment_id}:dispute", -disputed)],
        # The money went when the dispute was opened, which we may not have heard of yet.
        "dispute_won": [
            (f"{payment.payment_id}:dispute", -disputed),
            (f"{payment.payment_id}:dispute_won", disputed),
        ],
    }.get(event.kind, [])
    for receipt_id, amount in receipts:
        receipt = Receipt(receipt_id, amount, to_wire(event.created_at), PROCESSOR.id)
        invoice = _receive(table, collector, invoice, receipt, PROCESSOR, now)
    # Another card may have come while this payment was on its way.
    collect_anew(table, collector, invoice, now)
    return True


def _change_card(table: Table, collector: Collector, event: PaymentEvent, now: datetime) -> bool:
    """Try a card that is new on file on what waits for one; a Team's is its wallet's affair."""
    org_id = find_customer(table, event.customer_id) if event.customer_id else None
    if org_id is None or organization_of(table, org_id).plan == "team":
        return False
    for invoice in list_invoices(table, org_id):
        collect_anew(table, collector, invoice, now)
    return True


def settle_invoice(
    table: Table,
    collector: Collector,
    invoice: Invoice,
    *,
    reference: str,
    amount: int | None,
    actor: Actor,
    now: datetime,
) -> Invoice:
    """Count a transfer that an operator saw arrive; the same reference counts once.

    Raises:
        InvalidRequest: the invoice asks for nothing, or the amount is not what it can take.
    """
    receipt_id = f"transfer:{reference}"
    if not invoice.has_receipt(receipt_id):
        if not invoice.amount_due:
            raise InvalidRequest("invoice_id", "nothing is due on this invoice")
        if amount is not None and not 0 < amount <= invoice.amount_due:
            raise InvalidRequest("amount", "must be above zero, and at most what is due")
    receipt = Receipt(receipt_id, amount or invoice.amount_due, to_wire(now), actor.id)
    return _receive(table, collector, invoice, receipt, actor, now)


def chase(table: Table, collector: Collector, now: datetime, may_go_on: Callable[[], bool]) -> int:
    """See to every invoice whose moment has come; return how many were looked at.

    Repeating it, or running two at once, is harmless.
    """
    looked = 0
    for found in list_overdue(table, now):
        if not may_go_on():
            break
        looked += 1
        invoice = find_invoice(table, found.org_id, found.invoice_id)
        if invoice is not None:
            # Whoever changed it meanwhile has seen to it, or the next run does.
            with suppress(Refused, Contended, Overloaded):
                _see_to(table, collector, invoice, now)
    return looked


def _see_to(table: Table, collector: Collector, invoice: Invoice, now: datetime) -> None:
    if invoice.charging is not None or (invoice.status == "open" and invoice.amount_due):
        was_charging = invoice.charging is not None
        try:
            invoice = collect(table, collector, invoice, now)
            if was_charging and invoice.charging is None:
                # What was under way came to nothing: the card on file by now is tried.
                again = collect if now >= invoice.due_at else collect_anew
                invoice = again(table, collector, invoice, now)
        except PaymentUnknown:
            # A processor that is out of reach, or none at all, holds up a due date for a day.
            if now < invoice.due_at + PATIENCE:
                return
    if not invoice.amount_due:
        _lift(table, collector, invoice, now)
        return
    if now < invoice.due_at:
        return
    if invoice.status == "open":
        told = _told(invoice, PAST_DUE, now)
        late = in_state(invoice, now)
        invoice = _change(table, collector, invoice, late, [told])
    if now < invoice.due_at + collector.terms.grace:
        return
    if not invoice.escalated:
        # Marked first: whoever lifts the state of another invoice looks at these marks.
        invoice = change_invoice(table, invoice, replace(invoice, escalated=True), now)
    _suspend(table, invoice.org_id, True, now)
    change_invoice(table, invoice, invoice, None)


def _lift(table: Table, collector: Collector, invoice: Invoice, now: datetime) -> None:
    """Let an organization spend again whose last escalated invoice was paid."""
    if not invoice.escalated:
        return
    if not _owes(table, invoice.org_id):
        _suspend(table, invoice.org_id, False, now)
        if _owes(table, invoice.org_id):
            _suspend(table, invoice.org_id, True, now)
    _change(table, collector, invoice, replace(invoice, escalated=False))


def _owes(table: Table, org_id: str) -> bool:
    return any(each.escalated and each.amount_due for each in list_invoices(table, org_id))


def _suspend(table: Table, org_id: str, past_due: bool, now: datetime) -> None:
    reason = Reason(SYSTEM, "payment.past_due" if past_due else "payment.settled")

    def change(old: Organization) -> Organization:
        return replace(old, past_due=past_due)

    change_organization(table, org_id, change, now, reason)


def _charge(
    table: Table, payments: Payments, invoice: Invoice, charging: Charging, now: datetime
) -> Payment | None:
    """Make the charge that was noted, or find it if its key is too old to be used again."""
    customer_id = _customer(table, payments, invoice)
    since = datetime.fromisoformat(charging.since)
    is_due = charging.amount_cents * NANOS_PER_CENT == invoice.amount_due
    if now > since or not is_due:
        # Not the first time: see how it stands by now, rather than what was answered then.
        found = payments.find_charged(customer_id, charging.key, since=since - _SKEW)
        if found is not None or now - since > (KEY_IS_SAFE_FOR if is_due else LOST_AFTER):
            return found
    if not is_due:
        raise PaymentUnknown("a charge for another amount may still be on its way")
    return payments.charge(
        Charge(
            customer_id=customer_id,
            amount_cents=charging.amount_cents,
            currency=invoice.currency,
            key=charging.key,
            payment_method_id=charging.card,
            facts={"organization_id": invoice.org_id, "invoice_id": invoice.invoice_id},
        )
    )


def _customer(table: Table, payments: Payments, invoice: Invoice) -> str:
    """Return the organization's customer, made once: the processor forgets after a day that it was.

    Two that make one at the same time are told the same by the processor.
    """
    known = find_payer(table, invoice.org_id)
    if known is not None:
        if find_customer(table, known) is None:
            # Made by a release that did not note whose it is.
            table.transact([put_customer(invoice.org_id, known)])
        return known
    organization = organization_of(table, invoice.org_id)
    customer_id = payments.create_customer(org_id=organization.org_id, name=organization.name)
    try:
        table.transact(
            [put_payer(invoice.org_id, customer_id), put_customer(invoice.org_id, customer_id)]
        )
    except Refused:
        return find_payer(table, invoice.org_id) or customer_id
    return customer_id


def _apply(
    table: Table, collector: Collector, invoice: Invoice, payment: Payment, now: datetime
) -> Invoice:
    """Bring an invoice up to a payment's present state."""
    match payment.state:
        case "succeeded":
            amount = payment.amount_cents * NANOS_PER_CENT
            receipt = Receipt(payment.payment_id, amount, to_wire(payment.created_at), PROCESSOR.id)
            invoice = _receive(table, collector, invoice, receipt, PROCESSOR, now, key=payment.key)
            return _take_refunds(table, collector, invoice, payment, now)
        case "declined":
            return _give_up(table, collector, invoice, payment.key)
        case "needs_action" if collector.payments is not None and now >= invoice.due_at:
            # Nobody answered for the card in time. If its holder was faster, it is paid.
            ended = collector.payments.cancel(payment.payment_id)
            if ended.state == "needs_action":
                return invoice
            return _apply(table, collector, invoice, ended, now)
        case "processing" | "needs_action":
            # Its end comes as an event, or is found when the invoice is looked at again.
            return invoice


def _take_refunds(
    table: Table, collector: Collector, invoice: Invoice, payment: Payment, now: datetime
) -> Invoice:
    prefix = f"{payment.payment_id}:refund:"
    known = -sum(each.amount for each in invoice.receipts if each.id.startswith(prefix))
    refunded = payment.refunded_cents * NANOS_PER_CENT
    if refunded <= known:
        return invoice
    receipt = Receipt(
        f"{prefix}{payment.refunded_cents}", known - refunded, to_wire(now), PROCESSOR.id
    )
    return _receive(table, collector, invoice, receipt, PROCESSOR, now)


def _receive(
    table: Table,
    collector: Collector,
    invoice: Invoice,
    receipt: Receipt,
    actor: Actor,
    now: datetime,
    *,
    key: str | None = None,
) -> Invoice:
    """Count money for an invoice, once, with its audit entry and what the bus hears of it.

    `key` is that of the charge which brought it, None for any other money.
    """
    for _ in range(ATTEMPTS_MAX):
        if not invoice.has_receipt(receipt.id):
            after = with_receipt(invoice, receipt, now, key=key)
            also: list[Change] = [_note(table, invoice, after, receipt, actor, now)]
            if after.status == "paid" and invoice.status != "paid":
                also.append(_told(after, PAID, now))
            if after.status == "past_due" and invoice.status != "past_due":
                also.append(_told(after, PAST_DUE, now))
            try:
                invoice = _change(table, collector, invoice, after, also)
            except Refused:
                invoice = find_shown(table, invoice.org_id, invoice.invoice_id)
                continue
        if not invoice.amount_due:
            with suppress(Refused):
                _lift(table, collector, invoice, now)
        return invoice
    raise Contended


def _give_up(
    table: Table, collector: Collector, invoice: Invoice, key: str | None = None
) -> Invoice:
    """Note that a charge came to nothing, so that the next one has a key of its own.

    With its `key` it was declined; without, it was never made.
    """
    for _ in range(ATTEMPTS_MAX):
        charging = invoice.charging
        if charging is None or (key is not None and charging.key != key):
            return invoice
        declined = dict.fromkeys(invoice.declined_cards)
        if key is not None and charging.card is not None:
            declined[charging.card] = None
        after = replace(
            invoice, charging=None, charges=invoice.charges + 1, declined_cards=tuple(declined)
        )
        try:
            return _change(table, collector, invoice, after)
        except Refused:
            invoice = find_shown(table, invoice.org_id, invoice.invoice_id)
    raise Contended


def _change(
    table: Table,
    collector: Collector,
    old: Invoice,
    new: Invoice,
    also: Sequence[Change] = (),
) -> Invoice:
    return change_invoice(table, old, new, look_at(new, collector.terms), also)


def _note(
    table: Table, before: Invoice, after: Invoice, receipt: Receipt, actor: Actor, now: datetime
) -> Change:
    entry = Entry(
        before.org_id,
        organization_of(table, before.org_id).version,
        now,
        actor,
        "invoice.payment_received" if receipt.amount > 0 else "invoice.payment_returned",
        before.invoice_id,
        _standing(before),
        {
            "number": after.number,
            **_standing(after),
            "amount": format_amount(receipt.amount),
            "reference": receipt.id,
        },
    )
    return put_note(entry, f"{before.invoice_id}_{len(after.receipts)}")


def _standing(invoice: Invoice) -> dict[str, Any]:
    return {"status": invoice.status, "amount_due": format_amount(invoice.amount_due)}


def _told(invoice: Invoice, detail_type: str, now: datetime) -> Change:
    """Return the announcement of a crossing; after money went back it may be crossed again."""
    name = detail_type.removeprefix("invoice.")
    event_id = f"{invoice.invoice_id}_{name}_{len(invoice.receipts)}"
    return put_announcement(invoice.org_id, event_id, detail_type, facts(invoice), now)
