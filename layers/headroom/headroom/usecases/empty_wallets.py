"""When somebody is refused for an empty wallet: ask for its reload, and say what would help."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from headroom.domain.instants import to_millis
from headroom.domain.organization import Organization
from headroom.domain.periods import period_of, time_zone
from headroom.domain.reload import NEXT_STEPS, reload_state
from headroom.domain.wallet import Wallet
from headroom.store.table import Contended, Refused, Table
from headroom.store.wallets import find_wallet, save_wallet

# A refusal asks for a look at most this often.
ASK_EVERY: Final = timedelta(seconds=2)


def ask_for_reload(table: Table, organization: Organization, now: datetime) -> Wallet | None:
    """Ask for a look at the wallet because somebody was refused for it, and return it.

    The stream that totals follow may be seconds behind; whoever looks sums the members up.
    """
    wallet = find_wallet(table, organization.org_id)
    if wallet is None or wallet.crossed:
        return wallet
    may_ask = to_millis(now - ASK_EVERY) >= wallet.looked_at_millis
    if may_ask and reload_state(wallet, _month(organization, now), now) == "ready":
        try:
            marked = replace(wallet, crossed=True, due_at_millis=to_millis(now))
            return save_wallet(table, wallet, marked)
        except (Refused, Contended):
            pass  # Whoever changed it has looked, or will.
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
