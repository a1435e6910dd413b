"""Stripe, through its official library. Every call can be repeated, and none waits for long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from headroom.core.settings import PaymentSettings
from headroom.payments.gateways.payments import (
    NO_PAYMENT_METHOD,
    EventUnreadable,
    KeyReused,
    PaymentMethodRefused,
    PaymentUnknown,
    RefundRefused,
    SignatureInvalid,
)
from headroom.payments.gateways.stripe_line import StripeLine
from headroom.payments.gateways.stripe_reading import (
    KEY_FIELD,
    has_key,
    latest_charge,
    read_event,
    read_payment,
    read_payment_method,
    read_refund,
)
from headroom.payments.gateways.stripe_signing import is_signed
from headroom.wallets.domain.payments import Charge, Payment, PaymentEvent, PaymentMethod, Refund

if TYPE_CHECKING:
    from stripe import StripeClient, StripeError
    from stripe.params import PaymentIntentListParams

PAGE: Final = 100
# Stripe's clock and ours need not agree.
CLOCKS_DIFFER: Final = timedelta(minutes=5)
# Whoever sends us rubbish may not make us read the secret each time.
READ_SECRET_AGAIN_AFTER: Final = timedelta(seconds=10)

Data = dict[str, Any]


class StripePayments:
    """`Payments` at Stripe, whose time a test clock of ours is `ahead` of."""

    def __init__(self, line: StripeLine, ahead: timedelta = timedelta()) -> None:
        self._line = line
        self._ahead = ahead
        self._read_again_at: datetime | None = None

    def create_customer(self, *, org_id: str, name: str) -> str:
        # The name is set apart: a key that came with another name would be refused.
        with self._line.open() as stripe:
            customer = stripe.v1.customers.create(
                {"metadata": {"organization": org_id}},
                {"idempotency_key": f"customer-{org_id}"},
            )
            stripe.v1.customers.update(customer.id, {"name": name})
            return customer.id

    def save_payment_method(self, customer_id: str, payment_method_id: str) -> PaymentMethod:
        from stripe import CardError, InvalidRequestError

        with self._line.open() as stripe:
            try:
                method = stripe.v1.payment_methods.attach(
                    payment_method_id, {"customer": customer_id}
                ).to_dict()
                stripe.v1.customers.update(
                    customer_id, {"invoice_settings": {"default_payment_method": method["id"]}}
                )
            except (CardError, InvalidRequestError) as error:
                raise PaymentMethodRefused(_code(error)) from error
        return read_payment_method(method)

    def find_payment_method(self, customer_id: str) -> PaymentMethod | None:
        with self._line.open() as stripe:
            customer = stripe.v1.customers.retrieve(
                customer_id, {"expand": ["invoice_settings.default_payment_method"]}
            ).to_dict()
        if customer.get("deleted"):
            return None
        method = customer["invoice_settings"]["default_payment_method"]
        if method is None or method["customer"] != customer_id:
            return None
        return read_payment_method(method)

    def charge(self, charge: Charge) -> Payment:
        method_id = charge.payment_method_id
        if method_id is None:
            method = self.find_payment_method(charge.customer_id)
            method_id = None if method is None else method.payment_method_id
        payment = None if method_id is None else self._create(charge, method_id)
        if payment is None:
            # No card, or the key came with another one before: it may have been charged then.
            payment = self._find_by_key(charge.customer_id, charge.key, None)
        if payment is None and method_id is None:
            raise PaymentMethodRefused(NO_PAYMENT_METHOD)
        if payment is None:
            raise PaymentUnknown("the key is known, but no payment that carries it")
        if payment.amount_cents != charge.amount_cents:
            raise KeyReused(charge.key)
        return payment

    def find_payment(self, payment_id: str) -> Payment | None:
        from stripe import InvalidRequestError

        with self._line.open() as stripe:
            try:
                intent = stripe.v1.payment_intents.retrieve(
                    payment_id, {"expand": ["latest_charge"]}
                )
            except InvalidRequestError as error:
                if error.http_status != 404:
                    raise
                return None
            return self._read(stripe, intent.to_dict())

    def find_charged(self, customer_id: str, key: str, *, since: datetime) -> Payment | None:
        return self._find_by_key(customer_id, key, since - self._ahead - CLOCKS_DIFFER)

    def confirm(self, payment_id: str, payment_method_id: str, *, return_url: str) -> Payment:
        from stripe import CardError, InvalidRequestError

        payment = self._find(payment_id)
        if payment.state != "needs_action" or payment.redirect_url is not None:
            return payment
        # A decline, one that moved on and one whose card is gone are told by how it stands then.
        with self._line.open() as stripe, suppress(CardError, InvalidRequestError):
            # With its holder there, and an address to come back to, the bank's page is asked for
            # (docs.stripe.com/payments/3d-secure/authentication-flow, "redirect to the bank
            # website"). What was declined off session has lost its payment method.
            stripe.v1.payment_intents.confirm(
                payment_id, {"payment_method": payment_method_id, "return_url": return_url}
            )
        return self._find(payment_id)

    def cancel(self, payment_id: str) -> Payment:
        from stripe import InvalidRequestError

        with self._line.open() as stripe:
            try:
                stripe.v1.payment_intents.cancel(payment_id)
            except InvalidRequestError as error:
                if error.http_status == 404:
                    raise  # Otherwise it has ended, in the way that is read now.
        return self._find(payment_id)

    def refund(self, payment_id: str, amount_cents: int, *, key: str) -> Refund:
        from stripe import IdempotencyError, InvalidRequestError

        with self._line.open() as stripe:
            # Looked for first, because keys are forgotten after a day and refunds are not.
            known = stripe.v1.refunds.list({"payment_intent": payment_id, "limit": PAGE})
            for each in known.auto_paging_iter():
                data = each.to_dict()
                if has_key(data, key):
                    if data["amount"] != amount_cents:
                        raise KeyReused(key)
                    return read_refund(data)
            try:
                refund = stripe.v1.refunds.create(
                    {
                        "payment_intent": payment_id,
                        "amount": amount_cents,
                        "metadata": {KEY_FIELD: key},
                    },
                    {"idempotency_key": key},
                )
            except IdempotencyError as error:
                if error.http_status == 409:
                    raise
                raise KeyReused(key) from error
            except InvalidRequestError as error:
                raise RefundRefused(payment_id) from error
            return read_refund(refund.to_dict())

    def list_payments(self, *, since: datetime, until: datetime) -> Iterator[Payment]:
        with self._line.open() as stripe:
            page = stripe.v1.payment_intents.list(
                {
                    "created": {
                        "gte": int((since - self._ahead).timestamp()),
                        "lt": int((until - self._ahead).timestamp()),
                    },
                    "limit": PAGE,
                    "expand": ["data.latest_charge"],
                }
            )
            for intent in page.auto_paging_iter():
                payment = self._read(stripe, intent.to_dict())
                if payment.key is not None:
                    yield payment

    def read_event(self, payload: bytes, signature: str, now: datetime) -> PaymentEvent:
        now -= self._ahead
        secrets = self._line.secret(fresh=False).webhook_secrets
        if not is_signed(payload, signature, secrets, now):
            # They may have been rotated since they were read.
            if self._read_again_at is None or now >= self._read_again_at:
                self._read_again_at = now + READ_SECRET_AGAIN_AFTER
                secrets = self._line.secret(fresh=True).webhook_secrets
            if not is_signed(payload, signature, secrets, now):
                raise SignatureInvalid("the event is not signed by Stripe, or too long ago")
        try:
            told: object = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise EventUnreadable("the event is no JSON document") from error
        event = read_event(told)
        return replace(event, created_at=event.created_at + self._ahead)

    def _find(self, payment_id: str) -> Payment:
        payment = self.find_payment(payment_id)
        if payment is None:
            raise PaymentUnknown("Stripe does not know the payment, and erases none")
        return payment

    def _create(self, charge: Charge, method_id: str) -> Payment | None:
        """Charge; None if the key is known with another method, and no payment is at hand.

        Raises:
            PaymentMethodRefused: the method cannot be charged at all, or not with this charge.
        """
        from stripe import CardError, IdempotencyError, InvalidRequestError

        with self._line.open() as stripe:
            try:
                intent = stripe.v1.payment_intents.create(
                    {
                        "amount": charge.amount_cents,
                        "currency": charge.currency.lower(),
                        "customer": charge.customer_id,
                        "payment_method": method_id,
                        "confirm": True,
                        "off_session": True,
                        "metadata": {**charge.facts, KEY_FIELD: charge.key},
                        "expand": ["latest_charge"],
                    },
                    {"idempotency_key": charge.key},
                )
                headers: Any = intent.last_response.headers if intent.last_response else {}
                data = intent.to_dict()
            except CardError as error:
                if error.error is None or error.error.payment_intent is None:
                    raise
                headers, data = error.headers or {}, error.error.payment_intent.to_dict()
            except IdempotencyError as error:
                if error.http_status == 409:
                    raise
                return None
            except InvalidRequestError as error:
                # Whatever is wrong with it is so the next time, and nothing was charged.
                raise PaymentMethodRefused(_code(error)) from error
        if headers.get("Idempotent-Replayed") == "true":
            # What is replayed is the first answer, and the payment may have moved on.
            return self.find_payment(data["id"])
        return self._ours(read_payment(data))

    def _find_by_key(self, customer_id: str, key: str, since: datetime | None) -> Payment | None:
        wanted: PaymentIntentListParams = {
            "customer": customer_id,
            "limit": PAGE,
            "expand": ["data.latest_charge"],
        }
        if since is not None:
            wanted["created"] = {"gte": int(since.timestamp())}
        with self._line.open() as stripe:
            page = stripe.v1.payment_intents.list(wanted)
            for intent in page.auto_paging_iter():
                data = intent.to_dict()
                if has_key(data, key):
                    return self._read(stripe, data)
        return None

    def _read(self, stripe: StripeClient, intent: Data) -> Payment:
        """Read an intent, with the disputes about it if there are any."""
        if not latest_charge(intent).get("disputed"):
            return self._ours(read_payment(intent))
        disputes = stripe.v1.disputes.list({"payment_intent": intent["id"], "limit": PAGE})
        found = [each.to_dict() for each in disputes.auto_paging_iter()]
        return self._ours(read_payment(intent, found))

    def _ours(self, payment: Payment) -> Payment:
        """The payment with its moment by our clock."""
        return replace(payment, created_at=payment.created_at + self._ahead)


def connect_payments(settings: PaymentSettings, ahead: timedelta = timedelta()) -> StripePayments:
    """Return the configured payment processor. Nothing is read or opened before the first call.

    `ahead` is how far a test clock is ahead of the processor's, for which time cannot be set.
    """
    return StripePayments(StripeLine.configured(settings), ahead)


def _code(error: StripeError) -> str:
    told = error.error
    return (told and (told.decline_code or told.code)) or error.code or "refused"
