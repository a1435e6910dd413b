"""A payment processor in memory, as faithful as `gateways/payments.py` asks, with chosen outcomes.

The contract suite runs the same tests on it and on the real gateway. What a payment method does
is in its id, as with the processor's own test cards. Replies are lost by `lose`; what the
processor would tell us waits in `deliveries`, for a test to hand over in any order, twice or never.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast

from headroom.payments.gateways.payments import (
    KEYS_LAST,
    NO_PAYMENT_METHOD,
    KeyReused,
    PaymentMethodRefused,
    PaymentUnknown,
    RefundRefused,
    SignatureInvalid,
)
from headroom.wallets.domain.payments import (
    CANCELED,
    Charge,
    EventKind,
    Payment,
    PaymentEvent,
    PaymentMethod,
    PaymentState,
    Refund,
)

GOOD_CARD: Final = "pm_card_visa"
# It cannot even be saved.
REFUSED_CARD: Final = "pm_card_visa_chargeDeclined"
# It can be saved, and is declined at each charge.
DECLINING_CARD: Final = "pm_card_chargeCustomerFail"
# Others of either kind.
OTHER_CARD: Final = "pm_card_mastercard"
OTHER_DECLINING_CARD: Final = "pm_card_mastercard_chargeCustomerFail"
# It asks for its holder at each charge.
ASKING_CARD: Final = "pm_card_authenticationRequired"
# Its charges stay undecided until `settle` or `fail`.
SLOW_CARD: Final = "pm_card_processing"

DECLINE_CODE: Final = "card_declined"
SIGNATURE_LASTS: Final = timedelta(minutes=5)

_OUTCOMES: Final[dict[str, PaymentState]] = {
    GOOD_CARD: "succeeded",
    OTHER_CARD: "succeeded",
    DECLINING_CARD: "declined",
    OTHER_DECLINING_CARD: "declined",
    ASKING_CARD: "needs_action",
    SLOW_CARD: "processing",
}
_SECRET: Final = b"whsec_fake"

# When a reply is lost: before the processor acted, so that nothing happened, or after it.
Moment = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to us, signed."""

    payload: bytes
    signature: str


