"""What an owner is led through after enabling, and which step is next."""

from __future__ import annotations

from typing import Final

from headroom.domain.organization import Organization, Plan

# In the order of the plan.
STEPS: Final[dict[Plan, tuple[str, ...]]] = {
    "team": ("payment", "auto_reload", "spend_limit", "members"),
    "enterprise": ("spend_limit", "seat_tier_limits", "members"),
}


def next_step(organization: Organization, *, has_paid: bool) -> str | None:
    """Return what the owner should set next, None when all is set.

    A step is done when its owner has been there, whatever they chose, or when what it would set is
    there already: a cap that the organization was provisioned with is one. Without any it is not
    known that somebody wanted none.
    """
    if not organization.enabled:
        return "enable"
    done = set(organization.set_up)
    if has_paid:
        done.add("payment")
    if organization.cap_nanos is not None:
        done.add("spend_limit")
    if any(tier.limits for tier in organization.tiers.values()):
        done.add("seat_tier_limits")
    return next((step for step in STEPS[organization.plan] if step not in done), None)
