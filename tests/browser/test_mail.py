"""Owners choose which mail is sent, and to whom it goes is said."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.e2e.governed import House

PREFERENCES = "/v1/organizations/notifications"


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    return provision(stack, "enterprise")


def wanted(house: House) -> dict[str, bool]:
    answer = house.send("GET", PREFERENCES, person="owner")
    assert answer.status_code == 200, answer.text
    mail: dict[str, bool] = answer.json()["mail"]
    return mail


def test_an_owner_switches_a_topic_off_and_on(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("mail")
    expect(owner.page.get_by_text("Mail is written in English.")).to_be_visible()
    requests = owner.page.get_by_role("switch", name="Requests that wait")
    expect(requests).to_have_accessible_description(
        "Once a day, as long as some wait for an answer. To owners and admins."
    )
    requests.click()
    owner.hears("Requests that wait: no mail is sent.")
    expect(requests).not_to_be_checked()
    assert {topic for topic, on in wanted(house).items() if not on} == {"increase_requests"}
    owner.picture("mail-off")

    owner.page.keyboard.press("Space")
    owner.hears("Requests that wait: mail is sent.")
    expect(requests).to_be_checked()
    assert all(wanted(house).values())


def test_a_team_is_asked_about_what_a_team_has(stack: dict[str, Any], visit: Visit) -> None:
    owner = visit(provision(stack, "team"), "owner", locale="fr-FR")
    owner.go("mail")
    expect(owner.page.get_by_text("Les e-mails sont rédigés en anglais.")).to_be_visible()
    expect(owner.page.get_by_role("switch", name="Solde bas")).to_be_checked()
    expect(owner.page.get_by_role("switch", name="Demandes en attente")).to_have_count(0)
    owner.picture("mail-team-french")


def test_what_was_not_saved_stays_as_it_was(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    owner.go("mail")
    owner.page.route(
        f"**{PREFERENCES}",
        lambda route: route.abort() if route.request.method == "PUT" else route.continue_(),
    )
    switch = owner.page.get_by_role("switch", name="Closed months")
    switch.click()
    expect(owner.page.get_by_role("alert")).to_be_visible()
    expect(switch).to_be_checked()
    assert all(wanted(house).values())


@pytest.mark.parametrize("name", ["admin", "m0"])
def test_nobody_else_is_offered_it(house: House, visit: Visit, name: str) -> None:
    visitor = visit(house, name)
    expect(visitor.page.locator('nav a[href="usage#mail"]')).to_have_count(0)
    visitor.page.goto(f"{visitor.page_url}#mail")
    visitor.settle()
    expect(visitor.page.locator("#mail-card")).to_have_count(0)
