"""Owners enable extra usage and are led through their plan's steps, and can turn it off."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.browser.houses import refusal, settings
from tests.browser.visitors import Visitor

OFF = {"enabled": False, "members": "everyone"}


def enable(owner: Visitor, picture: str) -> None:
    expect(owner.page.locator("#enable")).to_be_visible()
    owner.picture(f"{picture}-off")
    owner.page.locator("#enable").click()
    owner.picture(f"{picture}-enable")
    owner.confirm("Enable")


def due(owner: Visitor, step: str) -> None:
    expect(owner.page.locator('[aria-current="step"]')).to_contain_text(step)


def test_an_enterprise_owner_is_led_through_the_limits(stack: dict[str, Any], visit: Visit) -> None:
    house = provision(stack, "enterprise", extra_usage=OFF, spend_limit=None)
    owner = visit(house, "owner")
    assert refusal(house) == "extra_usage_disabled"
    enable(owner, "enterprise")
    assert refusal(house) is None
    due(owner, "Set a monthly cap")
    owner.picture("enterprise-steps")
    owner.page.locator("#next-step").click()
    owner.dialog.get_by_label("Monthly cap").fill("500")
    owner.confirm("Set cap")
    due(owner, "Set caps by seat")
    owner.page.locator("#next-step").click()
    owner.dialog.get_by_label("Monthly cap for each member").fill("20")
    owner.confirm("Set cap")
    due(owner, "Choose who may use it")
    owner.page.locator("#next-step").click()
    owner.dialog.get_by_label("Everyone").check()
    owner.confirm("Save")

    expect(owner.page.locator(".setup")).to_have_count(0)
    found = settings(house)
    assert found["next_step"] is None
    assert found["spend_limit"]["amount"] == "50000"
    assert found["seat_tiers"]["standard"]["spend_limit"] == "2000"


def test_extra_usage_is_turned_off_at_once_and_on_again(
    stack: dict[str, Any], visit: Visit
) -> None:
    house = provision(stack, "enterprise")
    owner = visit(house, "owner")
    owner.page.locator("#disable").click()
    expect(owner.dialog).to_contain_text("Nothing new starts from the moment you confirm.")
    owner.picture("turn-off")
    owner.confirm("Turn off")
    assert refusal(house) == "extra_usage_disabled"
    expect(owner.page.locator("#enable")).to_be_visible()
    owner.page.locator("#enable").click()
    owner.confirm("Enable")
    assert refusal(house) is None
    # The cap is what it was.
    expect(owner.page.locator("#cap-amount")).to_have_text("$1,000.00")


def test_somebody_who_may_not_enable_it_is_told_who_may(
    stack: dict[str, Any], visit: Visit
) -> None:
    house = provision(stack, "enterprise", extra_usage=OFF)
    admin = visit(house, "admin")
    expect(admin.page.get_by_text("Only owners can change these settings.")).to_be_visible()
    expect(admin.page.locator("#enable")).to_have_count(0)
    member = visit(house, "m0")
    expect(
        member.page.get_by_text("Your organization has not enabled extra usage.")
    ).to_be_visible()
    member.picture("own-not-enabled")
