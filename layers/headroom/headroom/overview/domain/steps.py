"""What an owner is led through after enabling, and which step is next."""

from __future__ import annotations

from typing import Final, Literal

from headroom.organizations.domain.organization import Organization, Plan

# In the order of the plan.
STEPS: Final[dict[Plan, tuple[str, ...]]] = {
    "team": ("payment", "auto_reload", "spend_limit", "members"),
    "enterprise": ("spend_limit", "seat_tier_limits", "members"),
}
# "done" says that what the step sets is in force now; "off" that its owner has been there, and
# that it is not; "due" is the next one.
StepStatus = Literal["done", "off", "due", "open"]


def setup_steps(
    organization: Organization, *, has_paid: bool, reloads: bool
) -> dict[str, StepStatus]:
    """Return how far each step of the plan is, in order.

    A step is behind its owner when they have been there, whatever they chose, or when what it
    would set is there already: a cap that the organization was provisioned with is one. Without
    any it is not known that somebody wanted none.
    """
    in_force = {
        "payment": has_paid,
        "auto_reload": reloads,
        "spend_limit": organization.cap_nanos is not None,
        "seat_tier_limits": any(tier.limits for tier in organization.tiers.values()),
        "members": "members" in organization.set_up,
    }
    steps: dict[str, StepStatus] = {}
    for step in STEPS[organization.plan]:
        if in_force[step]:
            steps[step] = "done"
        elif step in organization.set_up:
            steps[step] = "off"
        else:
            steps[step] = "open" if "due" in steps.values() or not organization.enabled else "due"
    return steps


def next_step(organization: Organization, *, has_paid: bool, reloads: bool) -> str | None:
    """Return what the owner should set next, None when all is set."""
    if not organization.enabled:
        return "enable"
    steps = setup_steps(organization, has_paid=has_paid, reloads=reloads)
    return next((step for step, status in steps.items() if status == "due"), None)
