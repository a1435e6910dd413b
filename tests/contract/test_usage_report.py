"""A usage report says what the ledger says: every line once, every nano."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from math import ceil
from typing import Any

import pytest

from functions.serve_billing import handler as serve_billing
from headroom.billing.usecases import ledger_sums as gathering
from headroom.billing.usecases.ledger_sums import Shelf, Span
from headroom.billing.usecases.usage_report import GroupBy, Report, report
from headroom.core.clock import Clock
from headroom.core.domain.money import format_amount
from headroom.core.errors import Unfinished
from headroom.core.store import keys
from headroom.organizations.store.credentials import put_key
from headroom.organizations.usecases.api_keys import new_key
from headroom.organizations.usecases.authentication import Callers
from headroom.spending.store import ledger
from tests.contract.governing import ANN, BEN, NOW, PAM, House
from tests.in_process import Context, sample
from tests.memory_files import MemoryFiles

PERIOD = Span(NOW, NOW, period="2026-11")


@pytest.fixture
def house() -> House:
    """Eleven days of work in a month, and some of the month before it."""
    allowance = {"allowance": [{"window": "P1D", "amount": "1"}]}
    house = House(seat_tiers={"premium": allowance}, spend_limit="30")
    for day in range(11):
        now = NOW + timedelta(days=day)
        for user_id in (ANN, BEN, PAM):
            house.use(user_id, now, product=("claude_code", None)[day % 2], web=day % 3)
    return house


def sums(house: House, key: Sequence[str], span: Span = PERIOD) -> dict[tuple[Any, ...], Any]:
    """Total the lines as they lie in the table, by hand."""
    found: dict[tuple[Any, ...], Any] = defaultdict(lambda: defaultdict(int))
    for item in house.table.items.values():
        if item["sk"]["S"] != "LINE":
            continue
        line = {name: next(iter(value.values())) for name, value in item.items()}
        at = datetime.fromisoformat(line["occurred_at"].partition("#")[0])
        if not (line["period"] == span.period or span.starting_at <= at < span.ending_at):
            continue
        line |= {"user": line["user_id"], "day": f"{at.date()}"}
        row = found[tuple(line.get(name, "") for name in key)]
        usage = json.loads(line["usage"])
        row["requests"] += 1
        row["amount"] += int(line["charged"])
        row["unbilled_amount"] += int(line["unbilled"])
        row["included_amount"] += int(line["cost"]) * (line["source"] == "included")
        row["input_tokens"] += usage["input_tokens"]
        row["output_tokens"] += usage["output_tokens"]
        row["web_search_requests"] += usage["server_tool_use"]["web_search_requests"]
    return found


@pytest.mark.parametrize(
    "groups",
    [
        (),
        ("user",),
        ("model",),
        ("product", "day"),
        ("user", "seat_tier", "model", "product", "day"),
    ],
)
def test_a_report_equals_the_ledger(house: House, groups: tuple[GroupBy, ...]) -> None:
    made = report_of(house, PERIOD, groups)

    by_hand = sums(house, groups)
    assert {place: _without_caches(figures.sums) for place, figures in made.rows} == by_hand
    assert _without_caches(made.totals.sums) == sums(house, ())[()]
    assert made.totals.sums["amount"] > 0
    assert made.totals.sums["included_amount"] > 0
    assert made.totals.sums["unbilled_amount"] > 0


def _without_caches(figures: dict[str, int]) -> dict[str, int]:
    assert figures["cache_read_input_tokens"] == figures["cache_creation_input_tokens"] == 0
    return {name: value for name, value in figures.items() if not name.startswith("cache")}


def test_a_span_is_half_open_and_counts_by_when_usage_occurred(house: House) -> None:
    second = NOW + timedelta(days=2)
    span = Span(NOW, second)

    made = report_of(house, span, ("day",))

    assert [place for place, _ in made.rows] == [("2026-11-02",), ("2026-11-03",)]
    assert _without_caches(made.totals.sums) == sums(house, (), span)[()]


def test_usage_recorded_weeks_late_is_in_the_span_in_which_it_occurred(house: House) -> None:
    later = datetime(2026, 12, 20, tzinfo=NOW.tzinfo)
    house.use(ANN, later, occurred_at=NOW + timedelta(hours=1))

    first_day = report_of(house, Span(NOW, NOW + timedelta(days=1)), ())
    december = report_of(house, Span(NOW, NOW, period="2026-12"), ())

    assert first_day.totals.sums["requests"] == 4
    assert december.totals.sums["requests"] == 1


def test_a_report_that_takes_long_is_gone_on_with(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lines are read at a time, and two pages a request: members are cut in the middle."""
    monkeypatch.setattr(ledger, "LINES_TOGETHER", 2)
    monkeypatch.setattr(gathering, "READ_TOGETHER", 2)
    span = Span(NOW, NOW + timedelta(days=9))
    groups: tuple[GroupBy, ...] = ("user", "day", "product")
    shelf = Shelf(MemoryFiles(), "report")

    made, at = None, NOW
    far: list[dict[str, Any]] = []
    while made is None:
        time = iter((True, False))
        at = NOW + timedelta(seconds=10 * len(far))
        try:
            made = report(
                house.table, shelf, house.organization, span, groups, at, partial(next, time)
            )
        except Unfinished as unfinished:
            far.append(unfinished.facts)

    whole = report_of(house, span, groups)
    assert (made.rows, made.totals) == (whole.rows, whole.totals)
    assert _without_caches(made.totals.sums) == sums(house, (), span)[()]
    assert len(far) + 1 > 3 * 11 / 4

    # Each request tells how many members are done, and at that pace, how long the others take.
    done = [facts["members_done"] for facts in far]
    assert (done[0], done[-1]) == (0, 3)
    assert done == sorted(done)
    assert {facts["members"] for facts in far} == {4}
    for number, facts in enumerate(far):
        before = done[number - 1] if number else 0
        pace = 10 * number / before if before else None
        assert facts["seconds_left"] == (None if pace is None else ceil(pace * (4 - done[number])))

    # Its pages are of the same sums; what is asked for an hour later is made anew.
    house.use(ANN, NOW + timedelta(days=8))
    for later, anew in ((timedelta(minutes=59), 0), (timedelta(minutes=60), 1)):
        again = report(house.table, shelf, house.organization, span, groups, at + later)
        requests_made = again.totals.sums["requests"] - made.totals.sums["requests"]
        assert requests_made == anew


