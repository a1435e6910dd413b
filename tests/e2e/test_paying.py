"""Money comes from cards: over HTTP, through the deployed functions, once, whatever is lost."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from headroom.wallets.domain.payments import Payment
from tests.e2e.governed import House, provision_house
from tests.e2e.paying import Processor, awaited
from tests.fake_payments import ASKING_CARD, DECLINING_CARD, GOOD_CARD, REFUSED_CARD

OPENING_CENTS = 1000
WALLET = "/v1/organizations/wallet"
PAYMENTS = "/v1/payment_intents"


@pytest.fixture(scope="module")
def processor(stack: dict[str, Any]) -> Processor:
    return Processor(stack)


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    return provision_house(stack, plan="team", wallet={"balance": str(OPENING_CENTS)})


def top_up(
    house: House, amount: str, card: str | None = None, *, key: str | None = None
) -> httpx2.Response:
    body = {"amount": amount} | ({"payment_method": card} if card else {})
    return house.send(
        "POST",
        f"{WALLET}/top_ups",
        body,
        person="owner",
        headers={"idempotency-key": key or secrets.token_hex(8)},
    )


def wallet(house: House) -> dict[str, Any]:
    answer = house.send("GET", WALLET, person="owner")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def balance(house: House) -> Decimal:
    return Decimal(wallet(house)["balance"])


def entries(house: House) -> list[dict[str, Any]]:
    answer = house.send("GET", f"{WALLET}/entries", person="owner", query={"limit": "100"})
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def charged(processor: Processor, house: House) -> list[Payment]:
    """What the processor knows to have been asked for by this organization."""
    now, day = datetime.now(UTC), timedelta(days=1)
    listed = processor.payments.list_payments(since=now - day, until=now + day)
    return [payment for payment in listed if house.org_id in (payment.key or "")]


def turns(condition: bool) -> bool | None:
    return True if condition else None


def test_a_card_is_saved_and_money_is_bought_once_for_a_key(
    house: House, processor: Processor
) -> None:
    first = top_up(house, "2500", GOOD_CARD, key="buy-1")
    again = top_up(house, "2500", GOOD_CARD, key="buy-1")
    other = top_up(house, "2600", GOOD_CARD, key="buy-1")

    assert first.status_code == 200, first.text
    assert first.json()["status"] == "succeeded"
    assert again.json() == first.json()
    assert other.status_code == 409
    assert balance(house) == OPENING_CENTS + 2500
    assert wallet(house)["payment_method"]["last4"] == "4242"
    (payment,) = charged(processor, house)
    assert (payment.state, payment.amount_cents) == ("succeeded", 2500)
    assert first.json()["entry"]["payment_id"] == payment.payment_id


@pytest.mark.parametrize("card", [REFUSED_CARD, DECLINING_CARD])
def test_a_declined_card_buys_nothing_and_says_what_helps(
    house: House, processor: Processor, card: str
) -> None:
    declined = top_up(house, "2500", card)

    assert declined.status_code == 429
    assert declined.headers["x-should-retry"] == "false"
    details = declined.json()["error"]["details"]
    assert details["reason"] == "payment_declined"
    assert details["decline_code"] == "card_declined"
    assert details["next_steps"] == ["update_payment_method"]
    assert balance(house) == OPENING_CENTS
    assert not [p for p in charged(processor, house) if p.state != "declined"]


def test_a_card_that_asks_for_its_holder_pays_when_they_agree(
    house: House, processor: Processor
) -> None:
    """Nobody calls us again: the processor's event brings the money."""
    asked = top_up(house, "2500", ASKING_CARD)

    assert asked.status_code == 200, asked.text
    assert asked.json()["status"] == "requires_action"
    assert asked.json()["client_secret"]
    assert balance(house) == OPENING_CENTS
    (payment,) = charged(processor, house)
    processor.configure(f"payments/{payment.payment_id}/authenticate")

    awaited("the credit", lambda: turns(balance(house) == OPENING_CENTS + 2500))
    assert len([row for row in entries(house) if row["kind"] == "purchase"]) == 1
    assert not wallet(house)["pending"]


