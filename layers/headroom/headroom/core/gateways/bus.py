"""The application's event bus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import botocore.session
from botocore.config import Config

SOURCE: Final = "headroom"
# What EventBridge takes in one call.
TOGETHER_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; its detail carries an id by which a repeat is recognized."""

    detail_type: str
    detail: dict[str, Any]


class NotPublished(Exception):
    """The bus did not take some events; all of them may be published again."""


class Bus(Protocol):
    """Whoever passes events on."""

    def publish(self, events: Sequence[Event]) -> None:
        """Publish events, in order.

        Raises:
            NotPublished: some were not taken.
        """


class EventBridgeBus:
    """The bus in EventBridge."""

    def __init__(self, name: str, region: str) -> None:
        self._name = name
        self._client: Any = botocore.session.get_session().create_client(
            "events", region_name=region, config=Config(retries={"mode": "standard"})
        )

    def publish(self, events: Sequence[Event]) -> None:
        for first in range(0, len(events), TOGETHER_MAX):
            entries = [
                {
                    "EventBusName": self._name,
                    "Source": SOURCE,
                    "DetailType": event.detail_type,
                    "Detail": json.dumps(event.detail, separators=(",", ":")),
                }
                for event in events[first : first + TOGETHER_MAX]
            ]
            answer = self._client.put_events(Entries=entries)
            if answer["FailedEntryCount"]:
                raise NotPublished(f"{answer['FailedEntryCount']} events were not taken")
