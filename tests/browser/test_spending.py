"""What was spent, drawn and told: the figures are those of the ledger."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.e2e.governed import House


@pytest.fixture(scope="module")
def house(stack: dict[str, Any]) -> House:
    house = provision(stack, "enterprise", members=9)
    for index, name in enumerate(["m0", "m1", "owner", "m0"], start=1):
        house.spend(name, 20_000 * index)
    return house


def test_the_charts_show_what_the_ledger_says(house: House, visit: Visit) -> None:
    owner = visit(house, "owner")
    report = house.send(
        "GET", "/v1/organizations/usage_report", person="owner", query={"group_by[]": "user"}
    ).json()
    total = report["totals"]["amount"]
    assert total == "301.2"  # Four inputs of 0.3 cents, and 200,000 tokens out at 15 dollars.
    expect(owner.page.get_by_role("list", name="By member").locator("li").first).to_contain_text(
        "Kim Larsen$1.506"
    )
    expect(owner.page.get_by_role("list", name="By model").locator("li")).to_have_count(1)

    chart = owner.page.get_by_role("img", name="Extra usage by day")
    expect(chart.locator(".bar")).to_have_count(1)
    expect(chart.locator(".column")).to_have_count(datetime.now(UTC).day)
    owner.page.get_by_text("Show as a table").click()
    today = owner.page.locator(".as-table tbody tr").last
    expect(today).to_contain_text("$3.012")
    owner.picture("spending")


def test_a_large_month_is_asked_for_until_it_is_added_up(house: House, visit: Visit) -> None:
    """Each request goes on where the one before it stopped, and is answered 503 until the last."""
    owner = visit()
    asked: list[str] = []

    def go_on(route: Route) -> None:
        url = route.request.url
        asked.append(url)
        if len(asked) > 4:
            return route.continue_()
        far = {"members_done": 4100 * len(asked), "members": 20_000, "seconds_left": 58}
        error = {"type": "overloaded_error", "message": "the ledger is large", "details": far}
        return route.fulfill(
            status=503,
            headers={"retry-after": "1", "x-should-retry": "true"},
            json={"type": "error", "error": error},
        )

    owner.page.route("**/v1/organizations/usage_report?*", go_on)
    # Signed in by hand: nothing settles while a month is added up.
    owner.page.goto(owner.page_url)
    owner.page.locator("#sign-in").click()
    owner.page.locator(f'button[value="{house.people["owner"]}"]').click()
    far = owner.page.get_by_text("8,200 of 20,000 members, about 58 s more")
    expect(far).to_be_visible()
    expect(owner.page.get_by_role("list", name="By model")).to_be_visible()
    owner.settle()
    assert len({*asked[:5]}) == 1
    assert "by%5B%5D=day" in asked[0]


def test_the_report_is_saved_as_a_file_that_sums_to_the_total(
    house: House, visit: Visit, tmp_path: Path
) -> None:
    owner = visit(house, "owner")
    with owner.page.expect_download() as download:
        owner.page.locator("#csv").click()
    assert download.value.suggested_filename == "usage.csv"
    download.value.save_as(tmp_path / "usage.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "usage.csv").read_text())))
    assert {row["user_id"] for row in rows} == {
        house.people[name] for name in ("m0", "m1", "owner")
    }
    assert sum(int(row["requests"]) for row in rows) == 4


def test_the_audit_says_who_changed_what(house: House, visit: Visit) -> None:
    house.send("PUT", "/v1/organizations/spend_limit", {"amount": "123400"}, person="owner")
    owner = visit(house, "owner")
    owner.go("activity")
    change = owner.page.locator(".change").first
    expect(change).to_contain_text("Limit changed")
    expect(change).to_contain_text("Olga Brandt")
    expect(change.locator("del")).to_have_text("$1,000.00")
    expect(change.locator("ins")).to_have_text("$1,234.00")
