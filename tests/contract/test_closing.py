"""The close of a billing period: what it waits for, what it proves, what it writes."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from functions.close_periods import handler as close_periods
from headroom.billing.domain.invoice import Terms
from headroom.billing.usecases import period_close as closing
from headroom.billing.usecases.invoices import draft_invoice, write_invoice
from headroom.billing.usecases.ledger_sums import Shelf
from headroom.billing.usecases.period_close import StillOpen, begin, total_members, turn_members
from headroom.core.domain.money import format_amount, parse_exact
from headroom.core.errors import Conflict, NotFound
from headroom.core.gateways.queue import DELAY_SECONDS_MAX
from headroom.core.store import keys
from headroom.core.store.table import Delete, Item, Key, Page, Range
from headroom.limits.usecases.members import add_member
from headroom.organizations.store.closings import find_closing, put_closing
from headroom.organizations.store.organizations import find_member, find_pool
from headroom.payments.usecases.maintenance import look_after
from headroom.payments.usecases.wallets import open_wallet
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.usage_events import parse_event
from headroom.wallets.domain.wallet import book, credit
from headroom.wallets.store.wallets import take_step
from tests.contract.closing import Bureau
from tests.contract.governing import ANN, BEN, CENT, NOW, OLGA, OWNER, PAM, House
from tests.fake_payments import FakePayments
from tests.in_process import Context, sample
from tests.purse import TERMS
from tests.state_machine import ExecutionFailed

END = datetime(2026, 12, 1, tzinfo=UTC)
AFTER = END + timedelta(minutes=6)


@pytest.fixture
def house() -> House:
    house = House(spend_limit="100000")
    house.use(ANN, NOW, web=1)
    house.use(PAM, NOW + timedelta(days=3), output_tokens=3000)
    return house


@pytest.fixture
def bureau(house: House, monkeypatch: pytest.MonkeyPatch) -> Bureau:
    return Bureau(house.table, AFTER, monkeypatch)


def charged(house: House, period: str) -> int:
    """Everything that the ledger charges in a period, read line by line."""
    return sum(
        int(item["charged"]["N"])
        for item in house.table.items.values()
        if item["sk"]["S"] == "LINE" and item["period"]["S"] == period
    )


def test_a_month_closes_into_one_invoice(house: House, bureau: Bureau) -> None:
    bureau.run()

    (invoice,) = bureau.invoices(house.org_id)
    assert (invoice.kind, invoice.period, invoice.status) == ("invoice", "2026-11", "open")
    assert invoice.subtotal == charged(house, "2026-11") > 0
    assert invoice.total % CENT == 0
    assert abs(invoice.rounding) <= CENT // 2
    assert invoice.due_at - invoice.issued_at == timedelta(days=30)
    assert invoice.number.endswith("-0001")
    closing = find_closing(house.table, house.org_id, "2026-11")
    assert closing is not None
    assert (closing.state, closing.due_at) == ("invoiced", None)


def test_what_an_invoice_lists_comes_to_its_subtotal(house: House, bureau: Bureau) -> None:
    bureau.run()

    shown = bureau.shown(bureau.invoices(house.org_id)[0])
    for part in ("lines", "by_seat_tier", "by_member"):
        amounts = [nanos(row["amount"]) for row in shown[part]]
        assert format_amount(sum(amounts)) == shown["subtotal"], part
    assert {row["user_id"] for row in shown["by_member"]} == {ANN, PAM}
    assert {row["seat_tier"] for row in shown["by_seat_tier"]} == {"standard", "premium"}
    for line in shown["lines"]:
        assert nanos(line["amount"]) == line["quantity"] * nanos(line["unit_price"]) // line["per"]
        assert line["price_version"]
    assert nanos(shown["subtotal"]) + nanos(shown["rounding"]) == nanos(shown["total"])


def test_many_members_close_in_executions_of_their_own(
    house: House, bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "SHARD_MEMBERS", 1)
    ann = find_member(house.table, house.org_id, ANN)
    assert ann is not None
    for name in ("user_cat", "user_dan"):
        new = replace(ann, user_id=name, email=f"{name}@house.example", limits={})
        add_member(house.table, house.organization, new, OWNER, NOW)

    bureau.run()

    (invoice,) = bureau.invoices(house.org_id)
    assert invoice.subtotal == charged(house, "2026-11") > 0
    assert len(bureau.histories.events) == 1 + 6  # The machine's, and one for each shard.


def test_the_detail_lists_every_member(house: House, bureau: Bureau) -> None:
    bureau.run()

    (invoice,) = bureau.invoices(house.org_id)
    text = bureau.files.documents[f"invoices/{house.org_id}/{invoice.invoice_id}.csv"].decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sum(nanos(row["amount"]) for row in rows) == invoice.total
    assert {row["user_id"] for row in rows if row["kind"] != "rounding"} == {ANN, PAM}


def nanos(amount: str) -> int:
    whole, _, fraction = amount.partition(".")
    sign = -1 if amount.startswith("-") else 1
    return int(whole) * CENT + sign * int(fraction.ljust(7, "0"))


def test_nothing_is_closed_before_its_time(house: House, bureau: Bureau) -> None:
    bureau.clock.set(END + timedelta(minutes=4))

    assert bureau.hand_out() == 0
    with pytest.raises(NotFound):
        begin(house.table, house.org_id, "2026-11", END - timedelta(seconds=1))
    assert find_pool(house.table, house.org_id).period == "2026-11"


def test_a_zone_closes_after_its_own_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(time_zone="Asia/Kathmandu")
    bureau = Bureau(house.table, datetime(2026, 11, 30, 18, 19, tzinfo=UTC), monkeypatch)
    assert bureau.hand_out() == 0

    # Half past midnight less a quarter: Nepal is 5:45 ahead.
    bureau.clock.set(datetime(2026, 11, 30, 18, 21, tzinfo=UTC))
    assert bureau.hand_out() == 1


def test_the_close_waits_for_a_hold_and_bills_it_in_its_period(
    house: House, bureau: Bureau
) -> None:
    held = house.ask(BEN, END - timedelta(minutes=2))
    waits: list[float] = []

    def settle_meanwhile(seconds: float) -> None:
        if not waits:
            house.settle(held, BEN, AFTER)
        waits.append(seconds)

    bureau.wait = settle_meanwhile  # type: ignore[method-assign]

    bureau.run()

    assert len(waits) == 1
    assert 0 < waits[0] <= 600
    (invoice,) = bureau.invoices(house.org_id)
    assert invoice.subtotal == charged(house, "2026-11")
    shown = bureau.shown(invoice)
    assert BEN in {row["user_id"] for row in shown["by_member"]}


def test_a_hold_that_nobody_settles_delays_the_close_until_it_expires(
    house: House, bureau: Bureau
) -> None:
    house.ask(BEN, END - timedelta(minutes=2))

    bureau.run()

    (invoice,) = bureau.invoices(house.org_id)
    assert invoice.issued_at >= END + timedelta(minutes=8)
    assert invoice.subtotal == charged(house, "2026-11")


def test_nothing_starts_in_a_period_that_is_closing(house: House, bureau: Bureau) -> None:
    """Not even with a clock that is behind, whose hold would be in the old month."""
    house.ask(ANN, END - timedelta(minutes=1))
    bureau.hand_out()
    (document,) = bureau.pending
    began = bureau.step({"step": "begin", **document})
    bureau.step({"step": "turn", **document, "shard": began["shards"][0]})

    held = house.ask(ANN, END - timedelta(seconds=1))

    assert held["period"] == "2026-12"


def test_usage_that_comes_after_the_close_is_an_adjustment_of_the_next(
    house: House, bureau: Bureau
) -> None:
    expiring = house.ask(ANN, END - timedelta(minutes=5))
    bureau.run()
    (november,) = bureau.invoices(house.org_id)
    before = november.subtotal

    late = house.use(ANN, AFTER + timedelta(days=2), occurred_at=END - timedelta(hours=3))
    # Its hold expired in the close; the event comes all the same.
    house.settle_late(expiring, ANN, AFTER + timedelta(days=2), END - timedelta(minutes=4))
    house.use(ANN, AFTER + timedelta(days=3))
    assert late["period"] == "2026-12"
    bureau.clock.set(datetime(2027, 1, 1, 0, 6, tzinfo=UTC))
    bureau.run()

    november, december = bureau.invoices(house.org_id)
    assert november.subtotal == before == charged(house, "2026-11")
    shown = bureau.shown(december)
    (adjustment,) = shown["adjustments"]
    assert (adjustment["kind"], adjustment["period"]) == ("late_usage", "2026-11")
    assert adjustment["invoice_id"] == november.invoice_id
    assert adjustment["invoice_number"] == november.number
    own = sum(nanos(line["amount"]) for line in shown["lines"])
    assert own + nanos(adjustment["amount"]) == nanos(shown["subtotal"])
    assert nanos(shown["subtotal"]) == charged(house, "2026-12")
    assert 0 < nanos(adjustment["amount"]) < nanos(shown["subtotal"])


def test_a_ledger_that_disagrees_with_the_counters_is_not_invoiced(
    house: House, bureau: Bureau
) -> None:
    lost = next(key for key in house.table.items if key.sk == "LINE")
    del house.table.items[lost]

    with pytest.raises(ExecutionFailed, match="LedgerIncomplete"):
        bureau.run()

    assert bureau.invoices(house.org_id) == []
    closing = find_closing(house.table, house.org_id, "2026-11")
    assert closing is not None
    assert closing.state == "closing"


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> tuple[House, Bureau]:
    house = House("team")
    house.use(ANN, NOW, output_tokens=20_001)
    return house, Bureau(house.table, AFTER, monkeypatch)


def wallet_entries(house: House, kind: str) -> list[Item]:
    return [
        item
        for key, item in house.table.items.items()
        if key.pk.endswith("#WALLET") and item["kind"]["S"] == kind
    ]


def credited(house: House, cents: int, at: datetime) -> None:
    wallet = open_wallet(house.table, house.organization, at)
    take_step(house.table, wallet, credit(wallet, "adjustment", "adjustment", cents * CENT, at))


def drifts(house: House) -> list[dict[str, Any]]:
    told = house.told("reconciliation.drift_found")
    return [json.loads(item["detail"]["S"]) for item in told]


def test_a_statement_is_what_the_entries_come_to_by_the_end_of_its_period(
    team: tuple[House, Bureau],
) -> None:
    """Money that came afterwards, and usage of the next month, are on the next one."""
    house, bureau = team
    credited(house, 777, END)
    house.use(ANN, AFTER, output_tokens=10_000)

    bureau.run()

    (november,) = bureau.invoices(house.org_id)
    assert november.closing_balance == 50_000 * CENT - charged(house, "2026-11")
    (usage,) = wallet_entries(house, "usage")
    assert (usage["period"]["S"], usage["amount"]["N"]) == (
        "2026-11",
        str(-charged(house, "2026-11")),
    )
    bureau.clock.set(datetime(2027, 1, 1, 0, 6, tzinfo=UTC))
    bureau.run()
    december = bureau.invoices(house.org_id)[-1]
    assert december.movement is not None
    assert (december.movement.opening, december.movement.purchases) == (
        november.closing_balance,
        777 * CENT,
    )
    assert december.closing_balance == 50_777 * CENT - charged(house, "2026-11") - charged(
        house, "2026-12"
    )
    assert drifts(house) == []


@pytest.mark.parametrize("wrong", ["purchase", "usage", "booked_too_much"])
def test_a_statement_that_the_entries_do_not_bear_out_is_held_back(
    team: tuple[House, Bureau], wrong: str
) -> None:
    house, bureau = team
    bureau.run()
    (november,) = bureau.invoices(house.org_id)
    house.use(ANN, AFTER, output_tokens=10_000)
    december = charged(house, "2026-12")
    if wrong == "booked_too_much":
        wallet = open_wallet(house.table, house.organization, AFTER)
        step = book(wallet, "2026-12", december + 1, AFTER)
        assert step is not None
        take_step(house.table, wallet, step)
    else:
        credited(house, 100, AFTER)
        (entry,) = wallet_entries(house, "adjustment" if wrong == "purchase" else "usage")
        entry["amount"] = {"N": str(int(entry["amount"]["N"]) + 1)}
    bureau.clock.set(datetime(2027, 1, 1, 0, 6, tzinfo=UTC))

    with pytest.raises(ExecutionFailed, match="StatementUnproved"):
        bureau.run()

    assert bureau.invoices(house.org_id) == [november]
    (told,) = drifts(house)
    assert (told["what"], told["subject"]) == ("statement", "2026-12")
    assert abs(parse_exact(told["expected"]) - parse_exact(told["found"])) == 1


MONTHS = [
    datetime(2026 + month // 12, month % 12 + 1, 1, 0, 6, tzinfo=UTC) for month in range(11, 36)
]


def test_a_statement_reads_what_the_one_before_it_did_not(
    team: tuple[House, Bureau], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second year of a wallet no entry of the first is read."""
    house, bureau = team
    read: list[list[int]] = []
    query = house.table.query

    def counted(range_: Range, **how: Any) -> Page:
        page = query(range_, **how)
        if range_.pk.endswith("#WALLET"):
            read[-1] += [int(item["version"]["N"]) for item in page.items]
        return page

    bureau.run()
    monkeypatch.setattr(house.table, "query", counted)
    for month in MONTHS[1:]:
        begun = month - timedelta(days=20)
        for day in range(10):
            credited(house, 100 + day, begun + timedelta(days=day))
        house.use(ANN, begun)
        bureau.clock.set(month)
        read.append([])
        bureau.run()

    # The month's credits and its booking, the booking of the month before, and the last one known.
    assert [len(versions) for versions in read[1:]] == [13] * 23
    statements = bureau.invoices(house.org_id)
    assert len(statements) == 25
    assert (
        statements[-1].closing_balance == open_wallet(house.table, house.organization, AFTER).total
    )
    bureau.run()
    assert drifts(house) == []


