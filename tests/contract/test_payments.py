"""What a payment processor's client promises, whichever it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headroom.domain.payments import Charge, PaymentEvent
from headroom.gateways.payments import (
    NO_PAYMENT_METHOD,
    KeyReused,
    PaymentMethodRefused,
    PaymentUnknown,
    RefundRefused,
    SignatureInvalid,
)
from tests.fake_payments import (
    ASKING_CARD,
    DECLINING_CARD,
    GOOD_CARD,
    REFUSED_CARD,
    FakePayments,
)

LONG_AGO = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def processor(now: datetime) -> FakePayments:
    return FakePayments(now)


@pytest.fixture
def customer_id(processor: FakePayments) -> str:
    return processor.create_customer(org_id="org_acme", name="Acme")


@pytest.fixture
def charge(customer_id: str) -> Charge:
    return Charge(customer_id, 2500, "USD", "reload-1", facts={"organization": "org_acme"})


def events(processor: FakePayments, now: datetime) -> list[PaymentEvent]:
    return [processor.read_event(d.payload, d.signature, now) for d in processor.deliveries]


def test_a_customer_is_made_once(processor: FakePayments, customer_id: str) -> None:
    assert processor.create_customer(org_id="org_acme", name="Acme") == customer_id
    assert processor.create_customer(org_id="org_other", name="Other") != customer_id


def test_a_saved_payment_method_is_the_default(processor: FakePayments, customer_id: str) -> None:
    assert processor.find_payment_method(customer_id) is None

    saved = processor.save_payment_method(customer_id, GOOD_CARD)

    assert processor.find_payment_method(customer_id) == saved
    assert (saved.brand, saved.last4) == ("visa", "4242")
    newer = processor.save_payment_method(customer_id, DECLINING_CARD)
    assert processor.find_payment_method(customer_id) == newer


def test_a_card_that_cannot_be_saved_changes_nothing(
    processor: FakePayments, customer_id: str
) -> None:
    saved = processor.save_payment_method(customer_id, GOOD_CARD)

    with pytest.raises(PaymentMethodRefused) as refused:
        processor.save_payment_method(customer_id, REFUSED_CARD)
    assert refused.value.code == "card_declined"
    with pytest.raises(PaymentMethodRefused):
        processor.save_payment_method(customer_id, "pm_unheard_of")
    assert processor.find_payment_method(customer_id) == saved


def test_a_charge_is_made_once_for_its_key(
    processor: FakePayments, charge: Charge, now: datetime
) -> None:
    processor.save_payment_method(charge.customer_id, GOOD_CARD)

    first = processor.charge(charge)
    again = processor.charge(charge)

    assert first == again == processor.find_payment(first.payment_id)
    assert (first.state, first.amount_cents, first.currency) == ("succeeded", 2500, "USD")
    assert first.key == charge.key
    since = now - LONG_AGO
    assert [p.key for p in processor.list_payments(since=since, until=now + LONG_AGO)] == [
        charge.key
    ]
    assert processor.charge(replace(charge, key="reload-2")).payment_id != first.payment_id


def test_a_key_with_another_amount_is_refused(processor: FakePayments, charge: Charge) -> None:
    processor.save_payment_method(charge.customer_id, GOOD_CARD)
    processor.charge(charge)

    with pytest.raises(KeyReused):
        processor.charge(replace(charge, amount_cents=2501))


def test_a_key_stays_good_when_the_card_changes(processor: FakePayments, charge: Charge) -> None:
    processor.save_payment_method(charge.customer_id, GOOD_CARD)
    first = processor.charge(charge)
    processor.save_payment_method(charge.customer_id, DECLINING_CARD)

    assert processor.charge(charge) == first


def test_without_a_payment_method_nothing_is_charged(
    processor: FakePayments, charge: Charge, now: datetime
) -> None:
    with pytest.raises(PaymentMethodRefused) as refused:
        processor.charge(charge)

    assert refused.value.code == NO_PAYMENT_METHOD
    with pytest.raises(PaymentMethodRefused):
        processor.charge(replace(charge, payment_method_id="pm_unheard_of"))
    assert processor.find_charged(charge.customer_id, charge.key, since=now - LONG_AGO) is None


def test_a_declined_charge_says_why_and_stays_declined(
    processor: FakePayments, charge: Charge, now: datetime
) -> None:
    processor.save_payment_method(charge.customer_id, DECLINING_CARD)

    declined = processor.charge(charge)

    assert (declined.state, declined.decline_code) == ("declined", "card_declined")
    assert processor.charge(charge) == declined
    since = now - LONG_AGO
    assert processor.find_charged(charge.customer_id, charge.key, since=since) == declined


def test_a_card_that_asks_for_its_holder_is_charged_after_the_answer(
    processor: FakePayments, charge: Charge
) -> None:
    processor.save_payment_method(charge.customer_id, ASKING_CARD)

    asked = processor.charge(charge)
    assert asked.state == "needs_action"
    assert asked.client_secret is not None
    processor.settle(asked.payment_id)

    paid = processor.charge(charge)
    assert (paid.payment_id, paid.state) == (asked.payment_id, "succeeded")


@pytest.mark.parametrize("card", [GOOD_CARD, DECLINING_CARD])
def test_after_a_lost_reply_the_charge_is_found(
    processor: FakePayments, charge: Charge, now: datetime, card: str
) -> None:
    processor.save_payment_method(charge.customer_id, card)
    since = now - LONG_AGO

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
    assert len(list(processor.list_payments(since=since, until=now + LONG_AGO))) == 1
    other = processor.create_customer(org_id="org_other", name="Other")
    assert processor.find_charged(other, charge.key, since=since) is None


def test_a_refund_is_made_once_and_never_beyond_the_payment(
    processor: FakePayments, charge: Charge
) -> None:
    processor.save_payment_method(charge.customer_id, GOOD_CARD)
    paid = processor.charge(charge)

    refund = processor.refund(paid.payment_id, 1000, key="refund-1")

    assert (refund.state, refund.amount_cents) == ("succeeded", 1000)
    assert processor.refund(paid.payment_id, 1000, key="refund-1") == refund
    found = processor.find_payment(paid.payment_id)
    assert found is not None
    assert found.refunded_cents == 1000
    with pytest.raises(KeyReused):
        processor.refund(paid.payment_id, 999, key="refund-1")
    with pytest.raises(RefundRefused):
        processor.refund(paid.payment_id, 1501, key="refund-2")
    processor.refund(paid.payment_id, 1500, key="refund-3")


def test_a_declined_charge_cannot_be_refunded(processor: FakePayments, charge: Charge) -> None:
    processor.save_payment_method(charge.customer_id, DECLINING_CARD)
    declined = processor.charge(charge)

    with pytest.raises(RefundRefused):
        processor.refund(declined.payment_id, 1, key="refund-1")


def test_each_turn_of_a_payment_is_told(
    processor: FakePayments, charge: Charge, now: datetime
) -> None:
    processor.save_payment_method(charge.customer_id, ASKING_CARD)
    asked = processor.charge(charge)
    processor.settle(asked.payment_id)
    processor.refund(asked.payment_id, 500, key="refund-1")
    processor.dispute(asked.payment_id)

    disputed = processor.find_payment(asked.payment_id)
    assert disputed is not None
    assert (disputed.refunded_cents, disputed.disputed_cents) == (500, 2500)
    processor.close_dispute(asked.payment_id, won=True)
    settled = processor.find_payment(asked.payment_id)
    assert settled is not None
    assert settled.disputed_cents == 0

    told = [event for event in events(processor, now) if event.payment_id == asked.payment_id]
    assert [event.kind for event in told] == [
        "payment_needs_action",
        "payment_succeeded",
        "payment_refunded",
        "dispute_opened",
        "dispute_won",
    ]
    assert {event.customer_id for event in told} == {charge.customer_id}
    assert len({event.event_id for event in told}) == len(told)


def test_an_event_that_is_not_signed_or_old_is_refused(
    processor: FakePayments, charge: Charge, now: datetime
) -> None:
    processor.save_payment_method(charge.customer_id, GOOD_CARD)
    processor.charge(charge)
    delivery = processor.deliveries[-1]

    for payload, signature, moment in [
        (delivery.payload + b" ", delivery.signature, now),
        (delivery.payload, "", now),
        (delivery.payload, "t=1,v1=00", now),
        (delivery.payload, delivery.signature, now + timedelta(minutes=6)),
    ]:
        with pytest.raises(SignatureInvalid):
            processor.read_event(payload, signature, moment)
