"""One answer for each Idempotency-Key: the first, however often the request is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headroom.core.errors import Conflict, Overloaded
from headroom.core.store.receipts import Receipt, file_answer, find_receipt, put_receipt
from headroom.core.store.records import wire_moment
from headroom.core.store.table import Change, Contended, Refused, Table

Answer = dict[str, Any]


@dataclass(slots=True)
class Keyed:
    """A request under an idempotency key, at its first attempt or a later one.

    What it makes is named by `begun_at` and `entropy`, so that an attempt finds what an earlier one
    had made before it was cut off. `place` is the key, told apart by whose it is.
    """

    org_id: str
    place: str
    request: str
    begun_at: datetime
    is_filed: bool = False

    def entropy(self, length: int) -> bytes:
        """Return bytes that are the same at every attempt, and at no other request."""
        said = f"{self.org_id}|{self.place}|{self.request}|{wire_moment(self.begun_at)}"
        return hashlib.sha256(said.encode()).digest()[:length]

    def filing(self, answer: Answer) -> Change:
        """Return the write of the answer, for the transaction of what it tells of."""
        self.is_filed = True
        return file_answer(self.org_id, self.place, answer)


def once(
    table: Table,
    org_id: str,
    place: str,
    request: str,
    work: Callable[[Keyed], Answer],
    now: datetime,
) -> Answer:
    """Do the work and file its answer, or return the answer filed before.

    A receipt is written first, so that the key means this request from then on, and its answer
    last. Whoever is cut off in between is repeated by the client, and the work finds what is done:
    it has to be one that can be repeated. What fails is not filed, and may succeed the next time.

    Raises:
        Conflict: the key was used before for another request.
        Overloaded: others are on this receipt; repeat the request.
    """
    receipt = find_receipt(table, org_id, place)
    if receipt is None:
        receipt = Receipt(request, None, wire_moment(now))
        try:
            table.transact([put_receipt(org_id, place, receipt, now)])
        except Refused:
            receipt = _filed(table, org_id, place)
        except Contended as error:
            raise Overloaded("others are on this request; try again") from error
    if receipt.request != request:
        raise Conflict("Idempotency-Key: it was used before for another request")
    if receipt.answer is not None:
        return receipt.answer
    keyed = Keyed(org_id, place, request, datetime.fromisoformat(receipt.begun_at))
    answer = work(keyed)
    if not keyed.is_filed:
        try:
            table.update(file_answer(org_id, place, answer))
        except Refused:
            # Another attempt at the same time was faster.
            return _filed(table, org_id, place).answer or answer
    return answer


def _filed(table: Table, org_id: str, place: str) -> Receipt:
    receipt = find_receipt(table, org_id, place)
    if receipt is None:
        raise Overloaded("the request's receipt ran out at this moment; try again")
    return receipt
