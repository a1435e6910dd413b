"""What a statement tells of a Team's wallet, proved against the wallet's entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headroom.billing.domain.invoice import Movement
from headroom.billing.store.invoices import find_statement_before
from headroom.core.domain.periods import previous_period
from headroom.core.store.records import wire_moment
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.closings import Closing
from headroom.payments.usecases.reconciliation import Drift, announce
from headroom.payments.usecases.wallets import OPENING, open_wallet, until_it_holds
from headroom.wallets.domain.wallet import Wallet, book
from headroom.wallets.store.records import WalletEntryRecord
from headroom.wallets.store.wallets import list_wallet_entries, take_step


class StatementUnproved(Exception):
    """A statement's closing balance is not what the wallet's entries come to.

    That is a fault, and no statement may be written over it.
    """


@dataclass(frozen=True, slots=True)
class _Reading:
    """A period's movement, and the balance at its end: by adding entries up, and as they say it."""

    movement: Movement
    balances: tuple[int, int]


def movement_of(table: Table, closing: Closing) -> Movement:
    """Return what a wallet had when a period began, and what came in and went until it ended.

    A statement goes on behind the last entry of the one before it, so that each is on just one.
    """
    return _read(table, closing).movement


def prove_statement(
    table: Table, organization: Organization, closing: Closing, now: datetime
) -> Movement:
    """Compare a closed period's closing balance with the entries up to the period's end.

    What was used of it is final, so the wallet books all of it first. Returns the movement.

    Raises:
        StatementUnproved: they differ; it is announced.
        Overloaded: others are on the wallet; try again.
    """
    drift = until_it_holds(lambda: _book(table, organization, closing, now))
    if drift is None:
        reading = _read(table, closing)
        movement = reading.movement
        stated = movement.opening + movement.purchases - closing.charged
        entries = next((each for each in reading.balances if each != stated), None)
        if entries is None:
            return movement
        drift = Drift(closing.org_id, "statement", closing.period, entries, stated)
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


def _read(table: Table, closing: Closing) -> _Reading:
    """Read a period's movement, and what the wallet's entries come to at its end.

    Usage belongs to its period, whenever it was booked; anything else to the time of its entry.
    The statement before has proved what the wallet came to, so only what is behind it is read.
    """
    before = find_statement_before(table, closing.org_id, closing.period)
    known = Movement(0, 0, 0) if before is None or before.movement is None else before.movement
    opening, since = (0, "") if before is None else (before.closing_balance, before.period)
    # Of months that have no statement, all is in what this one begins with.
    is_next = since == previous_period(closing.period)
    starts_at, ends_at = wire_moment(closing.starts_at), wire_moment(closing.ends_at)
    purchases, last, ahead = 0, known.last_entry, None
    total: int | None = None if known.read_from else 0
    printed = later = 0
    is_over = False
    for entry in list_wallet_entries(table, closing.org_id, first=known.read_from):
        # The first one that is read stands for all before it.
        total = entry.balance if total is None else total + entry.amount
        printed = entry.balance
        is_new = entry.version > known.last_entry
        if before is None and _was_taken_over(entry) and entry.created_at >= ends_at:
            opening, last = opening + entry.amount, entry.version
            continue
        is_over = is_over or (is_new and entry.created_at >= ends_at)
        if not is_over:
            last = max(last, entry.version)
        if entry.kind == "usage":
            period = entry.period or ""
            if period > closing.period:
                later += entry.amount
                ahead = entry.version if ahead is None else ahead
            elif since < period < closing.period:
                opening += entry.amount
        elif is_over:
            later += entry.amount
        elif is_new and entry.created_at < starts_at and not is_next:
            opening += entry.amount
        elif is_new:
            purchases += entry.amount
    read_from = last if ahead is None else min(last, ahead)
    movement = Movement(opening, purchases, last, read_from)
    return _Reading(movement, ((total or 0) - later, printed - later))


def _was_taken_over(entry: WalletEntryRecord) -> bool:
    """Tell whether an entry is of money that was there before there were entries at all.

    It was taken over when somebody first looked, which may have been after the period's end.
    """
    return entry.version == 1 and entry.kind == "promotional" and entry.description == OPENING
