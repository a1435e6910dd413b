"""Refusals in the form in which DynamoDB says them, for tests and benches that inject them.

No emulator raises a transaction conflict or throttles. A botocore handler of `before-send` that
returns one of these takes the place of the request; everything above the wire is the real thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from headroom.core.store.table import DynamoTable

_ENDPOINT = "https://dynamodb.us-east-1.amazonaws.com"

# Decides on one request, given its operation, its body and the way to really send it; None lets
# botocore send it.
Handler = Callable[[str, dict[str, Any], Callable[[], AWSResponse]], AWSResponse | None]


class _Raw(BytesIO):
    """A body as urllib3 hands it to botocore."""

    def stream(self, **_: object) -> Iterator[bytes]:
        while chunk := self.read(4096):
            yield chunk


def error(status: int, code: str, message: str, **more: object) -> AWSResponse:
    """Return an error of DynamoDB."""
    document = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **more}
    headers = HTTPHeaders()
    headers["content-type"] = "application/x-amz-json-1.0"
    headers["x-amzn-requestid"] = "injected"
    return AWSResponse(_ENDPOINT, status, headers, _Raw(json.dumps(document).encode()))


def cancelled(codes: Sequence[str]) -> AWSResponse:
    """Return the cancellation of a transaction, with the reason of each of its parts or "None"."""
    reasons = [{"Code": code, "Message": "as injected"} for code in codes]
    return error(400, "TransactionCanceledException", "Cancelled", CancellationReasons=reasons)


def answer_for(table: DynamoTable, handler: Handler) -> Callable[[], None]:
    """Let `handler` decide on all requests of this table's client; return what ends that."""
    client = table.connection.client
    # The very session that botocore would send through.
    session: Any = client._endpoint.http_session

    def before_send(request: AWSPreparedRequest, **_: object) -> Any:
        operation = _text(request.headers["X-Amz-Target"]).partition(".")[2]
        return handler(operation, json.loads(_text(request.body)), lambda: session.send(request))

    client.meta.events.register("before-send.dynamodb", before_send)
    return lambda: client.meta.events.unregister("before-send.dynamodb", before_send)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