def test_a_statement_after_those_of_an_earlier_release_reads_all_once(
    team: tuple[House, Bureau],
) -> None:
    house, bureau = team
    bureau.run()
    for key in [key for key in house.table.items if key.pk.endswith("#INVOICES")]:
        house.table.items[key].pop("read_from")
    credited(house, 100, AFTER)
    bureau.clock.set(MONTHS[1])

    bureau.run()

    november, december = bureau.invoices(house.org_id)
    assert december.movement is not None
    assert december.movement.opening == november.closing_balance
    assert december.movement.read_from == december.movement.last_entry > 0


def test_usage_that_was_booked_before_its_month_began_is_on_its_own_statement(
    team: tuple[House, Bureau],
) -> None:
    """A clock that is ahead spends in the next month, and a wallet books it in this one."""
    house, bureau = team
    early = 3 * CENT
    wallet = open_wallet(house.table, house.organization, NOW)
    house.use(BEN, END + timedelta(minutes=1))
    step = book(wallet, "2026-12", early, END - timedelta(minutes=9))
    assert step is not None
    take_step(house.table, wallet, step)
    credited(house, 50, END - timedelta(minutes=1))
    house.use(BEN, END + timedelta(minutes=2), output_tokens=10_000)
    bureau.run()
    bureau.clock.set(MONTHS[1])

    bureau.run()

    november, december = bureau.invoices(house.org_id)
    assert november.closing_balance == 50_050 * CENT - charged(house, "2026-11")
    assert december.closing_balance == november.closing_balance - charged(house, "2026-12")
    assert drifts(house) == []


