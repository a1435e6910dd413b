"""The decision: may this much be taken now, from whom, and if not, which level says no.

All logic of limits lives here. It looks at one consistent picture of settings, pool and budget;
whoever carries its answer out does so on condition that the picture still holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.domain.periods import day_bounds, period_bounds, time_zone, week_bounds
from headroom.organizations.domain.organization import (
    EffectiveLimit,
    LimitPeriod,
    Member,
    Organization,
    SeatTier,
    admits,
    effective_limits,
)
from headroom.organizations.domain.pool import Pool
from headroom.spending.domain.budget import Budget

Reason = Literal[
    "included_limit_reached",
    "extra_usage_disabled",
    "member_not_enabled",
    "organization_limit_reached",
    "seat_tier_limit_reached",
    "user_limit_reached",
    "wallet_empty",
    "payment_past_due",
    "contended",
    "too_many_open_authorizations",
]
Level = Literal["organization", "seat_tier", "user"]

# A slice is this many requests of the size at hand, twice the last one while grants follow each
# other quickly, and never more than a small share of what the pool still has: near the limit a
# slice shrinks to exactly the request, so that nothing sits idle with anyone.
SLICE_REQUESTS: Final = 16
SLICE_SHARE: Final = 64
SLICE_GROWS_WITHIN_MILLIS: Final = 60_000
SLICE_LASTS_MILLIS: Final = 600_000

# Open holds of one member. They share an item, and a member has only so many hands.
HOLDS_MAX: Final = 100

NEXT_STEPS: Final[dict[Reason, tuple[str, ...]]] = {
    "included_limit_reached": ("choose_to_continue", "wait_for_reset"),
    "extra_usage_disabled": ("ask_owner_to_enable", "wait_for_reset"),
    "member_not_enabled": ("ask_owner_to_admit", "wait_for_reset"),
    "organization_limit_reached": ("ask_owner_to_raise_limit", "wait_for_reset"),
    "seat_tier_limit_reached": ("request_increase", "wait_for_reset"),
    "user_limit_reached": ("request_increase", "wait_for_reset"),
    "wallet_empty": ("top_up", "enable_auto_reload"),
    "payment_past_due": ("update_payment_method",),
    "contended": ("retry",),
    "too_many_open_authorizations": ("settle_or_release",),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request asks of the money: `wanted` nanos, or as little as `fit` allows.

    `fit(available)` is the largest acceptable amount within `available`, 0 if there is none.
    `chooses` is the member's choice for this request alone, None if they made none.
    `has_happened` says that it is for usage, which is decided on even if the member has left since;
    a request of theirs is not.
    """

    wanted: int
    fit: Callable[[int], int]
    chooses: bool | None = None
    has_happened: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """Take `take` from the pool and spend `amount` of it and the member's own allotment.

    If `opens`, what is left over becomes the member's allotment; otherwise nothing is left over,
    and what a settlement does not need returns to the pool. If `asks_reload`, it takes the pool's
    funds to where the wallet should be reloaded, and whoever takes it says so.
    """

    amount: int
    take: int
    opens: bool
    limits: tuple[EffectiveLimit, ...]
    asks_reload: bool = False


