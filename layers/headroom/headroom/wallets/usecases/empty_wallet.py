"""When somebody is refused for an empty wallet: ask for its reload, and say what will happen."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headroom.core.domain.instants import to_millis, to_wire
from headroom.core.domain.money import format_amount
from headroom.core.domain.periods import period_of, time_zone
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Contended, Refused, Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_pool
from headroom.wallets.domain.reload import (
    ASK_EVERY,
    NEXT_STEPS,
    ComingReload,
    ReloadState,
    coming_reload,
    reload_state,
)
from headroom.wallets.domain.wallet import Wallet
from headroom.wallets.gateways.reloads import AskReload, ask_nobody
from headroom.wallets.store.wallets import find_wallet, save_wallet


@dataclass(frozen=True, slots=True)
class EmptyWallet:
    """A wallet that nothing fills by itself, of which its owner has not been told yet."""

    wallet: Wallet
    auto_reload: ReloadState
    free: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would help somebody refused for the wallet, and the reload that comes, if any.

    `to_tell` is what the owner has to be told of, if anything: see `tell_owner`.
    """

    next_steps: tuple[str, ...]
    reload: ComingReload | None
    to_tell: EmptyWallet | None = None


def ask_for_reload(
    table: Table,
    organization: Organization,
    now: datetime,
    ask_reload: AskReload = ask_nobody,
) -> Outlook | None:
    """Ask for a look at the wallet because somebody was refused for it, and say what will come.

    The refusal found that nobody but the pool has anything, so what the pool has is what is free.
    None if there is no wallet yet.
    """
    wallet = find_wallet(table, organization.org_id)
    if wallet is None:
        return None
    state = reload_state(wallet, _month(organization, now), now)
    free = find_pool(table, organization.org_id).funds
    coming = coming_reload(wallet, state, free, now)
    to_tell = None
    if coming is None:
        if not wallet.pending_total and wallet.emptied != wallet.credits:
            to_tell = EmptyWallet(wallet, state, free)
    elif coming.status == "due" and _mark(table, wallet, now):
        ask_reload(wallet.org_id)
    return Outlook(_next_steps(wallet, state, coming), coming, to_tell)


def tell_owner(table: Table, empty: EmptyWallet, balance: int, now: datetime) -> None:
    """Announce that a wallet is empty, once for each credit. `balance` includes what is held."""
    wallet = empty.wallet
    facts = {
        "balance": format_amount(balance),
        "free": format_amount(max(empty.free, 0)),
        "auto_reload": empty.auto_reload,
        "next_step": NEXT_STEPS.get(empty.auto_reload, "top_up"),
    }
    event_id = f"{wallet.org_id}_empty_{wallet.credits}"
    told = put_announcement(wallet.org_id, event_id, "wallet.empty", facts, now)
    with suppress(Refused, Contended):
        save_wallet(table, wallet, replace(wallet, emptied=wallet.credits), [told])


def reload_to_wire(coming: ComingReload | None) -> dict[str, Any] | None:
    """Return a reload that comes as the wire has it."""
    if coming is None:
        return None
    return {"status": coming.status, "expected_at": to_wire(coming.expected_at)}


def find_coming_reload(
    table: Table, organization: Organization, free: int, now: datetime
) -> ComingReload | None:
    """Return the reload that comes by itself, given what is free. Nothing is asked for."""
    wallet = find_wallet(table, organization.org_id)
    if wallet is None:
        return None
    return coming_reload(wallet, reload_state(wallet, _month(organization, now), now), free, now)


def _next_steps(wallet: Wallet, state: ReloadState, coming: ComingReload | None) -> tuple[str, ...]:
    if coming is not None:
        return "wait_for_reload", "top_up"
    if state in NEXT_STEPS:
        return NEXT_STEPS[state], "top_up"
    if wallet.pending_total:
        # Somebody bought, and the outcome is not known yet.
        return "wait_for_payment", "top_up"
    return ("top_up", "enable_auto_reload") if state == "off" else ("top_up",)


def _mark(table: Table, wallet: Wallet, now: datetime) -> bool:
    """Mark a wallet to be looked at, at most every now and then; tell whether it was done."""
    if wallet.crossed or to_millis(now - ASK_EVERY) < wallet.looked_at_millis:
        return False
    # Whoever changes it at the same time has looked, or will.
    with suppress(Refused, Contended):
        save_wallet(table, wallet, replace(wallet, crossed=True, due_at_millis=to_millis(now)))
        return True
    return False


def _month(organization: Organization, now: datetime) -> str:
    return period_of(now, time_zone(organization.time_zone))
