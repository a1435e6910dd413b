"""A queue of SQS, to hand work out by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import botocore.session
from botocore.config import Config

# What SQS takes in one call.
TOGETHER_MAX: Final = 10


class NotSent(Exception):
    """The queue did not take some messages; all of them may be sent again."""


class Queue(Protocol):
    """Whoever takes messages."""

    def send(self, messages: Iterable[Mapping[str, Any]], *, delay_seconds: int = 0) -> int:
        """Send messages, to be taken after so many seconds, and return how many there were.

        Raises:
            NotSent: some were not taken.
        """


class SqsQueue:
    """A queue in SQS."""

    def __init__(self, url: str, region: str) -> None:
        self._url = url
        self._client: Any = botocore.session.get_session().create_client(
            "sqs", region_name=region, config=Config(retries={"mode": "standard"})
        )

    def send(self, messages: Iterable[Mapping[str, Any]], *, delay_seconds: int = 0) -> int:
        sent = 0
        batch: list[dict[str, Any]] = []
        for message in messages:
            entry: dict[str, Any] = {"Id": str(len(batch)), "MessageBody": json.dumps(message)}
            if delay_seconds:
                entry["DelaySeconds"] = delay_seconds
            batch.append(entry)
            if len(batch) == TOGETHER_MAX:
                sent += self._send(batch)
                batch = []
        return sent + (self._send(batch) if batch else 0)

    def _send(self, batch: list[dict[str, Any]]) -> int:
        answer = self._client.send_message_batch(QueueUrl=self._url, Entries=batch)
        if failed := answer.get("Failed"):
            raise NotSent(f"{len(failed)} messages were not taken")
        return len(batch)
