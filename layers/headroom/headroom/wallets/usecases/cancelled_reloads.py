"""Reloads under way that nobody wants any more, because what they were begun under has changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from headroom.core.domain.instants import to_millis
from headroom.core.store.table import Change, Table
from headroom.wallets.domain.wallet import Wallet, without_pending
from headroom.wallets.store.intents import Intent, find_intent, replace_intent
from headroom.wallets.store.wallets import find_wallet, put_wallet


def switch_writes(table: Table, org_id: str, enabled: bool, now: datetime) -> list[Change]:
    """Return what extra usage's going on or off does to the wallet, if there is one.

    Without extra usage nothing is reloaded, and what is under way is disowned. With it the balance
    is looked at again.
    """
    wallet = find_wallet(table, org_id)
    if wallet is None or wallet.auto_reload is None:
        return []
    after, changes = (wallet, []) if enabled else disown_reloads(table, wallet, now)
    after = replace(
        after, version=wallet.version + 1, crossed=enabled, due_at_millis=to_millis(now)
    )
    return [put_wallet(wallet, after), *changes]


def disown_reloads(table: Table, wallet: Wallet, now: datetime) -> tuple[Wallet, list[Change]]:
    """Return the wallet without the reloads that can still be taken back, and the other writes.

    One that was not asked for yet is voided. One that the processor may have been asked for counts
    as before until its outcome is known, and is marked, so that it is not asked for again and its
    holder is not waited for.
    """
    changes: list[Change] = []
    after = wallet
    for payment in wallet.pending:
        if payment.kind != "reload":
            continue
        intent = find_intent(table, wallet.org_id, payment.intent_id)
        if intent is not None and intent.state == "created":
            after = released(after, intent, now)
            changes.append(replace_intent(intent, replace(intent, state="voided")))
        else:
            marked = replace(payment, unwanted=True)
            pending = tuple(marked if each is payment else each for each in after.pending)
            after = replace(after, pending=pending)
    return after, changes


def released(wallet: Wallet, intent: Intent, now: datetime) -> Wallet:
    """Return the wallet without a payment that does not come."""
    after = without_payment(wallet, intent, now)
    if intent.kind == "reload" and is_counted(wallet, intent) and wallet.month == intent.month:
        after = replace(after, reloaded=wallet.reloaded - intent.amount)
    return after


def without_payment(wallet: Wallet, intent: Intent, now: datetime) -> Wallet:
    """Return the wallet without a payment under way, to be looked at again at once."""
    return replace(without_pending(wallet, intent.intent_id), due_at_millis=to_millis(now))


def is_counted(wallet: Wallet, intent: Intent) -> bool:
    """Tell whether a reload counts towards what its month may reload."""
    return intent.counted or any(each.intent_id == intent.intent_id for each in wallet.pending)