@pytest.mark.parametrize("found_in", ["the month after", "two months after"])
def test_money_from_before_wallets_had_entries_is_what_the_first_statement_begins_with(
    team: tuple[House, Bureau], found_in: str
) -> None:
    """It is taken over when somebody first looks: the close itself, perhaps, in the next month."""
    house, bureau = team
    for key in [key for key in house.table.items if key.pk.endswith("#WALLET")]:
        del house.table.items[key]
    del house.table.items[keys.wallet(house.org_id)]
    if found_in == "two months after":
        bureau.clock.set(MONTHS[1])
        house.use(ANN, AFTER)
    for month in MONTHS[:3]:
        bureau.clock.set(max(month, bureau.clock.now()))
        bureau.run()

    first, second, *_ = bureau.invoices(house.org_id)
    assert first.period == "2026-11"
    for statement, opening in ((first, 50_000 * CENT), (second, first.closing_balance)):
        assert statement.movement is not None
        assert (statement.movement.opening, statement.movement.purchases) == (opening, 0)
    assert first.closing_balance == 50_000 * CENT - charged(house, "2026-11")
    assert drifts(house) == []


def test_a_draft_begins_with_what_a_month_without_a_statement_yet_left(
    team: tuple[House, Bureau],
) -> None:
    house, bureau = team
    credited(house, 700, NOW)
    wallet = open_wallet(house.table, house.organization, AFTER)
    step = book(wallet, "2026-11", charged(house, "2026-11"), AFTER)
    assert step is not None
    take_step(house.table, wallet, step)
    house.use(ANN, AFTER)

    drafted, _ = draft_invoice(
        house.table,
        lambda period: Shelf(bureau.files, period),
        house.organization,
        AFTER,
        lambda: True,
        terms=Terms(),
    )

    assert (drafted.period, drafted.subtotal) == ("2026-12", charged(house, "2026-12"))
    assert drafted.movement is not None
    assert drafted.movement.opening == 50_700 * CENT - charged(house, "2026-11")
    assert drafted.movement.purchases == 0


