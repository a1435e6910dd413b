"""What a payment processor's client promises, whichever it is: the same tests for the one in memory
and for the one at Stripe.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Protocol

import pytest

from headroom.payments.gateways.payments import (
    NO_PAYMENT_METHOD,
    KeyReused,
    PaymentMethodRefused,
    Payments,
    PaymentUnknown,
    RefundRefused,
    SignatureInvalid,
)
from headroom.wallets.domain.payments import Charge, PaymentEvent
from tests.fake_payments import (
    ASKING_CARD,
    DECLINING_CARD,
    GOOD_CARD,
    REFUSED_CARD,
    Delivery,
    Moment,
)

DAY = timedelta(days=1)


class Processor(Payments, Protocol):
    """A client, and what happens at the processor without it."""

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """The events that the processor sent, in order."""

    def lose(self, call: str, when: Moment, /) -> None:
        """Let the reply to the next call be lost."""

    def settle(self, payment_id: str, /) -> None:
        """Let the card's holder agree to a payment."""

    def fail(self, payment_id: str, /) -> None:
        """Let the card's holder fail to."""

    def dispute(self, payment_id: str, /) -> None:
        """Let the card's holder dispute a payment."""

    def close_dispute(self, payment_id: str, /, *, won: bool) -> None:
        """Let the bank decide about it."""

    def remove_payment_method(self, customer_id: str, /) -> None:
        """Let a customer's card be gone."""


