"""A payment that waits for its card's holder, led to where they confirm it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from headroom.core.domain.money import format_amount
from headroom.core.errors import NotFound, Overloaded
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.payments.gateways.payments import Payments, PaymentUnknown
from headroom.payments.usecases.charges import pursue, settle
from headroom.payments.usecases.refunds_and_disputes import hold_to_account
from headroom.wallets.store.intents import Intent, find_intent
from headroom.wallets.store.wallets import find_wallet

# What the address to come back to says of the payment that was left for.
COMES_BACK_WITH: Final = "payment"

_STATUS: Final = {
    "created": "pending",
    "charging": "pending",
    "needs_action": "requires_action",
    "succeeded": "succeeded",
    "declined": "declined",
    "voided": "void",
}


def confirm_payment(
    table: Table,
    payments: Payments,
    organization: Organization,
    intent_id: str,
    page_url: str,
    now: datetime,
) -> dict[str, Any]:
    """Bring a payment on with its card's holder there, and return it as the wire has it.

    While it waits for them, its `redirect_url` is where they confirm it; from there they come back
    to `page_url`, and asking again tells what became of it. Asked twice, it is one payment.

    Raises:
        NotFound: the organization has no such payment.
        Overloaded: the processor or others are in the way; try again.
    """
    intent = find_intent(table, organization.org_id, intent_id)
    if intent is None:
        raise NotFound("payment_id: there is no payment with this id")
    redirect_url = None
    if _awaits_holder(table, intent):
        assert intent.payment_id is not None, "the processor has it, or it would not wait"
        back = f"{page_url}?{urlencode({COMES_BACK_WITH: intent_id})}"
        try:
            payment = payments.confirm(intent.payment_id, intent.payment_method_id, return_url=back)
        except PaymentUnknown as error:
            raise Overloaded("the payment processor did not answer; try again") from error
        redirect_url = payment.redirect_url
        intent = settle(table, intent.org_id, intent_id, payment, now)
    elif intent.state == "charging":
        intent = pursue(table, payments, intent, now)
    if intent.state == "succeeded":
        # What is owed is paid first.
        hold_to_account(table, organization, now)
    return {
        "type": "wallet_payment",
        "id": intent.intent_id,
        "kind": intent.kind,
        "amount": format_amount(intent.amount),
        "status": _STATUS[intent.state],
        "decline_code": intent.decline_code,
        "redirect_url": redirect_url,
    }


def _awaits_holder(table: Table, intent: Intent) -> bool:
    """Whether it waits, and is still wanted: nobody confirms a reload that was switched off."""
    wallet = find_wallet(table, intent.org_id)
    assert wallet is not None, "an intent is written with its wallet"
    return intent.state == "needs_action" and any(
        each.intent_id == intent.intent_id and each.awaits_holder for each in wallet.pending
    )