@pytest.mark.parametrize("closed", [True, False])
def test_what_costs_nothing_is_filed_in_the_period_that_runs(
    house: House, bureau: Bureau, closed: bool
) -> None:
    """Of somebody who was idle since; in no month that is over, whether it is closed or not."""
    if closed:
        bureau.run()
    event = {
        "id": "msg_free",
        "user_id": ANN,
        "occurred_at": AFTER.isoformat(),
        "model": "claude-sonnet-4-5",
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }

    told = [
        record(house.table, Hints(), house.organization, parse_event(event, AFTER), AFTER)
        for _ in range(2)
    ]

    assert [each["status"] for each in told] == ["recorded", "duplicate"]
    assert {each["period"] for each in told} == {"2026-12"}
    assert {(each["source"], each["amount"]) for each in told} == {("included", "0")}
    bureau.clock.set(datetime(2027, 1, 1, 0, 6, tzinfo=UTC))
    for _ in range(2):
        bureau.run()
    for period, requests in (("2026-11", 2), ("2026-12", 1)):
        found = find_closing(house.table, house.org_id, period)
        assert found is not None
        assert found.requests == requests


def forget_closings(house: House) -> None:
    """Leave the organization as it was provisioned before periods were closed."""
    for key in [key for key in house.table.items if key.pk.endswith("#CLOSINGS")]:
        del house.table.items[key]


