"""Both languages, both colour schemes, a phone; waits that show and errors that say what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from functions.serve_page.handler import HERE
from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.browser.visitors import PHONE, PICTURES
from tests.e2e.governed import House

FIRST_PAINT_MILLIS_MAX = 1500
BYTES_MAX = 100_000
VIEWS = ("usage", "members", "requests", "invoices", "prices", "activity", "mail", "own")


@pytest.fixture(scope="module")
def house(stack: dict[str, Any]) -> House:
    """An organization in which something happened in every view; these tests change nothing."""
    house = provision(stack, "enterprise", members=8)
    house.spend("m0", 40_000)
    house.spend("m1", 15_000)
    house.spend("owner", 9_000)
    house.send("PUT", "/v1/organizations/spend_limit", {"amount": "5000"}, person="owner")
    house.send(
        "POST",
        "/v1/me/spend_limit_increase_requests",
        {"note": "Migrating the billing service."},
        person="m1",
    )
    return house


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("light", {}),
        ("dark", {"scheme": "dark"}),
        ("phone", {"viewport": PHONE}),
        ("phone-dark-french", {"viewport": PHONE, "scheme": "dark", "locale": "fr-FR"}),
        ("french", {"locale": "fr-FR"}),
    ],
)
def test_every_view_reads_well(house: House, visit: Visit, name: str, how: dict[str, Any]) -> None:
    visitor = visit(house, "owner", **how)
    for view in VIEWS:
        visitor.go(view)
        visitor.picture(f"{name}-{view}")
        # Nothing sticks out of the window, whatever its width.
        assert visitor.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )


def test_the_language_is_the_browsers_until_another_is_chosen(house: House, visit: Visit) -> None:
    visitor = visit(house, "owner", locale="fr-CA")
    page = visitor.page
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(visitor.button("Ajuster la limite")).to_be_visible()
    expect(page.locator("#cap-amount")).to_have_text("50,00\u00a0$")
    visitor.button("English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(visitor.button("Adjust limit")).to_be_visible()
    expect(visitor.button("English")).to_be_focused()
    page.reload()
    expect(visitor.button("Adjust limit")).to_be_visible()


def test_everything_on_a_page_is_said_in_french(house: House, visit: Visit) -> None:
    """No English sentence of the dictionary shows when French is spoken."""
    words = {
        name: json.loads((HERE / "assets" / "i18n" / f"{name}.json").read_text())
        for name in ("en", "fr")
    }
    english = {
        text
        for key, text in words["en"].items()
        if words["fr"][key] != text and "{" not in text and len(text) > 3
    } - set(words["fr"].values())
    visitor = visit(house, "owner", locale="fr-FR")
    for view in VIEWS:
        visitor.page.locator(f'nav a[href="usage#{view}"]').click()
        visitor.settle()
        shown = {line.strip() for line in visitor.page.inner_text("#app").splitlines()}
        assert not shown & english


def test_a_french_dialog_takes_a_comma_and_asks_about_a_point(house: House, visit: Visit) -> None:
    visitor = visit(house, "owner", locale="fr-FR")
    visitor.button("Ajuster la limite").click()
    field = visitor.dialog.get_by_label("Plafond mensuel")
    field.fill("1 234,50")
    expect(visitor.dialog).to_contain_text("Effet immédiat")
    visitor.picture("french-cap-dialog")
    field.fill("1.000")
    visitor.button("Définir le plafond").click()
    expect(visitor.dialog.locator(".field-error")).to_contain_text("sans séparateur")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_dialog_on_a_phone(house: House, visit: Visit, scheme: str) -> None:
    visitor = visit(house, "owner", viewport=PHONE, scheme=scheme)
    visitor.button("Adjust limit").click()
    expect(visitor.page.locator("#present-cap")).to_be_visible()
    visitor.picture(f"phone-{scheme}-cap-dialog")


def test_money_is_read_and_shown_to_the_last_digit(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(visitor.page_url)
    expect(page.locator("#sign-in")).to_be_visible()

    def asks(code: str, *values: object) -> object:
        return page.evaluate(
            "async ([source, values]) => { const m = await import(source); return m."
            + code
            + "(...values); }",
            [_module(page, "money.js"), list(values)],
        )

    assert asks("money", "12050.5") == "$120.51"
    assert asks("money", "12050.499") == "$120.50"
    assert asks("money", "0.352") == "$0.0035"
    assert asks("money", "-250") == "-$2.50"
    assert asks("money", "123456789012345") == "$1,234,567,890,123.45"
    assert asks("add", "0.1", "0.2") == "0.3"
    assert asks("subtract", "100000000000000.000000001", "100000000000000") == "0.000000001"
    assert asks("isBelow", "9.999999999", "10") is True
    assert asks("parse", "1,234.5") == {"cents": "123450"}
    assert asks("parse", "$ 0007") == {"cents": "700"}
    assert asks("parse", "0.10") == {"cents": "10"}
    assert asks("share", "5000", "0") == 1


def _module(page: Page, name: str) -> str:
    source = page.locator('script[type="module"]').get_attribute("src")
    assert source is not None
    return str(page.evaluate("source => new URL(source, document.baseURI).href", source)).replace(
        "app.js", name
    )


# Waits and errors.


def test_a_wait_shows_and_a_failure_says_what_to_do_and_can_be_tried_again(
    house: House, visit: Visit
) -> None:
    visitor = visit(house, "owner")
    page = visitor.page
    held: list[Route] = []
    page.route("**/v1/organizations/audit*", lambda route: held.append(route))
    page.locator('nav a[href="usage#activity"]').click()
    expect(page.get_by_text("Loading…")).to_be_visible()
    visitor.picture("waiting")

    for _ in range(3):  # It tries again by itself before it says so.
        while not held:
            page.wait_for_timeout(50)
        held.pop().abort()

    expect(page.get_by_role("alert")).to_contain_text("Check your connection")
    visitor.picture("no-answer")
    page.unroute("**/v1/organizations/audit*")
    visitor.button("Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".change").first).to_be_visible()


def test_a_failure_of_the_service_names_the_request(house: House, visit: Visit) -> None:
    visitor = visit(house, "owner")
    body = {
        "type": "error",
        "error": {"type": "api_error", "message": "an unexpected failure; try again"},
        "request_id": "req_1234",
    }
    visitor.page.route(
        "**/v1/organizations/invoices*",
        lambda route: route.fulfill(status=500, json=body),
    )
    visitor.page.locator('nav a[href="usage#invoices"]').click()
    alert = visitor.page.get_by_role("alert")
    expect(alert).to_contain_text("The service could not answer.")
    expect(alert).to_contain_text("req_1234")
    visitor.picture("service-failed")


def test_too_many_changes_in_a_minute_say_how_long_to_wait(
    stack: dict[str, Any], visit: Visit
) -> None:
    house = provision(stack, "enterprise")
    visitor = visit(house, "owner")
    use_up_a_minute(house)
    visitor.page.locator('nav a[href="usage#members"]').click()
    alert = visitor.page.get_by_role("alert")
    expect(alert).to_contain_text("Too many changes at once.")
    expect(alert).to_contain_text("seconds, then try again")


def use_up_a_minute(house: House) -> None:
    """Spend the requests of a minute that has long enough to go for the page to meet its end."""
    while True:
        answer = house.send("GET", "/v1/organizations/spend_limits", key=house.admin_key)
        if answer.status_code == 429 and int(answer.headers["retry-after"]) >= 15:
            return


# How it is served.


def test_the_first_visit_is_light_and_quick_and_the_next_is_from_the_cache(
    house: House, visit: Visit
) -> None:
    visitor = visit()
    page = visitor.page
    # Workers of the local gateway start with the first visit, which is not the page's doing.
    page.goto(visitor.page_url)
    expect(page.locator("#sign-in")).to_be_visible()
    fresh = visit()
    fresh.page.goto(fresh.page_url)
    expect(fresh.page.locator("#sign-in")).to_be_visible()
    weight = fresh.page.evaluate(
        "performance.getEntriesByType('resource').reduce((sum, each) => sum + each.transferSize, "
        "performance.getEntriesByType('navigation')[0].transferSize)"
    )
    painted = fresh.page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    measured = f"{weight} bytes, painted after {painted:.0f} ms"
    (PICTURES / "first-visit.txt").write_text(measured + "\n")
    assert 10_000 < weight < BYTES_MAX, measured
    assert painted < FIRST_PAINT_MILLIS_MAX, measured
    fresh.page.reload()
    expect(fresh.page.locator("#sign-in")).to_be_visible()
    fetched = fresh.page.evaluate(
        "performance.getEntriesByType('resource')"
        ".filter((each) => each.transferSize > 0).map((each) => each.name)"
    )
    assert [Path(name).name for name in fetched] == ["config.json"]


def test_the_policy_holds_in_the_browser(house: House, visit: Visit) -> None:
    """What the policy forbids does not happen: scripts of the page's own text, other places."""
    visitor = visit(house, "owner")
    page = visitor.page
    blocked = page.evaluate(
        """async () => {
          const seen = [];
          document.addEventListener("securitypolicyviolation", (event) =>
            seen.push(event.effectiveDirective));
          const script = document.createElement("script");
          try { script.textContent = "window.stolen = 1"; } catch { seen.push("trusted-types"); }
          document.body.append(script);
          await fetch("http://127.0.0.1:9/").catch(() => {});
          const image = new Image();
          image.src = "http://127.0.0.1:9/a.png";
          await new Promise((resolve) => setTimeout(resolve, 200));
          return { seen, stolen: window.stolen ?? null };
        }"""
    )
    assert blocked["stolen"] is None
    assert {"connect-src", "img-src"} <= set(blocked["seen"])
    visitor.complaints.clear()
