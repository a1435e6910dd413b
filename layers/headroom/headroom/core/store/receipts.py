"""First answers to requests with an Idempotency-Key, so that a repeat gets the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Put, Table, Update

# A client that retries a request a week later has other troubles.
RECEIPT_LASTS: Final = timedelta(days=7)


class ReceiptRecord(Record):
    """The first answer to a request with an Idempotency-Key, and the hash of that request.

    Without an answer the request was begun, and perhaps cut off.
    """

    request = UnicodeAttribute()
    answer = JSONAttribute(null=True)
    begun_at = UnicodeAttribute(null=True)
    expires_at = IntegerAttribute()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was asked under an idempotency key, as a hash, and what was answered.

    `answer` is None while the request is under way, or if it was cut off. `begun_at` is the moment
    of its first attempt, empty where the receipt is written with the answer at once.
    """

    request: str
    answer: dict[str, Any] | None
    begun_at: str = ""


def find_receipt(table: Table, org_id: str, idempotency_key: str) -> Receipt | None:
    """Return the receipt of an idempotency key, None if it is new."""
    item = table.get(keys.receipt(org_id, idempotency_key))
    if item is None:
        return None
    record = ReceiptRecord.of(item)
    answer = cast("dict[str, Any] | None", record.answer)
    return Receipt(record.request, answer, record.begun_at or "")


def put_receipt(org_id: str, idempotency_key: str, receipt: Receipt, now: datetime) -> Put:
    """Return the write of a receipt, refused if the key was used before."""
    key = keys.receipt(org_id, idempotency_key)
    record = ReceiptRecord(
        key.pk,
        key.sk,
        request=receipt.request,
        answer=receipt.answer,
        begun_at=receipt.begun_at or None,
        expires_at=int((now + RECEIPT_LASTS).timestamp()),
    )
    return Put(key, record.to_item(), ReceiptRecord.pk.does_not_exist())


def file_answer(org_id: str, idempotency_key: str, answer: Mapping[str, Any]) -> Update:
    """Return the write of a begun request's answer, refused if there is one already."""
    return Update(
        keys.receipt(org_id, idempotency_key),
        [ReceiptRecord.answer.set(dict(answer))],
        ReceiptRecord.pk.exists() & ReceiptRecord.answer.does_not_exist(),
    )