@dataclass(frozen=True, slots=True)
class Shortage:
    """The pool has too little, but others may hold some idly: recall it and look again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, which level says so, and until when. `affordable` is what would still fit."""

    reason: Reason
    level: Level
    user_id: str
    seat_tier: SeatTier
    resets_at: datetime | None = None
    affordable: int = 0

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed if nothing but time passes for a moment."""
        return self.reason == "contended"


def decide(
    organization: Organization,
    member: Member,
    pool: Pool,
    budget: Budget,
    claim: Claim,
    now: datetime,
) -> Grant | Shortage | Refusal:
    """Decide on extra usage, given a budget whose included windows have nothing left."""

    def refuse(
        reason: Reason, level: Level, resets_at: datetime | None = None, affordable: int = 0
    ) -> Refusal:
        return Refusal(
            reason, level, member.user_id, member.seat_tier, resets_at, max(affordable, 0)
        )

    window = budget.exhausted_window
    seat_resets_at = from_millis(window.resets_at_millis) if window else None
    if not organization.enabled:
        return refuse("extra_usage_disabled", "organization", seat_resets_at)
    if not admits(organization, member):
        return refuse("member_not_enabled", "user", seat_resets_at)
    if not (budget.consents if claim.chooses is None else claim.chooses):
        return refuse("included_limit_reached", "user", seat_resets_at)
    if organization.past_due:
        return refuse("payment_past_due", "organization")

    limits = effective_limits(organization, member)
    room, tightest = _own_room(budget, limits, claim.wanted)
    within_own = claim.fit(room)
    if tightest and not within_own:
        reason: Reason = (
            "user_limit_reached" if tightest.source == "user" else "seat_tier_limit_reached"
        )
        resets_at = limit_resets_at(tightest.period, budget, organization)
        return refuse(reason, tightest.source, resets_at, room)

    # While the pool owes (a cap was cut below what is out), own idle money has to go back first.
    own = budget.allotment if pool.available >= 0 else 0
    amount = claim.fit(min(room, pool.available + own))
    if amount < within_own and not pool.is_drained(now):
        return refuse("contended", "organization") if pool.is_being_enforced(now) else Shortage()
    if not amount:
        affordable = min(room, pool.available + own)
        if pool.funds < pool.unallotted:
            return refuse("wallet_empty", "organization", None, affordable)
        resets_at = limit_resets_at("monthly", budget, organization)
        return refuse("organization_limit_reached", "organization", resets_at, affordable)

    need = max(amount - own, 0)
    target = _slice_target(budget, amount, now)
    left = pool.left_to_reload(now)
    # Beside the threshold of a reload slices are as small as beside the end, so that next to
    # nothing sits idle when the pool's own figure reaches it.
    handed_out_of = pool.available if left is None or left <= 0 else min(pool.available, left)
    take = max(need, min(target, handed_out_of // SLICE_SHARE, room - budget.allotment))
    return Grant(amount, take, take > need, limits, left is not None and left <= take)


def as_drained(pool: Pool, now: datetime) -> Pool:
    """Return the pool as a recall would leave it that found nothing idle."""
    return replace(pool, drained_at=pool.grants, expiry_millis=to_millis(now) + 1)


def limit_used(budget: Budget, period: LimitPeriod) -> int:
    """Return what counts against a member's own limit: spent and held, not what sits idle."""
    granted = {
        "monthly": budget.granted,
        "daily": budget.day_granted,
        "weekly": budget.week_granted,
    }[period]
    return granted - budget.allotment


def _own_room(
    budget: Budget, limits: tuple[EffectiveLimit, ...], wanted: int
) -> tuple[int, EffectiveLimit | None]:
    """Return what the member's own limits still allow, and the tightest of them."""
    rooms = [(limit.amount_nanos - limit_used(budget, limit.period), limit) for limit in limits]
    if not rooms:
        return max(wanted, budget.allotment) * SLICE_SHARE * SLICE_REQUESTS, None
    return min(rooms, key=lambda room: room[0])


def _slice_target(budget: Budget, amount: int, now: datetime) -> int:
    age = to_millis(now) - budget.granted_at_millis
    if age < SLICE_GROWS_WITHIN_MILLIS:
        followed = budget.slice_nanos * 2
    elif age < SLICE_LASTS_MILLIS:
        followed = budget.slice_nanos
    else:
        followed = 0
    return max(amount * SLICE_REQUESTS, followed)


def limit_resets_at(period: LimitPeriod, budget: Budget, organization: Organization) -> datetime:
    """Return the moment at which a limit of this period counts from nothing again."""
    match period:
        case "daily":
            return day_bounds(budget.day)[1]
        case "weekly":
            return week_bounds(budget.week)[1]
        case "monthly":
            return period_bounds(budget.period, time_zone(organization.time_zone))[1]
