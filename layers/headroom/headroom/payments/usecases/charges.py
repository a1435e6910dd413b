"""Payments from intent to ledger: asked under one key, credited once, never charged again.

An intent is written before the processor is asked; what came of it is written together with the
money. Anything may be cut off in between: whoever comes next goes on from the intent's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from headroom.core.domain.instants import from_millis
from headroom.core.domain.money import NANOS_PER_CENT, format_amount
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Contended, Put, Refused, Table
from headroom.organizations.store.organizations import find_organization
from headroom.payments.gateways.payments import (
    KEYS_LAST,
    PaymentMethodRefused,
    Payments,
    PaymentUnknown,
)
from headroom.payments.usecases.lot_consumption import book_spending
from headroom.payments.usecases.wallets import until_it_holds
from headroom.wallets.domain.payments import CANCELED, Charge, Payment
from headroom.wallets.domain.reload import with_breaker
from headroom.wallets.domain.wallet import (
    IntentKind,
    Step,
    Wallet,
    credit,
    is_unwanted,
)
from headroom.wallets.store.intents import Intent, begin_charging, find_intent, replace_intent
from headroom.wallets.store.wallets import find_wallet, save_wallet, take_step
from headroom.wallets.usecases.cancelled_reloads import is_counted, released, without_payment

# A reload that was begun and never asked for is not asked for any more after this long.
STALE_AFTER: Final = timedelta(minutes=15)
# A charge that nobody wants any more, and that the processor does not know by then, never was.
LOST_AFTER: Final = timedelta(hours=1)
# So long the card's holder has to complete a payment: a buyer sits before it, an owner gets mail.
HOLDER_HAS: Final[Mapping[IntentKind, timedelta]] = {
    "purchase": timedelta(hours=1),
    "reload": timedelta(hours=24),
}
# How far the processor's clock may be behind ours.
CLOCK_SKEW_MAX: Final = timedelta(minutes=10)


def pursue(table: Table, payments: Payments, intent: Intent, now: datetime) -> Intent:
    """Bring a payment as far as it goes now, and return what became of it.

    If the outcome stays unknown the intent stays as it is, and is pursued again later.

    Raises:
        Overloaded: others are on the wallet; what was charged is credited when pursued again.
    """
    try:
        if intent.state == "created":
            try:
                intent = begin_charging(table, intent)
            except (Refused, Contended):
                return _again(table, intent)
            payment = _charge(payments, intent)
        elif intent.state == "charging":
            found = payments.find_charged(
                intent.customer_id,
                intent.key,
                since=from_millis(intent.created_at_millis) - CLOCK_SKEW_MAX,
            )
            if found is None:
                return _ask_again(table, payments, intent, now)
            payment = found
        elif intent.state == "needs_action" and intent.payment_id is not None:
            known = payments.find_payment(intent.payment_id)
            if known is None:
                return intent
            payment = known
        else:
            return intent
    except PaymentUnknown:
        return intent
    except PaymentMethodRefused as refused:
        return decline(table, intent, refused.code, now)
    return settle(table, intent.org_id, intent.intent_id, payment, now)


def resume(table: Table, payments: Payments, intent: Intent, now: datetime) -> Intent:
    """Go on with a payment that somebody left behind.

    One that was never asked for is only asked for while it is fresh, and a top-up only by the
    client who wanted it: nobody is charged who went away. One whose holder does not act in time,
    or that nobody wants any more, is given up.
    """
    if intent.state == "needs_action" and not _may_wait(table, intent, now):
        return _give_up(table, payments, intent, now)
    if intent.state != "created":
        return pursue(table, payments, intent, now)
    if _age(intent, now) >= STALE_AFTER:
        return void(table, intent, now)
    return pursue(table, payments, intent, now) if intent.kind == "reload" else intent


def settle(table: Table, org_id: str, intent_id: str, payment: Payment, now: datetime) -> Intent:
    """Write what came of a payment: money that arrived is credited, once, whoever tells of it.

    That holds whatever state the intent is in: money that was paid is never lost. A payment of
    another amount is nobody's order, and is left for the reconciler to find.

    Raises:
        Overloaded: others are on the wallet.
    """

    def attempt() -> Intent:
        intent, wallet = find_intent(table, org_id, intent_id), find_wallet(table, org_id)
        assert intent is not None, "intents are never erased"
        assert wallet is not None, "an intent is written with its wallet"
        if intent.state == "succeeded" or payment.amount_cents * NANOS_PER_CENT != intent.amount:
            return intent
        if payment.state == "succeeded":
            return _credit(table, wallet, intent, payment.payment_id, now)
        if payment.state == "declined":
            code = payment.decline_code or "declined"
            return _decline(
                table, wallet, replace(intent, payment_id=payment.payment_id), code, now
            )
        if payment.state == "needs_action" and intent.state in ("created", "charging"):
            return _wait_for_holder(table, wallet, intent, payment.payment_id, now)
        return intent

    return until_it_holds(attempt)


def decline(table: Table, intent: Intent, code: str, now: datetime) -> Intent:
    """Close a payment that the processor does not make.

    Raises:
        Overloaded: others are on the wallet.
    """

    def attempt() -> Intent:
        current, wallet = _again(table, intent), find_wallet(table, intent.org_id)
        assert wallet is not None, "an intent is written with its wallet"
        return _decline(table, wallet, current, code, now)

    return until_it_holds(attempt)


def void(table: Table, intent: Intent, now: datetime) -> Intent:
    """Close a payment that will not be made any more. One that moved on is left as it is.

    A reload that the processor was asked for, and does not know, may turn out to be charged all
    the same: it goes on counting in its month, so that the month's ceiling holds then too.

    Raises:
        Overloaded: others are on the wallet.
    """

    def attempt() -> Intent:
        current, wallet = _again(table, intent), find_wallet(table, intent.org_id)
        if current.state != intent.state or wallet is None:
            return current
        counted = current.kind == "reload" and current.state == "charging"
        voided = replace(current, state="voided", counted=counted)
        after = without_payment(wallet, current, now) if counted else released(wallet, current, now)
        save_wallet(table, wallet, after, [replace_intent(current, voided)])
        return voided

    return until_it_holds(attempt)


def _ask_again(table: Table, payments: Payments, intent: Intent, now: datetime) -> Intent:
    """Send a charge again that the processor does not know, under the same key, if it may be."""
    wallet = find_wallet(table, intent.org_id)
    assert wallet is not None, "an intent is written with its wallet"
    is_wanted = not is_unwanted(wallet, intent.intent_id)
    age = _age(intent, now)
    if age >= KEYS_LAST or (not is_wanted and age >= LOST_AFTER):
        return void(table, intent, now)
    if not is_wanted:
        return intent
    payment = _charge(payments, intent)
    return settle(table, intent.org_id, intent.intent_id, payment, now)


def _may_wait(table: Table, intent: Intent, now: datetime) -> bool:
    wallet = find_wallet(table, intent.org_id)
    assert wallet is not None, "an intent is written with its wallet"
    in_time = _age(intent, now) < HOLDER_HAS[intent.kind]
    return in_time and not is_unwanted(wallet, intent.intent_id)


def _give_up(table: Table, payments: Payments, intent: Intent, now: datetime) -> Intent:
    """Cancel a payment that waits for its holder; one that they completed first is credited."""
    assert intent.payment_id is not None, "the processor has it, or it would not wait"
    try:
        payment = payments.cancel(intent.payment_id)
    except PaymentUnknown:
        return intent
    return settle(table, intent.org_id, intent.intent_id, payment, now)


def _charge(payments: Payments, intent: Intent) -> Payment:
    return payments.charge(
        Charge(
            customer_id=intent.customer_id,
            amount_cents=intent.amount // NANOS_PER_CENT,
            currency=intent.currency,
            key=intent.key,
            payment_method_id=intent.payment_method_id,
            facts={"organization_id": intent.org_id, "intent_id": intent.intent_id},
        )
    )


def _credit(table: Table, wallet: Wallet, intent: Intent, payment_id: str, now: datetime) -> Intent:
    organization = find_organization(table, intent.org_id)
    assert organization is not None, "organizations are never erased"
    # So that the balance that the entry says is what there is to spend.
    wallet = book_spending(table, organization, wallet, now)
    base = without_payment(wallet, intent, now)
    is_new = not is_counted(wallet, intent)
    if intent.kind == "reload" and is_new and wallet.month == intent.month:
        base = replace(base, reloaded=wallet.reloaded + intent.amount)
    step: Step = credit(base, intent.kind, intent.kind, intent.amount, now, payment_id=payment_id)
    after = replace(
        intent,
        state="succeeded",
        payment_id=payment_id,
        entry_version=step.entry.version,
        counted=False,
    )
    detail_type = "wallet.reload_succeeded" if intent.kind == "reload" else "wallet.topped_up"
    facts = {
        "amount": format_amount(intent.amount),
        "payment_id": payment_id,
        "entry_id": step.entry.entry_id,
    }
    told = _tell(intent, "succeeded", detail_type, facts, now)
    take_step(table, wallet, step, [replace_intent(intent, after), told])
    return after


def _decline(table: Table, wallet: Wallet, intent: Intent, code: str, now: datetime) -> Intent:
    """Close a payment as declined; one that is closed already stays as it is.

    A reload that was given up because nobody wanted it any more says nothing about the card.
    """
    if intent.counted:
        # Given up long ago, and known by now not to have been charged.
        known = replace(intent, counted=False)
        save_wallet(table, wallet, released(wallet, intent, now), [replace_intent(intent, known)])
        return known
    if intent.state not in ("created", "charging", "needs_action"):
        return intent
    after = replace(intent, state="declined", decline_code=code)
    changed = released(wallet, intent, now)
    changes = [replace_intent(intent, after)]
    is_told = code != CANCELED or not is_unwanted(wallet, intent.intent_id)
    if intent.kind == "reload" and is_told:
        changed = with_breaker(changed, intent.payment_method_id, code)
        facts = {
            "amount": format_amount(intent.amount),
            "decline_code": code,
            "next_step": "update_payment_method",
        }
        changes.append(_tell(intent, "failed", "wallet.reload_failed", facts, now))
    save_wallet(table, wallet, changed, changes)
    return after


def _wait_for_holder(
    table: Table, wallet: Wallet, intent: Intent, payment_id: str, now: datetime
) -> Intent:
    after = replace(intent, state="needs_action", payment_id=payment_id)
    pending = tuple(
        replace(each, needs_action=True) if each.intent_id == intent.intent_id else each
        for each in wallet.pending
    )
    changes = [replace_intent(intent, after)]
    if intent.kind == "reload" and not is_unwanted(wallet, intent.intent_id):
        facts = {
            "amount": format_amount(intent.amount),
            "payment_id": payment_id,
            "next_step": "complete_payment",
        }
        changes.append(_tell(intent, "needs_action", "wallet.reload_needs_action", facts, now))
    save_wallet(table, wallet, replace(wallet, pending=pending), changes)
    return after


def _tell(intent: Intent, what: str, detail_type: str, facts: dict[str, Any], now: datetime) -> Put:
    event_id = f"{intent.intent_id}_{what}"
    return put_announcement(intent.org_id, event_id, detail_type, facts, now)


def _again(table: Table, intent: Intent) -> Intent:
    found = find_intent(table, intent.org_id, intent.intent_id)
    assert found is not None, "intents are never erased"
    return found


def _age(intent: Intent, now: datetime) -> timedelta:
    return now - from_millis(intent.created_at_millis)
