"""Transaction conflicts as DynamoDB raises them, which DynamoDB Local never does.

Local puts all writes of a table in one queue, so a hot item costs nothing there. DynamoDB rejects
instead, by the rules in its guide under "Transaction conflict handling": a write by itself
conflicts with an ongoing transaction on its item; a transaction, with another one that writes one
of its items; a transactional read, with any ongoing write. Here a request is ongoing from when it
is sent until it is answered.

The state is in memory that all clients share, found by a hash of the key. Of 2^20 places, the few
dozen items that are ongoing at a time practically never meet by accident.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from typing import Any

from botocore.awsrequest import AWSResponse

from headroom.core.store.table import DynamoTable
from tools.dynamodb_answers import answer_for, cancelled, error

PLACES = 1 << 20

Send = Callable[[], AWSResponse]


class Conflicts:
    """What is ongoing, for all client processes together; so is whether it matters at all."""

    def __init__(self, context: SpawnContext) -> None:
        self._lock = context.Lock()
        self._transactions = context.RawArray("B", PLACES)
        self._writes = context.RawArray("B", PLACES)
        self._enabled = context.RawValue("b", 0)
        self._refused = context.RawValue("Q", 0)

    @property
    def refused(self) -> int:
        """How many requests have met a conflict so far."""
        return int(self._refused.value)

    def enable(self, enabled: bool) -> None:
        self._enabled.value = enabled

    def install(self, table: DynamoTable) -> None:
        """Let the requests of this table's client conflict while that is enabled."""
        answer_for(table, self._answer)

    def _answer(self, operation: str, body: dict[str, Any], send: Send) -> AWSResponse | None:
        if not self._enabled.value:
            return None
        match operation:
            case "UpdateItem" | "PutItem" | "DeleteItem":
                places = [_place(body.get("Key") or body["Item"])]
                with self._ongoing(self._writes, places, self._transactions) as conflicts:
                    if any(conflicts):
                        return error(400, "TransactionConflictException", "It is ongoing")
                    return send()
            case "TransactWriteItems":
                with self._ongoing(
                    self._transactions, _places(body), self._transactions
                ) as conflicts:
                    return _cancelled(conflicts) if any(conflicts) else send()
            case "TransactGetItems":
                with self._lock:
                    conflicts = [
                        bool(self._transactions[place] or self._writes[place])
                        for place in _places(body)
                    ]
                    self._refused.value += any(conflicts)
                return _cancelled(conflicts) if any(conflicts) else send()
        return None

    @contextmanager
    def _ongoing(self, own: Any, places: list[int], against: Any) -> Iterator[list[bool]]:
        """Yield which places conflict; unless any does, they are ongoing during the block."""
        with self._lock:
            conflicts = [bool(against[place]) for place in places]
            self._refused.value += any(conflicts)
            if not any(conflicts):
                for place in places:
                    own[place] += 1
        try:
            yield conflicts
        finally:
            if not any(conflicts):
                with self._lock:
                    for place in places:
                        own[place] -= 1


def _cancelled(conflicts: list[bool]) -> AWSResponse:
    return cancelled(["TransactionConflict" if each else "None" for each in conflicts])


def _places(body: dict[str, Any]) -> list[int]:
    parts = [part for item in body["TransactItems"] for part in item.values()]
    return [_place(part.get("Key") or part["Item"]) for part in parts]


def _place(item: dict[str, Any]) -> int:
    key = f"{item['pk']['S']} {item['sk']['S']}"
    return zlib.crc32(key.encode()) % PLACES
