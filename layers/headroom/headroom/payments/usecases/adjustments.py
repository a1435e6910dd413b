"""What an operator does to a wallet, each once under an id: credits, corrections, refunds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from headroom.core.domain.actor import Actor
from headroom.core.domain.instants import to_millis
from headroom.core.domain.money import NANOS_PER_CENT, format_amount
from headroom.core.errors import Conflict, NotFound
from headroom.core.store.table import Change, Table
from headroom.organizations.domain.audit import Entry as AuditEntry
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.audit import put_entry
from headroom.organizations.store.organizations import find_organization
from headroom.payments.gateways.payments import Payments, PaymentUnknown, RefundRefused
from headroom.payments.usecases.lot_consumption import book_spending
from headroom.payments.usecases.refunds_and_disputes import match_payment
from headroom.payments.usecases.wallets import (
    funds_beside,
    open_wallet,
    require_team,
    until_it_holds,
)
from headroom.spending.usecases.recall import recall
from headroom.wallets.domain.wallet import LotKind, Step, Wallet, credit, debit, unspent_of
from headroom.wallets.store.intents import (
    Intent,
    Operation,
    find_intent,
    find_operation,
    list_intents,
    put_operation,
    replace_intent,
)
from headroom.wallets.store.wallets import entry_to_wire, find_entry, save_wallet, take_step

AdjustmentKind = Literal["promotional", "adjustment", "refund"]
KINDS: Final[tuple[AdjustmentKind, ...]] = ("promotional", "adjustment", "refund")
ADJUSTED: Final = "wallet.adjusted"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What an operator asks for. `amount` is signed for a correction, in nanos of whole cents.

    `payment_id` is what a refund gives back; `request` the hash of it all.
    """

    operation_id: str
    org_id: str
    kind: AdjustmentKind
    amount: int
    operator: str
    request: str
    expires_at: datetime | None = None
    payment_id: str | None = None
    description: str | None = None


def adjust(table: Table, payments: Payments, asked: Adjustment, now: datetime) -> dict[str, Any]:
    """Do what an operator asks, once for each id, and return it as the wire has it.

    Raises:
        NotFound: there is no such organization or payment.
        InvalidRequest: the organization has no wallet.
        Conflict: the id was used for something else, or so much is not there to be taken.
        Overloaded: try again, with the same id.
    """
    organization = _organization(table, asked.org_id)
    operation = find_operation(table, asked.org_id, asked.operation_id)
    if operation is None:
        if asked.amount < 0 or asked.kind == "refund":
            # What is handed out is taken back first, so that all there is can be taken.
            until_it_holds(lambda: recall(table, asked.org_id, now))
        operation = until_it_holds(lambda: _write(table, asked, now))
    if operation.request != asked.request:
        raise Conflict("id: something else was done under it")
    if operation.state == "reserved":
        operation = finish_refund(table, payments, operation, now)
    return _answer(table, organization, asked, operation)


def finish_refund(
    table: Table, payments: Payments, operation: Operation, now: datetime
) -> Operation:
    """Have the processor refund what was taken out for it; give it back if that is refused.

    Raises:
        Overloaded: others are on the wallet; repeat it.
    """
    assert operation.payment_id is not None, "a refund names its payment"
    try:
        refund = payments.refund(
            operation.payment_id,
            operation.amount // NANOS_PER_CENT,
            key=f"{operation.org_id}.{operation.operation_id}",
        )
        state = refund.state
    except RefundRefused:
        state = "failed"
    except PaymentUnknown:
        return operation
    if state == "pending":
        return operation
    organization = _organization(table, operation.org_id)
    intent = next(each for each in list_intents(table, operation.org_id) if _is_of(each, operation))
    try:
        if state == "succeeded":
            # What somebody else refunded meanwhile was taken for ours. It is matched before ours is
            # closed: whatever is cut off then is done again.
            match_payment(table, payments, organization, intent.intent_id, now)
            return until_it_holds(lambda: _close(table, organization, operation, now))
        closed = until_it_holds(
            lambda: _give_back(table, payments, organization, operation, intent.intent_id, now)
        )
        match_payment(table, payments, organization, intent.intent_id, now)
    except PaymentUnknown:
        return _again(table, operation)
    return closed