class FakePayments:
    """A `Payments` in memory. `now` is the processor's clock, for tests to set."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.payments: dict[str, Payment] = {}
        self.deliveries: list[Delivery] = []
        self.calls: list[str] = []
        # Where holders are led back to from their banks.
        self.ways_back: dict[str, str] = {}
        self._faults: dict[str, deque[Moment]] = defaultdict(deque)
        self._customers: dict[str, str] = {}
        self._payers: dict[str, str] = {}
        self._methods: dict[str, PaymentMethod] = {}
        self._outcomes: dict[str, PaymentState] = {}
        self._keys: dict[str, tuple[datetime, str, int]] = {}
        self._refunds: dict[str, tuple[str, Refund]] = {}
        self._events = 0
        self._lock = threading.RLock()

    # The protocol.

    def create_customer(self, *, org_id: str, name: str) -> str:
        with self._reachable("create_customer"):
            return self._customers.setdefault(org_id, f"cus_{org_id}")

    def save_payment_method(self, customer_id: str, payment_method_id: str) -> PaymentMethod:
        with self._reachable("save_payment_method"):
            if payment_method_id == REFUSED_CARD:
                raise PaymentMethodRefused(DECLINE_CODE)
            if payment_method_id not in _OUTCOMES:
                raise PaymentMethodRefused("resource_missing")
            method = PaymentMethod(payment_method_id, "visa", "4242")
            self._methods[customer_id] = method
            self._outcomes[payment_method_id] = _OUTCOMES[payment_method_id]
            self._tell("payment_method_changed", customer_id=customer_id)
            return method

    def find_payment_method(self, customer_id: str) -> PaymentMethod | None:
        with self._reachable("find_payment_method"):
            return self._methods.get(customer_id)

    def charge(self, charge: Charge) -> Payment:
        with self._reachable("charge"):
            used = self._keys.get(charge.key)
            if used is not None and self.now < used[0] + KEYS_LAST:
                _, payment_id, amount_cents = used
                if amount_cents != charge.amount_cents:
                    raise KeyReused(charge.key)
                return self.payments[payment_id]
            method = self._methods.get(charge.customer_id)
            method_id = charge.payment_method_id or (method and method.payment_method_id)
            if method_id is None:
                raise PaymentMethodRefused(NO_PAYMENT_METHOD)
            is_known = charge.customer_id in self._customers.values()
            if method_id not in self._outcomes or not is_known:
                raise PaymentMethodRefused("resource_missing")
            return self._pay(charge, self._outcomes[method_id])

    def find_payment(self, payment_id: str) -> Payment | None:
        with self._reachable("find_payment"):
            return self.payments.get(payment_id)

    def find_charged(self, customer_id: str, key: str, *, since: datetime) -> Payment | None:
        with self._reachable("find_charged"):
            for payment in self.payments.values():
                payer = self._payers[payment.payment_id]
                if (payer, payment.key) == (customer_id, key) and payment.created_at >= since:
                    return payment
            return None

    def confirm(self, payment_id: str, payment_method_id: str, *, return_url: str) -> Payment:
        with self._reachable("confirm"):
            payment = self.payments[payment_id]
            waits = payment.state == "needs_action" and payment.redirect_url is None
            if waits and payment_method_id in self._outcomes:
                asked = replace(payment, redirect_url=f"https://bank.example/{payment_id}")
                self._put(asked, "payment_needs_action")
                self.ways_back[payment_id] = return_url
            return self.payments[payment_id]

    def cancel(self, payment_id: str) -> Payment:
        with self._reachable("cancel"):
            if self.payments[payment_id].state in ("processing", "needs_action"):
                self._end(payment_id, "declined", CANCELED)
            return self.payments[payment_id]

    def refund(self, payment_id: str, amount_cents: int, *, key: str) -> Refund:
        with self._reachable("refund"):
            if key in self._refunds:
                of, refund = self._refunds[key]
                if (of, refund.amount_cents) != (payment_id, amount_cents):
                    raise KeyReused(key)
                return refund
            payment = self.payments.get(payment_id)
            left = 0 if payment is None else payment.amount_cents - payment.refunded_cents
            if payment is None or payment.state != "succeeded" or amount_cents > left:
                raise RefundRefused(payment_id)
            refund = Refund(f"re_{len(self._refunds) + 1}", "succeeded", amount_cents)
            self._refunds[key] = payment_id, refund
            self._move_back(payment, amount_cents)
            return refund

    def list_payments(self, *, since: datetime, until: datetime) -> Iterator[Payment]:
        with self._reachable("list_payments"):
            found = [each for each in self.payments.values() if since <= each.created_at < until]
        return iter(found)

    def read_event(self, payload: bytes, signature: str, now: datetime) -> PaymentEvent:
        moment, _, signed = signature.partition(",")
        if not hmac.compare_digest(signed, _sign(payload, moment)):
            raise SignatureInvalid("not signed by the processor")
        if abs(now - datetime.fromisoformat(moment)) > SIGNATURE_LASTS:
            raise SignatureInvalid("signed too long ago")
        told = json.loads(payload)
        return PaymentEvent(**{**told, "created_at": datetime.fromisoformat(told["created_at"])})

    # What happens at the processor without us.

    def lose(self, call: str, when: Moment, *, times: int = 1) -> None:
        """Let the replies to the next calls of this name be lost, before or after their effect."""
        self._faults[call].extend([when] * times)

    def accept(self, payment_method_id: str) -> None:
        """Let a card that was declined be accepted from now on."""
        self._outcomes[payment_method_id] = "succeeded"

    def settle(self, payment_id: str) -> None:
        """Let a payment that was undecided, or waited for its holder, succeed."""
        self._end(payment_id, "succeeded", None)

    def fail(self, payment_id: str, decline_code: str = DECLINE_CODE) -> None:
        """Let such a payment be declined."""
        self._end(payment_id, "declined", decline_code)

    def remove_payment_method(self, customer_id: str) -> None:
        """Let a customer have no payment method any more."""
        with self._lock:
            method = self._methods.pop(customer_id)
            self._outcomes.pop(method.payment_method_id)
            self._tell("payment_method_changed", customer_id=customer_id)

    def give_back(self, payment_id: str, amount_cents: int) -> None:
        """Let somebody refund a payment in the processor's own pages."""
        with self._lock:
            self._move_back(self.payments[payment_id], amount_cents)

    def fail_refund(self, payment_id: str, amount_cents: int) -> None:
        """Let the bank return a refund that was made: the processor has its money again."""
        with self._lock:
            payment = self.payments[payment_id]
            left = payment.refunded_cents - amount_cents
            assert left >= 0
            self._put(replace(payment, refunded_cents=left), "payment_refunded", left)

    def dispute(self, payment_id: str, amount_cents: int | None = None) -> None:
        """Let the card's holder dispute a payment; the money is taken back at once."""
        with self._lock:
            payment = self.payments[payment_id]
            assert payment.state == "succeeded"
            amount = payment.amount_cents if amount_cents is None else amount_cents
            self._put(replace(payment, disputed_cents=amount), "dispute_opened", amount)

    def close_dispute(self, payment_id: str, *, won: bool) -> None:
        """Let a dispute end; won, the money comes back."""
        with self._lock:
            payment = self.payments[payment_id]
            amount = payment.disputed_cents
            assert amount > 0
            if won:
                self._put(replace(payment, disputed_cents=0), "dispute_won", amount)
            else:
                self._put(payment, "dispute_lost", amount)

    def sign(self, payload: bytes) -> Delivery:
        """Return a payload as if the processor had sent it now."""
        moment = self.now.isoformat()
        return Delivery(payload, f"{moment},{_sign(payload, moment)}")

    def _reachable(self, call: str) -> _Line:
        faults = self._faults[call]
        self.calls.append(call)
        return _Line(self._lock, faults.popleft() if faults else None)

    def _pay(self, charge: Charge, state: PaymentState) -> Payment:
        payment_id = f"pi_{len(self.payments) + 1}"
        self._payers[payment_id] = charge.customer_id
        self._keys[charge.key] = self.now, payment_id, charge.amount_cents
        payment = Payment(
            payment_id=payment_id,
            state=state,
            amount_cents=charge.amount_cents,
            currency=charge.currency,
            key=charge.key,
            created_at=self.now,
            decline_code=DECLINE_CODE if state == "declined" else None,
            client_secret=f"{payment_id}_secret" if state == "needs_action" else None,
        )
        self._put(payment, _kind(state))
        return payment

    def _end(self, payment_id: str, state: PaymentState, decline_code: str | None) -> None:
        with self._lock:
            payment = self.payments[payment_id]
            assert payment.state in ("processing", "needs_action"), "its state is final"
            ended = replace(
                payment,
                state=state,
                decline_code=decline_code,
                client_secret=None,
                redirect_url=None,
            )
            self._put(ended, _kind(state))

    def _move_back(self, payment: Payment, amount_cents: int) -> None:
        refunded = payment.refunded_cents + amount_cents
        assert refunded <= payment.amount_cents
        self._put(replace(payment, refunded_cents=refunded), "payment_refunded", refunded)

    def _put(self, payment: Payment, kind: EventKind, amount_cents: int = 0) -> None:
        self.payments[payment.payment_id] = payment
        if kind != "other":
            self._tell(kind, payment, amount_cents=amount_cents)

    def _tell(
        self,
        kind: EventKind,
        payment: Payment | None = None,
        *,
        customer_id: str | None = None,
        amount_cents: int = 0,
    ) -> None:
        self._events += 1
        # What the processor says of a dispute names the payment and no more.
        sparse = payment is None or kind.startswith("dispute")
        told = {
            "event_id": f"evt_{self._events}",
            "kind": kind,
            "created_at": self.now.astimezone(UTC).isoformat(),
            "payment_id": payment and payment.payment_id,
            "key": None if sparse or payment is None else payment.key,
            "customer_id": customer_id
            if sparse or payment is None
            else self._payers[payment.payment_id],
            "amount_cents": amount_cents,
        }
        self.deliveries.append(self.sign(json.dumps(told).encode()))


class _Line:
    """The line to the processor, held during one call; it may break at either end of it."""

    def __init__(self, lock: threading.RLock, breaks: Moment | None) -> None:
        self._lock = lock
        self._breaks = breaks

    def __enter__(self) -> None:
        if self._breaks == "before":
            raise PaymentUnknown("the connection was lost")
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._breaks == "after":
            raise PaymentUnknown("the connection was lost")


def _kind(state: PaymentState) -> EventKind:
    return cast("EventKind", "other" if state == "processing" else f"payment_{state}")


def _sign(payload: bytes, moment: str) -> str:
    return hmac.new(_SECRET, moment.encode() + b"." + payload, hashlib.sha256).hexdigest()
