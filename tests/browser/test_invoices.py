"""Invoices and statements: the running month at any time, closed ones with their PDF."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from playwright.sync_api import Route, expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision
from tests.browser.visitors import PHONE, Visitor


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


def test_a_teams_month_is_a_statement_of_its_wallet(stack: dict[str, Any], visit: Visit) -> None:
    house = provision(stack, "team")
    house.spend("m0", 20_000)
    owner = visit(house, "owner")
    owner.go("invoices")
    owner.button("This month so far").click()
    expect(owner.dialog).to_contain_text("Statement")
    expect(owner.dialog).to_contain_text("Closing balance")
    expect(owner.dialog).to_contain_text("$249.697")
    owner.picture("statement-draft")


def test_a_paper_too_large_for_an_answer_is_fetched_from_where_it_waits(
    stack: dict[str, Any], visit: Visit, tmp_path: Path
) -> None:
    """The page's policy lets it connect to nothing else; the browser itself saves the file."""
    owner = visit(provision(stack, "enterprise"), "owner")
    s3 = boto3.client(
        "s3", endpoint_url=stack["aws_endpoint_url"], config=Config(signature_version="s3v4")
    )
    s3.create_bucket(Bucket="large-papers")
    s3.put_object(Bucket="large-papers", Key="paper", Body=b"%PDF-1.7 large")
    url = s3.generate_presigned_url(
        "get_object",
        Params={
            "Bucket": "large-papers",
            "Key": "paper",
            "ResponseContentDisposition": 'attachment; filename="HR-2026-000042.pdf"',
        },
    )
    listed = document(42, "2026-10", "open", "72041")
    preferences: list[str | None] = []

    def tell(route: Route) -> None:
        preferences.append(route.request.headers.get("prefer"))
        route.fulfill(
            json={"type": "elsewhere", "url": url}, headers={"preference-applied": "no-redirect"}
        )

    owner.page.route(
        "**/v1/organizations/invoices?*",
        lambda route: route.fulfill(
            json={"type": "list", "data": [listed], "has_more": False, "next_page": None}
        ),
    )
    owner.page.route("**/v1/organizations/invoices/*/pdf", tell)
    owner.go("invoices")
    with owner.page.expect_download() as download:
        owner.button("PDF: October 2026").click()
    assert download.value.suggested_filename == "HR-2026-000042.pdf"
    download.value.save_as(tmp_path / "paper.pdf")
    assert (tmp_path / "paper.pdf").read_bytes() == b"%PDF-1.7 large"
    assert preferences == ["no-redirect"]
    # The browser is still where it was.
    expect(owner.page.locator(".invoice")).to_have_count(1)
    assert owner.page.url == f"{owner.page_url}#invoices"


def document(number: int, period: str, status: str, total: str, **more: Any) -> dict[str, Any]:
    """A closed month as the API tells of it: closing one takes a clock that is a month ahead."""
    return {
        "type": "invoice",
        "id": f"inv_{period.replace('-', '')}i{number:016x}",
        "number": f"HR-2026-{number:06d}",
        "organization_id": "org_example",
        "kind": "invoice",
        "status": status,
        "period": period,
        "currency": "USD",
        "subtotal": "72041.25",
        "rounding": "-0.25",
        "tax": "0",
        "total": total,
        "credited": "0",
        "paid": "0",
        "surplus": "0",
        "amount_due": "0" if status == "paid" else total,
        "issued_at": "2026-11-01T02:00:00.000Z",
        "due_at": "2026-12-01T02:00:00.000Z",
        "paid_at": None,
        "pdf": "/v1/organizations/invoices/inv/pdf",
        **more,
    }


