"""A Team organization's wallet: the lots of money in it, and how each change follows.

Spending never touches the wallet: a usage line is the entry of what it charged, filed with the
budget's counter. `book` takes that spending over into the lots, from totals that only grow, so at
every instant the balance is what the lots have left, less what was spent and is not booked yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from headroom.core.domain.instants import to_millis
from headroom.wallets.domain.payments import PaymentMethod

EntryKind = Literal[
    "purchase", "reload", "promotional", "adjustment", "refund", "chargeback", "expiry", "usage"
]
LotKind = Literal["purchase", "reload", "promotional", "adjustment"]
IntentKind = Literal["purchase", "reload"]

# Later than any lot expires: what sorts those that never do behind the others.
_NEVER: Final = 10**15


@dataclass(frozen=True, slots=True)
class Lot:
    """Money that came into the wallet at one time, and what is left of it. Amounts are nanos.

    `payment_id` is the processor's payment that bought it, `noticed` whether its expiry was
    announced.
    """

    lot_id: str
    kind: LotKind
    amount: int
    remaining: int
    created_at_millis: int
    expires_at_millis: int | None = None
    payment_id: str | None = None
    noticed: bool = False


@dataclass(frozen=True, slots=True)
class AutoReload:
    """Charge `amount` when the balance reaches `threshold`, within `monthly_limit` if there is one.

    All nanos, whole cents.
    """

    threshold: int
    amount: int
    monthly_limit: int | None = None


@dataclass(frozen=True, slots=True)
class ReloadFigures:
    """The figures of auto-reload that were said last, for the next time; None was never said.

    They need not fit each other: what is switched on is checked then.
    """

    threshold: int | None = None
    amount: int | None = None
    monthly_limit: int | None = None


NOTHING_SAID: Final = ReloadFigures()


@dataclass(frozen=True, slots=True)
class PendingPayment:
    """A payment that is under way; in decisions it counts as arrived, unless its holder must act.

    One that is `unwanted` was begun under settings that do not stand any more: it is looked for,
    not asked for again, and given up if it waits for its holder.
    """

    intent_id: str
    kind: IntentKind
    amount: int
    created_at_millis: int
    needs_action: bool = False
    unwanted: bool = False

    @property
    def awaits_holder(self) -> bool:
        """Whether the card's holder should complete it."""
        return self.needs_action and not self.unwanted


@dataclass(frozen=True, slots=True)
class Breaker:
    """Reloads are off because this payment method was declined, or a payment by it disputed."""

    payment_method_id: str
    decline_code: str


@dataclass(frozen=True, slots=True)
class Wallet:
    """The wallet of one organization, as one item under its own `version`.

    `booked` is how much of each period's spending the lots have borne, `owed` what disputed and
    refunded payments still lack, by payment. `reloaded` is what reloads of `month` came to, those
    under way included; `reloads` counts the reloads ever begun, `credits` the credits, and
    `emptied` is the count at which somebody was last told that the wallet is empty.
    `crossed` asks for a look at the balance, at once.
    """

    org_id: str
    version: int = 0
    lots: tuple[Lot, ...] = ()
    booked: Mapping[str, int] = field(default_factory=dict)
    owed: Mapping[str, int] = field(default_factory=dict)
    auto_reload: AutoReload | None = None
    # What the owner set last, also while it is off, so that it can be shown again and its
    # monthly limit holds the next time.
    auto_reload_was: ReloadFigures | None = None
    pending: tuple[PendingPayment, ...] = ()
    # Refunds whose money is taken out, and which the processor has not confirmed yet.
    refunds: tuple[str, ...] = ()
    month: str = ""
    reloaded: int = 0
    reloads: int = 0
    credits: int = 0
    last_credit: int = 0
    emptied: int = -1
    breaker: Breaker | None = None
    cool_until_millis: int = 0
    customer_id: str | None = None
    payment_method: PaymentMethod | None = None
    crossed: bool = False
    looked_at_millis: int = 0
    due_at_millis: int = 0

    @property
    def total(self) -> int:
        """What the lots have left, which is the sum of all entries."""
        return sum(lot.remaining for lot in self.lots)

    @property
    def given(self) -> int:
        """What was ever put in and not taken out again but by spending."""
        return self.total + sum(self.booked.values())

    @property
    def pending_total(self) -> int:
        """What payments under way will bring by themselves: nobody may ever act on the others."""
        return sum(payment.amount for payment in self.pending if not payment.needs_action)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the wallet, immutable. `amount` is signed, `balance` the total after it."""

    org_id: str
    version: int
    kind: EntryKind
    amount: int
    balance: int
    at: datetime
    expires_at_millis: int | None = None
    payment_id: str | None = None
    period: str | None = None
    description: str | None = None

    @property
    def entry_id(self) -> str:
        """The entry's id, derived from its place in the ledger."""
        return entry_id_of(self.org_id, self.version)


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the wallet by one entry; `moved` is what the pool's money changes by."""

    wallet: Wallet
    entry: Entry
    moved: int


def entry_id_of(org_id: str, version: int) -> str:
    """Return the id of the entry that brought a wallet to a version."""
    return f"wtx_{hashlib.sha256(f'{org_id}|{version}'.encode()).hexdigest()[:20]}"


def in_order(lots: Sequence[Lot]) -> list[Lot]:
    """Return lots in the order in which they are spent: oldest-expiring first, then oldest."""
    return sorted(
        lots,
        key=lambda lot: (
            _NEVER if lot.expires_at_millis is None else lot.expires_at_millis,
            lot.created_at_millis,
            lot.lot_id,
        ),
    )


