"""Looking after wallets in the background: what is under way, booked, expiring, owed, to reload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from headroom.core.domain.instants import MILLISECOND, to_millis
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_organization
from headroom.organizations.usecases.first_period import open_forgotten_closings
from headroom.payments.gateways.payments import Payments
from headroom.payments.usecases.adjustments import finish_refund
from headroom.payments.usecases.auto_reload import reload_while_due
from headroom.payments.usecases.charges import resume
from headroom.payments.usecases.lot_consumption import NOTICE, book_spending, expire_lots
from headroom.payments.usecases.refunds_and_disputes import hold_to_account
from headroom.payments.usecases.wallets import LOOK_EVERY_MILLIS, open_wallet, until_it_holds
from headroom.wallets.domain.reload import PENDING_LOOK, PaymentTerms
from headroom.wallets.domain.wallet import Wallet, expired_of
from headroom.wallets.store.intents import find_intent, find_operation
from headroom.wallets.store.wallets import list_due, save_wallet

# Money that expired while it was held is looked for this often.
EXPIRED_LOOK: Final = timedelta(minutes=10)


def due_wallets(table: Table, shard: int, now: datetime, after: str | None = None) -> Iterator[str]:
    """Walk through a shard's wallets to be looked at by now, by organization, or the rest of it."""
    for org_id in sorted(set(list_due(table, shard, to_millis(now)))):
        if after is None or org_id > after:
            yield org_id


def look_after(
    table: Table, payments: Payments, org_id: str, now: datetime, terms: PaymentTerms
) -> int:
    """Bring a wallet to where it should be by now, and plan the next look.

    Returns how many reloads were credited. Each part can be repeated, and cut off anywhere.

    Raises:
        Overloaded: others are on the wallet; the look is due again.
    """
    organization = find_organization(table, org_id)
    if organization is None or organization.plan != "team":
        return 0
    until_it_holds(lambda: open_forgotten_closings(table, org_id))
    wallet = open_wallet(table, organization, now)
    for payment in wallet.pending:
        intent = find_intent(table, org_id, payment.intent_id)
        if intent is not None:
            resume(table, payments, intent, now)
    for operation_id in wallet.refunds:
        operation = find_operation(table, org_id, operation_id)
        if operation is not None:
            finish_refund(table, payments, operation, now)
    until_it_holds(lambda: _book(table, organization, now))
    expire_lots(table, organization, now)
    hold_to_account(table, organization, now)
    reloads = reload_while_due(table, payments, organization, now, terms)
    until_it_holds(lambda: _plan_next_look(table, organization, now))
    return reloads


def reload_marked(
    table: Table, payments: Payments, org_id: str, now: datetime, terms: PaymentTerms
) -> int:
    """Reload a wallet that is marked as having reached its threshold; return how many credits.

    Raises:
        Overloaded: others are on the wallet; the look is due again.
    """
    organization = find_organization(table, org_id)
    if organization is None or organization.plan != "team":
        return 0
    return reload_while_due(table, payments, organization, now, terms)


def _book(table: Table, organization: Organization, now: datetime) -> Wallet:
    return book_spending(table, organization, open_wallet(table, organization, now), now)


def _plan_next_look(table: Table, organization: Organization, now: datetime) -> None:
    wallet = open_wallet(table, organization, now)
    due_at = _next_look(wallet, now)
    # Whoever marked the wallet meanwhile wants to be heard at once.
    if not wallet.crossed and wallet.due_at_millis != due_at:
        save_wallet(table, wallet, replace(wallet, due_at_millis=due_at))


def _next_look(wallet: Wallet, now: datetime) -> int:
    moments = [to_millis(now) + LOOK_EVERY_MILLIS]
    if wallet.pending or wallet.refunds or wallet.owed:
        moments.append(to_millis(now + PENDING_LOOK))
    if expired_of(wallet, now):
        moments.append(to_millis(now + EXPIRED_LOOK))
    for lot in wallet.lots:
        if lot.expires_at_millis is not None:
            moments += [lot.expires_at_millis, lot.expires_at_millis - NOTICE // MILLISECOND]
    if wallet.auto_reload is not None and wallet.cool_until_millis > to_millis(now):
        moments.append(wallet.cool_until_millis)
    return min(moment for moment in moments if moment > to_millis(now))
