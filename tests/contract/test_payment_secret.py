"""The secret of the payment processor comes from Secrets Manager, and may be rotated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from headroom.core.gateways.secrets import SecretMissing, read_payment_secret_of
from headroom.core.settings import PaymentSettings
from headroom.payments.gateways.payments import PaymentUnknown, SignatureInvalid
from headroom.payments.gateways.stripe import StripePayments
from headroom.payments.gateways.stripe_line import StripeLine
from tools.local_stack.processor.webhooks import sign

EVENT = json.dumps(
    {
        "id": "evt_1",
        "type": "payment_intent.succeeded",
        "created": 1_764_000_000,
        "data": {"object": {"object": "payment_intent", "id": "pi_1", "customer": "cus_1"}},
    }
).encode()


@pytest.fixture
def manager() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("secretsmanager")


@pytest.fixture
def settings(manager: Any) -> PaymentSettings:
    arn = manager.create_secret(Name="payments", SecretString=_text("whsec_1"))["ARN"]
    return PaymentSettings("https://api.stripe.com", arn)


def _text(*webhook_secrets: str) -> str:
    return json.dumps({"api_key": "rk_1", "webhook_secrets": webhook_secrets})


def test_it_is_kept_until_it_is_asked_for_anew(manager: Any, settings: PaymentSettings) -> None:
    read = read_payment_secret_of(settings)
    assert read(False).webhook_secrets == ("whsec_1",)

    manager.put_secret_value(SecretId=settings.secret_arn, SecretString=_text("whsec_2"))

    assert read(False).webhook_secrets == ("whsec_1",)
    assert read(True).webhook_secrets == ("whsec_2",)
    assert read(False).webhook_secrets == ("whsec_2",)


def test_where_there_is_none_nothing_is_paid(settings: PaymentSettings) -> None:
    nowhere = PaymentSettings(settings.api_base, settings.secret_arn + "x")

    with pytest.raises(SecretMissing):
        read_payment_secret_of(nowhere)(False)
    with pytest.raises(PaymentUnknown):
        StripePayments(StripeLine.configured(nowhere)).find_payment("pi_1")


def test_events_are_read_while_the_signing_secret_is_rotated(
    manager: Any, settings: PaymentSettings
) -> None:
    payments = StripePayments(StripeLine.configured(settings))
    now = datetime.now(UTC)

    def read_signed_with(secret: str, moment: datetime) -> str:
        signature = sign(EVENT, secret, int(now.timestamp()))
        return payments.read_event(EVENT, signature, moment).event_id

    assert read_signed_with("whsec_1", now) == "evt_1"
    manager.put_secret_value(SecretId=settings.secret_arn, SecretString=_text("whsec_1", "whsec_2"))
    # The first event with the new one makes us read the secret again.
    assert read_signed_with("whsec_2", now) == "evt_1"
    assert read_signed_with("whsec_1", now) == "evt_1"
    manager.put_secret_value(SecretId=settings.secret_arn, SecretString=_text("whsec_3"))
    # Not for each event of a stranger, though: only every ten seconds.
    with pytest.raises(SignatureInvalid):
        read_signed_with("whsec_3", now + timedelta(seconds=9))
    assert read_signed_with("whsec_3", now + timedelta(seconds=10)) == "evt_1"
    with pytest.raises(SignatureInvalid):
        read_signed_with("whsec_2", now + timedelta(seconds=20))
