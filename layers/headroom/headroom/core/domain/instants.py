"""Moments as the table keeps them: whole milliseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)


def to_millis(moment: datetime) -> int:
    """Return the whole milliseconds since 1970 of an aware moment, rounded down."""
    if moment.tzinfo is None:
        raise ValueError("a moment must know its time zone")
    return (moment - EPOCH) // MILLISECOND


def from_millis(millis: int) -> datetime:
    """Return the UTC moment of `millis`."""
    return EPOCH + millis * MILLISECOND


def to_wire(moment: datetime) -> str:
    """Print a moment as RFC 3339 in UTC, without a fraction when there is none."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