class PaymentPromises:
    """The promises. Whoever inherits them has a fixture `processor`."""

    @pytest.fixture
    def now(self) -> datetime:
        return datetime.now(UTC)

    @pytest.fixture
    def org_id(self) -> str:
        return f"org_{secrets.token_hex(4)}"

    @pytest.fixture
    def customer_id(self, processor: Processor, org_id: str) -> str:
        return processor.create_customer(org_id=org_id, name="Acme")

    @pytest.fixture
    def charge(self, customer_id: str, org_id: str) -> Charge:
        return Charge(customer_id, 2500, "USD", f"reload-{org_id}", facts={"organization": org_id})

    def test_a_customer_is_made_once(
        self, processor: Processor, customer_id: str, org_id: str
    ) -> None:
        assert processor.create_customer(org_id=org_id, name="Acme") == customer_id
        assert processor.create_customer(org_id=org_id, name="Acme Inc.") == customer_id
        assert processor.create_customer(org_id=f"{org_id}2", name="Acme") != customer_id

    def test_a_saved_payment_method_is_the_default(
        self, processor: Processor, customer_id: str
    ) -> None:
        assert processor.find_payment_method(customer_id) is None

        saved = processor.save_payment_method(customer_id, GOOD_CARD)

        assert processor.find_payment_method(customer_id) == saved
        assert (saved.brand, saved.last4) == ("visa", "4242")
        assert processor.save_payment_method(customer_id, saved.payment_method_id) == saved
        newer = processor.save_payment_method(customer_id, DECLINING_CARD)
        assert processor.find_payment_method(customer_id) == newer
        processor.remove_payment_method(customer_id)
        assert processor.find_payment_method(customer_id) is None

    def test_a_card_that_cannot_be_saved_changes_nothing(
        self, processor: Processor, customer_id: str
    ) -> None:
        saved = processor.save_payment_method(customer_id, GOOD_CARD)

        with pytest.raises(PaymentMethodRefused) as refused:
            processor.save_payment_method(customer_id, REFUSED_CARD)
        assert refused.value.code == "card_declined"
        with pytest.raises(PaymentMethodRefused):
            processor.save_payment_method(customer_id, "pm_unheard_of")
        assert processor.find_payment_method(customer_id) == saved

    def test_a_charge_is_made_once_for_its_key(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)

        first = processor.charge(charge)
        again = processor.charge(charge)

        assert first == again == processor.find_payment(first.payment_id)
        assert (first.state, first.amount_cents, first.currency) == ("succeeded", 2500, "USD")
        assert first.key == charge.key
        assert abs(first.created_at - now) < timedelta(minutes=1)
        assert payments_with(processor, charge.key, now) == [first]
        other = processor.charge(replace(charge, key=f"{charge.key}-2"))
        assert other.payment_id != first.payment_id

    def test_a_payment_nobody_heard_of_is_none(self, processor: Processor) -> None:
        assert processor.find_payment("pi_unheard_of") is None

    def test_a_key_with_another_amount_is_refused(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        first = processor.charge(charge)

        with pytest.raises(KeyReused):
            processor.charge(replace(charge, amount_cents=2501))
        assert payments_with(processor, charge.key, now) == [first]

    def test_a_key_stays_good_when_the_card_changes(
        self, processor: Processor, charge: Charge
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        first = processor.charge(charge)

        processor.save_payment_method(charge.customer_id, DECLINING_CARD)
        assert processor.charge(charge) == first
        processor.remove_payment_method(charge.customer_id)
        assert processor.charge(charge) == first

    def test_another_saved_card_can_be_charged_by_its_id(
        self, processor: Processor, charge: Charge
    ) -> None:
        good = processor.save_payment_method(charge.customer_id, GOOD_CARD)
        processor.save_payment_method(charge.customer_id, DECLINING_CARD)

        paid = processor.charge(replace(charge, payment_method_id=good.payment_method_id))
        assert paid.state == "succeeded"

    def test_without_a_payment_method_nothing_is_charged(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        with pytest.raises(PaymentMethodRefused) as refused:
            processor.charge(charge)

        assert refused.value.code == NO_PAYMENT_METHOD
        with pytest.raises(PaymentMethodRefused):
            processor.charge(replace(charge, payment_method_id="pm_unheard_of"))
        assert processor.find_charged(charge.customer_id, charge.key, since=now - DAY) is None

    def test_a_charge_that_cannot_be_made_at_all_is_refused(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        method = processor.save_payment_method(charge.customer_id, GOOD_CARD)
        impossible = replace(
            charge,
            customer_id="cus_unheardof",
            key=f"{charge.key}-2",
            payment_method_id=method.payment_method_id,
        )
        for _ in range(2):
            with pytest.raises(PaymentMethodRefused) as refused:
                processor.charge(impossible)
            assert refused.value.code == "resource_missing"
        assert payments_with(processor, impossible.key, now) == []

    def test_a_declined_charge_says_why_and_stays_declined(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, DECLINING_CARD)

        declined = processor.charge(charge)

        assert (declined.state, declined.decline_code) == ("declined", "card_declined")
        assert declined.client_secret is None
        assert processor.charge(charge) == declined
        found = processor.find_charged(charge.customer_id, charge.key, since=now - DAY)
        assert found == declined

    def test_a_card_that_asks_for_its_holder_is_charged_after_the_answer(
        self, processor: Processor, charge: Charge
    ) -> None:
        processor.save_payment_method(charge.customer_id, ASKING_CARD)

        asked = processor.charge(charge)
        assert asked.state == "needs_action"
        assert asked.client_secret is not None
        assert processor.find_payment(asked.payment_id) == asked == processor.charge(charge)
        processor.settle(asked.payment_id)

        paid = processor.charge(charge)
        assert (paid.payment_id, paid.state) == (asked.payment_id, "succeeded")
        assert paid.client_secret is None

    def test_a_holder_is_led_to_their_bank_where_they_agree_or_not(
        self, processor: Processor, charge: Charge
    ) -> None:
        card = processor.save_payment_method(charge.customer_id, ASKING_CARD).payment_method_id
        way_back = {"return_url": "https://headroom.example/settings/usage?payment=one"}
        agreed = processor.charge(charge).payment_id
        refused = processor.charge(replace(charge, key=f"{charge.key}-2")).payment_id
        assert agreed != refused

        for payment_id in (agreed, refused):
            led = processor.confirm(payment_id, card, **way_back)
            assert (led.state, led.redirect_url is None) == ("needs_action", False)
            assert processor.confirm(payment_id, card, **way_back) == led
            assert processor.find_payment(payment_id) == led
        processor.settle(agreed)
        processor.fail(refused)

        paid = processor.confirm(agreed, card, **way_back)
        assert (paid.state, paid.redirect_url) == ("succeeded", None)
        declined = processor.confirm(refused, card, **way_back)
        assert (declined.state, declined.redirect_url) == ("declined", None)

    def test_a_card_that_is_gone_cannot_be_asked(
        self, processor: Processor, charge: Charge
    ) -> None:
        card = processor.save_payment_method(charge.customer_id, ASKING_CARD).payment_method_id
        asked = processor.charge(charge)
        processor.remove_payment_method(charge.customer_id)

        led = processor.confirm(asked.payment_id, card, return_url="https://headroom.example/")
        assert (led.state, led.redirect_url) == ("needs_action", None)

    def test_a_holder_who_fails_to_answer_declines(
        self, processor: Processor, charge: Charge
    ) -> None:
        processor.save_payment_method(charge.customer_id, ASKING_CARD)
        asked = processor.charge(charge)

        processor.fail(asked.payment_id)

        declined = processor.find_payment(asked.payment_id)
        assert declined is not None
        assert declined.state == "declined"

    def test_a_payment_that_waits_can_be_given_up_and_one_that_succeeded_cannot(
        self, processor: Processor, charge: Charge
    ) -> None:
        processor.save_payment_method(charge.customer_id, ASKING_CARD)
        asked = processor.charge(charge)

        given_up = processor.cancel(asked.payment_id)

        assert (given_up.state, given_up.decline_code) == ("declined", "canceled")
        assert processor.cancel(asked.payment_id) == given_up == processor.charge(charge)
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        paid = processor.charge(replace(charge, key=f"{charge.key}-2"))
        assert processor.cancel(paid.payment_id) == paid

    @pytest.mark.parametrize("card", [GOOD_CARD, DECLINING_CARD, ASKING_CARD])
    def test_after_a_lost_reply_the_charge_is_found(
        self, processor: Processor, charge: Charge, now: datetime, card: str
    ) -> None:
        processor.save_payment_method(charge.customer_id, card)
        since = now - DAY

        processor.lose("charge", "before")
        with pytest.raises(PaymentUnknown):
            processor.charge(charge)
        assert processor.find_charged(charge.customer_id, charge.key, since=since) is None

        processor.lose("charge", "after")
        with pytest.raises(PaymentUnknown):
            processor.charge(charge)
        found = processor.find_charged(charge.customer_id, charge.key, since=since)
        assert found is not None
        assert processor.charge(charge) == found
        assert payments_with(processor, charge.key, now) == [found]
        other = processor.create_customer(org_id=f"{charge.key}2", name="Other")
        assert processor.find_charged(other, charge.key, since=since) is None

    def test_payments_are_listed_by_the_time_of_their_making(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        paid = processor.charge(charge)

        at = paid.created_at
        second = timedelta(seconds=1)
        assert paid in processor.list_payments(since=at, until=at + second)
        assert paid not in processor.list_payments(since=at - second, until=at)
        assert paid not in processor.list_payments(since=at + second, until=at + DAY)

    def test_a_refund_is_made_once_and_never_beyond_the_payment(
        self, processor: Processor, charge: Charge
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        paid = processor.charge(charge)
        key = f"refund-{charge.key}"

        refund = processor.refund(paid.payment_id, 1000, key=key)

        assert (refund.state, refund.amount_cents) == ("succeeded", 1000)
        assert processor.refund(paid.payment_id, 1000, key=key) == refund
        found = processor.find_payment(paid.payment_id)
        assert found is not None
        assert (found.state, found.refunded_cents) == ("succeeded", 1000)
        with pytest.raises(KeyReused):
            processor.refund(paid.payment_id, 999, key=key)
        with pytest.raises(RefundRefused):
            processor.refund(paid.payment_id, 1501, key=f"{key}-2")
        processor.refund(paid.payment_id, 1500, key=f"{key}-3")
        with pytest.raises(RefundRefused):
            processor.refund(paid.payment_id, 1, key=f"{key}-4")

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_after_a_lost_reply_a_refund_is_not_made_again(
        self, processor: Processor, charge: Charge, when: Moment
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        paid = processor.charge(charge)
        key = f"refund-{charge.key}"

        processor.lose("refund", when)
        with pytest.raises(PaymentUnknown):
            processor.refund(paid.payment_id, 1000, key=key)
        processor.refund(paid.payment_id, 1000, key=key)

        found = processor.find_payment(paid.payment_id)
        assert found is not None
        assert found.refunded_cents == 1000

    def test_a_declined_charge_cannot_be_refunded(
        self, processor: Processor, charge: Charge
    ) -> None:
        processor.save_payment_method(charge.customer_id, DECLINING_CARD)
        declined = processor.charge(charge)

        with pytest.raises(RefundRefused):
            processor.refund(declined.payment_id, 1, key=f"refund-{charge.key}")

    def test_each_turn_of_a_payment_is_told(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, ASKING_CARD)
        asked = processor.charge(charge)
        processor.settle(asked.payment_id)
        processor.refund(asked.payment_id, 500, key=f"refund-{charge.key}")
        processor.dispute(asked.payment_id)

        disputed = processor.find_payment(asked.payment_id)
        assert disputed is not None
        assert (disputed.refunded_cents, disputed.disputed_cents) == (500, 2500)
        assert payments_with(processor, charge.key, now) == [disputed]
        processor.close_dispute(asked.payment_id, won=True)
        settled = processor.find_payment(asked.payment_id)
        assert settled is not None
        assert settled.disputed_cents == 0

        told = events_of(processor, asked.payment_id, now)
        assert [kind for kind, _ in groupby(event.kind for event in told)] == [
            "payment_needs_action",
            "payment_succeeded",
            "payment_refunded",
            "dispute_opened",
            "dispute_won",
        ]
        for event in told:
            if event.kind.startswith("payment"):
                assert (event.key, event.customer_id) == (charge.key, charge.customer_id)
            if event.kind.startswith("dispute"):
                assert event.amount_cents == 2500
        assert len({event.event_id for event in told}) == len(told)

    def test_a_lost_dispute_keeps_the_money(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        paid = processor.charge(charge)
        processor.dispute(paid.payment_id)
        processor.close_dispute(paid.payment_id, won=False)

        lost = processor.find_payment(paid.payment_id)
        assert lost is not None
        assert lost.disputed_cents == 2500
        assert events_of(processor, paid.payment_id, now)[-1].kind == "dispute_lost"

    def test_another_card_is_told_with_its_customer(
        self, processor: Processor, customer_id: str, now: datetime
    ) -> None:
        processor.save_payment_method(customer_id, GOOD_CARD)

        told = [read(processor, delivery, now) for delivery in processor.deliveries]
        changed = [event for event in told if event.kind == "payment_method_changed"]
        assert [event.customer_id for event in changed] == [customer_id]

    def test_an_event_that_is_not_signed_or_old_is_refused(
        self, processor: Processor, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        processor.charge(charge)
        payload, signature = processor.deliveries[-1].payload, processor.deliveries[-1].signature
        assert processor.read_event(payload, signature, now).key == charge.key

        for wrong_payload, wrong_signature, moment in [
            (payload + b" ", signature, now),
            (b"\xff", signature, now),
            (b"", signature, now),
            (payload, "", now),
            (payload, "nonsense", now),
            (payload, "t=1,v1=00", now),
            (payload, f"{signature[:-1]}x", now),
            (payload, signature, now + timedelta(minutes=6)),
            (payload, signature, now - timedelta(minutes=6)),
        ]:
            with pytest.raises(SignatureInvalid):
                processor.read_event(wrong_payload, wrong_signature, moment)


def payments_with(processor: Processor, key: str, now: datetime) -> list[object]:
    """Every payment that carries a key, whoever paid it."""
    return [p for p in processor.list_payments(since=now - DAY, until=now + DAY) if p.key == key]


def read(processor: Processor, delivery: Delivery, now: datetime) -> PaymentEvent:
    return processor.read_event(delivery.payload, delivery.signature, now)


def events_of(processor: Processor, payment_id: str, now: datetime) -> list[PaymentEvent]:
    """What was told of a payment, without what concerns nobody."""
    told = [read(processor, delivery, now) for delivery in processor.deliveries]
    return [event for event in told if event.payment_id == payment_id and event.kind != "other"]
