"""A tax is a line of its own on every document, whole cents, and a credit takes it back."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from functions.invoice_organization.handler import draw_for
from headroom.billing.domain.invoice import Invoice
from headroom.billing.domain.phrases import phrases
from headroom.console.usecases.operations import Order, carry_out
from headroom.core.domain.money import NANOS_PER_CENT as CENT
from headroom.core.domain.money import parse_exact, round_to_cents
from headroom.core.errors import InvalidRequest
from headroom.organizations.domain.tax import Tax, levy
from headroom.organizations.store.organizations import find_organization
from tests.contract.closing import Bureau
from tests.contract.governing import ANN, NOW, OWNER, House
from tests.contract.test_closing import AFTER

VAT = {"name": "VAT", "rate": "0.20"}


def closed(monkeypatch: pytest.MonkeyPatch, **document: Any) -> tuple[House, Bureau]:
    house = House(**document)
    house.use(ANN, NOW, web=3, output_tokens=20_011)
    bureau = Bureau(house.table, AFTER, monkeypatch)
    bureau.run()
    return house, bureau


def invoice_of(house: House, bureau: Bureau) -> Invoice:
    return next(each for each in bureau.invoices(house.org_id) if each.kind == "invoice")


def bookings(house: House, kind: str) -> list[int]:
    return [
        int(item["amount"]["N"])
        for key, item in house.table.items.items()
        if key.pk.endswith("#BOOKINGS") and item["kind"]["S"] == kind
    ]


@pytest.mark.parametrize(
    ("net_cents", "rate", "tax_cents"),
    [
        (1000, "0.2", 200),
        (1001, "0.20", 200),
        # Half a cent goes to the even one.
        (1002, "0.25", 250),
        (1006, "0.25", 252),
        (1, "0.00001", 0),
        (999_999_999, "0.99999", 999_989_999),
        (0, "0.20", 0),
    ],
)
def test_a_tax_is_rounded_once_to_the_cent(net_cents: int, rate: str, tax_cents: int) -> None:
    (line,) = levy(Tax("VAT", rate), net_cents * CENT)

    assert line.amount == tax_cents * CENT


def test_a_taxed_invoice_shows_the_tax_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    house, bureau = closed(monkeypatch, tax=VAT)

    invoice = invoice_of(house, bureau)
    shown = bureau.shown(invoice)
    net = parse_exact(shown["subtotal"]) + parse_exact(shown["rounding"])
    tax = round_to_cents(net, 5)
    assert shown["taxes"] == [{**VAT, "amount": str(tax // CENT)}]
    assert shown["tax"] == str(tax // CENT) != "0"
    assert parse_exact(shown["total"]) == net + tax == parse_exact(shown["amount_due"])
    assert bookings(house, "tax") == [tax]
    detail = bureau.files.documents[f"invoices/{house.org_id}/{invoice.invoice_id}.csv"].decode()
    rows = list(csv.DictReader(io.StringIO(detail)))
    assert [row["amount"] for row in rows if row["kind"] == "tax"] == [shown["tax"]]
    assert rows[-1]["name"] == "VAT"
    assert sum(parse_exact(row["amount"]) for row in rows) == invoice.total
    organization = find_organization(house.table, house.org_id)
    assert organization is not None
    untaxed = {**shown, "taxes": []}
    assert draw_for(shown, organization) != draw_for(untaxed, organization)


def test_nobody_is_taxed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    house, bureau = closed(monkeypatch)

    shown = bureau.shown(invoice_of(house, bureau))
    assert (shown["taxes"], shown["tax"]) == ([], "0")
    assert bookings(house, "tax") == []


def test_credits_take_back_tax_in_proportion_and_all_of_it_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, bureau = closed(monkeypatch, tax={"name": "TVA", "rate": "0.055"})
    invoice = invoice_of(house, bureau)
    credit = {"action": "credit", "reason": "Goodwill"}
    for reference, amount in (("a", "7"), ("b", "10"), ("c", None)):
        for _ in range(2):
            bureau.settle(invoice_of(house, bureau), **credit, reference=reference, amount=amount)

    notes = [each for each in bureau.invoices(house.org_id) if each.kind == "credit_note"]
    assert len(notes) == 3
    assert sum(note.total for note in notes) == -invoice.total
    assert sum(note.tax for note in notes) == -invoice.tax < 0
    assert sorted(bookings(house, "tax")) == sorted(
        [invoice.tax, *(note.tax for note in notes if note.tax)]
    )
    for note in notes:
        assert note.tax % CENT == 0
        assert abs(note.tax * invoice.total - note.total * invoice.tax) <= CENT * invoice.total
        shown = bureau.shown(note)
        assert [tax["name"] for tax in shown["taxes"]] == ["TVA"]
        assert parse_exact(shown["subtotal"]) + parse_exact(shown["tax"]) == note.total
        assert shown["adjustments"][0]["amount"] == shown["subtotal"]


def test_a_tax_changed_during_a_close_is_that_of_the_next_invoice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House(tax=VAT)
    house.use(ANN, NOW, output_tokens=20_000)
    bureau = Bureau(house.table, AFTER, monkeypatch)

    def step(event: dict[str, Any]) -> Any:
        answer = Bureau.step(bureau, event)
        if event["step"] == "begin":
            order = Order("set_tax", house.org_id, house.organization.version)
            carry_out(house.table, replace(order, tax=Tax("VAT", "0.5")), OWNER, AFTER)
        return answer

    monkeypatch.setattr(bureau, "step", step)
    bureau.run()

    invoice = invoice_of(house, bureau)
    assert [tax.rate for tax in invoice.taxes] == ["0.20"]
    detail = bureau.files.documents[f"invoices/{house.org_id}/{invoice.invoice_id}.csv"].decode()
    assert detail.endswith(f",tax,1,,,,{invoice.tax // CENT}\n")
    assert house.organization.tax == Tax("VAT", "0.5")


def test_an_operator_sets_and_lifts_a_tax_and_it_is_audited() -> None:
    house = House()
    order = Order("set_tax", house.org_id, house.organization.version, tax=Tax("VAT", "0.2"))

    carry_out(house.table, order, OWNER, NOW)
    carry_out(house.table, order, OWNER, NOW)
    house.limit("organization", "", 700)
    assert house.organization.tax == Tax("VAT", "0.2")
    lifted = replace(order, tax=None, version=house.organization.version)
    carry_out(house.table, lifted, OWNER, NOW)

    assert house.organization.tax is None
    changes = [entry for entry in house.audit() if entry["action"] == "tax.changed"]
    assert sorted(str(entry["after"]) for entry in changes) == [
        "{'tax': None}",
        "{'tax': {'name': 'VAT', 'rate': '0.2'}}",
    ]


def test_a_team_has_no_invoice_to_tax() -> None:
    with pytest.raises(InvalidRequest, match="tax: only Enterprise"):
        House("team", tax=VAT)
    house = House("team")
    order = Order("set_tax", house.org_id, house.organization.version, tax=Tax("VAT", "0.2"))
    with pytest.raises(InvalidRequest, match="tax: only Enterprise"):
        carry_out(house.table, order, OWNER, NOW)


def test_a_rate_is_printed_as_people_write_it() -> None:
    english, french = phrases("en", "UTC"), phrases("fr", "UTC")

    assert [english.percent(rate) for rate in ("0.2", "0.20", "0.0725", "0.00001")] == [
        "20%",
        "20%",
        "7.25%",
        "0.001%",
    ]
    assert french.percent("0.055") == "5,5\N{NO-BREAK SPACE}%"
