"""Who changed what: the facts that an audit entry keeps, and what is announced of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from headroom.core.domain.actor import Actor
from headroom.core.domain.money import format_limit
from headroom.organizations.domain.mail_topics import TOPICS
from headroom.organizations.domain.organization import (
    LIMIT_PERIODS,
    SEAT_TIERS,
    Member,
    Organization,
)

# A flat picture of settings: wire names and wire values, so that two of them can be compared.
Facts = Mapping[str, Any]


# What changes are called. The page says each in words.
Action = Literal[
    "extra_usage.enabled",
    "extra_usage.disabled",
    "extra_usage.members_changed",
    "extra_usage.requests_changed",
    "spend_limit.changed",
    "settings.changed",
    "tax.changed",
    "pricing.changed",
    "member.added",
    "member.removed",
    "member.changed",
    "payment.past_due",
    "payment.settled",
    "notifications.changed",
    "wallet.payment_past_due",
    "wallet.payment_settled",
    "wallet.auto_reload_changed",
    "wallet.payment_method_changed",
    "wallet.adjusted",
    "wallet.reload_retried",
    "billing_period.close_retried",
    "invoice.payment_received",
    "invoice.payment_returned",
    "invoice.credited",
    "webhook_endpoint.created",
    "webhook_endpoint.changed",
    "webhook_endpoint.deleted",
    "webhook_endpoint.secret_rotated",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of an organization's settings, with what it was before and is after."""

    org_id: str
    version: int
    at: datetime
    actor: Actor
    action: Action
    subject: str
    before: Facts
    after: Facts


def organization_facts(organization: Organization) -> Facts:
    """Return an organization's settings, flat."""
    facts: dict[str, Any] = {
        "enabled": organization.enabled,
        "members": organization.admission,
        "spend_limit": format_limit(organization.cap_nanos),
        "requests_enabled": organization.requests_enabled,
        "past_due": organization.past_due,
        "tax": None if (tax := organization.tax) is None else {"name": tax.name, "rate": tax.rate},
        "pricing.default_inference_geo": organization.pricing.default_inference_geo,
        "pricing.loop_rounds": organization.pricing.loop_rounds,
        "pricing.model_aliases": ", ".join(
            f"{name}: {model}" for name, model in sorted(organization.pricing.model_aliases.items())
        ),
        **{f"mail.{topic}": topic not in organization.muted for topic in TOPICS},
    }
    for tier in SEAT_TIERS:
        limits = organization.tiers[tier].limits
        for period in LIMIT_PERIODS:
            if period in limits:
                facts[f"seat_tiers.{tier}.{period}"] = format_limit(limits[period])
    return facts


def member_facts(member: Member) -> Facts:
    """Return a member's settings, flat."""
    # Whoever is no member has no role: so joining shows which one was given, leaving which is gone.
    facts: dict[str, Any] = {
        **({"role": member.role} if member.active else {}),
        "seat_tier": member.seat_tier,
        "extra_usage": member.admitted,
        "continue_with_extra_usage": member.continues,
        "active": member.active,
    }
    for period in LIMIT_PERIODS:
        if period in member.limits:
            facts[f"spend_limit.{period}"] = format_limit(member.limits[period])
    return facts


def difference(before: Facts, after: Facts) -> tuple[Facts, Facts]:
    """Return what differs, as it was and as it is; a setting that was not there is left out."""
    names = {
        name for name in {*before, *after} if before.get(name, _GONE) != after.get(name, _GONE)
    }
    return (
        {name: before[name] for name in sorted(names) if name in before},
        {name: after[name] for name in sorted(names) if name in after},
    )


_GONE = object()
