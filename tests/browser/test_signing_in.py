"""People come in by the issuer's code flow, and nothing of it stays behind."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.e2e.governed import House


@pytest.fixture(scope="module")
def house(stack: dict[str, Any]) -> House:
    return provision(stack, "enterprise")


def test_a_person_signs_in_and_out(house: House, visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(visitor.page_url)
    expect(page.locator("#sign-in")).to_be_visible()
    visitor.picture("welcome")

    visitor.sign_in(house.people["owner"])

    assert page.url == visitor.page_url
    expect(page.locator(".who")).to_have_text("Olga Brandt")
    # The token ends with the tab; what stays for good is at most the language.
    assert page.evaluate("Object.keys(localStorage)") == []
    page.reload()
    expect(page.locator(".who")).to_have_text("Olga Brandt")
    page.locator("#sign-out").click()
    expect(page.locator("#sign-in")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_the_front_door_leads_to_the_page(stack: dict[str, Any], visit: Visit) -> None:
    visitor = visit()
    visitor.page.goto(f"{stack['api_url']}/")
    expect(visitor.page).to_have_url(visitor.page_url)


@pytest.mark.parametrize("answer", ["?code=stolen&state=made-up", "?error=access_denied"])
def test_an_answer_that_nobody_asked_for_signs_nobody_in(visit: Visit, answer: str) -> None:
    visitor = visit()
    visitor.page.goto(visitor.page_url + answer)
    expect(visitor.page.get_by_role("alert")).to_contain_text("Signing in did not work.")
    expect(visitor.page.locator("#sign-in")).to_be_visible()
    assert visitor.page.url == visitor.page_url
    visitor.complaints.clear()


def test_a_code_is_exchanged_only_with_the_verifier_of_this_tab(house: House, visit: Visit) -> None:
    visitor, owner = visit(), house.people["owner"]
    page = visitor.page
    page.goto(visitor.page_url)
    page.locator("#sign-in").click()
    page.wait_for_url("**/authorize*")
    issuer = page.url
    # Somebody puts another verifier in the way while the person is at the issuer.
    page.goto(visitor.page_url)
    expect(page.locator("#sign-in")).to_be_visible()
    page.evaluate(
        "sessionStorage.setItem('headroom.sign_in', JSON.stringify("
        "{...JSON.parse(sessionStorage.getItem('headroom.sign_in')), verifier: 'another'}))"
    )
    page.goto(issuer)
    page.locator(f'button[value="{owner}"]').click()
    expect(page.get_by_role("alert")).to_contain_text("does not fit the challenge")
    assert page.evaluate("sessionStorage.length") == 0
    visitor.complaints.clear()


def test_a_token_that_is_not_taken_any_more_ends_the_session(house: House, visit: Visit) -> None:
    visitor = visit(house, "owner")
    visitor.page.evaluate(
        "sessionStorage.setItem('headroom.session', JSON.stringify("
        "{...JSON.parse(sessionStorage.getItem('headroom.session')), token: 'worn.out.token'}))"
    )
    visitor.page.locator('nav a[href="usage#members"]').click()
    expect(visitor.page.get_by_text("Your session has ended.")).to_be_visible()
    expect(visitor.page.locator("#sign-in")).to_be_visible()
    visitor.picture("session-ended")
