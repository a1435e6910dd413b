"""An owner is led to what is not set yet, and to nothing that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headroom.organizations.domain.organization import Organization, Plan, Tier
from headroom.overview.domain.steps import STEPS, next_step, setup_steps


def organization(plan: Plan, **changes: object) -> Organization:
    made = Organization(
        org_id="org_acme",
        plan=plan,
        name="Acme",
        currency="USD",
        time_zone="UTC",
        language="en",
        enabled=True,
        admission="everyone",
        cap_nanos=None,
        tiers={"standard": Tier(), "premium": Tier()},
        past_due=False,
        version=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", ["team", "enterprise"])
def test_each_step_follows_the_one_before_it(plan: Plan) -> None:
    seen, done = [], frozenset[str]()
    while (
        step := next_step(organization(plan, set_up=done), has_paid=False, reloads=False)
    ) is not None:
        seen.append(step)
        done |= {step}
    assert tuple(seen) == STEPS[plan]


def test_before_all_it_is_enabled() -> None:
    off = organization("team", enabled=False, set_up=frozenset(STEPS["team"]))
    assert next_step(off, has_paid=True, reloads=False) == "enable"


def test_who_has_paid_is_not_led_to_pay() -> None:
    assert next_step(organization("team"), has_paid=True, reloads=False) == "auto_reload"


@pytest.mark.parametrize(("cap", "step"), [(None, "spend_limit"), (0, None), (500, None)])
def test_a_cap_that_is_there_already_is_not_asked_for(cap: int | None, step: str | None) -> None:
    """Nothing at all is a cap too; no cap may be a choice only if its owner made it."""
    rest = frozenset({"seat_tier_limits", "members"})
    made = organization("enterprise", cap_nanos=cap, set_up=rest)
    assert next_step(made, has_paid=False, reloads=False) == step
    chosen = replace(made, cap_nanos=None, set_up=rest | {"spend_limit"})
    assert next_step(chosen, has_paid=False, reloads=False) is None


def test_a_seat_tiers_limit_that_is_there_already_is_not_asked_for() -> None:
    tiers = {"standard": Tier(), "premium": Tier(limits={"weekly": 0})}
    made = organization("enterprise", cap_nanos=1, tiers=tiers)
    assert next_step(made, has_paid=False, reloads=False) == "members"


@pytest.mark.parametrize("plan", ["team", "enterprise"])
def test_a_step_is_done_only_while_what_it_sets_is_in_force(plan: Plan) -> None:
    """Who has been there and left it off, or switched it off since, is not told that it is on."""
    been = organization(plan, set_up=frozenset(STEPS[plan]))
    left = setup_steps(been, has_paid=False, reloads=False)
    assert left == {step: "done" if step == "members" else "off" for step in STEPS[plan]}
    assert next_step(been, has_paid=False, reloads=False) is None
    limited = replace(been, cap_nanos=0, tiers={"standard": Tier(limits={"daily": 1})})
    assert set(setup_steps(limited, has_paid=True, reloads=True).values()) == {"done"}


def test_the_first_step_that_nobody_took_is_due() -> None:
    steps = setup_steps(organization("team"), has_paid=True, reloads=False)
    assert list(steps.values()) == ["done", "due", "open", "open"]
    off = setup_steps(organization("team", enabled=False), has_paid=False, reloads=True)
    assert list(off.values()) == ["open", "done", "open", "open"]
