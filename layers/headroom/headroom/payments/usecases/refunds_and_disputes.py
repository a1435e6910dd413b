"""Money that goes back: disputes, refunds made at the processor, and what the wallet then owes.

A payment says how much of it was disputed or refunded as it stands now, so it does not matter in
which order, or how often, we hear of it: the ledger is brought to the same figures. What the pool
does not have is owed: spending stops until it is paid, by what comes back or by a top-up.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from headroom.core.domain.instants import from_millis, to_millis, to_wire
from headroom.core.domain.money import NANOS_PER_CENT, format_amount
from headroom.core.errors import Overloaded
from headroom.core.store import keys
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Change, Check, Put, Table
from headroom.limits.usecases.settings import Reason, change_organization
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_organization
from headroom.payments.gateways.payments import Payments
from headroom.payments.usecases.lot_consumption import book_spending
from headroom.payments.usecases.wallets import (
    ATTEMPTS_MAX,
    funds_beside,
    open_wallet,
    until_it_holds,
)
from headroom.spending.usecases.recall import recall
from headroom.wallets.domain.payments import Payment
from headroom.wallets.domain.reload import DISPUTED, with_breaker, without_dispute
from headroom.wallets.domain.wallet import EntryKind, Step, Wallet, credit, debit
from headroom.wallets.store.intents import (
    Intent,
    find_intent,
    find_operation,
    list_intents,
    replace_intent,
)
from headroom.wallets.store.records import WalletRecord
from headroom.wallets.store.wallets import find_wallet, save_wallet, take_step

PAST_DUE: Final = "wallet.payment_past_due"
PAID: Final = "wallet.payment_settled"


def match_payment(
    table: Table,
    payments: Payments,
    organization: Organization,
    intent_id: str,
    now: datetime,
    *,
    seen: Payment | None = None,
) -> None:
    """Bring the ledger to what went back of a payment by now. Repeating it changes nothing.

    With `seen`, the payment as it just was, the processor is only asked if that differs.

    Raises:
        PaymentUnknown: the processor cannot be asked now.
        Overloaded: others are on the wallet or the settings; repeat it.
    """
    org_id = organization.org_id
    intent = find_intent(table, org_id, intent_id)
    if intent is None or intent.state != "succeeded" or intent.payment_id is None:
        return
    payment = seen or payments.find_payment(intent.payment_id)
    if payment is None or payment.payment_id != intent.payment_id:
        return
    if _differs(intent, payment):
        if _returned(intent, payment) > intent.returned or _disputed(payment) > intent.disputed:
            until_it_holds(lambda: recall(table, org_id, now))
        until_it_holds(lambda: _match(table, payments, organization, intent_id, now))
    hold_to_account(table, organization, now)


def hold_to_account(table: Table, organization: Organization, now: datetime) -> None:
    """Take what is owed out of what the pool has by now, and stop or resume spending by the rest.

    Raises:
        Overloaded: others are on the wallet or the settings; repeat it.
    """
    for _ in range(ATTEMPTS_MAX):
        until_it_holds(lambda: _collect(table, organization, now))
        wallet = find_wallet(table, organization.org_id)
        settings = find_organization(table, organization.org_id)
        if wallet is None or settings is None or not (wallet.owed or settings.past_due):
            return
        try:
            _set_standing(table, wallet, now)
        except _Moved:
            continue
        return
    raise Overloaded("others are on this wallet; try again")


def _match(
    table: Table, payments: Payments, organization: Organization, intent_id: str, now: datetime
) -> None:
    # The wallet first and the payment last: whoever writes what they learned of the payment
    # meanwhile changes the wallet too, so nothing older than theirs is written over it.
    wallet = open_wallet(table, organization, now)
    current = find_intent(table, organization.org_id, intent_id)
    assert current is not None, "intents are never erased"
    assert current.payment_id is not None, "it succeeded"
    payment = payments.find_payment(current.payment_id)
    if payment is None:
        return
    disputed, returned = _disputed(payment), _returned(current, payment)
    if disputed != current.disputed:
        after = replace(current, disputed=disputed)
        wallet = _move(table, organization, wallet, current, after, "chargeback", now)
        current = after
    after = replace(current, returned=returned)
    if payment.refunded_cents * NANOS_PER_CENT < current.refunded and not _is_refunding(
        table, wallet, current
    ):
        # A refund of ours that was made has failed since: its money is here again.
        after = replace(after, refunded=payment.refunded_cents * NANOS_PER_CENT)
    if after != current:
        _move(table, organization, wallet, current, after, "refund", now)


class _Moved(Exception):
    """What is owed changed while it was acted on; look again."""


def _set_standing(table: Table, wallet: Wallet, now: datetime) -> None:
    owes = bool(wallet.owed)

    def also() -> list[Change]:
        current = find_wallet(table, wallet.org_id)
        if current is None or current.version != wallet.version:
            raise _Moved
        return [Check(keys.wallet(wallet.org_id), WalletRecord.version == wallet.version)]

    change_organization(
        table,
        wallet.org_id,
        lambda old: replace(old, past_due=owes),
        now,
        Reason(action=PAST_DUE if owes else PAID, also=also),
    )


def _move(
    table: Table,
    organization: Organization,
    wallet: Wallet,
    before: Intent,
    after: Intent,
    kind: EntryKind,
    now: datetime,
) -> Wallet:
    """Take more of a payment out of the wallet, or put some of it back in."""
    wallet = book_spending(table, organization, wallet, now)
    if after.disputed > before.disputed:
        # Whoever disputes a payment is not charged again by itself.
        wallet = with_breaker(wallet, before.payment_method_id, DISPUTED)
    elif before.disputed and not after.disputed and not _is_disputed_otherwise(table, before):
        wallet = without_dispute(wallet, before.payment_method_id)
    amount = _gone(after) - _gone(before)
    marked: list[Change] = [replace_intent(before, after)]
    payment_id = before.payment_id or ""
    if amount > 0:
        there = min(amount, funds_beside(table, wallet))
        lacking = wallet.owed.get(payment_id, 0) + amount - there
        told = _told(wallet, kind, amount, before, now)
        return _write(
            table,
            wallet,
            _with_owed(wallet, payment_id, lacking),
            kind,
            -there,
            payment_id,
            [*marked, told],
            now,
        )
    # What was never paid is not owed any more; only the rest is money that comes back.
    owed = wallet.owed.get(payment_id, 0)
    forgiven = min(owed, -amount)
    return _write(
        table,
        wallet,
        _with_owed(wallet, payment_id, owed - forgiven),
        kind,
        -amount - forgiven,
        payment_id,
        marked,
        now,
    )


def _is_disputed_otherwise(table: Table, intent: Intent) -> bool:
    """Whether another payment by the same payment method is disputed."""
    return any(
        other.disputed and other.payment_method_id == intent.payment_method_id
        for other in list_intents(table, intent.org_id)
        if other.intent_id != intent.intent_id
    )


def _collect(table: Table, organization: Organization, now: datetime) -> None:
    found = find_wallet(table, organization.org_id)
    for payment_id in found.owed if found else ():
        wallet = open_wallet(table, organization, now)
        wallet = book_spending(table, organization, wallet, now)
        owed = wallet.owed.get(payment_id, 0)
        there = min(owed, funds_beside(table, wallet))
        if there:
            _write(
                table,
                wallet,
                _with_owed(wallet, payment_id, owed - there),
                "chargeback",
                -there,
                payment_id,
                [],
                now,
            )


def _write(
    table: Table,
    old: Wallet,
    new: Wallet,
    kind: EntryKind,
    moved: int,
    payment_id: str,
    also: list[Change],
    now: datetime,
) -> Wallet:
    """Write a change of what is owed, with the money that moves if any does."""
    new = replace(new, due_at_millis=to_millis(now))
    step: Step
    if moved > 0:
        step = credit(new, kind, "adjustment", moved, now, payment_id=payment_id)
    elif moved < 0:
        step = debit(new, kind, -moved, now, payment_id=payment_id)
    else:
        return save_wallet(table, old, new, also)
    return take_step(table, old, step, also)


def _with_owed(wallet: Wallet, payment_id: str, owed: int) -> Wallet:
    rest = {key: value for key, value in wallet.owed.items() if key != payment_id}
    return replace(wallet, owed={**rest, payment_id: owed} if owed else rest)


def _disputed(payment: Payment) -> int:
    return payment.disputed_cents * NANOS_PER_CENT


def _differs(intent: Intent, payment: Payment) -> bool:
    return (
        _disputed(payment) != intent.disputed
        or _returned(intent, payment) != intent.returned
        or payment.refunded_cents * NANOS_PER_CENT < intent.refunded
    )


def _gone(intent: Intent) -> int:
    return intent.disputed + intent.returned + intent.refunded


def _is_refunding(table: Table, wallet: Wallet, intent: Intent) -> bool:
    """Whether a refund of this payment is under way, whose money the processor still has."""
    operations = (find_operation(table, wallet.org_id, each) for each in wallet.refunds)
    return any(each is not None and each.payment_id == intent.payment_id for each in operations)


def _returned(intent: Intent, payment: Payment) -> int:
    """What somebody else refunded: all that went back, less what we had taken out for it."""
    return max(0, payment.refunded_cents * NANOS_PER_CENT - intent.refunded)


def _told(wallet: Wallet, kind: EntryKind, amount: int, intent: Intent, now: datetime) -> Put:
    payment_id = intent.payment_id or ""
    facts: dict[str, Any] = {
        "payment_id": payment_id,
        "paid_at": to_wire(from_millis(intent.created_at_millis)),
        "paid_amount": format_amount(intent.amount),
        "reason": "dispute" if kind == "chargeback" else "refund",
        "amount": format_amount(amount),
    }
    event_id = f"{payment_id}_{kind}_{wallet.version}"
    return put_announcement(wallet.org_id, event_id, "wallet.money_returned", facts, now)