def _write(table: Table, asked: Adjustment, now: datetime) -> Operation:
    if found := find_operation(table, asked.org_id, asked.operation_id):
        return found
    organization = _organization(table, asked.org_id)
    wallet = open_wallet(table, organization, now)
    wallet = book_spending(table, organization, wallet, now)
    old, also, state = wallet, [], "done"
    step: Step
    if asked.kind == "refund":
        intent = _intent_of(table, asked)
        funds = funds_beside(table, old)
        unspent = unspent_of(wallet, intent.payment_id or "", funds)
        if asked.amount > unspent:
            raise Conflict(f"amount: only {format_amount(unspent)} of this payment is unspent")
        wallet = replace(
            wallet,
            refunds=(*wallet.refunds, asked.operation_id),
            due_at_millis=to_millis(now),
        )
        step = debit(
            wallet,
            "refund",
            asked.amount,
            now,
            payment_id=intent.payment_id,
            description=asked.description,
        )
        also = [replace_intent(intent, replace(intent, refunded=intent.refunded + asked.amount))]
        state = "reserved"
    elif asked.amount < 0:
        funds = funds_beside(table, old)
        if -asked.amount > funds:
            raise Conflict(f"amount: only {format_amount(funds)} can be taken now")
        step = debit(
            replace(wallet, due_at_millis=to_millis(now)),
            "adjustment",
            -asked.amount,
            now,
            description=asked.description,
        )
    else:
        kind: LotKind = "promotional" if asked.kind == "promotional" else "adjustment"
        step = credit(
            replace(wallet, due_at_millis=to_millis(now)),
            kind,
            kind,
            asked.amount,
            now,
            expires_at_millis=to_millis(asked.expires_at) if asked.expires_at else None,
            description=asked.description,
        )
    operation = Operation(
        asked.org_id,
        asked.operation_id,
        asked.request,
        "reserved" if state == "reserved" else "done",
        asked.amount,
        asked.payment_id,
        step.entry.version,
    )
    changes: Sequence[Change] = [
        put_operation(None, operation),
        *also,
        _audit(organization, asked, step, now),
    ]
    take_step(table, old, step, changes, audited=organization)
    return operation


def _close(
    table: Table, organization: Organization, operation: Operation, now: datetime
) -> Operation:
    current = _again(table, operation)
    if current.state != "reserved":
        return current
    wallet = open_wallet(table, organization, now)
    closed = replace(current, state="done")
    save_wallet(table, wallet, _without(wallet, operation), [put_operation(current, closed)])
    return closed


def _give_back(
    table: Table,
    payments: Payments,
    organization: Organization,
    operation: Operation,
    intent_id: str,
    now: datetime,
) -> Operation:
    """Credit what was taken out for a refund that is not made, less what others refunded of it.

    Their refund was taken for ours as long as ours was under way, so it takes this money over in
    the same transaction: at no instant is it here and at the processor's gone.
    """
    wallet = open_wallet(table, organization, now)
    current, intent = _again(table, operation), find_intent(table, operation.org_id, intent_id)
    assert intent is not None, "intents are never erased"
    if current.state != "reserved":
        return current
    payment = payments.find_payment(operation.payment_id or "")
    gone = 0 if payment is None else payment.refunded_cents * NANOS_PER_CENT
    refunded = intent.refunded - operation.amount
    kept = min(operation.amount, max(0, gone - refunded - intent.returned))
    closed = replace(current, state="failed")
    changes = [
        put_operation(current, closed),
        replace_intent(intent, replace(intent, refunded=refunded, returned=intent.returned + kept)),
    ]
    wallet = book_spending(table, organization, wallet, now)
    after = replace(_without(wallet, operation), due_at_millis=to_millis(now))
    if kept == operation.amount:
        save_wallet(table, wallet, after, changes)
        return closed
    step = credit(
        after,
        "refund",
        intent.kind,
        operation.amount - kept,
        now,
        payment_id=operation.payment_id,
        description="The refund was refused by the payment processor",
    )
    take_step(table, wallet, step, changes)
    return closed


def _without(wallet: Wallet, operation: Operation) -> Wallet:
    refunds = tuple(each for each in wallet.refunds if each != operation.operation_id)
    return replace(wallet, refunds=refunds)


def _again(table: Table, operation: Operation) -> Operation:
    found = find_operation(table, operation.org_id, operation.operation_id)
    assert found is not None, "operations are never erased"
    return found


def _intent_of(table: Table, asked: Adjustment) -> Intent:
    for intent in list_intents(table, asked.org_id):
        if intent.payment_id == asked.payment_id and intent.state == "succeeded":
            current = find_intent(table, asked.org_id, intent.intent_id)
            assert current is not None, "intents are never erased"
            return current
    raise NotFound("payment_id: the organization has no such payment")


def _is_of(intent: Intent, operation: Operation) -> bool:
    return intent.payment_id == operation.payment_id and intent.state == "succeeded"


def _audit(organization: Organization, asked: Adjustment, step: Step, now: datetime) -> Change:
    entry = AuditEntry(
        organization.org_id,
        organization.version + 1,
        now,
        Actor("system", asked.operator),
        ADJUSTED,
        organization.org_id,
        {},
        {
            "id": asked.operation_id,
            "kind": asked.kind,
            "amount": format_amount(step.entry.amount),
            "entry_id": step.entry.entry_id,
            **({"reason": asked.description} if asked.description else {}),
        },
    )
    return put_entry(entry, None)


def _answer(
    table: Table, organization: Organization, asked: Adjustment, operation: Operation
) -> dict[str, Any]:
    assert operation.entry_version is not None, "every operation writes an entry"
    item = find_entry(table, organization.org_id, operation.entry_version)
    assert item is not None, "the entry was written with the operation"
    return {
        "type": "wallet_adjustment",
        "id": operation.operation_id,
        "organization_id": organization.org_id,
        "kind": asked.kind,
        "status": {"reserved": "pending", "done": "succeeded", "failed": "failed"}[operation.state],
        "entry": entry_to_wire(item),
    }


def _organization(table: Table, org_id: str) -> Organization:
    organization = find_organization(table, org_id)
    if organization is None:
        raise NotFound("organization_id: there is none with this id")
    require_team(organization)
    return organization
