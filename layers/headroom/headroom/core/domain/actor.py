"""Whom a change is attributed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# An operator is somebody of the vendor's, who acts from the AWS console.
ActorType = Literal["user", "api_key", "system", "operator"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The person, key or part of the system that a change is attributed to."""

    type: ActorType
    id: str

    def wire(self) -> dict[str, str]:
        """Return the actor as the wire has it."""
        return {"type": self.type, "id": self.id}


SYSTEM = Actor("system", "headroom")
