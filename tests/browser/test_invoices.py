"""Invoices and statements: the running month at any time, closed ones with their PDF."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision


def test_the_running_month_is_shown_line_by_line(stack: dict[str, Any], visit: Visit) -> None:
    house = provision(stack, "enterprise")
    house.spend("m0", 20_000)
    house.spend("m1", 10_000)
    owner = visit(house, "owner")
    owner.go("invoices")
    expect(owner.page.get_by_text("There are no invoices yet.")).to_be_visible()
    owner.picture("invoices-none")
    owner.button("This month so far").click()
    expect(owner.dialog.get_by_role("row", name="claude-sonnet-4-5 Output")).to_contain_text(
        "30,000$15.00 / 1M$0.45"
    )
    expect(owner.dialog.locator(".totals")).to_contain_text("Total$0.46")
    owner.dialog.get_by_text("By member").click()
    expect(owner.dialog.get_by_role("row", name="Kim Larsen")).to_contain_text("$0.30")
    owner.picture("invoice-draft")
