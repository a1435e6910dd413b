"""Signatures by the Standard Webhooks specification, and secrets that are stored nowhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from headroom.core.domain.instants import to_millis
from headroom.notifications.domain.webhooks import (
    ATTEMPTS_MAX,
    RETRY_AFTER,
    Endpoint,
    delivery_to,
    retry_after,
    rotated,
    secret_of,
)
from headroom.notifications.gateways.webhooks import sign

KEY = b"key"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENDPOINT = Endpoint("org_a", "whe_1", "https://a.example/", None, None, NOW)


def test_a_signature_is_the_one_of_the_specification() -> None:
    """Worked by hand: HMAC-SHA256 over id, timestamp and payload with dots between."""
    moment = datetime(2026, 11, 23, 12, 0, 0, 999_000, tzinfo=UTC)
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()

    headers = sign([secret], "evt_1", '{"a":1}', moment)

    told = f'evt_1.{int(moment.timestamp())}.{{"a":1}}'.encode()
    digest = hmac.new(b"0123456789abcdef0123456789abcdef", told, hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def test_each_secret_that_signs_is_good_and_no_other() -> None:
    secrets = [secret_of(KEY, "org_a", "whe_1", rotation) for rotation in (1, 2, 3)]
    headers = dict(sign(secrets[1:], "evt_1", "{}", datetime.now(UTC)))

    for secret in secrets[1:]:
        assert Webhook(secret).verify("{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify("{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[1]).verify('{"other": 1}', headers)


def test_a_secret_is_that_of_one_endpoint_of_one_organization_of_one_deployment() -> None:
    secrets = {
        secret_of(key, org_id, endpoint_id, rotation)
        for key in (b"a", b"b")
        for org_id in ("org_a", "org_b")
        for endpoint_id in ("whe_1", "whe_2")
        for rotation in (1, 2)
    }
    assert len(secrets) == 16
    # As long as the specification asks: 24 to 64 bytes.
    assert {len(base64.b64decode(each.removeprefix("whsec_"))) for each in secrets} == {32}


def rotate(endpoint: Endpoint, now: datetime) -> Endpoint:
    found = rotated(endpoint, now)
    assert found is not None
    return replace(endpoint, rotation=found[0], previous=found[1])


def test_the_old_secret_signs_for_a_day_beside_the_new() -> None:
    endpoint = rotate(ENDPOINT, NOW)
    assert endpoint.signing(NOW) == [2, 1]
    assert endpoint.signing(NOW + timedelta(hours=24) - timedelta(milliseconds=1)) == [2, 1]
    assert endpoint.signing(NOW + timedelta(hours=24)) == [2]


def test_rotations_within_a_day_are_few() -> None:
    endpoint = ENDPOINT
    for _ in range(3):
        endpoint = rotate(endpoint, NOW)
    assert endpoint.signing(NOW) == [4, 3, 2, 1]
    assert rotated(endpoint, NOW) is None

    later = NOW + timedelta(hours=24)
    assert rotate(endpoint, later).signing(later) == [5, 4]


def test_the_schedule_ends_and_fits_the_queue() -> None:
    waits = [retry_after(attempts) for attempts in range(1, ATTEMPTS_MAX + 1)]
    assert waits == [*RETRY_AFTER, None]
    # SQS hides a message for twelve hours at most; a tenth is added at random.
    assert max(RETRY_AFTER) * 1.1 <= timedelta(hours=12)


def test_the_same_event_to_the_same_endpoint_is_the_same_delivery() -> None:
    detail = {"id": "evt_1", "occurred_at": "2026-11-23T12:00:00.000000Z", "x": 1}
    first = delivery_to(ENDPOINT, "wallet.low", detail, NOW)

    again = delivery_to(ENDPOINT, "wallet.low", detail, NOW + timedelta(hours=1))
    others = [
        delivery_to(replace(ENDPOINT, endpoint_id="whe_2"), "wallet.low", detail, NOW),
        delivery_to(ENDPOINT, "wallet.low", {**detail, "id": "evt_2"}, NOW),
        delivery_to(ENDPOINT, "wallet.low", {**detail, "occurred_at": "2026-11-23T12:00:01Z"}, NOW),
    ]

    assert again.delivery_id == first.delivery_id
    assert again.payload == first.payload
    assert len({first.delivery_id, *(each.delivery_id for each in others)}) == 4
    # They sort as the events happened.
    assert others[2].delivery_id > first.delivery_id
    assert to_millis(first.next_attempt_at) == to_millis(NOW)
