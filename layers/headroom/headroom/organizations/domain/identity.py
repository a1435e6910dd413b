"""People as the outside world vouches for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Person:
    """Who a token speaks for. Roles are ours to know, not the token's to tell."""

    org_id: str
    user_id: str


class Identity(Protocol):
    """Whoever can tell a person by their token."""

    def identify(self, token: str, now: datetime) -> Person:
        """Return the person.

        Raises:
            Unauthenticated: the token is not good.
        """
