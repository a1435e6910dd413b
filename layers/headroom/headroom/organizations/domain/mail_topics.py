"""What mail is about: the topics that an organization can switch off."""

from __future__ import annotations

from typing import Final, Literal, get_args

Topic = Literal[
    "spend_limits",
    "own_limits",
    "increase_requests",
    "decisions",
    "wallet",
    "reloads",
    "credits",
    "invoices",
    "payments",
    "webhooks",
]

TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
