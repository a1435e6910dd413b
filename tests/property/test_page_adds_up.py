"""What the page shows comes to the figures beneath it, by the rows that are on the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from headroom.billing.usecases import invoices as invoicing
from headroom.billing.usecases.invoices import shown
from headroom.billing.usecases.ledger_sums import Shelf, Span
from headroom.billing.usecases.usage_report import report
from headroom.billing.wire.reports import report_answer
from headroom.core.domain.money import parse_exact
from headroom.core.wire.pages import PageRequest
from headroom.payments.usecases.wallet_view import show_wallet
from headroom.wallets.store.wallets import entries_page, entry_to_wire
from tests.memory_files import MemoryFiles
from tests.page import ASSETS, Answer, Node, Scene, draw, nanos
from tests.property.test_documents_add_up import Life

LIVES = 4
REPORT = "organizations/usage_report"
# Figures that what stands above them comes to.
PRINTED = ("invoice.subtotal", "invoice.total", "invoice.amount_due")
LANGUAGES = ("en", "fr")
# As many rows as a view asks for, and more than there are.
ROWS, ALL = 100, 10_000
CENTS_DAILY = "33.333"
READER = {"plan": "team", "cards": {}, "mayChange": False, "self": {"period": "2026-11"}}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    assert request.param in LANGUAGES
    return str(request.param)


def said(language: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((ASSETS / "i18n" / f"{language}.json").read_text())
    return words


def listed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"data": rows, "has_more": False, "next_page": None}


class Months(Life):
    """A life of which only what was issued is looked at."""

    def draft(self, period: str) -> None:
        pass


# Three days of a third of a dollar each: rounded ones come to 99 cents, below a dollar.


def spending_scene(
    language: str, reports: Mapping[str, Any], period: str = "2026-11", names: Sequence[Any] = ()
) -> Scene:
    answers = [Answer(REPORT, body, {"group_by[]": group}) for group, body in reports.items()]
    members = Answer("organizations/members", listed(names))
    return Scene("spending", period, [*answers, members], language)


def sum_spending(drawn: Node) -> int:
    """Add up each table and list of the report, and return the total that it prints."""
    total = nanos(drawn.all("dd")[0].text)
    (by_day,) = drawn.all("table")
    days = [nanos(row.one("td").text) for row in by_day.one("tbody").all("tr")]
    assert sum(days) == total
    for ranking in drawn.all("ol", "ranking"):
        ranked = [nanos(each.text) for each in ranking.all("span", "rank-amount")]
        assert sum(ranked) == total
    return total


def test_thirds_of_a_dollar_come_to_their_sum(tmp_path: Path, language: str) -> None:
    days = [{"day": f"2026-11-0{day}", "amount": CENTS_DAILY} for day in (1, 2, 3)]
    totals = {"amount": "99.999", "included_amount": "0", "unbilled_amount": "0"}
    reports = {
        "day": {**listed(days), "totals": totals},
        "model": {**listed([{"model": "m", "amount": "99.999"}]), "totals": totals},
        "user": {**listed([{"user_id": "user_1", "amount": "99.999"}]), "totals": totals},
    }
    (drawn,) = draw([spending_scene(language, reports)], tmp_path)

    assert sum_spending(drawn) == parse_exact("99.999")


def test_every_report_comes_to_what_it_prints(tmp_path: Path, language: str) -> None:
    scenes, totals, late = [], [], 0
    for seed in range(LIVES):
        life = Months("enterprise", seed)
        for period, end in life.live():
            span = Span(end, end, period=period)
            reports = {}
            for group in ("day", "model", "user"):
                made = report(
                    life.table,
                    Shelf(MemoryFiles(), ""),
                    life.house.organization,
                    span,
                    (group,),
                    life.now,
                )
                page = PageRequest(ROWS, None, "")
                reports[group] = report_answer(made, page, by_amount=group != "day")
            late += sum(not row["day"].startswith(period) for row in reports["day"]["data"])
            total = reports["day"]["totals"]["amount"]
            if total != "0":
                scenes.append(spending_scene(language, reports, period))
                totals.append(parse_exact(total))
    assert len(scenes) > LIVES
    assert late

    drawn = draw(scenes, tmp_path)

    assert [sum_spending(each) for each in drawn] == totals


# Invoices, statements and credit notes.


def sum_document(drawn: Node, document: Mapping[str, Any], words: Mapping[str, str]) -> None:
    printed = {words[name] for name in PRINTED}
    dialog = drawn.one("dialog")
    amount, below = 0, 0
    for table in dialog.all("table"):
        rows = [nanos(row.all("td")[-1].text) for row in table.one("tbody").all("tr")]
        if table.all("caption"):
            amount = sum(rows)
        else:
            assert sum(rows) == parse_exact(document["subtotal"])
    for pair in dialog.one("dl", "totals").all("div"):
        name, figure = pair.one("dt").text, nanos(pair.one("dd").text)
        if name in printed:
            assert figure == amount, name
            below += 1
        else:
            amount += figure
    assert below == {"invoice": 3, "credit_note": 2, "statement": 1}[document["kind"]]
    if document["kind"] == "statement":
        facts = {
            div.one("dt").text: div.one("dd")
            for each in dialog.all("dl", "facts")
            for div in each.all("div")
        }
        parts = ("opening_balance", "purchases", "usage", "closing_balance")
        *moved, closing = (nanos(facts[words[f"statement.{name}"]].text) for name in parts)
        assert sum(moved) == closing


def documents(life: Life) -> Iterator[dict[str, Any]]:
    for period, _ in life.live():
        for invoice in life.documents:
            if invoice.period == period and invoice.kind == "invoice":
                life.settle(invoice)
    for invoice in life.documents:
        yield shown(life.table, life.files, invoice)


@pytest.mark.parametrize("plan", ["enterprise", "team"])
def test_every_document_comes_to_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: str, language: str
) -> None:
    monkeypatch.setattr(invoicing, "BY_MEMBER_MAX", 2)
    made = [each for seed in range(LIVES) for each in documents(Months(plan, seed))]
    kinds = {each["kind"] for each in made}
    assert kinds == ({"statement"} if plan == "team" else {"invoice", "credit_note"})
    scenes = [
        Scene(
            "invoices",
            READER,
            [
                Answer("organizations/invoices", listed([each])),
                Answer(f"organizations/invoices/{each['id']}", each),
            ],
            language,
            press=f"open-{each['id']}",
        )
        for each in made
    ]

    for drawn, document in zip(draw(scenes, tmp_path), made, strict=True):
        sum_document(drawn, document, said(language))


# The wallet.


def test_every_movement_leads_from_one_balance_to_the_next(tmp_path: Path, language: str) -> None:
    scenes, balances = [], []
    for seed in range(LIVES):
        life = Months("team", seed)
        for _ in life.live():
            pass
        found = entries_page(life.table, life.org_id, limit=ALL, start=None)
        rows = [entry_to_wire(item) for item in found.items]
        wallet = show_wallet(life.table, life.house.organization, life.now)
        balances.append(parse_exact(rows[0]["balance"]))
        answers = [
            Answer("organizations/wallet", wallet),
            Answer("organizations/wallet/entries", listed(rows)),
        ]
        scenes.append(Scene("wallet", READER, answers, language))

    for drawn, balance in zip(draw(scenes, tmp_path), balances, strict=True):
        after = 0
        rows_drawn = drawn.all("div", "entry")
        assert len(rows_drawn) > 1
        for row in reversed(rows_drawn):
            after += nanos(row.one("span", "row-amount").text)
            assert nanos(row.one("span", "row-after").text) == after
        assert after == balance


# What a member sees of their own.


def test_a_members_line_is_the_sum_of_its_parts(tmp_path: Path, language: str) -> None:
    part = {
        "quantity": 1,
        "unit_price": "0.333",
        "per": 1,
        "price_version": "v1",
        "amount": "0.333",
    }
    line = {
        "id": "event-1",
        "model": "m",
        "model_named": "m",
        "product": None,
        "occurred_at": "2026-11-03T10:00:00Z",
        "source": "included",
        "reason": None,
        "modifiers": [],
        "notes": [],
        "price_version": "v1",
        "components": [{"kind": kind, **part} for kind in ("input", "output", "cache_read")],
        "amount": "0.999",
    }
    own = {
        "seat_tier": "standard",
        "allowance": [],
        "limits": [],
        "enabled": False,
        "admitted": False,
        "held": "0",
        "period_to_date_spend": "0",
        "requests": {"pending": False, "enabled": False},
        "next_request": {"source": "included"},
    }
    answers = [Answer("me/extra_usage", own), Answer("me/usage", listed([line]))]
    (drawn,) = draw([Scene("own", READER, answers, language)], tmp_path)

    parts = [nanos(row.all("td")[-1].text) for row in drawn.one("tbody").all("tr")]
    assert sum(parts) == nanos(drawn.one("span", "row-amount").text) == parse_exact("0.999")
