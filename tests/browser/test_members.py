"""Caps by member: found, paged, changed; and who is admitted."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.browser.houses import refusal
from tests.browser.visitors import Visitor
from tests.e2e.governed import House


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    return provision(stack, "enterprise", members=43)


def row(visitor: Visitor, house: House, name: str) -> Locator:
    return visitor.page.locator(f'tr[data-user="{house.people[name]}"]')


def choose(visitor: Visitor, house: House, name: str, action: str) -> None:
    visitor.page.locator(f"#actions-{house.people[name]}").click()
    visitor.page.get_by_role("menuitem", name=action).click()


def effective(house: House, name: str) -> dict[str, Any]:
    answer = house.send(
        "GET",
        "/v1/organizations/spend_limits/effective",
        key=house.admin_key,
        query={"user_ids[]": house.people[name], "period[]": "monthly"},
    )
    (found,) = answer.json()["data"]
    assert isinstance(found, dict)
    return found


def test_members_are_paged_and_found_by_name_without_accents(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("members")
    rows = owner.page.locator("tbody tr")
    expect(rows).to_have_count(20)
    expect(owner.page.get_by_text("1\u201320 of 45")).to_be_visible()
    owner.picture("members")
    owner.button("Next").click()
    owner.settle()
    expect(owner.page.get_by_text("21\u201340 of 45")).to_be_visible()
    expect(owner.button("Next")).to_be_focused()
    owner.button("Next").click()
    expect(rows).to_have_count(5)
    expect(owner.button("Next")).to_be_disabled()
    owner.button("Previous").click()
    expect(rows).to_have_count(20)

    owner.page.get_by_label("Search members").fill("noel")

    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("Quentin Noël")
    owner.page.get_by_label("Search members").fill("nobody at all")
    expect(owner.page.get_by_text("Nobody matches.")).to_be_visible()
    expect(rows).to_have_count(0)


def test_in_a_large_organization_the_api_looks_for_somebody(house: House, visit: Visit) -> None:
    """The page has read a part of the directory, and reads no more of it to find them."""
    owner = visit(house, "owner")
    listed: list[str] = []
    searched: list[str] = []

    def pretend(route: Route) -> None:
        url = route.request.url
        if "search=" in url:
            searched.append(url)
            return route.continue_()
        listed.append(url)
        answer = route.fetch()
        more = {**answer.json(), "has_more": True, "next_page": "more"}
        return route.fulfill(response=answer, json=more)

    owner.page.route("**/v1/organizations/members?*", pretend)
    owner.go("members")
    expect(owner.page.get_by_text("1\u201320 of many")).to_be_visible()
    owner.page.get_by_label("Search members").fill("Noël")

    rows = owner.page.locator("tbody tr")
    expect(rows).to_have_count(4)
    expect(owner.page.get_by_text("1\u20134 of 4")).to_be_visible()
    assert (len(listed), len(searched)) == (1, 1)
    choose(owner, house, "m6", "Move to Premium")
    owner.confirm("Change seat")
    expect(row(owner, house, "m6").locator('[data-label="Seat"]')).to_have_text("Premium")
    owner.page.get_by_label("Search members").fill("nobody at all")
    expect(owner.page.get_by_text("Nobody matches.")).to_be_visible()
    assert len(listed) == 1


def test_a_members_limit_is_edited_and_given_up_for_the_seats(house: House, visit: Visit) -> None:
    house.spend("m0", 20_000)
    owner = visit(house, "owner")
    owner.go("members")
    expect(row(owner, house, "m0").locator('[data-label="Spent"]')).to_contain_text("$0.30")
    choose(owner, house, "m0", "Edit limit")
    expect(owner.page.locator("#present-cap")).to_contain_text("Unlimited")
    owner.dialog.get_by_label("Monthly cap").fill("0.25")
    expect(owner.dialog).to_contain_text("their new requests stop at once")
    owner.picture("member-limit")
    owner.confirm("Set cap")

    expect(row(owner, house, "m0").locator(".cap")).to_have_text("$0.25")
    expect(row(owner, house, "m0")).to_contain_text("own limit")
    assert (effective(house, "m0")["amount"], refusal(house, "m0")) == ("25", "user_limit_reached")
    expect(owner.page.locator(f"#actions-{house.people['m0']}")).to_be_focused()
    choose(owner, house, "m0", "Edit limit")
    owner.confirm("Use the seat’s cap")
    expect(row(owner, house, "m0").locator(".cap")).to_have_text("Unlimited")
    assert effective(house, "m0")["source"]["type"] == "organization"
    assert refusal(house, "m0") is None


def test_only_those_who_are_switched_on_are_admitted(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.page.locator("#choose-members").click()
    owner.dialog.get_by_label("Specific members").check()
    owner.picture("who-may-use-it")
    owner.confirm("Save")
    expect(owner.page.locator("h1")).to_have_text("Members")
    switch = owner.page.locator(f"#admit-{house.people['m0']}")
    expect(switch).to_have_attribute("aria-checked", "true")

    switch.click()

    expect(switch).to_have_attribute("aria-checked", "false")
    owner.settle()
    owner.picture("members-selected")
    assert refusal(house, "m0") == "member_not_enabled"
    assert refusal(house, "m1") is None
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    assert refusal(house, "m0") is None


def test_a_menu_is_walked_with_the_keyboard(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("members")
    keyboard = owner.page.keyboard
    opener = owner.page.locator(f"#actions-{house.people['m1']}")
    opener.focus()
    keyboard.press("ArrowDown")
    expect(owner.page.get_by_role("menuitem", name="Edit limit")).to_be_focused()
    keyboard.press("ArrowDown")
    expect(owner.page.get_by_role("menuitem", name="Move to Standard")).to_be_focused()
    keyboard.press("Escape")
    expect(opener).to_be_focused()
    expect(owner.page.get_by_role("menu")).to_have_count(0)


def test_a_seat_is_changed(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("members")
    choose(owner, house, "m0", "Move to Standard")
    owner.confirm("Change seat")
    expect(row(owner, house, "m0").locator('[data-label="Seat"]')).to_have_text("Standard")
    own = house.send("GET", "/v1/me/extra_usage", person="m0").json()
    assert own["seat_tier"] == "standard"


def test_a_role_is_given_by_whoever_may_and_offered_to_nobody_else(
    house: House, visit: Visit
) -> None:
    owner = visit(house, "owner")
    owner.go("members")
    choose(owner, house, "m0", "Make admin")
    owner.confirm("Change role")
    shown = house.send("GET", "/v1/me/extra_usage", person="m0").json()
    assert shown["role"] == "admin"

    owner.page.get_by_label("Search members").fill("Olga")
    owner.page.locator(f"#actions-{house.people['owner']}").click()
    expect(owner.page.get_by_role("menuitem", name="Edit limit")).to_be_visible()
    expect(owner.page.get_by_role("menuitem", name="Make")).to_have_count(0)
    admin = visit(house, "m0")
    admin.go("members")
    expect(row(admin, house, "m1")).to_be_visible()
    expect(admin.page.locator(f"#actions-{house.people['m1']}")).to_have_count(0)
