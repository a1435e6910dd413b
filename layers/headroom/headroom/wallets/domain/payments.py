"""Payments as the rest of Headroom sees them: what is charged, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

# "processing" is an outcome that the processor itself does not know yet; "needs_action" waits for
# the card's holder. Both end as "succeeded" or "declined", which are final.
PaymentState = Literal["succeeded", "declined", "needs_action", "processing"]
RefundState = Literal["succeeded", "pending", "failed"]
EventKind = Literal[
    "payment_succeeded",
    "payment_declined",
    "payment_needs_action",
    "payment_refunded",
    "dispute_opened",
    "dispute_won",
    "dispute_lost",
    "payment_method_changed",
    "other",
]

# The decline code of a payment that was given up.
CANCELED: Final = "canceled"


@dataclass(frozen=True, slots=True)
class Charge:
    """What to charge a customer off session, in whole minor units of the currency.

    `key` is the idempotency key, derived from what is paid for; `facts` go with the payment, so
    that what the processor knows can be matched with what we know. Without a payment method the
    customer's default is charged.
    """

    customer_id: str
    amount_cents: int
    currency: str
    key: str
    payment_method_id: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the processor has it. `key` is the charge's, if it went with the payment.

    `client_secret` is what the card's holder needs for the action that is asked of them, and
    `redirect_url` where they take it, once somebody asked where.
    `refunded_cents` and `disputed_cents` are what went back, or was taken back by a dispute that
    is open or lost, as it stands now: zero again after a refund failed or a dispute was won.
    """

    payment_id: str
    state: PaymentState
    amount_cents: int
    currency: str
    key: str | None
    created_at: datetime
    refunded_cents: int = 0
    disputed_cents: int = 0
    decline_code: str | None = None
    client_secret: str | None = None
    redirect_url: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund as the processor has it."""

    refund_id: str
    state: RefundState
    amount_cents: int


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A saved payment method, with what may be shown of it."""

    payment_method_id: str
    brand: str
    last4: str


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """Something that the processor tells us. It may come twice, late, and in any order.

    So it says what to look at rather than what to do: `payment_id` and `key` name the payment,
    `customer_id` whose it is. `amount_cents` is what a refund or dispute is about.
    """

    event_id: str
    kind: EventKind
    created_at: datetime
    payment_id: str | None = None
    key: str | None = None
    customer_id: str | None = None
    amount_cents: int = 0
