"""DynamoDB at its worst, injected where botocore is about to send a request.

Emulators never raise a transaction conflict, never throttle and never lose a reply. What is
injected has the form in which DynamoDB says it, so everything above the wire is the real thing.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from headroom.core.store.table import DynamoTable
from tools.dynamodb_answers import answer_for, cancelled, error

_SINGLE_WRITES = ("UpdateItem", "PutItem", "DeleteItem")
_TRANSACTIONS = ("TransactWriteItems", "TransactGetItems")

Send = Callable[[], AWSResponse]
# What happens to one request, given its operation, its body and the way to really send it; None
# lets it through.
Fault = Callable[[str, dict[str, Any], Send], AWSResponse | None]


def conflict(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """Another transaction is on the item; reads by themselves never meet that."""
    if operation in _TRANSACTIONS:
        return _cancel(body, "TransactionConflict")
    if operation in _SINGLE_WRITES:
        return error(400, "TransactionConflictException", "Transaction is ongoing for the item")
    return None


def throttle(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """The partition takes no more at the moment."""
    if operation in _TRANSACTIONS:
        return _cancel(body, "ThrottlingError")
    return error(400, "ProvisionedThroughputExceededException", "The level was exceeded")


def fail(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """DynamoDB itself fails before it did anything."""
    return error(500, "InternalServerError", "Internal server error")


def fail_after_commit(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
    """DynamoDB does it, and then fails to say so."""
    send()
    return error(500, "InternalServerError", "Internal server error")


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

        def decide(operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
            with self._lock:
                self.requests[operation] += 1
                if self._random.random() >= self._rate:
                    return None
                name = self._random.choice(sorted(self._faults))
                self.done[name] += 1
            return self._faults[name](operation, body, send)

        end = answer_for(table, decide)
        try:
            yield
        finally:
            end()


def _cancel(body: dict[str, Any], code: str) -> AWSResponse:
    return cancelled([*["None" for _ in body["TransactItems"][1:]], code])