@pytest.mark.parametrize(
    ("name", "how"),
    [("light", {}), ("phone", {"viewport": PHONE}), ("dark", {"scheme": "dark"})],
)
def test_closed_months_are_listed_with_their_state_and_paper(
    stack: dict[str, Any], visit: Visit, tmp_path: Path, name: str, how: dict[str, Any]
) -> None:
    listed = [
        document(42, "2026-10", "open", "72041"),
        document(31, "2026-09", "past_due", "61200"),
        document(17, "2026-08", "paid", "58210"),
    ]
    lines = [
        {
            "model": "claude-sonnet-4-5",
            "kind": "cache_read",
            "quantity": 240_138_000,
            "unit_price": "0.00003",
            "per": 1,
            "price_version": "genai-prices",
            "amount": "7204.14",
        }
    ]
    late = {"kind": "late_usage", "period": "2026-09", "invoice_number": "HR-2026-000031"}
    opened = {
        **listed[0],
        "lines": [*lines, {**lines[0], "kind": "input", "amount": "64835.1099999"}],
        "adjustments": [{**late, "amount": "2.0000001"}],
        "taxes": [{"name": "VAT", "rate": "0.055", "amount": "3962"}],
        "total": "76003",
        "credited": "10000",
        "paid": "67000",
        "surplus": "997",
        "amount_due": "0",
        "by_member": [{"user_id": "user_1", "name": "Kim", "amount": "72000"}],
        "other_members_amount": "41.25",
    }
    owner = visit(provision(stack, "enterprise"), "owner", **how)
    owner.page.route(
        "**/v1/organizations/invoices?*",
        lambda route: route.fulfill(
            json={"type": "list", "data": listed, "has_more": False, "next_page": None}
        ),
    )
    owner.page.route(
        f"**/v1/organizations/invoices/{listed[0]['id']}", lambda route: route.fulfill(json=opened)
    )
    owner.page.route(
        "**/v1/organizations/invoices/*/pdf",
        lambda route: route.fulfill(body=b"%PDF-1.7 paper", content_type="application/pdf"),
    )
    owner.go("invoices")
    rows = owner.page.locator(".invoice")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("October 2026")
    expect(rows.nth(0)).to_contain_text("$720.41")
    expect(rows.nth(1)).to_contain_text("Past due")
    owner.picture(f"{name}-invoices-closed")
    with owner.page.expect_download() as download:
        owner.button("PDF: October 2026").click()
    assert download.value.suggested_filename == "HR-2026-000042.pdf"
    download.value.save_as(tmp_path / "paper.pdf")
    assert (tmp_path / "paper.pdf").read_bytes() == b"%PDF-1.7 paper"
    owner.button("Details: October 2026").click()
    expect(owner.dialog).to_contain_text("Rounding-$0.0025")
    expect(owner.dialog).to_contain_text(
        "September 2026 that was reported late (see HR-2026-000031)"
    )
    expect(owner.dialog).to_contain_text("VAT 5.5%$39.62")
    expect(owner.dialog).to_contain_text("Amount due$0.00")
    adds_up(owner)
    expect(owner.dialog.get_by_role("row", name="Cache read")).to_contain_text("$0.30 / 1M")
    owner.picture(f"{name}-invoice")


def adds_up(owner: Visitor) -> None:
    """Sum what the dialog shows, as somebody with a pencil would, to the figures it prints."""
    rows = owner.dialog.locator(".totals > div")
    figures = [
        (row.locator("dt").inner_text(), decimal(row.locator("dd").inner_text()))
        for row in rows.all()
    ]
    names = [name for name, _ in figures]
    listed = [
        decimal(cell)
        for cell in owner.dialog.locator(".scroll tbody td:last-child").all_inner_texts()
    ]
    at = {name: names.index(name) for name in ("Subtotal", "Total", "Amount due")}
    printed = {name: figures[place][1] for name, place in at.items()}
    amounts = [amount for _, amount in figures]
    assert sum(listed) + sum(amounts[: at["Subtotal"]]) == printed["Subtotal"]
    assert sum(amounts[at["Subtotal"] : at["Total"]]) == printed["Total"]
    assert sum(amounts[at["Total"] : at["Amount due"]]) == printed["Amount due"]
    owner.dialog.get_by_text("By member").click()
    people = owner.dialog.locator("details tbody td:last-child").all_inner_texts()
    assert sum(map(decimal, people)) == printed["Subtotal"]


def decimal(amount: str) -> Decimal:
    return Decimal(amount.replace("$", "").replace(",", ""))
