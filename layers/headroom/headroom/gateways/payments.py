"""The payment processor, as a protocol. Its client is in `gateways/stripe.py`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from headroom.domain.payments import Charge, Payment, PaymentEvent, PaymentMethod, Refund


class PaymentUnknown(Exception):
    """The processor did not answer, or not so that the outcome is known. Ask again, same key."""


class PaymentMethodRefused(Exception):
    """The processor refuses to save this payment method; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the payment method was refused: {code}")
        self.code = code


class SignatureInvalid(Exception):
    """An event was not signed by the processor, or too long ago."""


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
        """Charge a customer; the same key again returns the first payment."""

    def find_payment(self, payment_id: str) -> Payment | None:
        """Return a payment by the processor's id, None if there is none."""

    def find_charged(self, customer_id: str, key: str, *, since: datetime) -> Payment | None:
        """Return the payment of a customer that carries a charge's key, None if there is none."""

    def refund(self, payment_id: str, amount_cents: int, *, key: str) -> Refund:
        """Refund a part of a payment; the same key again returns the first refund."""

    def list_payments(self, *, since: datetime, until: datetime) -> Iterator[Payment]:
        """Walk through all payments created in a span of time, in any order."""

    def read_event(self, payload: bytes, signature: str, now: datetime) -> PaymentEvent:
        """Read an event that the processor sent.

        Raises:
            SignatureInvalid: it is not the processor's, or too old.
        """
