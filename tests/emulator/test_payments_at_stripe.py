"""The gateway to Stripe keeps the promises of a payment processor, over HTTP and its faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from headroom.core.gateways.secrets import PaymentSecret, SecretMissing
from headroom.payments.gateways.payments import PaymentUnknown
from headroom.payments.gateways.stripe import StripePayments
from headroom.payments.gateways.stripe_line import StripeLine
from headroom.wallets.domain.payments import Charge, Payment
from tests.fake_payments import GOOD_CARD
from tests.faulty_processor import Fault
from tests.payment_promises import DAY, PaymentPromises, payments_with
from tests.stripe_scene import StripeScene, localstripe, stripe_scene
from tools.local_stack.processor.upstream import Upstream

PAYMENTS = "/v1/payment_intents"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with localstripe(tmp_path_factory.mktemp("localstripe")) as running:
        yield running


@pytest.fixture
def processor(upstream: Upstream) -> Iterator[StripeScene]:
    with stripe_scene(upstream) as scene:
        yield scene


class TestAtStripe(PaymentPromises):
    """Promises that the one in memory keeps as well, and those that only a network can break."""

    def test_the_library_asks_again_once_and_the_charge_is_made_once(
        self, processor: StripeScene, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)

        processor.processor.break_next(Fault("lost_after", PAYMENTS))
        paid = processor.charge(charge)

        assert paid.state == "succeeded"
        assert processor.processor.acted.count(("POST", PAYMENTS)) == 1
        assert payments_with(processor, charge.key, now) == [paid]

    def test_an_error_that_hid_a_charge_is_replayed_and_the_charge_is_found(
        self, processor: StripeScene, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        processor.processor.break_next(Fault("error_after", PAYMENTS))

        for _ in range(2):
            with pytest.raises(PaymentUnknown):
                processor.charge(charge)

        found = processor.find_charged(charge.customer_id, charge.key, since=now - DAY)
        assert found is not None
        assert found.state == "succeeded"
        assert processor.processor.acted.count(("POST", PAYMENTS)) == 1

    def test_an_error_before_anything_happened_can_be_tried_again(
        self, processor: StripeScene, charge: Charge
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        processor.processor.break_next(Fault("error_before", PAYMENTS, times=2))

        with pytest.raises(PaymentUnknown):
            processor.charge(charge)
        assert processor.charge(charge).state == "succeeded"

    def test_two_at_once_charge_once(
        self, processor: StripeScene, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        processor.processor.break_next(Fault("late", PAYMENTS, seconds=0.2))
        outcomes: list[Payment | PaymentUnknown] = []

        def pay() -> None:
            try:
                outcomes.append(processor.charge(charge))
            except PaymentUnknown as unknown:
                outcomes.append(unknown)

        threads = [threading.Thread(target=pay) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(outcomes) == 8
        assert processor.processor.acted.count(("POST", PAYMENTS)) == 1
        (paid,) = payments_with(processor, charge.key, now)
        assert {o for o in outcomes if isinstance(o, Payment)} == {paid}

    def test_reading_goes_on_where_a_page_ends(
        self, processor: StripeScene, charge: Charge, now: datetime
    ) -> None:
        processor.save_payment_method(charge.customer_id, GOOD_CARD)
        for number in range(103):
            processor.charge(replace(charge, key=f"{charge.key}-{number}"))

        found = processor.find_charged(charge.customer_id, f"{charge.key}-0", since=now - DAY)
        assert found is not None
        listed = processor.list_payments(since=now - DAY, until=now + DAY)
        assert sum((p.key or "").startswith(f"{charge.key}-") for p in listed) == 103

    @pytest.mark.parametrize("call", ["charge", "find", "list", "customer", "event"])
    def test_where_nobody_answers_the_outcome_is_unknown(self, charge: Charge, call: str) -> None:
        nowhere = StripeLine(
            api_base="http://127.0.0.1:9",
            read_secret=lambda fresh: PaymentSecret("sk_test_x", ()),
        )
        unconfigured = StripeLine(api_base="http://127.0.0.1:9", read_secret=_missing)

        for line in [unconfigured] if call == "event" else [nowhere, unconfigured]:
            with pytest.raises(PaymentUnknown):
                _call(StripePayments(line), call, charge)

    def test_a_key_that_is_not_known_is_read_again(
        self, processor: StripeScene, customer_id: str
    ) -> None:
        asked: list[bool] = []

        def read(fresh: bool) -> PaymentSecret:
            asked.append(fresh)
            return PaymentSecret("sk_test_new" if True in asked else "revoked", ())

        payments = StripePayments(StripeLine(api_base=processor.url, read_secret=read))
        with pytest.raises(PaymentUnknown):
            payments.find_payment_method(customer_id)
        assert payments.find_payment_method(customer_id) is None
        assert asked == [False, True, False]


def _call(payments: StripePayments, call: str, charge: Charge) -> None:
    now = datetime.now(UTC)
    match call:
        case "charge":
            payments.charge(replace(charge, payment_method_id="pm_1"))
        case "find":
            payments.find_payment("pi_1")
        case "list":
            list(payments.list_payments(since=now - DAY, until=now))
        case "customer":
            payments.create_customer(org_id="org_1", name="One")
        case "event":
            payments.read_event(b"", "", now)


def _missing(fresh: bool) -> PaymentSecret:
    raise SecretMissing("there is none")
