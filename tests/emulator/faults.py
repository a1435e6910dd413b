"""DynamoDB at its worst, injected where botocore is about to send a request.

Emulators never raise a transaction conflict, never throttle and never lose a reply. What is
injected has the form in which DynamoDB says it, so everything above the wire is the real thing.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from headroom.store.table import DynamoTable

_SINGLE_WRITES = ("UpdateItem", "PutItem", "DeleteItem")
_TRANSACTIONS = ("TransactWriteItems", "TransactGetItems")

Send = Callable[[], AWSResponse]
# What happens to one request, given its operation, its body and the way to really send it; None
# lets it through.
Fault = Callable[[str, dict[str, Any], Send], AWSResponse | None]


def conflict(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """Another transaction is on the item; reads by themselves never meet that."""
    if operation in _TRANSACTIONS:
        return _cancelled(body, "TransactionConflict")
    if operation in _SINGLE_WRITES:
        return _error(400, "TransactionConflictException", "Transaction is ongoing for the item")
    return None


def throttle(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """The partition takes no more at the moment."""
    if operation in _TRANSACTIONS:
        return _cancelled(body, "ThrottlingError")
    return _error(400, "ProvisionedThroughputExceededException", "The level was exceeded")


def fail(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """DynamoDB itself fails before it did anything."""
    return _error(500, "InternalServerError", "Internal server error")


def fail_after_commit(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """DynamoDB does it, and then fails to say so."""
    send()
    return _error(500, "InternalServerError", "Internal server error")


def lose_request(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """The connection breaks before the request is out."""
    raise ConnectionClosedError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")


def lose_reply(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """DynamoDB does it, and the answer never arrives."""
    send()
    raise ReadTimeoutError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")


ALL_FAULTS: Mapping[str, Fault] = {
    "conflict": conflict,
    "throttle": throttle,
    "fail": fail,
    "fail after commit": fail_after_commit,
    "lose request": lose_request,
    "lose reply": lose_reply,
}


class Chaos:
    """Lets `rate` of all requests meet one of the faults, chosen by a seeded generator.

    Counts what it did, and how many requests of each operation botocore sent or tried to.
    """

    def __init__(self, rate: float, seed: int, faults: Mapping[str, Fault] = ALL_FAULTS) -> None:
        self._rate = rate
        self._random = random.Random(seed)
        self._faults = dict(faults)
        self._lock = threading.Lock()
        self.done = Counter[str]()
        self.requests = Counter[str]()

    @contextmanager
    def on(self, table: DynamoTable) -> Iterator[None]:
        """Do it to all requests of this table's client for the length of the block."""
        client = table.connection.client
        # The very session that botocore would send through.
        send = client._endpoint.http_session.send

        def before_send(request: AWSPreparedRequest, **_: object) -> Any:
            headers = {name.lower(): _text(value) for name, value in request.headers.items()}
            operation = headers["x-amz-target"].partition(".")[2]
            with self._lock:
                self.requests[operation] += 1
                name = None
                if self._random.random() < self._rate:
                    name = self._random.choice(sorted(self._faults))
                    self.done[name] += 1
            if name is None:
                return None
            body = json.loads(_text(request.body))
            return self._faults[name](operation, body, lambda: send(request))

        client.meta.events.register("before-send.dynamodb", before_send)
        try:
            yield
        finally:
            client.meta.events.unregister("before-send.dynamodb", before_send)


class _Raw(BytesIO):
    """A body as urllib3 hands it to botocore."""

    def stream(self, **_: object) -> Iterator[bytes]:
        while chunk := self.read(4096):
            yield chunk


def _cancelled(body: dict[str, Any], code: str) -> AWSResponse:
    reasons = [{"Code": "None"} for _ in body["TransactItems"]]
    reasons[-1] = {"Code": code, "Message": "as injected"}
    return _error(
        400, "TransactionCanceledException", "Transaction cancelled", CancellationReasons=reasons
    )


def _error(status: int, code: str, message: str, **more: object) -> AWSResponse:
    document = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **more}
    headers = HTTPHeaders()
    headers["content-type"] = "application/x-amz-json-1.0"
    headers["x-amzn-requestid"] = "injected"
    raw = _Raw(json.dumps(document).encode())
    return AWSResponse("https://dynamodb.us-east-1.amazonaws.com", status, headers, raw)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
