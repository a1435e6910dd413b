"""Webhooks: where an organization wants its events, and what becomes of each delivery.

Messages, signatures and the manner of retrying follow https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from headroom.core.domain.instants import from_millis, to_millis

EndpointStatus = Literal["enabled", "disabled"]
# Switched off by an owner; after days of failures; because the receiver answered 410 Gone.
DisabledReason = Literal["owner", "failing", "gone"]
DeliveryStatus = Literal["pending", "succeeded", "failed"]

DELIVERY_STATUSES: Final[tuple[DeliveryStatus, ...]] = ("pending", "succeeded", "failed")
TEST: Final = "webhook_endpoint.test"
DISABLED: Final = "webhook_endpoint.disabled"
# What organizations may hear of. Events about our own operation are not among them.
EVENT_TYPES: Final = (
    "billing_period.closed",
    "extra_usage.disabled",
    "extra_usage.enabled",
    "invoice.finalized",
    "invoice.paid",
    "invoice.past_due",
    "member.role_raised",
    "spend_limit.changed",
    "spend_limit.increase_approved",
    "spend_limit.increase_denied",
    "spend_limit.increase_requested",
    "spend_limit.increase_requests_outstanding",
    "spend_limit.threshold_reached",
    "wallet.credit_expiring",
    "wallet.empty",
    "wallet.low",
    "wallet.money_returned",
    "wallet.reload_failed",
    "wallet.reload_needs_action",
    "wallet.reload_succeeded",
    "wallet.topped_up",
    DISABLED,
    TEST,
)

ENDPOINTS_MAX: Final = 10
# After each failed attempt. A queue can hide a message for up to twelve hours.
RETRY_AFTER: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
ATTEMPTS_MAX: Final = len(RETRY_AFTER) + 1
# An endpoint that accepted nothing for so long is switched off.
FAILING_MAX: Final = timedelta(days=5)
# For so long after a rotation the secret before it signs as well.
ROTATION_LASTS: Final = timedelta(hours=24)
# So many secrets sign at one time, the newest among them.
SIGNING_MAX: Final = 4
GONE: Final = 410

_ID_STAMP_BYTES: Final = 6
_ID_HASH_BYTES: Final = 9


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an organization wants events. `event_types` are those it wants, None for all.

    `rotation` counts its secrets; `previous` are older ones, with the moment until which each
    still signs, in milliseconds. `failing_since` is the first failure after the last success.
    """

    org_id: str
    endpoint_id: str
    url: str
    description: str | None
    event_types: tuple[str, ...] | None
    created_at: datetime
    status: EndpointStatus = "enabled"
    disabled_reason: DisabledReason | None = None
    failing_since: datetime | None = None
    rotation: int = 1
    previous: tuple[tuple[int, int], ...] = ()

    def wants(self, event_type: str) -> bool:
        """Tell whether an event of this type is to be delivered here."""
        if event_type == TEST:
            return False  # It is sent to the one endpoint that is tested.
        listens = self.event_types is None or event_type in self.event_types
        return self.status == "enabled" and listens

    def signing(self, now: datetime) -> list[int]:
        """Return the rotations whose secrets sign now, the newest first."""
        millis = to_millis(now)
        older = [rotation for rotation, until in self.previous if until > millis]
        return [self.rotation, *sorted(older, reverse=True)]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint. `payload` is sent as it stands, each time.

    `round` counts how often it was sent anew by hand; attempts are counted in each round.
    """

    org_id: str
    delivery_id: str
    endpoint_id: str
    event_id: str
    event_type: str
    payload: str
    created_at: datetime
    next_attempt_at: datetime
    status: DeliveryStatus = "pending"
    round: int = 1
    attempts: int = 0
    last_attempt_at: datetime | None = None
    response_status: int | None = None
    error: str | None = None


def deliveries_of(
    event_type: str, detail: Mapping[str, Any], endpoints: Iterable[Endpoint], now: datetime
) -> Iterator[Delivery]:
    """Walk through the deliveries that an event of the bus calls for."""
    if event_type not in EVENT_TYPES:
        return
    for endpoint in endpoints:
        if endpoint.wants(event_type):
            yield delivery_to(endpoint, event_type, detail, now)


def delivery_to(
    endpoint: Endpoint, event_type: str, detail: Mapping[str, Any], now: datetime
) -> Delivery:
    """Return the delivery of an event to an endpoint: the same one, whenever it is asked for."""
    occurred_at = datetime.fromisoformat(detail["occurred_at"])
    return Delivery(
        org_id=endpoint.org_id,
        delivery_id=_delivery_id(endpoint.endpoint_id, detail["id"], occurred_at),
        endpoint_id=endpoint.endpoint_id,
        event_id=detail["id"],
        event_type=event_type,
        payload=json.dumps(
            {"type": event_type, "timestamp": detail["occurred_at"], "data": dict(detail)},
            separators=(",", ":"),
        ),
        created_at=now,
        next_attempt_at=now,
    )


def secret_of(key: bytes, org_id: str, endpoint_id: str, rotation: int) -> str:
    """Return an endpoint's secret, in the form that receivers configure.

    It is derived from the deployment's key, so that it is stored nowhere.
    """
    told = f"webhook\n{org_id}\n{endpoint_id}\n{rotation}".encode()
    digest = hmac.new(key, told, hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(digest).decode()}"


def rotated(endpoint: Endpoint, now: datetime) -> tuple[int, tuple[tuple[int, int], ...]] | None:
    """Return the next rotation and what signs beside it; None if too many secrets sign already."""
    millis = to_millis(now)
    still = [(rotation, until) for rotation, until in endpoint.previous if until > millis]
    if len(still) + 2 > SIGNING_MAX:
        return None
    return endpoint.rotation + 1, (
        *still,
        (endpoint.rotation, to_millis(now + ROTATION_LASTS)),
    )


def retry_after(attempts: int) -> timedelta | None:
    """Return how long to wait after so many attempts, None when it was the last."""
    return RETRY_AFTER[attempts - 1] if attempts < ATTEMPTS_MAX else None


def previous_end(endpoint: Endpoint, now: datetime) -> datetime | None:
    """Return when the last of the older secrets stops signing, None if none does any more."""
    ends = [until for _, until in endpoint.previous if until > to_millis(now)]
    return from_millis(max(ends)) if ends else None


def _delivery_id(endpoint_id: str, event_id: str, occurred_at: datetime) -> str:
    # It begins with the time, so that deliveries sort as the events happened.
    stamp = to_millis(occurred_at).to_bytes(_ID_STAMP_BYTES)
    digest = hashlib.sha256(f"{endpoint_id}\n{event_id}".encode()).digest()
    raw = stamp + digest[:_ID_HASH_BYTES]
    return f"whd_{base64.b32hexencode(raw).decode().lower()}"
