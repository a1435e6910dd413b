"""Payments that were meant: written before the processor is asked, closed by what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

from pynamodb.attributes import BooleanAttribute, UnicodeAttribute

from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Item, Put, Range, Table, Update, each
from headroom.wallets.domain.wallet import IntentKind

# "created" can still be voided; from "charging" on the processor may have been asked.
IntentState = Literal["created", "charging", "needs_action", "succeeded", "declined", "voided"]
OperationState = Literal["reserved", "done", "failed"]

_ID_LENGTH: Final = 24


class IntentRecord(Record):
    """A payment that was meant, and what became of it."""

    org_id = UnicodeAttribute()
    intent_id = UnicodeAttribute()
    kind = UnicodeAttribute()
    amount = IntegerAttribute()
    currency = UnicodeAttribute()
    state = UnicodeAttribute()
    created_at = IntegerAttribute()
    month = UnicodeAttribute()
    customer_id = UnicodeAttribute()
    payment_method_id = UnicodeAttribute()
    request = UnicodeAttribute(null=True)
    payment_id = UnicodeAttribute(null=True)
    decline_code = UnicodeAttribute(null=True)
    entry_version = IntegerAttribute(null=True)
    refunded = IntegerAttribute(default=0)
    returned = IntegerAttribute(default=0)
    disputed = IntegerAttribute(default=0)
    counted = BooleanAttribute(null=True)


class OperationRecord(Record):
    """Something done to a wallet once, under an id of whoever did it."""

    org_id = UnicodeAttribute()
    operation_id = UnicodeAttribute()
    request = UnicodeAttribute()
    state = UnicodeAttribute()
    amount = IntegerAttribute()
    payment_id = UnicodeAttribute(null=True)
    entry_version = IntegerAttribute(null=True)


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment that was meant, in nanos of whole cents.

    Customer and payment method are those of its first moment: the same key must always come with
    the same charge. What the ledger has of what went back of it: `refunded` by us, `returned` by
    others at the processor, `disputed` by its holder. A voided reload that is `counted` may have
    been charged all the same: it goes on counting against the ceiling of its month.
    """

    org_id: str
    intent_id: str
    kind: IntentKind
    amount: int
    currency: str
    state: IntentState
    created_at_millis: int
    month: str
    customer_id: str
    payment_method_id: str
    request: str | None = None
    payment_id: str | None = None
    decline_code: str | None = None
    entry_version: int | None = None
    refunded: int = 0
    returned: int = 0
    disputed: int = 0
    counted: bool = False

    @property
    def key(self) -> str:
        """The idempotency key under which the processor knows it."""
        return f"{self.org_id}.{self.intent_id}"


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that is done to a wallet once. `request` is the hash of what was asked."""

    org_id: str
    operation_id: str
    request: str
    state: OperationState
    amount: int
    payment_id: str | None = None
    entry_version: int | None = None


def parse_key(key: str) -> tuple[str, str] | None:
    """Return organization and intent that a processor's key names, None if it is not ours."""
    org_id, _, intent_id = key.partition(".")
    return (org_id, intent_id) if org_id.startswith("org_") and intent_id else None


def intent_id_of(prefix: str, org_id: str, cause: str) -> str:
    """Return the id of an intent, derived from what causes it."""
    return f"{prefix}_{hashlib.sha256(f'{org_id}|{cause}'.encode()).hexdigest()[:_ID_LENGTH]}"


def find_intent(table: Table, org_id: str, intent_id: str) -> Intent | None:
    """Return an intent, None if there is none with this id."""
    item = table.get(keys.payment_intent(org_id, intent_id))
    return None if item is None else read_intent(item)


def create_intent(intent: Intent) -> Put:
    """Return the write of a new intent, refused if there is one with its id."""
    key = keys.payment_intent(intent.org_id, intent.intent_id)
    return Put(key, _record(intent).to_item(), IntentRecord.pk.does_not_exist())