def test_an_organization_that_never_closed_does_after_its_next_use(
    house: House, bureau: Bureau
) -> None:
    forget_closings(house)
    house.use(BEN, AFTER, output_tokens=500)
    forget_closings(house)
    assert bureau.hand_out() == 0

    later = datetime(2027, 1, 1, 0, 6, tzinfo=UTC)
    bureau.clock.set(later)
    house.use(BEN, later)
    house.use(PAM, later)
    for _ in range(2):
        bureau.run()

    november, december = bureau.invoices(house.org_id)
    assert (november.period, november.subtotal) == ("2026-11", charged(house, "2026-11"))
    assert (december.period, december.subtotal) == ("2026-12", charged(house, "2026-12"))
    assert december.subtotal > 0
    waiting = find_closing(house.table, house.org_id, "2027-01")
    assert waiting is not None
    assert waiting.state == "open"


def close_all(bureau: Bureau, *months: datetime) -> list[str]:
    for month in months:
        bureau.clock.set(month)
        bureau.run()
    (org_id,) = {document["organization_id"] for document in bureau.started.values()}
    return [invoice.period for invoice in bureau.invoices(org_id)]


def test_an_organization_used_for_the_last_time_under_this_release_closes_its_month(
    house: House, bureau: Bureau
) -> None:
    """Nobody rolls its pool ever after: whoever sweeps its members sees to it."""
    forget_closings(house)
    sweep(house.table, NOW + timedelta(days=4), lambda: True)

    assert close_all(bureau, AFTER) == ["2026-11"]


def test_a_team_that_is_never_used_again_closes_its_month(team: tuple[House, Bureau]) -> None:
    """Its wallet is looked at every day."""
    house, bureau = team
    for key in [key for key in house.table.items if key.pk.endswith("#REGISTRY")]:
        del house.table.items[key]
    forget_closings(house)

    look_after(house.table, FakePayments(AFTER), house.org_id, AFTER, TERMS)

    assert close_all(bureau, AFTER) == ["2026-11"]