@pytest.mark.parametrize("kind", ["lost_before", "lost_after", "error_before", "error_after"])
def test_whatever_becomes_of_the_reply_the_card_is_charged_once(
    house: House, processor: Processor, kind: str
) -> None:
    saved = top_up(house, "500", GOOD_CARD)
    assert saved.status_code == 200, saved.text
    # Both attempts of the library, so that the outcome is unknown to the function.
    processor.configure("faults", kind=kind, path=PAYMENTS, times="2")

    pending = top_up(house, "2500", key="buy-2")
    assert pending.status_code == 200, pending.text
    again = top_up(house, "2500", key="buy-2")

    assert again.json()["status"] == "succeeded", (pending.json(), again.text)
    assert balance(house) == OPENING_CENTS + 3000
    assert sorted(p.amount_cents for p in charged(processor, house)) == [500, 2500]
    assert len([row for row in entries(house) if row["kind"] == "purchase"]) == 2


def test_the_processors_event_alone_credits_what_we_never_heard_of(
    house: House, processor: Processor
) -> None:
    """The client went away after a lost reply, and nobody asks again."""
    assert top_up(house, "500", GOOD_CARD).status_code == 200
    processor.configure("faults", kind="lost_after", path=PAYMENTS, times="2")
    top_up(house, "2500")

    awaited("the credit", lambda: turns(balance(house) == OPENING_CENTS + 3000))
    assert sorted(p.amount_cents for p in charged(processor, house)) == [500, 2500]


def test_an_event_that_comes_again_credits_nothing(
    stack: dict[str, Any], house: House, processor: Processor
) -> None:
    assert top_up(house, "2500", GOOD_CARD).status_code == 200
    (payment,) = charged(processor, house)
    for number in range(3):
        event = {
            "id": f"evt_{payment.payment_id}_{number % 2}",
            "object": "event",
            "type": "payment_intent.succeeded",
            "created": int(payment.created_at.timestamp()),
            "data": {"object": {"object": "payment_intent", "id": payment.payment_id}},
        }
        payload, signature = processor.signed(event)
        answer = httpx2.post(
            f"{stack['api_url']}/v1/payment_events",
            content=payload,
            headers={"stripe-signature": signature},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text

    assert balance(house) == OPENING_CENTS + 2500


def test_a_wallet_reloads_itself_when_its_balance_reaches_the_threshold(
    house: House, processor: Processor
) -> None:
    """From a usage event over the stream to the card and back, with nobody calling."""
    assert top_up(house, "500", GOOD_CARD).status_code == 200
    wanted = {"enabled": True, "threshold": "1400", "amount": "2000", "monthly_limit": "2000"}
    set_up = house.send("PUT", f"{WALLET}/auto_reload", wanted, person="owner")
    assert set_up.status_code == 200, set_up.text
    assert set_up.json()["state"] == "ready"

    spent = Decimal(0)
    while OPENING_CENTS + 500 - spent > 1400:
        spent += Decimal(house.spend("m0", 20_000))

    awaited(
        "the reload",
        lambda: turns(any(row["kind"] == "reload" for row in entries(house))),
    )
    assert balance(house) == OPENING_CENTS + 500 + 2000 - spent
    assert sorted(p.amount_cents for p in charged(processor, house)) == [500, 2000]
    shown = wallet(house)["auto_reload"]
    assert (shown["reloaded_this_month"], shown["state"]) == ("2000", "ceiling_reached")


def test_what_the_processor_gives_back_leaves_the_wallet(
    house: House, processor: Processor
) -> None:
    """Somebody refunds in the processor's own pages."""
    assert top_up(house, "2500", GOOD_CARD).status_code == 200
    (payment,) = charged(processor, house)

    processor.payments.refund(payment.payment_id, 700, key=f"by-hand-{payment.payment_id}")

    awaited("the debit", lambda: turns(balance(house) == OPENING_CENTS + 1800))


def test_a_dispute_takes_the_money_and_stops_spending_until_it_is_won(
    house: House, processor: Processor
) -> None:
    assert top_up(house, "2500", GOOD_CARD).status_code == 200
    (payment,) = charged(processor, house)

    processor.configure("disputes", payment_intent=payment.payment_id)
    awaited("the debit", lambda: turns(balance(house) == OPENING_CENTS))
    assert "chargeback" in {row["kind"] for row in entries(house)}

    processor.configure(f"payments/{payment.payment_id}/close_dispute", won="true")
    awaited("the money back", lambda: turns(balance(house) == OPENING_CENTS + 2500))
    assert wallet(house)["standing"] == "good"
