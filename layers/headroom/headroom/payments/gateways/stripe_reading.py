"""What Stripe says, in Headroom's words. Objects are as its API documents them, as plain data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from headroom.payments.gateways.payments import EventUnreadable
from headroom.wallets.domain.payments import (
    CANCELED,
    EventKind,
    Payment,
    PaymentEvent,
    PaymentMethod,
    PaymentState,
    Refund,
    RefundState,
)

# Where a payment and a refund carry our key. Stripe copies a payment's metadata to its charge.
KEY_FIELD: Final = "headroom_key"

# A card that must ask its holder, while nobody is there to be asked. The holder can still confirm
# the same payment (docs.stripe.com/payments/save-and-reuse, "off-session payments").
ASKS_FOR_HOLDER: Final = "authentication_required"

# Disputes that have taken the money: not inquiries, and not what was won.
# docs.stripe.com/api/disputes/object#dispute_object-status
TAKEN_BACK: Final = frozenset({"needs_response", "under_review", "lost"})

_EVENT_ID: Final = re.compile(r"[!-~]{1,255}")
_REFUND_STATES: Final[Mapping[str, RefundState]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
_KINDS: Final[Mapping[str, EventKind]] = {
    "payment_intent.succeeded": "payment_succeeded",
    "payment_intent.payment_failed": "payment_declined",
    "payment_intent.canceled": "payment_declined",
    "payment_intent.requires_action": "payment_needs_action",
    "charge.refunded": "payment_refunded",
    "charge.refund.updated": "payment_refunded",
    "refund.updated": "payment_refunded",
    "refund.failed": "payment_refunded",
    "charge.dispute.created": "dispute_opened",
    "charge.dispute.funds_withdrawn": "dispute_opened",
    "charge.dispute.funds_reinstated": "dispute_won",
    "payment_method.automatically_updated": "payment_method_changed",
    "payment_method.updated": "payment_method_changed",
    "payment_method.detached": "payment_method_changed",
}
_CLOSED_DISPUTES: Final[Mapping[str, EventKind]] = {"won": "dispute_won", "lost": "dispute_lost"}


def read_payment(intent: Mapping[str, Any], disputes: Iterable[Mapping[str, Any]] = ()) -> Payment:
    """Read a PaymentIntent with its latest charge expanded, and the disputes about it."""
    state = _state_of(intent)
    charge = latest_charge(intent)
    return Payment(
        payment_id=intent["id"],
        state=state,
        amount_cents=intent["amount"],
        currency=intent["currency"].upper(),
        key=_key_of(intent),
        created_at=_moment(intent["created"]),
        refunded_cents=charge.get("amount_refunded") or 0,
        disputed_cents=sum(each["amount"] for each in disputes if each["status"] in TAKEN_BACK),
        decline_code=_decline_code(intent) if state == "declined" else None,
        client_secret=intent["client_secret"] if state == "needs_action" else None,
        redirect_url=_redirect_url(intent) if state == "needs_action" else None,
    )


def latest_charge(intent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the charge that an intent came to, empty if there is none or it was not expanded."""
    charge = intent.get("latest_charge")
    return charge if isinstance(charge, Mapping) else {}


def read_payment_method(method: Mapping[str, Any]) -> PaymentMethod:
    """Read a PaymentMethod; one without a brand is shown by its type."""
    told = method.get(method["type"]) or {}
    return PaymentMethod(method["id"], told.get("brand") or method["type"], told.get("last4") or "")


def read_refund(refund: Mapping[str, Any]) -> Refund:
    """Read a Refund."""
    state = _REFUND_STATES.get(refund["status"], "pending")
    return Refund(refund["id"], state, refund["amount"])


def has_key(thing: Mapping[str, Any], key: str) -> bool:
    """Whether a payment or refund carries this key of ours."""
    return _key_of(thing) == key


def read_event(event: object) -> PaymentEvent:
    """Read an Event; what does not concern a wallet is of the kind "other".

    Raises:
        EventUnreadable: it has not the members that Stripe documents.
    """
    try:
        if not isinstance(event, Mapping) or not _EVENT_ID.fullmatch(event["id"]):
            raise EventUnreadable("it has no id as events have one")
        return _read_event(event)
    # Whatever is missing or of another type, anywhere inside.
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        raise EventUnreadable(f"it is no event: {type(error).__name__}") from error


def _read_event(event: Mapping[str, Any]) -> PaymentEvent:
    told = event["data"]["object"]
    kind = _kind_of(event["type"], told, event["data"].get("previous_attributes") or {})
    payment_id = (
        told["id"] if told.get("object") == "payment_intent" else told.get("payment_intent")
    )
    customer_id = told["id"] if told.get("object") == "customer" else told.get("customer")
    if customer_id is None and event["type"] == "payment_method.detached":
        customer_id = event["data"].get("previous_attributes", {}).get("customer")
    amount = told.get("amount_refunded") or told.get("amount")
    return PaymentEvent(
        event_id=event["id"],
        kind=kind,
        created_at=_moment(event["created"]),
        payment_id=_id(payment_id),
        key=_key_of(told),
        customer_id=_id(customer_id),
        amount_cents=amount if isinstance(amount, int) else 0,
    )


def _state_of(intent: Mapping[str, Any]) -> PaymentState:
    # docs.stripe.com/payments/paymentintents/lifecycle; a status unknown to us is not final.
    match intent["status"]:
        case "succeeded":
            return "succeeded"
        case "canceled":
            return "declined"
        case "requires_action":
            return "needs_action"
        case "requires_payment_method":
            asks = _decline_code(intent) == ASKS_FOR_HOLDER
            return "needs_action" if asks else "declined"
    return "processing"


def _decline_code(intent: Mapping[str, Any]) -> str:
    if intent["status"] == "canceled":
        return CANCELED
    error = intent.get("last_payment_error") or {}
    if error.get("code") == ASKS_FOR_HOLDER:
        return ASKS_FOR_HOLDER
    return error.get("decline_code") or error.get("code") or "declined"


def _redirect_url(intent: Mapping[str, Any]) -> str | None:
    redirect = (intent.get("next_action") or {}).get("redirect_to_url") or {}
    url = redirect.get("url")
    return url if isinstance(url, str) else None


def _kind_of(type_: str, told: Mapping[str, Any], previous: Mapping[str, Any]) -> EventKind:
    if type_ == "payment_intent.payment_failed" and _state_of(told) == "needs_action":
        return "payment_needs_action"
    if type_ == "charge.dispute.closed":
        return _CLOSED_DISPUTES.get(told["status"], "other")
    if type_ == "charge.dispute.created" and told["status"] not in TAKEN_BACK:
        return "other"
    if type_ == "customer.updated":
        return "payment_method_changed" if "invoice_settings" in previous else "other"
    return _KINDS.get(type_, "other")


def _key_of(thing: Mapping[str, Any]) -> str | None:
    key = (thing.get("metadata") or {}).get(KEY_FIELD)
    return key if isinstance(key, str) else None


def _id(thing: object) -> str | None:
    """Return the id of what may be an id, an expanded object, or nothing."""
    if isinstance(thing, Mapping):
        thing = thing.get("id")
    return thing if isinstance(thing, str) else None


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
