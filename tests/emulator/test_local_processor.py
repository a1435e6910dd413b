"""The local payment processor as a program: what people and banks do, and what a crash leaves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headroom.core.gateways.secrets import PaymentSecret
from headroom.payments.gateways.stripe import StripePayments
from headroom.payments.gateways.stripe_line import StripeLine
from headroom.wallets.domain.payments import Charge
from tools import processes
from tools.local_stack.paying import CARDS, Hand, NothingToDo
from tools.local_stack.payments import API_KEY, LocalProcessor

ORG = "org_1"
SECRET = PaymentSecret(API_KEY, ("whsec_1",))
PATIENCE_SECONDS = 20.0


@pytest.fixture
def processor(tmp_path: Path) -> Iterator[LocalProcessor]:
    processor = LocalProcessor(tmp_path)
    processor.start()
    yield processor
    processor.stop()


def payments_at(processor: LocalProcessor) -> StripePayments:
    return StripePayments(StripeLine(api_base=processor.url, read_secret=lambda fresh: SECRET))


def act(processor: LocalProcessor, action: str, payment_id: str | None = None) -> dict[str, str]:
    action, _, card = action.partition(" ")
    told: dict[str, str] = Hand(processor.url).act(
        action, org_id=ORG, payment_id=payment_id, card=card
    )
    return told


def test_holders_and_banks_act_on_the_newest_payment_that_they_can(
    processor: LocalProcessor,
) -> None:
    payments = payments_at(processor)
    customer = payments.create_customer(org_id=ORG, name="One")

    def charge(key: str) -> str:
        return payments.charge(Charge(customer, 2500, "USD", key)).payment_id

    assert act(processor, "card good")["last4"] == "4242"
    first, second = charge("a"), charge("b")
    assert act(processor, "dispute", first)["dispute"] == "needs_response"
    assert act(processor, "win")["id"] == first
    disputed = act(processor, "dispute")
    assert (disputed["id"], disputed["dispute"]) == (second, "needs_response")
    assert act(processor, "lose")["dispute"] == "lost"
    with pytest.raises(NothingToDo, match="any payment"):
        act(processor, "win")

    act(processor, "card asks")
    asked, again = charge("c"), charge("d")
    refused = act(processor, "refuse")
    assert (refused["id"], refused["status"]) == (again, "requires_payment_method")
    confirmed = act(processor, "confirm")
    assert (confirmed["id"], confirmed["status"]) == (asked, "succeeded")
    assert [payments.find_payment(each).state for each in (asked, again)] == [  # type: ignore[union-attr]
        "succeeded",
        "declined",
    ]

    card = payments.find_payment_method(customer)
    assert act(processor, "card refused")["type"] == "declined"
    assert payments.find_payment_method(customer) == card, "the card before stays"
    act(processor, "card declines")
    assert payments.charge(Charge(customer, 2500, "USD", "e")).state == "declined"
    assert len(CARDS) == 4, "each of them was tried"


def test_what_was_answered_is_there_after_a_crash(processor: LocalProcessor) -> None:
    """Else a wallet would hold money of a payment that nobody knows, or be charged for twice."""
    payments = payments_at(processor)
    customer = payments.create_customer(org_id=ORG, name="One")
    act(processor, "card good")
    charge = Charge(customer, 2500, "USD", "reload-1")
    paid = payments.charge(charge)
    act(processor, "dispute")
    program = processes.recall(processor.home / "processor" / "process.json")
    assert program is not None
    os.kill(program.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while program.is_alive():
        assert time.monotonic() < deadline
        time.sleep(processes.POLL_SECONDS)

    processor.start()

    assert payments_at(processor).charge(charge).payment_id == paid.payment_id
    (listed,) = Hand(processor.url).act("list", org_id=ORG, payment_id=None, card="")["data"]
    assert (listed["id"], listed["dispute"]) == (paid.payment_id, "needs_response")
    assert act(processor, "win")["dispute"] == "won"
