"""The operator's widget in a browser, within what CloudWatch makes of a custom widget's HTML.

The functions behind it are those of the deployed stack, each held to its role.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.visitors import PICTURES
from tests.e2e.governed import House, provision_house

DASHBOARD = Path(__file__).parent / "console.html"
NAME = 'House <script>alert("x")</script> & <b>Sons</b>'

# Take a picture under a name.
Picture = Callable[[str], None]


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    return provision_house(stack, name=NAME)


@pytest.fixture
def console(browser: Browser, stack: dict[str, Any]) -> Iterator[Page]:
    """A dashboard with the widget on it, as it opens."""
    client = boto3.client("lambda", endpoint_url=stack["aws_endpoint_url"])
    called: list[str] = []

    def invoke(endpoint: str, event: dict[str, Any]) -> str:
        called.append(endpoint)
        answer = client.invoke(FunctionName=endpoint, Payload=json.dumps(event).encode())
        assert "FunctionError" not in answer, answer["Payload"].read()
        shown: str = json.loads(answer["Payload"].read())
        return shown

    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.expose_function("invoke", invoke)
    page.goto(DASHBOARD.as_uri())
    arn = client.get_function(FunctionName=stack["functions"]["ShowConsoleWidget"])[
        "Configuration"
    ]["FunctionArn"]
    page.evaluate("arn => open(arn, {})", arn)
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def picture(console: Page) -> Picture:
    def take(name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        console.screenshot(path=PICTURES / f"console-{name}.png", full_page=True)

    return take


def search(console: Page, words: str) -> None:
    console.get_by_role("textbox", name="Organization").fill(words)
    console.get_by_role("button", name="Show").click()


def test_an_operator_finds_an_organization_and_sees_it_as_it_stands(
    console: Page, house: House, picture: Picture
) -> None:
    picture("search")
    search(console, "nobody")
    expect(console.locator("#widget")).to_contain_text("there is none with this id")
    picture("not-found")
    house.spend("m0", 1000)
    body = {"model": "claude-sonnet-4-5", "input_tokens": 1000, "max_tokens": 1000}
    asked = body | {"user_id": house.people["m1"]}
    held = house.send("POST", "/v1/authorizations", asked, key=house.service_key)
    too_much = house.send(
        "POST", "/v1/authorizations", asked | {"max_tokens": 99_000_000}, key=house.service_key
    )
    assert (held.status_code, too_much.status_code) == (200, 429)

    search(console, house.org_id)

    expect(console.get_by_role("heading", name=NAME)).to_be_visible()
    assert console.locator("#widget b").count() == 0
    expect(console.get_by_role("row", name="Spend limit")).to_contain_text("1,000.00")
    expect(console.get_by_role("row", name="Held (USD)")).to_contain_text("0.021")
    expect(console.get_by_role("row", name="organization_limit_reached")).to_contain_text(
        house.people["m1"]
    )
    picture("organization")


def test_an_act_happens_after_it_was_said_and_confirmed_and_not_before(
    console: Page, house: House, picture: Picture
) -> None:
    search(console, house.org_id)
    console.get_by_role("button", name="Pause").click()
    expect(console.locator("#popup")).to_contain_text("Nothing new starts")
    picture("pause-said")
    console.get_by_role("button", name="Do it").click()
    expect(console.locator("#confirmation")).to_contain_text(f"Pause extra usage of {house.org_id}")
    picture("pause-asked")

    console.get_by_role("button", name="Cancel").click()
    assert house.send("GET", "/v1/organizations/extra_usage", key=house.admin_key).json()["enabled"]

    console.get_by_role("button", name="Do it").click()
    console.get_by_role("button", name="Confirm").click()
    expect(console.locator("#popup")).to_contain_text("Extra usage is paused.")
    picture("pause-done")
    shown = house.send("GET", "/v1/organizations/extra_usage", key=house.admin_key).json()
    assert shown["enabled"] is False
    audit = house.send("GET", "/v1/organizations/audit", key=house.admin_key).json()["data"]
    assert audit[0]["actor"]["type"] == "operator"
    assert audit[0]["action"] == "extra_usage.disabled"
    console.get_by_role("button", name="Close").click()
    search(console, house.org_id)
    expect(console.get_by_role("row", name="extra_usage.disabled")).to_be_visible()
    expect(console.get_by_role("button", name="Resume")).to_be_visible()


def test_a_limit_is_set_by_what_was_typed_and_a_mistake_is_named(
    console: Page, house: House, picture: Picture
) -> None:
    search(console, house.org_id)
    console.get_by_role("textbox", name="USD").fill("12,50")
    console.get_by_role("button", name="Set the limit").click()
    expect(console.locator("#popup")).to_contain_text("Not done. amount: must be dollars")
    picture("limit-mistyped")
    console.get_by_role("button", name="Close").click()

    console.get_by_role("combobox", name="Limit").select_option("user")
    console.get_by_role("textbox", name="Member").fill(house.people["m0"])
    console.get_by_role("textbox", name="USD").fill("12.50")
    console.get_by_role("button", name="Set the limit").click()
    expect(console.locator("#popup")).to_contain_text("from unlimited to 12.50 USD a month")
    picture("limit-said")
    console.get_by_role("button", name="Do it").click()
    console.get_by_role("button", name="Confirm").click()

    expect(console.locator("#popup")).to_contain_text("The limit is 12.50 USD.")
    limits = house.send(
        "GET",
        "/v1/organizations/spend_limits/effective",
        key=house.admin_key,
        query={"user_ids[]": house.people["m0"]},
    ).json()["data"]
    assert [limit["amount"] for limit in limits] == ["1250"]
