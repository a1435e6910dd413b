"""Owners change caps: what will happen is said first, and what holds is what the server says."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.browser.houses import refusal, settings
from tests.e2e.governed import House


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    return provision(stack, "enterprise")


def cap(house: House) -> str | None:
    amount: str | None = settings(house)["spend_limit"]["amount"]
    return amount


def test_the_cap_is_set_and_removed(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    expect(owner.page.locator("#cap-amount")).to_have_text("$1,000.00")
    owner.button("Adjust limit").click()
    expect(owner.page.locator("#present-cap")).to_contain_text("$1,000.00")
    owner.dialog.get_by_label("Monthly cap").fill("750.50")
    expect(owner.dialog).to_contain_text("leaves $750.50 for the rest of the month")
    owner.picture("cap-dialog")

    owner.confirm("Set cap")

    owner.hears("The monthly cap is $750.50.")
    expect(owner.page.locator("#cap-amount")).to_have_text("$750.50")
    assert cap(house) == "75050"
    owner.button("Adjust limit").click()
    owner.confirm("Set to unlimited")
    expect(owner.page.locator("#cap-amount")).to_have_text("Unlimited")
    owner.picture("cap-unlimited")
    assert cap(house) is None


def test_a_cap_below_what_is_spent_is_said_to_stop_requests_and_does(
    house: House, visit: Visit
) -> None:
    house.spend("m0", 20_000)
    assert refusal(house) is None
    owner = visit(house, "owner")
    owner.button("Adjust limit").click()
    owner.dialog.get_by_label("Monthly cap").fill("0.10")
    expect(owner.dialog).to_contain_text("new requests stop at once")
    owner.picture("cap-below-spent")

    owner.confirm("Set cap")

    assert refusal(house) == "organization_limit_reached"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "Enter an amount."),
        ("abc", "such as 500"),
        ("-5", "such as 500"),
        ("1.005", "such as 500"),
        ("99999999999999", "more than can be set"),
    ],
)
def test_what_is_no_amount_is_named_and_not_sent(
    house: House, visit: Visit, typed: str, told: str
) -> None:
    owner = visit(house, "owner")
    owner.button("Adjust limit").click()
    field = owner.dialog.get_by_label("Monthly cap")
    field.fill(typed)
    owner.dialog.get_by_role("button", name="Set cap", exact=True).click()
    expect(owner.dialog.locator(".field-error")).to_contain_text(told)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert cap(house) == "100000"


def test_of_two_browsers_the_later_sees_what_the_other_set_before_it_confirms(
    house: House, visit: Visit
) -> None:
    one, other = visit(house, "owner"), visit(house, "owner")
    one.button("Adjust limit").click()
    other.button("Adjust limit").click()
    one.dialog.get_by_label("Monthly cap").fill("700")
    other.dialog.get_by_label("Monthly cap").fill("300")
    one.confirm("Set cap")

    other.dialog.get_by_role("button", name="Set cap", exact=True).click()

    # Nothing was changed: the present value is shown, and waits for another confirmation.
    expect(other.dialog).to_contain_text("Somebody changed it while this was open. It is now $700")
    expect(other.page.locator("#present-cap")).to_contain_text("$700.00")
    other.picture("cap-moved")
    assert cap(house) == "70000"
    other.confirm("Set cap")
    assert cap(house) == "30000"
    # The first one reads what is there when the dialog opens, not what it has shown for a while.
    expect(one.page.locator("#cap-amount")).to_have_text("$700.00")
    one.button("Adjust limit").click()
    expect(one.page.locator("#present-cap")).to_contain_text("$300.00")


def test_of_two_who_press_at_once_nobody_is_told_what_does_not_hold(
    house: House, visit: Visit
) -> None:
    both = {"700": visit(house, "owner"), "300": visit(house, "owner")}
    for typed, visitor in both.items():
        visitor.button("Adjust limit").click()
        visitor.dialog.get_by_label("Monthly cap").fill(typed)
    for visitor in both.values():
        visitor.dialog.get_by_role("button", name="Set cap", exact=True).click()
    for visitor in both.values():
        visitor.settle()

    held = cap(house)

    assert held in ("70000", "30000")
    shown = f"${held[:3]}.00"
    entries = house.send("GET", "/v1/organizations/audit", person="owner").json()["data"]
    assert entries[0]["after"]["spend_limit"] == held
    for visitor in both.values():
        if visitor.dialog.count():
            # Overtaken: what is there now waits for another confirmation.
            expect(visitor.page.locator("#present-cap")).to_contain_text(shown)
            visitor.page.keyboard.press("Escape")
        visitor.button("Adjust limit").click()
        expect(visitor.page.locator("#present-cap")).to_contain_text(shown)


def test_who_is_overtaken_between_reading_and_writing_is_told_what_the_other_set(
    house: House, visit: Visit
) -> None:
    """The last moment there is: the page has looked again, and its own change is on its way."""
    owner = visit(house, "owner")
    owner.button("Adjust limit").click()
    owner.dialog.get_by_label("Monthly cap").fill("300")
    meddling = [{"amount": "70000"}]

    def overtake(route: Route) -> None:
        if meddling:
            house.send("PUT", "/v1/organizations/spend_limit", meddling.pop(), person="owner")
        route.continue_()

    owner.page.route("**/v1/organizations/spend_limit", overtake)
    owner.dialog.get_by_role("button", name="Set cap", exact=True).click()

    expect(owner.dialog).to_contain_text("Somebody changed it while this was open. It is now $700")
    assert cap(house) == "70000"
    owner.confirm("Set cap")
    assert cap(house) == "30000"


def test_a_change_of_something_else_in_between_asks_nothing_again(
    house: House, visit: Visit
) -> None:
    owner = visit(house, "owner")
    owner.button("Edit the cap of Premium seats").click()
    owner.dialog.get_by_label("Monthly cap for each member").fill("20")
    meddling = [{"enabled": False}]

    def overtake(route: Route) -> None:
        if meddling:
            path = "/v1/organizations/extra_usage/requests"
            house.send("PUT", path, meddling.pop(), person="owner")
        route.continue_()

    owner.page.route("**/v1/organizations/seat_tiers/premium/spend_limit", overtake)
    owner.confirm("Set cap")
    assert settings(house)["seat_tiers"]["premium"]["spend_limit"] == "2000"
    assert settings(house)["requests"]["enabled"] is False


def test_seat_caps_have_a_pencil_each(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.button("Edit the cap of Premium seats").click()
    owner.dialog.get_by_label("Monthly cap for each member").fill("0")
    expect(owner.dialog).to_contain_text("nothing beyond their included usage")
    owner.picture("seat-cap-dialog")
    owner.confirm("Set cap")

    expect(owner.page.locator("#seat-cap-premium")).to_contain_text("$0.00")
    assert settings(house)["seat_tiers"]["premium"]["spend_limit"] == "0"
    assert refusal(house, "m0") == "seat_tier_limit_reached"
    owner.button("Edit the cap of Premium seats").click()
    owner.confirm("Set to unlimited")
    assert settings(house)["seat_tiers"]["premium"]["spend_limit"] is None


def test_keyboard_alone_changes_a_cap_and_focus_comes_back(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    page = owner.page
    page.locator("#adjust-cap").focus()
    page.keyboard.press("Enter")
    expect(owner.dialog.get_by_label("Monthly cap")).to_be_focused()
    page.keyboard.press("Escape")
    expect(owner.dialog).to_have_count(0)
    expect(page.locator("#adjust-cap")).to_be_focused()
    page.keyboard.press("Enter")
    expect(owner.dialog.get_by_label("Monthly cap")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("420")
    page.keyboard.press("Enter")
    expect(owner.dialog).to_have_count(0)
    expect(page.locator("#cap-amount")).to_have_text("$420.00")
    # The card was drawn anew, and the button in it has the focus again.
    expect(page.locator("#adjust-cap")).to_be_focused()


def test_a_lost_answer_is_found_out_and_changes_nothing_twice(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    lost: list[str] = []

    def lose(route: Route) -> None:
        if route.request.method != "PUT" or lost:
            route.continue_()
            return
        lost.append(route.request.url)
        route.fetch()  # It arrives and is done; the answer does not come back.
        route.abort()

    owner.page.route("**/v1/organizations/spend_limit", lose)
    owner.button("Adjust limit").click()
    owner.dialog.get_by_label("Monthly cap").fill("640")
    owner.dialog.get_by_role("button", name="Set cap", exact=True).click()
    expect(owner.dialog.get_by_role("alert")).to_contain_text("look first whether it was done")
    owner.picture("cap-lost-answer")
    owner.confirm("Set cap")

    owner.hears("The monthly cap is $640.00.")
    entries = house.send("GET", "/v1/organizations/audit", person="owner").json()["data"]
    assert [entry["after"]["spend_limit"] for entry in entries] == ["64000"]
