"""The time, as the application is told it: the machine's own, or ahead of it by a test clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells the time. Only in the environments `local` and `dev` may it be ahead of the machine.

    The template refuses a test clock in production too; this is for whoever sets the variable
    by hand.
    """

    ahead: timedelta = timedelta()

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read how far ahead the clock is.

        Raises:
            KeyError: a variable is missing; the error names it.
            ValueError: the variable is no whole number, or this is production.
        """
        stage = environment["STAGE"]
        seconds = int(environment.get("CLOCK_AHEAD_SECONDS") or "0")
        if seconds and stage not in ("local", "dev"):
            raise ValueError(f"CLOCK_AHEAD_SECONDS: the clock cannot be set in {stage}")
        return cls(timedelta(seconds=seconds))

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        return datetime.now(UTC) + self.ahead
