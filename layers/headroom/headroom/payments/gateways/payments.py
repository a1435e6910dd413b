"""The payment processor, as a protocol. Its client is in `payments/gateways/stripe.py`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, Protocol

from headroom.wallets.domain.payments import Charge, Payment, PaymentEvent, PaymentMethod, Refund

NO_PAYMENT_METHOD: Final = "no_payment_method"
# Processors forget a key after a day (docs.stripe.com/api/idempotent_requests). Past this age a
# charge may not be sent again with its key: look with `find_charged` what became of it.
KEYS_LAST: Final = timedelta(hours=23)


class PaymentUnknown(Exception):
    """The processor did not answer, or not so that the outcome is known. Ask again, same key."""


class PaymentMethodRefused(Exception):
    """The processor refuses this payment method as it is, so nothing was charged; `code` says why.

    Its code is NO_PAYMENT_METHOD where there is none.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"the payment method was refused: {code}")
        self.code = code


class RefundRefused(Exception):
    """A payment cannot be refunded by this much; nothing was."""


class KeyReused(Exception):
    """A charge's or refund's key was used before, for another amount: a mistake of the caller."""


class SignatureInvalid(Exception):
    """An event was not signed by the processor, or too long ago."""


class EventUnreadable(Exception):
    """An event was signed by the processor, and is not what its events are."""


class Payments(Protocol):
    """What we ask of a payment processor. Every call can be repeated with the same arguments.

    Raises, each of them:
        PaymentUnknown: no answer that says what happened.
    """

    def create_customer(self, *, org_id: str, name: str) -> str:
        """Return the id of the organization's customer, made once however often this is called."""

    def save_payment_method(self, customer_id: str, payment_method_id: str) -> PaymentMethod:
        """Save a payment method and make it the customer's default.

        Raises:
            PaymentMethodRefused: it cannot be used.
        """

    def find_payment_method(self, customer_id: str) -> PaymentMethod | None:
        """Return the customer's default payment method, None if there is none."""

    def charge(self, charge: Charge) -> Payment:
        """Charge a customer; the same key again returns the first payment, as it is now.

        That holds for KEYS_LAST. The second of two calls at once may not know the outcome.

        Raises:
            PaymentMethodRefused: there is none, or the processor cannot make this charge at all.
            KeyReused: the key is known for another amount.
        """

    def find_payment(self, payment_id: str) -> Payment | None:
        """Return a payment by the processor's id, None if there is none."""

    def find_charged(self, customer_id: str, key: str, *, since: datetime) -> Payment | None:
        """Return the payment of a customer that carries a charge's key, None if there is none."""

    def confirm(self, payment_id: str, payment_method_id: str, *, return_url: str) -> Payment:
        """Try a payment that waits for its holder again, with them there; return it as it is then.

        If it still waits, they answer at its `redirect_url`, and come back to `return_url`. Where
        it has none the payment method cannot be asked any more. One that ended stays as it ended.
        """

    def cancel(self, payment_id: str) -> Payment:
        """Give a payment up that waits for its holder; return it as it is then.

        It is declined if it could be stopped. It may have succeeded meanwhile, and then stands.
        """

    def refund(self, payment_id: str, amount_cents: int, *, key: str) -> Refund:
        """Refund a part of a payment; the same key again returns the first refund.

        Raises:
            RefundRefused: the payment has not that much left, or never succeeded.
            KeyReused: the key is known for another amount or payment.
        """

    def list_payments(self, *, since: datetime, until: datetime) -> Iterator[Payment]:
        """Walk through our payments created in a span of time (without its end), in any order."""

    def read_event(self, payload: bytes, signature: str, now: datetime) -> PaymentEvent:
        """Read an event that the processor sent.

        Raises:
            SignatureInvalid: it is not the processor's, or too old.
            EventUnreadable: it is the processor's, and we do not understand its form.
        """