def test_an_operator_opens_the_months_of_an_organization_that_nobody_comes_by(
    house: House, bureau: Bureau
) -> None:
    house.use(BEN, AFTER)
    forget_closings(house)
    order = {**sample("close_periods/open_periods"), "organization_id": house.org_id}
    context = cast("Any", Context())

    opened = [close_periods.handler(order, context)["opened"] for _ in range(2)]

    assert opened == [True, False]
    assert close_all(bureau, *MONTHS[:2], MONTHS[1]) == ["2026-11", "2026-12"]
    unknown = close_periods.handler(sample("close_periods/open_periods"), context)
    assert unknown["error"]["type"] == "not_found_error"
    wrong = close_periods.handler({"organization_id": 5}, context)
    assert "organization_id" in wrong["error"]["message"]


def test_a_close_that_was_lost_is_handed_out_again(house: House, bureau: Bureau) -> None:
    assert bureau.hand_out() == 1
    assert bureau.hand_out() == 0
    bureau.pending.clear()

    bureau.clock.set(AFTER + timedelta(minutes=31))
    bureau.run()

    assert len(bureau.invoices(house.org_id)) == 1


@pytest.mark.parametrize(("concurrency", "a_second"), [(4, 1), (20, 5)])
def test_the_closes_of_one_midnight_begin_as_the_budget_of_closes_carries_them(
    house: House, bureau: Bureau, monkeypatch: pytest.MonkeyPatch, concurrency: int, a_second: int
) -> None:
    monkeypatch.setattr(close_periods, "concurrency", concurrency)
    due = find_closing(house.table, house.org_id, "2026-11")
    assert due is not None
    everybody = {f"org_{number}" for number in range(950)}
    house.table.transact([Delete(keys.closing(house.org_id, "2026-11"))])
    for org_id in everybody:
        house.table.transact([put_closing(replace(due, org_id=org_id))])
    handed_out: Counter[str] = Counter()
    begin_at: Counter[datetime] = Counter()

    runs = 0
    while bureau.hand_out():
        runs += 1
        handed_out.update(document["organization_id"] for document in bureau.pending)
        bureau.pending.clear()
        now = bureau.clock.now()
        begin_at.update(now + timedelta(seconds=delay) for delay in bureau.delays)
        assert max(bureau.delays) <= DELAY_SECONDS_MAX
        bureau.delays.clear()
        bureau.clock.set(now + timedelta(minutes=15))
        if len(handed_out) == len(everybody):
            break

    assert handed_out == Counter(everybody)
    assert max(begin_at.values()) <= a_second
    # The shards are not quite of one size.
    seconds = (max(begin_at) - min(begin_at)).total_seconds()
    assert len(everybody) / a_second - 1 <= seconds <= 1.5 * len(everybody) / a_second + 1
    assert runs == (2 if a_second == 1 else 1)


def test_a_message_that_comes_twice_starts_one_execution(house: House, bureau: Bureau) -> None:
    sent: list[dict[str, Any]] = []
    original = bureau.send_spread

    def twice(messages: Any) -> int:
        found = list(messages)
        sent.extend(found)
        return original([*found, *found])

    bureau.send_spread = twice  # type: ignore[method-assign]
    bureau.hand_out()

    assert len(sent) == 1
    assert len(bureau.pending) == 1


def test_a_close_that_a_release_began_which_kept_no_cut_is_cut_anew(
    house: House, bureau: Bureau
) -> None:
    begin(house.table, house.org_id, "2026-11", AFTER)
    key = keys.closing(house.org_id, "2026-11")
    for name in ("bounds", "tax"):
        house.table.items[key].pop(name, None)

    bureau.clock.set(AFTER + timedelta(hours=27))
    bureau.run()

    (invoice,) = bureau.invoices(house.org_id)
    assert invoice.subtotal == charged(house, "2026-11") > 0


