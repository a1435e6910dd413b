"""What moved between two states of one budget, for whoever watches the money from outside."""

from __future__ import annotations

from dataclasses import dataclass

from headroom.spending.domain.budget import Budget


@dataclass(frozen=True, slots=True)
class Movement:
    """Nanos that moved; none of them is negative."""

    held: int = 0
    settled: int = 0
    unbilled: int = 0
    granted: int = 0
    recalled: int = 0


def movement(before: Budget, after: Budget) -> Movement:
    """Return what moved between two states of a budget; nothing when a period began in between."""
    if before.period != after.period:
        return Movement()
    granted = after.granted - before.granted
    return Movement(
        held=max(after.held - before.held, 0),
        settled=max(after.spent - before.spent, 0),
        unbilled=max(after.unbilled - before.unbilled, 0),
        granted=max(granted, 0),
        recalled=max(-granted, 0),
    )
