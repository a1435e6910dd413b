"""When somebody is refused for an empty wallet: ask for its reload, and say what would help."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from headroom.domain.instants import to_millis
from headroom.domain.money import format_amount
from headroom.domain.organization import Organization
from headroom.domain.periods import period_of, time_zone
from headroom.domain.reload import NEXT_STEPS, reload_state
from headroom.domain.wallet import Wallet
from headroom.store.announcements import put_announcement
from headroom.store.table import Change, Contended, Refused, Table
from headroom.store.wallets import find_wallet, save_wallet
from headroom.usecases.totals import total

# A refusal asks for a look at most this often.
ASK_EVERY: Final = timedelta(seconds=2)


def ask_for_reload(table: Table, organization: Organization, now: datetime) -> Wallet | None:
    """Ask for a look at the wallet because somebody was refused for it, and return it.

    The stream that totals follow may be seconds behind; whoever looks sums the members up. If
    nothing will reload the wallet the owner is told that it is empty, once for each credit.
    """
    wallet = find_wallet(table, organization.org_id)
    if wallet is None or wallet.crossed:
        return wallet
    state = reload_state(wallet, _month(organization, now), now)
    also: list[Change] = []
    after = wallet
    if state == "ready":
        if to_millis(now - ASK_EVERY) >= wallet.looked_at_millis:
            after = replace(wallet, crossed=True, due_at_millis=to_millis(now))
    elif state not in ("pending", "cooling_down") and wallet.emptied != wallet.credits:
        after = replace(wallet, emptied=wallet.credits)
        facts = {
            "balance": format_amount(total(table, organization).balance),
            "auto_reload": state,
            "next_step": NEXT_STEPS.get(state, "top_up"),
        }
        event_id = f"{wallet.org_id}_empty_{wallet.credits}"
        also = [put_announcement(wallet.org_id, event_id, "wallet.empty", facts, now)]
    if after is not wallet:
        # Whoever changes it at the same time has looked, or will.
        with suppress(Refused, Contended):
            return save_wallet(table, wallet, after, also)
    return wallet


def refusal_steps(organization: Organization, wallet: Wallet, now: datetime) -> list[str]:
    """Return what would help somebody who was refused because the wallet is empty."""
    state = reload_state(wallet, _month(organization, now), now)
    if state in ("ready", "pending", "cooling_down"):
        return ["wait_for_reload", "top_up"]
    if state == "off":
        return ["top_up", "enable_auto_reload"]
    return [NEXT_STEPS[state], "top_up"]


def _month(organization: Organization, now: datetime) -> str:
    return period_of(now, time_zone(organization.time_zone))
