"""What the payment processor tells us, acted on by looking at how things stand there now."""

from __future__ import annotations

from datetime import datetime

from headroom.core.domain.actor import SYSTEM
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_organization
from headroom.payments.gateways.payments import Payments
from headroom.payments.usecases.auto_reload import reload_while_due
from headroom.payments.usecases.charges import settle
from headroom.payments.usecases.refunds_and_disputes import hold_to_account, match_payment
from headroom.payments.usecases.top_ups import keep_payment_method
from headroom.wallets.domain.payments import PaymentEvent
from headroom.wallets.domain.reload import PaymentTerms
from headroom.wallets.store.intents import find_intent, parse_key
from headroom.wallets.store.wallets import find_customer


def apply_payment_event(
    table: Table,
    payments: Payments,
    event: PaymentEvent,
    now: datetime,
    terms: PaymentTerms | None = None,
) -> bool:
    """Bring wallets to what an event is about; tell whether it was about one of ours.

    It may come first, last, twice or never: what is done depends on the payment as it is, not on
    what the event says. With `terms` a reload that was waited for is followed by the next one at
    once, if it did not suffice.

    Raises:
        PaymentUnknown: the processor cannot be asked now; the event should come again.
        Overloaded: others are on the wallet; the event should come again.
    """
    if event.kind == "payment_method_changed":
        return _change_payment_method(table, payments, event, now)
    if event.payment_id is None:
        return False
    payment = payments.find_payment(event.payment_id)
    key = parse_key((payment.key if payment else None) or event.key or "")
    if payment is None or key is None or find_intent(table, *key) is None:
        return False
    organization = find_organization(table, key[0])
    if organization is None:
        return False
    intent = settle(table, *key, payment, now)
    match_payment(table, payments, organization, intent.intent_id, now, seen=payment)
    if intent.state == "succeeded":
        _after_credit(table, payments, organization, now, terms)
    return True


def _after_credit(
    table: Table,
    payments: Payments,
    organization: Organization,
    now: datetime,
    terms: PaymentTerms | None,
) -> None:
    hold_to_account(table, organization, now)
    if terms is not None:
        reload_while_due(table, payments, organization, now, terms)


def _change_payment_method(
    table: Table, payments: Payments, event: PaymentEvent, now: datetime
) -> bool:
    org_id = find_customer(table, event.customer_id) if event.customer_id else None
    organization = find_organization(table, org_id) if org_id else None
    if organization is None or event.customer_id is None:
        return False
    method = payments.find_payment_method(event.customer_id)
    keep_payment_method(table, organization, method, SYSTEM, now)
    return True