def draw(lots: Sequence[Lot], amount: int) -> tuple[Lot, ...]:
    """Return what is left of lots after `amount` was spent of them, in order, empty ones gone.

    Raises:
        ValueError: the lots have less.
    """
    left: list[Lot] = []
    for lot in in_order(lots):
        taken = min(lot.remaining, amount)
        amount -= taken
        if taken < lot.remaining:
            left.append(replace(lot, remaining=lot.remaining - taken))
    if amount:
        raise ValueError("more was taken than the lots have")
    return tuple(left)


def credit(
    wallet: Wallet,
    kind: EntryKind,
    lot_kind: LotKind,
    amount: int,
    now: datetime,
    *,
    payment_id: str | None = None,
    expires_at_millis: int | None = None,
    description: str | None = None,
) -> Step:
    """Put money in as a lot of its own."""
    version = wallet.version + 1
    lot = Lot(
        entry_id_of(wallet.org_id, version),
        lot_kind,
        amount,
        amount,
        to_millis(now),
        expires_at_millis,
        payment_id,
    )
    after = replace(
        wallet,
        version=version,
        lots=tuple(in_order([*wallet.lots, lot])),
        credits=wallet.credits + 1,
        last_credit=amount,
    )
    entry = Entry(
        wallet.org_id,
        version,
        kind,
        amount,
        after.total,
        now,
        expires_at_millis,
        payment_id,
        None,
        description,
    )
    return Step(after, entry, amount)


def debit(
    wallet: Wallet,
    kind: EntryKind,
    amount: int,
    now: datetime,
    *,
    payment_id: str | None = None,
    description: str | None = None,
) -> Step:
    """Take money out that the pool has: first of the payment's own lots, then in order."""
    own = [lot for lot in wallet.lots if payment_id and lot.payment_id == payment_id]
    others = [lot for lot in wallet.lots if lot not in own]
    first = min(amount, sum(lot.remaining for lot in own))
    lots = (*draw(own, first), *draw(others, amount - first))
    return _taken(wallet, kind, amount, lots, now, payment_id, None, description)


def book(wallet: Wallet, period: str, spent: int, now: datetime) -> Step | None:
    """Let the lots bear what was spent of a period by now; None if they do already.

    `spent` is the period's total, which only grows: booking the same total again is nothing.
    """
    booked = wallet.booked.get(period, 0)
    amount = spent - booked
    if amount <= 0:
        return None
    step = _taken(wallet, "usage", amount, draw(wallet.lots, amount), now, None, period, None)
    after = replace(step.wallet, booked={**wallet.booked, period: spent})
    return Step(after, step.entry, 0)


def expire(wallet: Wallet, funds: int, now: datetime) -> Step | None:
    """Take out what lots that have expired have left; None if that is nothing.

    `funds` is what the pool has. Money outside of it is held, or spent and not booked: it counts
    as drawn from the lots in order, so that only what is really left expires.
    """
    expired = expired_of(wallet, now)
    outside = wallet.total - funds
    amount = max(0, sum(lot.remaining for lot in expired) - outside)
    if not amount:
        return None
    kept: list[Lot] = []
    left = outside
    for lot in in_order(expired):
        remaining = min(lot.remaining, left)
        left -= remaining
        if remaining:
            kept.append(replace(lot, remaining=remaining))
    lots = tuple(in_order([*kept, *(lot for lot in wallet.lots if lot not in expired)]))
    return _taken(wallet, "expiry", amount, lots, now, None, None, None)


def expired_of(wallet: Wallet, now: datetime) -> list[Lot]:
    """Return the lots whose moment has passed."""
    millis = to_millis(now)
    return [
        lot
        for lot in wallet.lots
        if lot.expires_at_millis is not None and lot.expires_at_millis <= millis
    ]


def unspent_of(wallet: Wallet, payment_id: str, funds: int) -> int:
    """Return what is surely left of a payment's money, given what the pool has."""
    left = draw(wallet.lots, max(wallet.total - funds, 0))
    return sum(lot.remaining for lot in left if lot.payment_id == payment_id)


def balance_by(wallet: Wallet, spent: Mapping[str, int]) -> int:
    """Return the balance by the totals of spending that are known, which may be behind.

    So it is never less than the balance really is, unless the wallet was credited since.
    """
    unbooked = sum(max(0, total - wallet.booked.get(period, 0)) for period, total in spent.items())
    return wallet.total - unbooked


def without_pending(wallet: Wallet, intent_id: str) -> Wallet:
    """Return the wallet without a payment that is not under way any more."""
    pending = tuple(each for each in wallet.pending if each.intent_id != intent_id)
    return replace(wallet, pending=pending)


def is_unwanted(wallet: Wallet, intent_id: str) -> bool:
    """Tell whether a payment is under way that nobody wants any more."""
    return any(each.intent_id == intent_id and each.unwanted for each in wallet.pending)


def _taken(
    wallet: Wallet,
    kind: EntryKind,
    amount: int,
    lots: tuple[Lot, ...],
    now: datetime,
    payment_id: str | None,
    period: str | None,
    description: str | None,
) -> Step:
    version = wallet.version + 1
    after = replace(wallet, version=version, lots=tuple(in_order(lots)))
    entry = Entry(
        wallet.org_id,
        version,
        kind,
        -amount,
        after.total,
        now,
        None,
        payment_id,
        period,
        description,
    )
    return Step(after, entry, -amount)
