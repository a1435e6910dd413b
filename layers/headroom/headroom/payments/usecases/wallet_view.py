"""A wallet as its owner sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headroom.core.domain.instants import from_millis, to_wire
from headroom.core.domain.money import format_amount, format_limit
from headroom.core.domain.periods import period_of, time_zone
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.payments.usecases.wallets import open_wallet
from headroom.spending.usecases.totals import Totals, total
from headroom.wallets.domain.reload import (
    NEXT_STEPS,
    OWING_STEPS,
    ReloadState,
    reload_state,
    reloaded_in,
)
from headroom.wallets.domain.wallet import Wallet, draw


def show_wallet(table: Table, organization: Organization, now: datetime) -> dict[str, Any]:
    """Return the wallet as the wire has it: its balance exact, and the lots it consists of.

    What was spent and is not booked yet is drawn from the lots that are shown, so that they sum up
    to the balance.
    """
    wallet, totals = _look(table, organization, now)
    state = reload_state(wallet, _month(organization, now), now)
    standing, next_steps = _standing(organization, wallet, state)
    unbooked = min(max(wallet.total - totals.balance, 0), wallet.total)
    method = wallet.payment_method
    return {
        "type": "wallet",
        "currency": organization.currency,
        "balance": format_amount(totals.balance),
        "held": format_amount(totals.held + totals.held_earlier),
        "lots": [
            {
                "id": lot.lot_id,
                "kind": lot.kind,
                "amount": format_amount(lot.amount),
                "remaining": format_amount(lot.remaining),
                "created_at": to_wire(from_millis(lot.created_at_millis)),
                "expires_at": (
                    None
                    if lot.expires_at_millis is None
                    else to_wire(from_millis(lot.expires_at_millis))
                ),
            }
            for lot in draw(wallet.lots, unbooked)
        ],
        "auto_reload": auto_reload_to_wire(organization, wallet, now),
        "payment_method": (
            {"id": method.payment_method_id, "brand": method.brand, "last4": method.last4}
            if method
            else None
        ),
        "pending": [
            {
                "id": payment.intent_id,
                "kind": payment.kind,
                "amount": format_amount(payment.amount),
                "status": "requires_action" if payment.awaits_holder else "pending",
                "created_at": to_wire(from_millis(payment.created_at_millis)),
            }
            for payment in wallet.pending
        ],
        "owed": format_amount(sum(wallet.owed.values())),
        "standing": standing,
        "next_steps": next_steps,
    }


def auto_reload_to_wire(
    organization: Organization, wallet: Wallet, now: datetime
) -> dict[str, Any]:
    """Return auto-reload as the wire has it, with what stands in its way and what would help."""
    month = _month(organization, now)
    state = reload_state(wallet, month, now)
    shown = wallet.auto_reload or wallet.auto_reload_was
    return {
        "enabled": wallet.auto_reload is not None,
        "threshold": format_limit(shown.threshold) if shown else None,
        "amount": format_limit(shown.amount) if shown else None,
        "monthly_limit": format_limit(shown.monthly_limit) if shown else None,
        "reloaded_this_month": format_amount(reloaded_in(wallet, month)),
        "state": state,
        "next_step": NEXT_STEPS.get(state),
    }


def _look(table: Table, organization: Organization, now: datetime) -> tuple[Wallet, Totals]:
    """Return wallet and figures of one time: no credit or debit came between them."""
    wallet = open_wallet(table, organization, now)
    totals = total(table, organization)
    for _ in range(3):
        again = open_wallet(table, organization, now)
        if again.version == wallet.version:
            break
        wallet, totals = again, total(table, organization)
    return wallet, totals


def _standing(
    organization: Organization, wallet: Wallet, state: ReloadState
) -> tuple[str, list[str]]:
    if organization.past_due or wallet.owed:
        return "payment_past_due", list(OWING_STEPS)
    if state == "declined":
        return "payment_declined", ["update_payment_method"]
    if any(payment.awaits_holder for payment in wallet.pending):
        return "payment_needs_action", ["complete_payment"]
    step = NEXT_STEPS.get(state)
    return "good", [step] if step else []


def _month(organization: Organization, now: datetime) -> str:
    return period_of(now, time_zone(organization.time_zone))
