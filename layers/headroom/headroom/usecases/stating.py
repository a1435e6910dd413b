"""What a statement tells of a Team's wallet, proved against the wallet's entries."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from headroom.domain.invoice import Movement
from headroom.domain.organization import Organization
from headroom.domain.wallet import Wallet, book
from headroom.store.closings import Closing
from headroom.store.invoices import list_invoices
from headroom.store.models import wire_moment
from headroom.store.table import Table
from headroom.store.wallets import list_wallet_entries, take_step
from headroom.usecases.reconciling import Drift, announce
from headroom.usecases.wallets import open_wallet, until_it_holds


class StatementUnproved(Exception):
    """A statement's closing balance is not what the wallet's entries come to.

    That is a fault, and no statement may be written over it.
    """


def movement_of(table: Table, closing: Closing) -> Movement:
    """Return what a wallet had when a period began, and what came in and went until it ended.

    A statement goes on behind the last entry of the one before it, so that each is on just one.
    """
    return _read(table, closing)[0]


def prove_statement(
    table: Table, organization: Organization, closing: Closing, now: datetime
) -> None:
    """Compare a closed period's closing balance with the entries up to the period's end.

    What was used of it is final, so the wallet books all of it first.

    Raises:
        StatementUnproved: they differ; it is announced.
        Overloaded: others are on the wallet; try again.
    """
    drift = until_it_holds(lambda: _book(table, organization, closing, now))
    if drift is None:
        movement, entries = _read(table, closing)
        stated = movement.opening + movement.purchases - closing.charged
        if stated != entries:
            drift = Drift(closing.org_id, "statement", closing.period, entries, stated)
    if drift is not None:
        announce(table, drift, now)
        raise StatementUnproved(
            f"{drift.what} {drift.subject}: entries come to {drift.expected}, not {drift.found}"
        )


def _book(
    table: Table, organization: Organization, closing: Closing, now: datetime
) -> Drift | None:
    """Let the wallet bear what the period's ledger charged; tell if it cannot, or bore more."""
    wallet: Wallet = open_wallet(table, organization, now)
    booked = wallet.booked.get(closing.period, 0)
    if booked > closing.charged or closing.charged - booked > wallet.total:
        return Drift(closing.org_id, "statement", closing.period, booked, closing.charged)
    step = book(wallet, closing.period, closing.charged, now)
    if step is not None:
        take_step(table, wallet, step)
    return None


def _read(table: Table, closing: Closing) -> tuple[Movement, int]:
    """Return a period's movement, and what all entries up to its end come to.

    Usage belongs to its period, whenever it was booked; anything else to the time of its entry.
    """
    movement, balance, is_first = Movement(0, 0, 0), 0, True
    for invoice in list_invoices(table, closing.org_id):
        if invoice.kind == "statement" and invoice.period < closing.period:
            assert invoice.movement is not None, "a statement tells of a wallet"
            last = invoice.movement.last_entry
            movement, is_first = Movement(invoice.closing_balance, 0, last), False
    opening, purchases, last = movement.opening, 0, movement.last_entry
    starts_at, ends_at = wire_moment(closing.starts_at), wire_moment(closing.ends_at)
    is_over = False
    for entry in list_wallet_entries(table, closing.org_id):
        is_over = is_over or entry.created_at >= ends_at
        if entry.kind == "usage":
            period = entry.period or ""
            balance += entry.amount if period <= closing.period else 0
            # What was used before there were statements is in what the first one begins with.
            opening += entry.amount if is_first and period < closing.period else 0
        elif not is_over:
            balance += entry.amount
            if is_first and entry.created_at < starts_at:
                opening += entry.amount
            elif entry.version > movement.last_entry:
                purchases += entry.amount
        if not is_over:
            last = max(last, entry.version)
    return replace(movement, opening=opening, purchases=purchases, last_entry=last), balance
