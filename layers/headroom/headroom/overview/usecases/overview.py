"""What owners and members see of extra usage: the state, the figures, and what to do next."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headroom.core.domain.instants import from_millis, to_wire
from headroom.core.domain.money import format_amount, format_limit
from headroom.core.errors import NotFound
from headroom.core.store.table import Table
from headroom.limits.store.increases import find_pending, list_pending
from headroom.organizations.domain.organization import (
    LIMIT_PERIODS,
    SEAT_TIERS,
    Organization,
    admits,
    effective_limits,
)
from headroom.overview.domain.steps import next_step, setup_steps
from headroom.payments.usecases.wallet_view import auto_reload_to_wire
from headroom.payments.usecases.wallets import open_wallet
from headroom.spending.domain.allotment import (
    Claim,
    Refusal,
    Shortage,
    as_drained,
    decide,
    limit_used,
)
from headroom.spending.domain.budget import Budget, refresh
from headroom.spending.domain.spending import spent_so_far
from headroom.spending.store.budgets import Picture, take_picture
from headroom.spending.store.unpriced import count_unpriced
from headroom.spending.usecases.totals import is_anything_idle, total
from headroom.wallets.usecases.empty_wallet import find_coming_reload, reload_to_wire


def extra_usage(table: Table, organization: Organization, now: datetime) -> dict[str, Any]:
    """Return everything that the Settings > Usage page shows, exact at this moment."""
    wallet = open_wallet(table, organization, now) if organization.plan == "team" else None
    totals = total(table, organization)
    has_paid = wallet is not None and (wallet.payment_method is not None or totals.balance > 0)
    reloads = wallet is not None and wallet.auto_reload is not None
    remaining = None
    if organization.cap_nanos is not None:
        left = organization.cap_nanos - totals.spent - totals.held
        remaining = format_amount(max(left, 0))
    answer: dict[str, Any] = {
        "type": "extra_usage",
        "plan": organization.plan,
        "enabled": organization.enabled,
        "next_step": next_step(organization, has_paid=has_paid, reloads=reloads),
        "steps": [
            {"name": name, "status": status}
            for name, status in setup_steps(
                organization, has_paid=has_paid, reloads=reloads
            ).items()
        ],
        "period": totals.period,
        "currency": organization.currency,
        "members": {"mode": organization.admission},
        "spend_limit": {
            "amount": format_limit(organization.cap_nanos),
            "period_to_date_spend": format_amount(totals.spent),
            "held": format_amount(totals.held),
            "remaining": remaining,
        },
        "seat_tiers": {tier: _tier(organization, tier) for tier in SEAT_TIERS},
        "requests": {
            "enabled": organization.requests_enabled,
            "pending": sum(1 for _ in list_pending(table, organization.org_id)),
        },
        "unpriced": {"events": count_unpriced(table, organization.org_id)},
    }
    if wallet is not None:
        answer["wallet"] = {
            "balance": format_amount(totals.balance),
            "held": format_amount(totals.held + totals.held_earlier),
            "auto_reload": auto_reload_to_wire(organization, wallet, now),
        }
    return answer


def own_extra_usage(
    table: Table, organization: Organization, user_id: str, now: datetime
) -> dict[str, Any]:
    """Return a member's own view: allowance, limits, spend, and what would happen next.

    Raises:
        NotFound: the organization has no such member.
    """
    picture = take_picture(table, organization.org_id, user_id)
    if picture is None:
        raise NotFound("user_id: the organization has no such member")
    organization, member = picture.organization, picture.member
    budget = _as_of(picture, now)
    return {
        "type": "member_extra_usage",
        "user_id": member.user_id,
        "name": member.name,
        "role": member.role,
        "plan": organization.plan,
        "seat_tier": member.seat_tier,
        "period": budget.period,
        "currency": organization.currency,
        "enabled": organization.enabled,
        "admitted": admits(organization, member),
        "continue_with_extra_usage": member.continues,
        "allowance": [
            {
                "window": window.duration,
                "amount": format_amount(window.amount_nanos),
                "remaining": format_amount(
                    max(min(budget.included_left + window.excess_nanos, window.amount_nanos), 0)
                ),
                "resets_at": to_wire(from_millis(window.resets_at_millis)),
            }
            for window in budget.windows
        ],
        "limits": [
            {
                "period": limit.period,
                "amount": format_limit(limit.amount_nanos),
                "source": limit.source,
                "remaining": format_amount(
                    max(limit.amount_nanos - limit_used(budget, limit.period), 0)
                ),
            }
            for limit in effective_limits(organization, member)
        ],
        "period_to_date_spend": format_amount(
            spent_so_far(picture.budget, organization, "monthly", now)
        ),
        "held": format_amount(budget.held),
        "requests": {
            "enabled": organization.plan == "enterprise" and organization.requests_enabled,
            "pending": find_pending(table, organization.org_id, user_id),
        },
        "next_request": _next_request(table, picture, budget, now),
    }


def _tier(organization: Organization, tier: str) -> dict[str, Any]:
    limits = next(organization.tiers[name].limits for name in SEAT_TIERS if name == tier)
    shown: dict[str, Any] = {"spend_limit": format_limit(limits.get("monthly"))}
    for period in LIMIT_PERIODS[1:]:
        if period in limits:
            shown[f"{period}_spend_limit"] = format_limit(limits[period])
    return shown


def _as_of(picture: Picture, now: datetime) -> Budget:
    """The budget as the next request would find it, without an idle allotment in the way."""
    budget = picture.budget
    if budget is not None and budget.is_open(now):
        return budget
    if budget is not None and budget.allotment:
        return budget
    return refresh(
        budget, picture.organization, picture.member, now, pool_period=picture.pool.period
    )


def _next_request(table: Table, picture: Picture, budget: Budget, now: datetime) -> dict[str, Any]:
    """Say what would happen to a request of the smallest size."""
    organization, pool = picture.organization, picture.pool
    if budget.included_left > 0:
        return {"source": "included"}
    claim = Claim(1, lambda available: 1 if available >= 1 else 0)
    decision = decide(organization, picture.member, pool, budget, claim, now)
    if isinstance(decision, Shortage) and not is_anything_idle(table, organization.org_id, now):
        decision = decide(organization, picture.member, as_drained(pool, now), budget, claim, now)
    if not isinstance(decision, Refusal):
        return {"source": "extra_usage"}
    told: dict[str, Any] = {
        "source": None,
        "reason": decision.reason,
        "resets_at": to_wire(decision.resets_at) if decision.resets_at else None,
    }
    if decision.reason == "wallet_empty":
        coming = find_coming_reload(table, organization, pool.funds, now)
        told["reload"] = reload_to_wire(coming)
    return told
