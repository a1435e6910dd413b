"""Whether an event was really sent by Stripe, and just now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

SIGNATURE_LASTS: Final = timedelta(minutes=5)


def is_signed(payload: bytes, signature: str, secrets: Iterable[str], now: datetime) -> bool:
    """Whether one of the secrets made this `Stripe-Signature`, no longer ago than it lasts."""
    from stripe import SignatureVerificationError, WebhookSignature

    for secret in secrets:
        try:
            WebhookSignature.verify_header(payload, signature, secret)
        except (SignatureVerificationError, UnicodeDecodeError):
            continue
        return _age(signature, now) <= SIGNATURE_LASTS
    return False


def _age(signature: str, now: datetime) -> timedelta:
    """How far the signature's time is from `now`; the header's form was verified before."""
    parts = [part.split("=", 1) for part in signature.split(",")]
    signed_at = next(int(part[1]) for part in parts if part[0] == "t")
    return timedelta(seconds=abs(now.timestamp() - signed_at))
