"""Invoices as owners and their books see them: listed, whole, drafted, on paper."""

from __future__ import annotations

import base64
import csv
import io
import json
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest

from functions.serve_billing import handler as serve_billing
from headroom.core.domain.money import parse_exact
from headroom.organizations.store.credentials import put_key
from headroom.organizations.usecases.api_keys import new_key
from headroom.organizations.usecases.authentication import Callers
from headroom.spending.store import ledger
from tests.contract.closing import Bureau
from tests.contract.governing import ANN, BEN, CENT, NOW, PAM, House
from tests.contract.test_closing import AFTER
from tests.in_process import Context, sample

NO_INVOICE = "inv_202611i0123456789abcdef"
INVOICES = "/v1/organizations/invoices"


class Desk:
    """An organization with a closed month, and the function that shows what came of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plan: str = "enterprise") -> None:
        self.house = House(plan, language="fr")
        for user_id in (ANN, BEN, PAM):
            self.house.use(user_id, NOW, web=1, output_tokens=3210)
        self.bureau = Bureau(self.house.table, AFTER, monkeypatch)
        secret, key = new_key(self.house.org_id, "books", ["read:billing"])
        self.house.table.transact(list(put_key(key, NOW)))
        self.secret = secret
        monkeypatch.setattr(serve_billing.api, "_table", self.house.table)
        monkeypatch.setattr(serve_billing.api, "_callers", Callers())
        monkeypatch.setattr(serve_billing.api, "_clock", self.bureau.clock)

    def get(self, path: str, query: str = "", **headers: str) -> dict[str, Any]:
        event = sample("serve_billing/invoices")
        event["rawPath"] = event["requestContext"]["http"]["path"] = path
        event["rawQueryString"] = query
        event["headers"] |= {"x-api-key": self.secret, **headers}
        return dict(serve_billing.handler(event, cast("Any", Context())))

    def json(self, path: str, query: str = "") -> dict[str, Any]:
        answer = self.get(path, query)
        assert answer["statusCode"] == 200, answer["body"]
        body: dict[str, Any] = json.loads(answer["body"])
        return body


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(monkeypatch)
    desk.bureau.run()
    return desk


def test_the_sample_event_lists_the_latest_first(desk: Desk) -> None:
    desk.bureau.clock.set(AFTER + timedelta(days=31))
    desk.bureau.run()

    listed = desk.json(sample("serve_billing/invoices")["rawPath"])

    assert [row["period"] for row in listed["data"]] == ["2026-12", "2026-11"]
    assert [row["status"] for row in listed["data"]] == ["paid", "open"]
    assert listed["has_more"] is False
    page = desk.json(INVOICES, "limit=1")
    assert page["data"] == listed["data"][:1]
    rest = desk.json(INVOICES, f"limit=1&page={page['next_page']}")
    assert rest["data"] == listed["data"][1:]


def test_an_invoice_is_shown_whole(desk: Desk) -> None:
    (listed,) = desk.json(INVOICES)["data"]

    whole = desk.json(f"{INVOICES}/{listed['id']}")

    assert {name: whole[name] for name in listed} == listed
    assert sum(parse_exact(line["amount"]) for line in whole["lines"]) == parse_exact(
        whole["subtotal"]
    )
    assert whole["members"] == 3
    assert whole["pdf"] == f"{INVOICES}/{whole['id']}/pdf"


def test_the_detail_is_a_csv_file_for_whoever_accepts_that(desk: Desk) -> None:
    (listed,) = desk.json(INVOICES)["data"]

    answer = desk.get(f"{INVOICES}/{listed['id']}", accept="text/csv")

    text = base64.b64decode(answer["body"]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sum(parse_exact(row["amount"]) for row in rows) == parse_exact(listed["total"])
    assert f'filename="{listed["number"]}.csv"' in answer["headers"]["content-disposition"]


def test_the_pdf_is_a_pdf_and_stays_the_same(desk: Desk) -> None:
    (listed,) = desk.json(INVOICES)["data"]

    answer = desk.get(listed["pdf"])

    assert answer["headers"]["content-type"] == "application/pdf"
    paper = base64.b64decode(answer["body"])
    assert paper.startswith(b"%PDF-")
    assert b"/Lang (fr)" in paper
    # Paid since; what somebody has in hand stays what is on file.
    desk.bureau.settle(desk.bureau.invoices(desk.house.org_id)[0])
    for document in desk.bureau.started.values():
        desk.bureau.execute(document)
    assert base64.b64decode(desk.get(listed["pdf"])["body"]) == paper


def test_a_file_too_large_for_an_answer_is_fetched_elsewhere(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_billing, "CONTENT_BYTES_MAX", 10)
    (listed,) = desk.json(INVOICES)["data"]

    answer = desk.get(listed["pdf"])

    assert answer["statusCode"] == 303
    assert answer["headers"]["location"] == json.loads(answer["body"])["url"]
    assert listed["id"] in answer["headers"]["location"]
    # A page's script cannot read a redirect, and asks to be told.
    told = desk.get(listed["pdf"], prefer="respond-async, No-Redirect")
    assert (told["statusCode"], told["body"]) == (200, answer["body"])
    assert told["headers"]["preference-applied"] == "no-redirect"
    assert "location" not in told["headers"]


def test_the_running_period_can_be_drafted_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.bureau.clock.set(NOW + timedelta(hours=1))
    held = desk.house.ask(ANN, NOW)

    draft = desk.json(f"{INVOICES}/draft")

    assert (draft["id"], draft["status"], draft["number"]) == ("draft", "draft", None)
    assert (draft["issued_at"], draft["pdf"]) == (None, None)
    assert desk.json(INVOICES)["data"] == []
    desk.house.settle(held, ANN, NOW)
    desk.bureau.clock.set(AFTER)
    before = desk.json(f"{INVOICES}/draft")
    desk.bureau.run()
    written = desk.json(f"{INVOICES}/{desk.json(INVOICES)['data'][0]['id']}")
    same = ("lines", "by_member", "by_seat_tier", "subtotal", "rounding", "total", "starts_at")
    assert [before[name] for name in same] == [written[name] for name in same]
    assert parse_exact(before["subtotal"]) > parse_exact(draft["subtotal"])


def test_a_draft_that_takes_long_is_had_by_asking_again(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    for hour in range(5):
        desk.house.use(BEN, NOW + timedelta(hours=hour))
    desk.bureau.clock.set(AFTER)
    whole = desk.json(f"{INVOICES}/draft")
    monkeypatch.setattr(ledger, "LINES_TOGETHER", 2)

    answers: list[dict[str, Any]] = []
    while not answers or answers[-1]["statusCode"] == 503:
        time = iter((True, False))
        monkeypatch.setattr(serve_billing, "_may_go_on", partial(next, time))
        answers.append(desk.get(f"{INVOICES}/draft"))

    assert len(answers) > 2
    assert json.loads(answers[-1]["body"]) == whole
    assert whole["members"] == 3


@pytest.mark.parametrize(
    "path",
    ["/inv_1", "/inv_202611i0123456789abcdef", "/draft/pdf", "/inv_202611i0123456789abcdef/pdf"],
)
def test_what_does_not_exist_is_not_there(desk: Desk, path: str) -> None:
    answer = desk.get(f"{INVOICES}{path}")

    assert answer["statusCode"] == 404


def test_a_statement_tells_of_the_wallet(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, "team")
    desk.bureau.run()

    (listed,) = desk.json(INVOICES)["data"]

    assert (listed["kind"], listed["status"], listed["amount_due"]) == ("statement", "paid", "0")
    assert listed["number"].endswith("-S0001")
    assert listed["opening_balance"] == "0"
    assert listed["purchases"] == "50000"
    assert listed["usage"] == listed["subtotal"] == listed["total"]
    closing = parse_exact(listed["closing_balance"])
    assert closing == 50_000 * CENT - parse_exact(listed["usage"])
    assert base64.b64decode(desk.get(listed["pdf"])["body"]).startswith(b"%PDF-")
