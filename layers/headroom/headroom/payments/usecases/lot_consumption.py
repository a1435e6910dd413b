"""Taking spending over into the lots, and money out of them when its time is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from headroom.core.domain.instants import from_millis, to_millis, to_wire
from headroom.core.domain.money import format_amount
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.payments.usecases.wallets import (
    Overtaken,
    funds_beside,
    open_wallet,
    spent_by_period,
    until_it_holds,
)
from headroom.spending.usecases.recall import recall
from headroom.wallets.domain.wallet import Lot, Wallet, book, expire, expired_of
from headroom.wallets.store.wallets import save_wallet, take_step

# How long before money expires the owner hears of it.
NOTICE: Final = timedelta(days=7)
# Each notice is a write of its own beside the wallet's; a transaction takes 100.
NOTICES_TOGETHER_MAX: Final = 50


def book_spending(
    table: Table, organization: Organization, wallet: Wallet, now: datetime
) -> Wallet:
    """Let the lots bear what was spent by now; return the wallet after it.

    Whoever changes the set of lots does this first, so that earlier spending is borne by the lots
    of its time.

    Raises:
        Refused, Overtaken: the wallet is not this one any more.
        Contended: others are on it.
    """
    for period, spent in sorted(spent_by_period(table, organization, wallet, now).items()):
        if spent - wallet.booked.get(period, 0) > wallet.total:
            # Only money that came in since the wallet was read can have been spent beyond it.
            raise Overtaken
        step = book(wallet, period, spent, now)
        if step is not None:
            wallet = take_step(table, wallet, step)
    return wallet


def expire_lots(table: Table, organization: Organization, now: datetime) -> None:
    """Take out what expired lots have left, and tell of those that will expire.

    What members hold may still be spent. What their holds give back later expires with the next
    look.

    Raises:
        Overloaded: others are on the wallet.
    """

    def attempt() -> None:
        wallet = open_wallet(table, organization, now)
        if not expired_of(wallet, now):
            return
        recall(table, organization.org_id, now)
        wallet = book_spending(table, organization, wallet, now)
        funds = funds_beside(table, wallet)
        step = expire(wallet, funds, now)
        if step is not None:
            take_step(table, wallet, step, funds_seen=funds)

    while until_it_holds(lambda: _give_notice(table, organization, now)):
        pass
    until_it_holds(attempt)


def _give_notice(table: Table, organization: Organization, now: datetime) -> bool:
    """Tell of some lots that will expire, and whether there may be more of them."""
    wallet = open_wallet(table, organization, now)
    soon = [lot for lot in wallet.lots if _expires_soon(lot, now) and not lot.noticed]
    soon = soon[:NOTICES_TOGETHER_MAX]
    if not soon:
        return False
    lots = tuple(replace(lot, noticed=True) if lot in soon else lot for lot in wallet.lots)
    told = [
        put_announcement(
            organization.org_id,
            f"{lot.lot_id}_expiring",
            "wallet.credit_expiring",
            {
                "entry_id": lot.lot_id,
                "remaining": format_amount(lot.remaining),
                "expires_at": to_wire(from_millis(lot.expires_at_millis or 0)),
            },
            now,
        )
        for lot in soon
    ]
    save_wallet(table, wallet, replace(wallet, lots=lots), told)
    return True


def _expires_soon(lot: Lot, now: datetime) -> bool:
    expires_at = lot.expires_at_millis
    return expires_at is not None and to_millis(now) < expires_at <= to_millis(now + NOTICE)