def replace_intent(old: Intent, new: Intent) -> Put:
    """Return the write of an intent that moved on, refused if it is not `old` any more."""
    key = keys.payment_intent(old.org_id, old.intent_id)
    condition = (
        (IntentRecord.state == old.state)
        & (IntentRecord.refunded == old.refunded)
        & (IntentRecord.returned == old.returned)
        & (IntentRecord.disputed == old.disputed)
        & (IntentRecord.counted.exists() if old.counted else IntentRecord.counted.does_not_exist())
    )
    return Put(key, _record(new).to_item(), condition)


def begin_charging(table: Table, intent: Intent) -> Intent:
    """Mark that the processor is asked from now on: after this nobody voids it unasked.

    Raises:
        Refused: it moved on by another hand.
    """
    table.update(
        Update(
            keys.payment_intent(intent.org_id, intent.intent_id),
            [IntentRecord.state.set("charging")],
            IntentRecord.state == "created",
        )
    )
    return replace(intent, state="charging")


def list_intents(table: Table, org_id: str) -> Iterator[Intent]:
    """Walk through all intents of an organization."""
    for item in each(table, Range(f"ORG#{org_id}#PAYMENTS", prefix="INTENT#")):
        yield read_intent(item)


def find_operation(table: Table, org_id: str, operation_id: str) -> Operation | None:
    """Return what was done under an id, None if nothing was."""
    item = table.get(keys.operation(org_id, operation_id))
    return None if item is None else _operation(item)


def put_operation(old: Operation | None, new: Operation) -> Put:
    """Return the write of an operation, refused if it is not `old` any more."""
    key = keys.operation(new.org_id, new.operation_id)
    record = OperationRecord(
        key.pk,
        key.sk,
        org_id=new.org_id,
        operation_id=new.operation_id,
        request=new.request,
        state=new.state,
        amount=new.amount,
        payment_id=new.payment_id,
        entry_version=new.entry_version,
    )
    condition = (
        OperationRecord.pk.does_not_exist() if old is None else OperationRecord.state == old.state
    )
    return Put(key, record.to_item(), condition)


def read_intent(item: Item) -> Intent:
    """Read an intent."""
    record = IntentRecord.of(item)
    return Intent(
        org_id=record.org_id,
        intent_id=record.intent_id,
        kind=cast("IntentKind", record.kind),
        amount=record.amount,
        currency=record.currency,
        state=cast("IntentState", record.state),
        created_at_millis=record.created_at,
        month=record.month,
        customer_id=record.customer_id,
        payment_method_id=record.payment_method_id,
        request=record.request,
        payment_id=record.payment_id,
        decline_code=record.decline_code,
        entry_version=record.entry_version,
        refunded=record.refunded,
        returned=record.returned,
        disputed=record.disputed,
        counted=bool(record.counted),
    )


def _record(intent: Intent) -> IntentRecord:
    key = keys.payment_intent(intent.org_id, intent.intent_id)
    return IntentRecord(
        key.pk,
        key.sk,
        org_id=intent.org_id,
        intent_id=intent.intent_id,
        kind=intent.kind,
        amount=intent.amount,
        currency=intent.currency,
        state=intent.state,
        created_at=intent.created_at_millis,
        month=intent.month,
        customer_id=intent.customer_id,
        payment_method_id=intent.payment_method_id,
        request=intent.request,
        payment_id=intent.payment_id,
        decline_code=intent.decline_code,
        entry_version=intent.entry_version,
        refunded=intent.refunded,
        returned=intent.returned,
        disputed=intent.disputed,
        counted=True if intent.counted else None,
    )


def _operation(item: Item) -> Operation:
    record = OperationRecord.of(item)
    return Operation(
        record.org_id,
        record.operation_id,
        record.request,
        cast("OperationState", record.state),
        record.amount,
        record.payment_id,
        record.entry_version,
    )
