"""What Stripe says means what its documentation says it means."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headroom.core.gateways.secrets import PaymentSecret, SecretMissing, parse_payment_secret
from headroom.payments.gateways.stripe_reading import (
    read_event,
    read_payment,
    read_payment_method,
    read_refund,
)

LAYER = Path(__file__).resolve().parents[2] / "layers" / "headroom"


def intent(**changes: Any) -> dict[str, Any]:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "amount": 2500,
        "currency": "usd",
        "customer": "cus_1",
        "created": 1_764_000_000,
        "client_secret": "pi_1_secret_x",
        "metadata": {"headroom_key": "reload-1", "organization": "org_1"},
        "last_payment_error": None,
        "latest_charge": {"id": "ch_1", "amount_refunded": 300, "disputed": False},
        **changes,
    }


def event(type_: str, thing: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "type": type_,
        "created": 1_764_000_001,
        "data": {"object": thing, **data},
    }


def declined(code: str, decline_code: str | None = None) -> dict[str, Any]:
    error = {"code": code} | ({"decline_code": decline_code} if decline_code else {})
    return intent(status="requires_payment_method", last_payment_error=error)


def test_where_the_holder_confirms_is_read_while_the_payment_waits_for_them() -> None:
    way = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.example/3ds"}}
    asked = intent(status="requires_action", next_action=way)
    assert read_payment(asked).redirect_url == "https://hooks.example/3ds"
    assert read_payment({**asked, "status": "succeeded"}).redirect_url is None
    by_script = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
    assert read_payment({**asked, "next_action": by_script}).redirect_url is None
    assert read_payment({**asked, "next_action": None}).redirect_url is None


def test_a_payment_is_read_whole() -> None:
    payment = read_payment(intent())

    assert payment.payment_id == "pi_1"
    assert (payment.state, payment.amount_cents, payment.currency) == ("succeeded", 2500, "USD")
    assert payment.key == "reload-1"
    assert payment.created_at == datetime(2025, 11, 24, 16, tzinfo=UTC)
    assert (payment.refunded_cents, payment.disputed_cents) == (300, 0)
    assert (payment.decline_code, payment.client_secret) == (None, None)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("succeeded", "succeeded"),
        ("processing", "processing"),
        ("requires_action", "needs_action"),
        ("requires_payment_method", "declined"),
        ("canceled", "declined"),
        # Neither can be reached by how we pay, so nothing final may be read from them.
        ("requires_confirmation", "processing"),
        ("requires_capture", "processing"),
        ("a_status_of_next_year", "processing"),
    ],
)
def test_only_what_is_final_is_read_as_final(status: str, state: str) -> None:
    assert read_payment(intent(status=status)).state == state


@pytest.mark.parametrize(
    ("told", "state", "code"),
    [
        (declined("card_declined", "insufficient_funds"), "declined", "insufficient_funds"),
        (declined("expired_card"), "declined", "expired_card"),
        (intent(status="requires_payment_method"), "declined", "declined"),
        (intent(status="canceled"), "declined", "canceled"),
        (declined("authentication_required", "authentication_required"), "needs_action", None),
        (declined("authentication_required"), "needs_action", None),
        (declined("payment_intent_authentication_failure"), "declined", None),
    ],
)
def test_a_decline_says_why_unless_the_holder_is_asked(
    told: dict[str, Any], state: str, code: str | None
) -> None:
    payment = read_payment(told)

    assert payment.state == state
    if code is not None or state == "needs_action":
        assert payment.decline_code == code
    # Only the holder's own action needs it; nobody else gets to see it.
    assert (payment.client_secret is not None) == (state == "needs_action")


def test_a_payment_of_other_software_has_no_key() -> None:
    assert read_payment(intent(metadata={})).key is None
    assert read_payment(intent(metadata=None)).key is None
    assert read_payment(intent(latest_charge="ch_1")).refunded_cents == 0
    assert read_payment(intent(latest_charge=None)).refunded_cents == 0


def test_only_disputes_that_took_the_money_count() -> None:
    def dispute(status: str, amount: int) -> dict[str, Any]:
        return {"status": status, "amount": amount}

    disputes = [
        dispute("needs_response", 1),
        dispute("under_review", 10),
        dispute("lost", 100),
        dispute("won", 1_000),
        dispute("warning_needs_response", 10_000),
        dispute("warning_under_review", 100_000),
        dispute("warning_closed", 1_000_000),
    ]
    assert read_payment(intent(), disputes).disputed_cents == 111


@pytest.mark.parametrize(
    ("type_", "thing", "kind"),
    [
        ("payment_intent.succeeded", intent(), "payment_succeeded"),
        ("payment_intent.canceled", intent(status="canceled"), "payment_declined"),
        ("payment_intent.requires_action", intent(), "payment_needs_action"),
        ("payment_intent.payment_failed", declined("card_declined"), "payment_declined"),
        (
            "payment_intent.payment_failed",
            declined("authentication_required"),
            "payment_needs_action",
        ),
        ("payment_intent.created", intent(), "other"),
        ("payment_intent.an_event_of_next_year", intent(), "other"),
        ("balance.available", {"object": "balance"}, "other"),
    ],
)
def test_an_event_is_of_the_kind_that_its_type_and_object_say(
    type_: str, thing: dict[str, Any], kind: str
) -> None:
    assert read_event(event(type_, thing)).kind == kind


def test_events_about_payments_name_payment_key_and_customer() -> None:
    charge = {
        "object": "charge",
        "id": "ch_1",
        "payment_intent": "pi_1",
        "customer": "cus_1",
        "amount": 2500,
        "amount_refunded": 300,
        "metadata": {"headroom_key": "reload-1"},
    }
    for told, amount in [
        (event("payment_intent.succeeded", intent()), 2500),
        (event("charge.refunded", charge), 300),
        (event("charge.refunded", charge | {"payment_intent": {"id": "pi_1"}}), 300),
    ]:
        read = read_event(told)
        assert (read.payment_id, read.key, read.customer_id) == ("pi_1", "reload-1", "cus_1")
        assert read.amount_cents == amount
        assert read.event_id == "evt_1"
        assert read.created_at.timestamp() == 1_764_000_001


@pytest.mark.parametrize("type_", ["charge.refund.updated", "refund.updated", "refund.failed"])
def test_a_refund_that_changes_its_mind_is_told(type_: str) -> None:
    refund = {"object": "refund", "id": "re_1", "payment_intent": "pi_1", "amount": 300}
    read = read_event(event(type_, refund))

    assert (read.kind, read.payment_id, read.amount_cents) == ("payment_refunded", "pi_1", 300)


@pytest.mark.parametrize(
    ("type_", "status", "kind"),
    [
        ("charge.dispute.created", "needs_response", "dispute_opened"),
        ("charge.dispute.created", "warning_needs_response", "other"),
        ("charge.dispute.funds_withdrawn", "needs_response", "dispute_opened"),
        ("charge.dispute.closed", "won", "dispute_won"),
        ("charge.dispute.closed", "lost", "dispute_lost"),
        ("charge.dispute.closed", "warning_closed", "other"),
        ("charge.dispute.funds_reinstated", "won", "dispute_won"),
        ("charge.dispute.updated", "under_review", "other"),
    ],
)
def test_a_dispute_is_one_once_it_takes_the_money(type_: str, status: str, kind: str) -> None:
    dispute = {
        "object": "dispute",
        "id": "dp_1",
        "payment_intent": "pi_1",
        "charge": "ch_1",
        "amount": 2500,
        "status": status,
    }
    read = read_event(event(type_, dispute))

    assert (read.kind, read.payment_id, read.amount_cents) == (kind, "pi_1", 2500)
    assert read.key is None


def test_another_card_is_told_and_another_name_is_not() -> None:
    customer = {"object": "customer", "id": "cus_1"}
    card = event("customer.updated", customer, previous_attributes={"invoice_settings": {}})
    name = event("customer.updated", customer, previous_attributes={"name": "Acme"})

    assert read_event(card).kind == "payment_method_changed"
    assert read_event(card).customer_id == "cus_1"
    assert read_event(name).kind == "other"


def test_a_card_that_was_taken_away_names_whose_it_was() -> None:
    method = {"object": "payment_method", "id": "pm_1", "customer": None}
    told = event("payment_method.detached", method, previous_attributes={"customer": "cus_1"})

    assert read_event(told).kind == "payment_method_changed"
    assert read_event(told).customer_id == "cus_1"


def test_a_payment_method_without_a_brand_is_shown_by_its_type() -> None:
    card = read_payment_method(
        {"id": "pm_1", "type": "card", "card": {"brand": "visa", "last4": "4242"}}
    )
    debit = read_payment_method(
        {"id": "pm_2", "type": "sepa_debit", "sepa_debit": {"last4": "3000"}}
    )
    link = read_payment_method({"id": "pm_3", "type": "link", "link": {}})

    assert (card.brand, card.last4) == ("visa", "4242")
    assert (debit.brand, debit.last4) == ("sepa_debit", "3000")
    assert (link.brand, link.last4) == ("link", "")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("succeeded", "succeeded"),
        ("pending", "pending"),
        ("requires_action", "pending"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
def test_a_refund_is_read(status: str, state: str) -> None:
    assert read_refund({"id": "re_1", "status": status, "amount": 5}).state == state


def test_the_secret_has_a_key_and_any_number_of_signing_secrets() -> None:
    text = '{"api_key": "rk_1", "webhook_secrets": ["whsec_old", "whsec_new"]}'

    secret = parse_payment_secret(text)

    assert secret == PaymentSecret("rk_1", ("whsec_old", "whsec_new"))
    assert "rk_1" not in repr(secret)
    assert "whsec" not in repr(secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rk_live_in_the_open",
        "[]",
        "null",
        '{"api_key": "rk_1"}',
        '{"api_key": "", "webhook_secrets": []}',
        '{"api_key": 1, "webhook_secrets": []}',
        '{"api_key": "rk_1", "webhook_secrets": "whsec_1"}',
        '{"api_key": "rk_1", "webhook_secrets": [""]}',
        '{"api_key": "rk_1", "webhook_secrets": [null]}',
    ],
)
def test_a_secret_of_another_form_is_missing_and_stays_secret(text: str) -> None:
    with pytest.raises(SecretMissing) as missing:
        parse_payment_secret(text)

    assert missing.value.__cause__ is None
    assert "rk_" not in str(missing.value)


def test_who_never_pays_does_not_wait_for_the_library() -> None:
    """Importing it takes a tenth of a second, and boto3 as long again."""
    code = (
        "import sys, headroom.payments.gateways.stripe as gateway\n"
        "from headroom.core.settings import PaymentSettings\n"
        "gateway.connect_payments(PaymentSettings('https://api.stripe.com', 'arn'))\n"
        "assert not {'stripe', 'boto3', 'requests'} & sys.modules.keys()\n"
    )
    subprocess.run(  # noqa: S603  (our own code)
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(LAYER)}, timeout=60
    )
