"""Spend limits: of the organization, of a seat tier, of one member; and what holds for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from headroom.core.domain.actor import Actor
from headroom.core.domain.money import format_amount_rounded, format_limit
from headroom.core.errors import InvalidRequest, NotFound
from headroom.core.store.table import Change, Table
from headroom.limits.store.limits import (
    LimitPlace,
    LimitRow,
    delete_limit,
    find_limit,
    put_limit,
)
from headroom.limits.usecases.settings import Reason, change_organization, change_person
from headroom.organizations.domain.organization import (
    LIMIT_PERIODS,
    SEAT_TIERS,
    LimitPeriod,
    Member,
    Organization,
    SeatTier,
    Tier,
    effective_limits,
)
from headroom.spending.domain.budget import Budget
from headroom.spending.domain.spending import spent_so_far

CHANGED: Final = "spend_limit.changed"


def set_limit(
    table: Table,
    organization: Organization,
    place: LimitPlace,
    amount_nanos: int | None,
    actor: Actor,
    now: datetime,
    *,
    seen: int | None = None,
) -> LimitRow:
    """Set a spend limit; it holds when this returns. None says explicitly that there is none.

    With `seen`, only if that is still the version of the settings.

    Raises:
        InvalidRequest: the plan has no such limit.
        NotFound: there is no such member.
        Overtaken: the settings have another version than `seen`.
        Overloaded: the change is not in force everywhere yet; repeat it.
    """
    if place.scope_type == "organization" and place.period != "monthly":
        raise InvalidRequest("period", "the organization's limit is monthly")
    if place.scope_type == "seat_tier" and organization.plan == "team":
        raise InvalidRequest("scope", "seat tiers have limits on Enterprise only")
    before = find_limit(table, place)

    def also() -> Sequence[Change]:
        return [put_limit(place, amount_nanos, before, now)]

    reason = Reason(actor, CHANGED, also)
    match place.scope_type:
        case "organization":
            change_organization(
                table,
                place.org_id,
                lambda old: replace(
                    old, cap_nanos=amount_nanos, set_up=old.set_up | {"spend_limit"}
                ),
                now,
                reason,
                seen=seen,
            )
        case "seat_tier":
            tier = _tier_named(place.scope_id)
            change_organization(
                table,
                place.org_id,
                lambda old: _with_tier_limit(old, tier, place.period, amount_nanos),
                now,
                reason,
                touches=lambda budget: budget.seat_tier == tier,
                seen=seen,
            )
        case "user":
            change_person(
                table,
                place.org_id,
                place.scope_id,
                lambda old: with_own_limit(old, place.period, amount_nanos),
                now,
                reason,
                seen=seen,
            )
    row = find_limit(table, place)
    assert row is not None, "the row was written with the setting"
    return row


def remove_override(
    table: Table, place: LimitPlace, actor: Actor, now: datetime, *, seen: int | None = None
) -> None:
    """Remove a member's own limit, so that their seat tier's holds again.

    If there is none it was perhaps removed by a run that was cut off before it took back what the
    member had been handed out, so that is finished first. With `seen`, only if that is still the
    version of the settings.

    Raises:
        InvalidRequest: it is the organization's or a tier's, which can only be set.
        NotFound: there is no such limit.
        Overtaken: the settings have another version than `seen`.
        Overloaded: the change is not in force everywhere yet; repeat it.
    """
    if place.scope_type != "user":
        raise InvalidRequest(
            "spend_limit_id", "only a member's own limit can be deleted; set this one to null"
        )
    if find_limit(table, place) is None:
        change_person(table, place.org_id, place.scope_id, lambda old: old, now)
        raise NotFound("spend_limit_id: there is no spend limit with this id")
    change_person(
        table,
        place.org_id,
        place.scope_id,
        lambda old: replace(
            old,
            limits={name: old.limits[name] for name in old.limits if name != place.period},
        ),
        now,
        Reason(actor, CHANGED, lambda: [delete_limit(place)]),
        seen=seen,
    )


def with_own_limit(old: Member, period: LimitPeriod, amount_nanos: int | None) -> Member:
    """Return a member with a limit of their own; None says explicitly that there is none.

    Raises:
        NotFound: they have left.
    """
    if not old.active:
        raise NotFound(f"user_id: the organization has no member {old.user_id}")
    return replace(old, limits={**old.limits, period: amount_nanos})


def limit_to_wire(organization: Organization, row: LimitRow) -> dict[str, Any]:
    """Return a spend limit as the wire has it."""
    place = row.place
    return {
        "type": "spend_limit",
        "id": place.spend_limit_id,
        "scope": scope_to_wire(place),
        "amount": format_limit(row.amount_nanos),
        "currency": organization.currency,
        "period": place.period,
        "is_enabled": organization.enabled if place.scope_type == "organization" else True,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def scope_to_wire(place: LimitPlace) -> dict[str, str]:
    """Return what a limit applies to, as the wire has it."""
    match place.scope_type:
        case "organization":
            return {"type": "organization"}
        case "seat_tier":
            return {"type": "seat_tier", "seat_tier": place.scope_id}
        case "user":
            return {"type": "user", "user_id": place.scope_id}


def effective_rows(
    organization: Organization,
    member: Member,
    budget: Budget | None,
    periods: Sequence[LimitPeriod],
    now: datetime,
) -> list[dict[str, Any]]:
    """Return a member's effective limits with what they have spent under each.

    Without `periods` there is a row for each period that has a limit, and always the month's.
    """
    limits = {limit.period: limit for limit in effective_limits(organization, member)}
    named = {period for period in LIMIT_PERIODS if period in member.limits}
    shown = periods or [
        period
        for period in LIMIT_PERIODS
        if period == "monthly" or period in limits or period in named
    ]
    return [
        _effective_row(organization, member, budget, period, limits.get(period) is not None, now)
        for period in shown
    ]


def _effective_row(
    organization: Organization,
    member: Member,
    budget: Budget | None,
    period: LimitPeriod,
    is_limited: bool,
    now: datetime,
) -> dict[str, Any]:
    tier = organization.tiers[member.seat_tier].limits
    amount: int | None = None
    if period in member.limits:
        source = LimitPlace(organization.org_id, "user", member.user_id, period)
        amount = member.limits[period]
    elif is_limited or period in tier:
        source = LimitPlace(organization.org_id, "seat_tier", member.seat_tier, period)
        amount = tier[period]
    else:
        source = LimitPlace(organization.org_id, "organization", "", "monthly")
    return {
        "type": "spend_summary",
        "actor": actor_to_wire(member),
        "scope": {"type": "user", "user_id": member.user_id},
        "source": scope_to_wire(source),
        "spend_limit_id": source.spend_limit_id,
        "amount": format_limit(amount),
        "currency": organization.currency,
        "period": period,
        "period_to_date_spend": format_amount_rounded(
            spent_so_far(budget, organization, period, now)
        ),
    }


def actor_to_wire(member: Member) -> dict[str, Any]:
    """Return a member as the actor of a row or request."""
    return {
        "type": "user_actor",
        "user_id": member.user_id,
        "name": member.name,
        "email_address": member.email,
        "deleted": not member.active,
    }


def _with_tier_limit(
    old: Organization, tier: SeatTier, period: LimitPeriod, amount_nanos: int | None
) -> Organization:
    changed = Tier({**old.tiers[tier].limits, period: amount_nanos}, old.tiers[tier].allowance)
    return replace(
        old, tiers={**old.tiers, tier: changed}, set_up=old.set_up | {"seat_tier_limits"}
    )


def _tier_named(name: str) -> SeatTier:
    for tier in SEAT_TIERS:
        if tier == name:
            return tier
    raise NotFound("seat_tier: there is no such seat tier")
