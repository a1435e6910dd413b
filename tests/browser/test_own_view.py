"""A member sees what is theirs, chooses to go on, and asks for more; reviewers answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.browser.houses import refusal
from tests.e2e.governed import House


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    return provision(stack, "enterprise")


def spend_included(house: House, name: str, output_tokens: int) -> None:
    """Use what the seat includes, directly on arrival."""
    event = {
        "id": f"msg_{name}_{output_tokens}",
        "user_id": house.people[name],
        "model": "claude-sonnet-4-5",
        "product": "claude_code",
        "occurred_at": datetime.now(UTC).isoformat(),
        "usage": {"input_tokens": 1000, "output_tokens": output_tokens},
    }
    told = house.send("POST", "/v1/usage/events", {"events": [event]}, key=house.service_key)
    assert told.json()["results"][0]["status"] == "recorded", told.text


def test_a_member_sees_their_windows_as_meters_and_what_comes_next(
    house: House, visit: Visit
) -> None:
    spend_included(house, "m2", 2_000)  # 3.3 of 100 cents.
    member = visit(house, "m2")
    expect(member.page.locator("nav")).to_have_count(0)
    meters = member.page.get_by_role("meter")
    expect(meters).to_have_count(2)
    expect(meters.first).to_have_attribute("aria-valuenow", "3")
    expect(meters.first).to_have_attribute("aria-valuetext", "$0.97 of $1.00 left")
    expect(member.page.get_by_text("Your next request is included in your seat.")).to_be_visible()
    member.picture("own-included")

    spend_included(house, "m2", 80_000)  # More than the window has.
    member.page.reload()

    expect(member.page.get_by_text("Your next request is extra usage.")).to_be_visible()
    line = member.page.locator(".usage-line").first
    line.locator("summary").click()
    expect(line).to_contain_text("Claude Code")
    member.picture("own-extra")


def test_each_line_says_why_it_was_extra(house: House, visit: Visit) -> None:
    cost = house.spend("m0", 2_000)
    member = visit(house, "m0")
    line = member.page.locator(".usage-line")
    expect(line).to_have_count(1)
    line.locator("summary").click()
    expect(line).to_contain_text("Extra usage, because your seat includes none.")
    assert cost == "3.3"
    expect(line.locator(".row-amount")).to_have_text("$0.033")
    expect(line.locator("tbody tr").last).to_have_text("Output2,000$15.00 / 1M$0.03")


def test_a_line_says_how_it_was_counted(house: House, visit: Visit) -> None:
    event = {
        "id": "msg_noted",
        "user_id": house.people["m2"],
        "model": "claude-sonnet-4-5",
        "occurred_at": datetime.now(UTC).isoformat(),
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 2000,
            "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 80},
            "headroom": {"output_tokens": "counted"},
        },
    }
    told = house.send("POST", "/v1/usage/events", {"events": [event]}, key=house.service_key)
    assert told.json()["results"][0]["status"] == "recorded", told.text
    member = visit(house, "m2")
    line = member.page.locator(".usage-line").first
    line.locator("summary").click()

    notes = line.get_by_role("list", name="How it was counted").get_by_role("listitem")

    expect(notes).to_have_text(
        [
            "1,320 tokens were written to the cache without a lifetime; "
            "they count as five minutes.",
            "The answer was cut off: its output is counted by what arrived.",
        ]
    )


def test_the_choice_to_continue_moves_when_the_server_has_answered(
    house: House, visit: Visit
) -> None:
    member = visit(house, "m0")
    switch = member.page.get_by_role("switch", name="Continue with extra usage")
    expect(switch).to_have_attribute("aria-checked", "true")
    member.page.route(
        "**/v1/me/extra_usage",
        lambda route: route.abort() if route.request.method == "PUT" else route.continue_(),
    )
    switch.click()
    expect(member.page.get_by_role("alert")).to_contain_text("No answer.")
    expect(switch).to_have_attribute("aria-checked", "true")
    member.page.unroute("**/v1/me/extra_usage")

    switch.click()

    expect(switch).to_have_attribute("aria-checked", "false")
    expect(switch).to_be_focused()
    member.hears("You stop when your included usage is spent.")
    expect(member.page.get_by_text("Choose to continue with extra usage, or wait.")).to_be_visible()
    member.picture("own-stopped")
    assert refusal(house, "m0") == "included_limit_reached"


def test_a_request_is_sent_approved_and_holds(house: House, visit: Visit) -> None:
    house.send(
        "POST",
        "/v1/organizations/spend_limits",
        {"scope": {"type": "user", "user_id": house.people["m0"]}, "amount": "0"},
        key=house.admin_key,
    )
    member = visit(house, "m0")
    expect(member.page.get_by_text("Your limit is reached.")).to_be_visible()
    member.button("Request extra usage").click()
    member.dialog.get_by_label("Why, and how much").fill("The release is on Friday.")
    member.picture("request-dialog")
    member.confirm("Send request")
    expect(member.page.locator("#request-sent")).to_contain_text("Request sent")
    member.page.reload()
    expect(member.page.locator("#request-sent")).to_contain_text("Request sent")
    expect(member.button("Request extra usage")).to_have_count(0)
    member.picture("request-sent")

    reviewer = visit(house, "admin")
    reviewer.go("requests")
    expect(reviewer.page.locator("blockquote")).to_have_text("The release is on Friday.")
    reviewer.picture("requests")
    reviewer.button("Approve: Kim Larsen").click()
    reviewer.dialog.get_by_label("New limit (monthly)").fill("50")
    expect(reviewer.dialog).to_contain_text("Kim Larsen can spend up to $50.00 at once.")
    reviewer.picture("approve-dialog")
    reviewer.confirm("Approve")

    expect(reviewer.page.get_by_text("Nobody is waiting.")).to_be_visible()
    expect(reviewer.page.locator(".row")).to_contain_text("Approved")
    assert refusal(house, "m0") is None
    member.page.reload()
    expect(member.page.get_by_role("region", name="Extra usage")).to_contain_text("$50.00")
    expect(member.button("Request extra usage")).to_be_visible()


def test_a_request_is_denied_and_requests_are_switched_off(house: House, visit: Visit) -> None:
    house.send("POST", "/v1/me/spend_limit_increase_requests", {}, person="m1")
    owner = visit(house, "owner")
    owner.go("requests")
    owner.button("Deny: Leo Marin").click()
    expect(owner.dialog).to_contain_text("Their limit stays as it is")
    owner.confirm("Deny")
    expect(owner.page.locator(".row")).to_contain_text("Denied")
    owner.page.locator("#requests-enabled").click()
    expect(owner.page.locator("#requests-enabled")).to_have_attribute("aria-checked", "false")
    owner.settle()

    member = visit(house, "m1")

    expect(member.page.locator("#own-extra")).to_be_visible()
    expect(member.button("Request extra usage")).to_have_count(0)
    refused = house.send("POST", "/v1/me/spend_limit_increase_requests", {}, person="m1")
    assert refused.status_code == 409


def test_an_admin_reads_and_reviews_and_changes_no_settings(house: House, visit: Visit) -> None:
    admin = visit(house, "admin")
    expect(admin.page.locator("#cap-amount")).to_be_visible()
    expect(admin.page.get_by_text("Only owners can change these settings.")).to_be_visible()
    expect(admin.button("Adjust limit")).to_have_count(0)
    expect(admin.button("Turn off")).to_have_count(0)
    admin.go("members")
    expect(admin.page.locator(".menu-holder")).to_have_count(0)
    admin.go("requests")
    expect(admin.page.locator("#requests-enabled")).to_be_disabled()