def test_the_months_follow_each_other_without_gap(house: House, bureau: Bureau) -> None:
    for month in range(1, 7):
        bureau.clock.set(datetime(2026 + (month > 1), (month + 10) % 12 + 1, 1, 1, tzinfo=UTC))
        if month > 1:
            bureau.run()
    invoices = bureau.invoices(house.org_id)

    assert [invoice.period for invoice in invoices] == [
        "2026-11",
        "2026-12",
        "2027-01",
        "2027-02",
        "2027-03",
    ]
    assert [invoice.number[-4:] for invoice in invoices] == ["0001", "0002", "0003", "0004", "0005"]
    assert [invoice.status for invoice in invoices] == ["open", "paid", "paid", "paid", "paid"]
    assert len({invoice.number[:-5] for invoice in invoices}) == 1


def test_the_bus_hears_of_each_close_and_document_once(house: House, bureau: Bureau) -> None:
    bureau.run()
    for document in bureau.started.values():
        bureau.execute(document)

    (closed,) = house.told("billing_period.closed")
    (finalized,) = house.told("invoice.finalized")
    (invoice,) = bureau.invoices(house.org_id)
    told = json.loads(finalized["detail"]["S"])
    assert told["invoice_id"] == invoice.invoice_id
    assert told["total"] == format_amount(invoice.total)
    assert json.loads(closed["detail"]["S"])["charged"] == format_amount(invoice.subtotal)


def test_an_organization_that_did_not_exist_has_nothing_to_close(
    house: House, bureau: Bureau
) -> None:
    with pytest.raises(NotFound):
        begin(house.table, "org_nobody", "2026-11", AFTER)
    with pytest.raises(NotFound):
        begin(house.table, house.org_id, "2026-10", AFTER)


def test_a_rounding_is_booked_beside_the_ledger(house: House, bureau: Bureau) -> None:
    bureau.run()

    (invoice,) = bureau.invoices(house.org_id)
    assert invoice.rounding != 0
    key = Key(f"ORG#{house.org_id}#BOOKINGS", f"BOOKING#{invoice.invoice_id}#rounding")
    assert int(house.table.items[key]["amount"]["N"]) == invoice.rounding


def test_sums_are_not_taken_while_something_is_held(house: House, bureau: Bureau) -> None:
    house.ask(BEN, END - timedelta(minutes=1))
    (shard,) = begin(house.table, house.org_id, "2026-11", AFTER)
    assert turn_members(house.table, house.org_id, "2026-11", shard, AFTER) is not None

    with pytest.raises(StillOpen):
        total_members(house.table, bureau.files, house.org_id, "2026-11", shard)


def test_nothing_is_invoiced_before_it_is_closed(house: House, bureau: Bureau) -> None:
    begin(house.table, house.org_id, "2026-11", AFTER)

    with pytest.raises(Conflict):
        write_invoice(house.table, house.org_id, "2026-11", AFTER, terms=Terms())


@pytest.mark.parametrize("new_id", ["user_aaa", "user_zzz"])
def test_two_runs_with_a_new_member_between_them_miss_nobody(
    monkeypatch: pytest.MonkeyPatch, new_id: str
) -> None:
    """The members are cut once for a close: a shard of one run is the same shard of another."""
    monkeypatch.setattr(closing, "SHARD_MEMBERS", 2)
    house = House(spend_limit="100000")
    for who in (ANN, BEN, PAM, OLGA):
        house.use(who, NOW)
    bureau = Bureau(house.table, AFTER, monkeypatch)
    table, files, org_id, period = house.table, bureau.files, house.org_id, "2026-11"

    def go_through(shards: list[closing.Shard]) -> None:
        for shard in shards:
            assert closing.turn_members(table, org_id, period, shard, AFTER) is None
            closing.total_members(table, files, org_id, period, shard)

    first = closing.begin(table, org_id, period, AFTER)
    go_through(first)
    ben = find_member(table, org_id, BEN)
    assert ben is not None
    new = replace(ben, user_id=new_id, name="New", limits={})
    add_member(table, house.organization, new, OWNER, AFTER)
    second = closing.begin(table, org_id, period, AFTER)
    go_through(second[:1])
    # The first run comes to its end meanwhile.
    sealed = closing.seal(table, files, org_id, period, len(first), AFTER)

    assert second == first
    assert sealed.charged == charged(house, period) > 0
