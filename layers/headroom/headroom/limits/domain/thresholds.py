"""Thresholds of a spend limit, in percent of it."""

from __future__ import annotations

from typing import Final

LEVELS: Final = (75, 90, 95, 100)


def crossed(spent_nanos: int, limit_nanos: int) -> tuple[int, ...]:
    """Return the thresholds that `spent_nanos` has reached. A limit of nothing has none."""
    if limit_nanos <= 0:
        return ()
    return tuple(level for level in LEVELS if spent_nanos * 100 >= limit_nanos * level)