def report_of(house: House, span: Span, groups: Sequence[GroupBy]) -> Report:
    return report(house.table, Shelf(MemoryFiles(), ""), house.organization, span, groups, NOW)


class Desk:
    """Asks the function, as an admin key does."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        secret, key = new_key(house.org_id, "books", ["read:billing"])
        house.table.transact(list(put_key(key, NOW)))
        self.secret = secret

        class Later(Clock):
            def now(self) -> datetime:
                return NOW + timedelta(days=20)

        self.files = MemoryFiles()
        monkeypatch.setattr(serve_billing, "table", house.table)
        monkeypatch.setattr(serve_billing, "files", self.files)
        monkeypatch.setattr(serve_billing.api, "_table", house.table)
        monkeypatch.setattr(serve_billing.api, "_callers", Callers())
        monkeypatch.setattr(serve_billing.api, "_clock", Later())

    def get(self, query: str | None = None, **headers: str) -> dict[str, Any]:
        event = sample("serve_billing/usage_report")
        event["headers"] |= {"x-api-key": self.secret, **headers}
        if query is not None:
            event["rawQueryString"] = query
        answer: dict[str, Any] = serve_billing.handler(event, Context())  # type: ignore[arg-type]
        return answer

    def json(self, query: str | None = None) -> dict[str, Any]:
        answer = self.get(query)
        assert answer["statusCode"] == 200, answer["body"]
        body: dict[str, Any] = json.loads(answer["body"])
        return body


@pytest.fixture
def desk(house: House, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(house, monkeypatch)


def test_the_pages_of_a_report_are_the_report(house: House, desk: Desk) -> None:
    query = "period=2026-11&group_by[]=user&group_by[]=day&limit=7"
    whole = desk.json(query.replace("limit=7", "limit=1000"))
    rows: list[Any] = []
    page = desk.json(query)
    while page["has_more"]:
        rows += page["data"]
        assert page["totals"] == whole["totals"]
        page = desk.json(f"{query}&page={page['next_page']}")
    rows += page["data"]

    assert rows == whole["data"]
    assert len(rows) == 33
    total = sums(house, ())[()]
    assert whole["totals"]["amount"] == format_amount(total["amount"])


def test_the_dearest_rows_come_first_and_their_pages_are_the_report(desk: Desk) -> None:
    query = "period=2026-11&group_by[]=user&group_by[]=day&order_by=amount&limit=7"
    whole = desk.json("period=2026-11&group_by[]=user&group_by[]=day&limit=1000")
    rows: list[Any] = []
    page = desk.json(query)
    while page["has_more"]:
        rows += page["data"]
        page = desk.json(f"{query}&page={page['next_page']}")
    rows += page["data"]

    amounts = [Decimal(row["amount"]) for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    assert amounts[0] > amounts[-1]
    assert sorted(rows, key=lambda row: (row["user_id"], row["day"])) == whole["data"]
    # A cursor belongs to its order.
    other = query.replace("order_by=amount&", "")
    first = desk.json(query)["next_page"]
    assert desk.get(f"{other}&page={first}")["statusCode"] == 400


def test_the_sample_event_asks_for_users_and_models(desk: Desk) -> None:
    answer = desk.json()

    assert [row["user_id"] for row in answer["data"]] == [ANN, BEN, PAM]
    assert {row["model"] for row in answer["data"]} == {"claude-sonnet-4-5"}


def test_a_report_is_a_csv_file_for_whoever_accepts_that(house: House, desk: Desk) -> None:
    house.use(ANN, NOW, product="=HYPERLINK(1)")
    answer = desk.get("period=2026-11&group_by[]=product&limit=1", accept="text/csv")

    assert answer["isBase64Encoded"]
    assert answer["headers"]["content-type"].startswith("text/csv")
    text = base64.b64decode(answer["body"]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["product"] for row in rows] == ["", "'=HYPERLINK(1)", "claude_code"]
    shown = desk.json("period=2026-11&group_by[]=product&limit=1000")["data"]
    assert [row["amount"] for row in rows] == [row["amount"] for row in shown]


def test_members_are_named_in_either_format(house: House, desk: Desk) -> None:
    query = "period=2026-11&group_by[]=day&group_by[]=user"
    house.table.items[keys.member(house.org_id, ANN)]["name"] = {"S": "=Ann"}

    rows = desk.json(f"{query}&limit=1000")["data"]
    text = base64.b64decode(desk.get(query, accept="text/csv")["body"]).decode()

    assert {row["user_id"]: row["name"] for row in rows} == {ANN: "=Ann", BEN: BEN, PAM: PAM}
    found = list(csv.DictReader(io.StringIO(text)))
    assert {row["user_id"]: row["name"] for row in found} == {ANN: "'=Ann", BEN: BEN, PAM: PAM}
    assert text.splitlines()[0].endswith(",name")
    assert "name" not in desk.json("period=2026-11&group_by[]=day")["data"][0]


@pytest.mark.parametrize(
    "product", ["-2+3+cmd|'/c calc'!A0", "\n=1+1", " =1+1", "\0=1+1", "\N{FULLWIDTH EQUALS SIGN}1"]
)
def test_no_product_is_a_formula(house: House, desk: Desk, product: str) -> None:
    house.use(ANN, NOW, product=product)

    answer = desk.get("period=2026-11&group_by[]=product", accept="text/csv")

    text = base64.b64decode(answer["body"]).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["product"] for row in rows} == {"", "claude_code", f"'{product}"}


def test_a_large_csv_file_waits_elsewhere(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "period=2026-11&group_by[]=user&group_by[]=day"
    whole = base64.b64decode(desk.get(query, accept="text/csv")["body"])
    monkeypatch.setattr(serve_billing, "CSV_ROWS_MAX", 32)

    answer = desk.get(query, accept="text/csv")

    assert answer["statusCode"] == 303
    ((name, body),) = desk.files.documents.items()
    assert body == whole
    assert name in answer["headers"]["location"]
    told = desk.get(query, accept="text/csv", prefer="no-redirect")
    assert told["statusCode"] == 200
    assert json.loads(told["body"])["type"] == "elsewhere"


def test_a_long_report_is_had_by_asking_again_in_either_format(
    house: House, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "period=2026-11&group_by[]=user&group_by[]=day&limit=20"
    whole = desk.json(query)
    whole_file = desk.get(query, accept="text/csv")["body"]
    monkeypatch.setattr(ledger, "LINES_TOGETHER", 4)

    for accept in ("text/csv", "application/json"):
        desk.files.documents.clear()
        answers: list[dict[str, Any]] = []
        while not answers or answers[-1]["statusCode"] == 503:
            time = iter((True, True, False))
            monkeypatch.setattr(serve_billing, "_may_go_on", partial(next, time))
            answers.append(desk.get(query, accept=accept))
        *unfinished, answer = answers
        assert len(unfinished) > 1
        for each in unfinished:
            assert each["headers"]["x-should-retry"] == "true"
            assert each["headers"]["retry-after"] == "1"
        assert answer["statusCode"] == 200
        if accept == "text/csv":
            assert answer["body"] == whole_file
        else:
            assert json.loads(answer["body"]) == whole
            # The next page and the file are of the same sums, and need no more time.
            monkeypatch.setattr(serve_billing, "_may_go_on", lambda: False)
            house.use(ANN, NOW)
            rest = desk.json(f"{query}&page={whole['next_page']}")
            assert rest["totals"] == whole["totals"]
            assert len(rest["data"]) == 33 - 20
            assert desk.get(query, accept="text/csv")["body"] == whole_file


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by[]=price", "group_by"),
        ("group_by[]=user&order_by=user", "order_by"),
        ("period=2026-13", "period"),
        ("period=2026-11&starting_at=2026-11-01T00:00:00Z", "period"),
        ("starting_at=yesterday", "starting_at"),
        ("starting_at=2026-11-05T00:00:00Z&ending_at=2026-11-05T00:00:00Z", "ending_at"),
        ("starting_at=2025-01-01T00:00:00Z&ending_at=2026-11-05T00:00:00Z", "ending_at"),
        ("limit=0", "limit"),
        ("page=abc", "page"),
        ("until=2026", "until"),
    ],
)
def test_what_is_wrong_is_named(desk: Desk, query: str, field: str) -> None:
    answer = desk.get(query)

    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["error"]["details"] == {"field": field}
