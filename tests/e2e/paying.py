"""The deployed stack's payment processor: what its customers' cards, holders and networks do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import boto3

from headroom.core.gateways.secrets import PaymentSecret, parse_payment_secret
from headroom.core.store import keys
from headroom.payments.gateways.stripe import StripePayments
from headroom.payments.gateways.stripe_line import StripeLine
from tests.e2e.governed import PATIENCE_SECONDS
from tools.local_stack.processor.webhooks import sign

Found = TypeVar("Found")


class Processor:
    """The payment processor of the stack, seen from outside of the application."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self.url: str = stack["processor_url"]
        self._stack = stack
        manager = boto3.client("secretsmanager", endpoint_url=stack["aws_endpoint_url"])
        text = manager.get_secret_value(SecretId=stack["payment_secret_arn"])["SecretString"]
        self.secret: PaymentSecret = parse_payment_secret(text)
        line = StripeLine(api_base=self.url, read_secret=lambda fresh: self.secret)
        self.payments = StripePayments(line)

    def configure(self, path: str, /, **fields: str) -> None:
        """Let something happen at the processor that no client asks for."""
        body = urlencode(fields).encode()
        with urlopen(Request(f"{self.url}/_config/{path}", data=body, method="POST")):  # noqa: S310
            pass

    def signed(self, event: dict[str, Any]) -> tuple[bytes, str]:
        """Return an event as the processor would send it."""
        payload = json.dumps(event).encode()
        return payload, sign(payload, self.secret.webhook_secrets[0], int(time.time()))

    def event_state(self, event_id: str) -> str | None:
        """Return what became of an event in the application's table, None if it is not there."""
        dynamodb = boto3.client("dynamodb", endpoint_url=self._stack["aws_endpoint_url"])
        key = keys.payment_event(event_id).attributes()
        found = dynamodb.get_item(
            TableName=self._stack["table_name"], Key=key, ConsistentRead=True
        ).get("Item")
        return found["state"]["S"] if found else None


def awaited(what: str, find: Callable[[], Found | None]) -> Found:
    """Return what is found once it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := find()) is None:
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.2)
    return found
