"""Whether a wallet reloads itself now, and if not, why not and what would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from headroom.core.domain.instants import from_millis, to_millis
from headroom.wallets.domain.wallet import Breaker, Wallet

ReloadState = Literal[
    "off",
    "ready",
    "pending",
    "needs_action",
    "declined",
    "cooling_down",
    "ceiling_reached",
    "no_payment_method",
]

# What the owner can do about it.
NEXT_STEPS: Final[Mapping[ReloadState, str]] = {
    "needs_action": "complete_payment",
    "declined": "update_payment_method",
    "ceiling_reached": "raise_monthly_limit",
    "no_payment_method": "add_payment_method",
}
# What pays what a wallet owes: money put in, by its owner or by a reload with a card that works.
OWING_STEPS: Final = ("top_up", "update_payment_method")
# Why reloads stop when a payment by the method was disputed.
DISPUTED: Final = "disputed"
# A reload that is asked for is there after about so long, and one without an outcome is asked for
# again after so long.
RELOAD_TAKES: Final = timedelta(seconds=5)
PENDING_LOOK: Final = timedelta(minutes=1)
# A look that found nothing due is asked for again after so long.
ASK_EVERY: Final = timedelta(seconds=2)
# Without auto-reload a wallet is low at this share of what was last put in.
LOW_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class PaymentTerms:
    """What may be paid at once, in nanos, and how long a wallet rests between two reloads."""

    least: int
    most: int
    cool_down: timedelta


@dataclass(frozen=True, slots=True)
class ComingReload:
    """A reload that comes by itself, and when it should be there if the processor answers."""

    status: Literal["under_way", "due", "cooling_down"]
    expected_at: datetime


def reloaded_in(wallet: Wallet, month: str) -> int:
    """Return what the reloads of a month came to, those under way included.

    A clock that is behind counts in the month that the others have reached.
    """
    return wallet.reloaded if wallet.month >= month else 0


def reload_state(wallet: Wallet, month: str, now: datetime) -> ReloadState:
    """Return what stands in a reload's way, "ready" if nothing does but the balance."""
    auto = wallet.auto_reload
    if auto is None:
        return "off"
    for payment in wallet.pending:
        if payment.kind == "reload":
            return "needs_action" if payment.awaits_holder else "pending"
    if wallet.payment_method is None:
        return "no_payment_method"
    if wallet.breaker and wallet.breaker.payment_method_id == _charged_method(wallet):
        return "declined"
    limit = auto.monthly_limit
    if limit is not None and reloaded_in(wallet, month) + auto.amount > limit:
        return "ceiling_reached"
    return "cooling_down" if wallet.cool_until_millis > to_millis(now) else "ready"


def with_breaker(wallet: Wallet, payment_method_id: str, code: str) -> Wallet:
    """Return the wallet with its breaker open for a payment method.

    What stops the method that is charged now stays: it is not replaced by another method's, and a
    decline not by a dispute, which may be won.
    """
    standing = wallet.breaker
    if standing is not None and payment_method_id != standing.payment_method_id:
        if standing.payment_method_id == _charged_method(wallet):
            return wallet
    elif standing is not None and code == DISPUTED:
        return wallet
    return replace(wallet, breaker=Breaker(payment_method_id, code))


def without_dispute(wallet: Wallet, payment_method_id: str) -> Wallet:
    """Return the wallet without a breaker that disputes opened for a payment method."""
    if wallet.breaker != Breaker(payment_method_id, DISPUTED):
        return wallet
    return replace(wallet, breaker=None)


def has_crossed(wallet: Wallet, free: int) -> bool:
    """Tell whether what is free has reached the threshold, with what is under way as arrived.

    What is held is not free: nobody else can spend it.
    """
    auto = wallet.auto_reload
    return auto is not None and free + wallet.pending_total <= auto.threshold


def coming_reload(
    wallet: Wallet, state: ReloadState, free: int, now: datetime
) -> ComingReload | None:
    """Return the reload that comes if nobody does anything, None if none does."""
    if state == "pending":
        begun = max(
            (
                from_millis(payment.created_at_millis)
                for payment in wallet.pending
                if payment.kind == "reload" and not payment.unwanted
            ),
            default=None,
        )
        if begun is None:
            return None
        late = now - begun >= PENDING_LOOK
        return ComingReload("under_way", now + (PENDING_LOOK if late else RELOAD_TAKES))
    if not has_crossed(wallet, free):
        return None
    if state == "ready":
        return ComingReload("due", now + RELOAD_TAKES)
    if state == "cooling_down":
        return ComingReload("cooling_down", from_millis(wallet.cool_until_millis) + RELOAD_TAKES)
    return None


def is_low(wallet: Wallet, balance: int, state: ReloadState) -> bool:
    """Tell whether the owner should hear that the balance is low, because nothing reloads it."""
    if state in ("ready", "pending", "cooling_down"):
        return False
    if wallet.auto_reload is not None:
        return balance <= wallet.auto_reload.threshold
    # Nothing can be low where there never was anything.
    return wallet.credits > 0 and (balance + wallet.pending_total) * LOW_SHARE <= wallet.last_credit


def _charged_method(wallet: Wallet) -> str | None:
    return wallet.payment_method.payment_method_id if wallet.payment_method else None
