"""What the parts of the processor share: localstripe, what it does not keep, and events."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.local_stack.processor.asking import Asked
from tools.local_stack.processor.upstream import Answer, Data, Upstream

Tell = Callable[[Data], None]
# A method, a pattern of paths, and what answers; it is given what the pattern's groups matched.
Route = tuple[str, str, Callable[..., Answer]]


@dataclass
class State:
    """What the processor knows beside localstripe's store."""

    disputes: dict[str, Data] = field(default_factory=dict)
    # Payments whose card asked for its holder while nobody was there.
    asked: list[str] = field(default_factory=list)
    # Where the holders of others are led back to when they have answered.
    ways_back: dict[str, str] = field(default_factory=dict)
    # Where this processor answers, as holders are told.
    address: str = ""
    webhook_url: str | None = None
    webhook_secret: str = "whsec_local"  # noqa: S105  (nobody trusts it but the local stack)


class Desk:
    """`tell` is given each event."""

    def __init__(self, upstream: Upstream, tell: Tell) -> None:
        self.upstream = upstream
        self.tell = tell
        self.state = State()

    def pass_on(self, asked: Asked, path: str | None = None) -> Answer:
        """Let localstripe answer."""
        whole = (path or asked.path) + (f"?{asked.query}" if asked.query else "")
        return self.upstream.send(asked.method, whole, asked.body)

    def announce(self, type_: str, thing: Data, previous: Data | None = None) -> None:
        """Send the event of something, with what it was before where Stripe says so."""
        data: Data = {"object": thing}
        if previous is not None:
            data["previous_attributes"] = previous
        self.tell(
            {
                "id": new_id("evt"),
                "object": "event",
                "api_version": None,
                "type": type_,
                "created": int(time.time()),
                "livemode": False,
                "pending_webhooks": 1,
                "data": data,
            }
        )


def new_id(prefix: str) -> str:
    """Return an id as Stripe's are."""
    return f"{prefix}_{secrets.token_hex(12)}"
