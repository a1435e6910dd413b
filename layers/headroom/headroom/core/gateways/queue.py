"""A queue on which work is spread, so that no function has to do all of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, Protocol

import botocore.session
from botocore.config import Config

from headroom.core.settings import QueueSettings

# What SQS takes in one call.
TOGETHER_MAX: Final = 10
# The longest that SQS delays a message, and the longest that it hides one.
DELAY_SECONDS_MAX: Final = 900
HIDDEN_SECONDS_MAX: Final = 43_200


class NotSent(Exception):
    """The queue did not take some messages; all of them may be sent again."""


class Queue(Protocol):
    """Wherever work waits for whoever does it. A message may arrive twice."""

    def send(self, messages: Iterable[dict[str, Any]], *, delay_seconds: int = 0) -> int:
        """Send messages and return how many there were.

        Raises:
            NotSent: some were not taken.
        """


class SqsQueue:
    """A queue in SQS."""

    def __init__(self, settings: QueueSettings) -> None:
        self._url = settings.queue_url
        self._client: Any = botocore.session.get_session().create_client(
            "sqs", region_name=settings.region, config=Config(retries={"mode": "standard"})
        )

    def send(self, messages: Iterable[dict[str, Any]], *, delay_seconds: int = 0) -> int:
        return self.send_spread((message, delay_seconds) for message in messages)

    def send_spread(self, messages: Iterable[tuple[dict[str, Any], int]]) -> int:
        """Send messages, each to arrive after seconds of its own; return how many there were.

        Raises:
            NotSent: some were not taken.
        """
        waiting, sent = iter(messages), 0
        while together := list(islice(waiting, TOGETHER_MAX)):
            entries = [
                {
                    "Id": str(number),
                    "MessageBody": json.dumps(message, separators=(",", ":")),
                    "DelaySeconds": delay_seconds,
                }
                for number, (message, delay_seconds) in enumerate(together)
            ]
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            if answer.get("Failed"):
                raise NotSent(f"{len(answer['Failed'])} messages were not taken")
            sent += len(together)
        return sent

    def hide(self, receipt: str, seconds: int) -> None:
        """Let a message that was received come again only after so many seconds."""
        self._client.change_message_visibility(
            QueueUrl=self._url,
            ReceiptHandle=receipt,
            VisibilityTimeout=min(seconds, HIDDEN_SECONDS_MAX),
        )
