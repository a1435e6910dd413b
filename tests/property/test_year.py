"""A year on the test clock: every nano of the ledger is on exactly one document, or was free.

Time passes by the clocks of New York, over both changes of daylight saving and a leap day. What a
year brings is in the script below; chance decides how much is used, held and when.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from functions.invoice_organization import handler as invoice_organization
from headroom.billing.domain.invoice import Invoice
from headroom.billing.usecases.collection import apply_invoice_event
from headroom.billing.usecases.ledger_sums import Shelf, Span
from headroom.billing.usecases.usage_report import report
from headroom.core.domain.periods import period_bounds, period_of, time_zone
from headroom.core.errors import SpendRefused
from headroom.limits.usecases.settings import change_person, set_cap, set_enabled
from headroom.organizations.store.organizations import find_organization
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.usecases.authorizations import authorize, release
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from headroom.wallets.domain.payments import PaymentEvent
from tests.contract.closing import Bureau
from tests.fake_payments import GOOD_CARD, FakePayments
from tests.memory_files import MemoryFiles
from tests.partitions import Partitions

ZONE = "America/New_York"
START = datetime(2027, 12, 10, 15, 30, tzinfo=UTC)
# An hour before the year ends in New York.
END = datetime(2029, 1, 1, 4, tzinfo=UTC)
CENT = 10_000_000
OPUS = "claude-opus-4-5"
MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", OPUS)
PERIODS = ["2027-12", *(f"2028-{month:02d}" for month in range(1, 13))]


class Year:
    """One organization as it lives through a year; `bureau` closes its months."""

    def __init__(self, plan: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = random.Random(seed)
        self.table = Partitions()
        self.now = START
        self.users = [f"user_{name}" for name in ("ann", "ben", "cem", "dot")]
        self.org_id = str(provision(self.table, parse_provisioning(document(plan)), START)["id"])
        self.payments = FakePayments(START)
        customer = self.payments.create_customer(org_id=self.org_id, name="Year")
        self.payments.save_payment_method(customer, GOOD_CARD)
        self.bureau = Bureau(self.table, START, monkeypatch, self.payments)
        self.held: list[tuple[str, str]] = []
        self.events = 0
        self.outcomes: Counter[str] = Counter()

    def live(self) -> None:
        """Let time pass until the end, a few hours at a time."""
        script = list(SCRIPT)
        while self.now < END:
            step = timedelta(minutes=self.chance.randrange(30, 60 * 40))
            self.now = min(self.now + step, END)
            while script and script[0][0] <= self.now:
                script.pop(0)[1](self)
            for _ in range(self.chance.randrange(6)):
                self.work()
            if self.chance.random() < 0.4:
                sweep(self.table, self.now, lambda: True)
            self.close()
        self.bureau.clock.set(END + timedelta(days=2))
        self.bureau.run()
        self.bureau.chase()

    def close(self) -> None:
        self.payments.now = self.now
        self.bureau.clock.set(self.now)
        self.bureau.run()
        self.bureau.chase()
        # Waiting for holds took its time.
        self.now = max(self.now, self.bureau.clock.now())

    def work(self) -> None:
        happens = self.chance.choice(
            [self.hold, self.hold, self.settle, self.settle, self.use, self.use_late, self.let_go]
        )
        happens()

    def hold(self) -> None:
        user_id = self.chance.choice(self.users)
        body = {
            "user_id": user_id,
            "model": self.chance.choice(MODELS),
            "input_tokens": self.chance.randrange(30_000),
            "max_tokens": self.chance.randrange(1, 4_000),
            "ttl_seconds": self.chance.choice([600, 7200, 86400]),
        }
        try:
            answer = authorize(
                self.table,
                Hints(),
                self.organization,
                parse_authorization_request(body),
                self.now,
                entropy=self.chance.randbytes(6),
            )
        except SpendRefused as refused:
            self.outcomes[refused.facts["reason"]] += 1
            return
        self.held.append((user_id, answer["id"]))

    def settle(self) -> None:
        if self.held:
            user_id, authorization_id = self.held.pop(self.chance.randrange(len(self.held)))
            self._record(user_id, self.now, authorization_id)

    def let_go(self) -> None:
        if self.held:
            release(self.table, self.org_id, self.held.pop()[1])

    def use(self) -> None:
        self._record(self.chance.choice(self.users), self.now)

    def use_late(self) -> None:
        late = timedelta(days=self.chance.randrange(61))
        occurred_at = max(self.now - late, START)
        if occurred_at < period_bounds(self.period, time_zone(ZONE))[0]:
            self.outcomes["late for a closed month"] += 1
        self._record(self.chance.choice(self.users), occurred_at)

    def _record(
        self, user_id: str, occurred_at: datetime, authorization_id: str | None = None
    ) -> None:
        self.events += 1
        raw: dict[str, Any] = {
            "id": f"event-{self.events}",
            "user_id": user_id,
            "model": self.chance.choice(MODELS),
            "occurred_at": occurred_at.isoformat(),
            "usage": {
                "input_tokens": self.chance.randrange(25_000),
                "output_tokens": self.chance.randrange(3_000),
                "cache_read_input_tokens": self.chance.randrange(9_999),
                "cache_creation_input_tokens": self.chance.choice([0, 1_234]),
                "service_tier": self.chance.choice(["standard", "batch"]),
            },
        }
        if authorization_id:
            raw["authorization_id"] = authorization_id
        told = record(self.table, Hints(), self.organization, parse_event(raw, self.now), self.now)
        assert told["status"] == "recorded", told
        self.outcomes[told["source"]] += 1

    @property
    def organization(self) -> Any:
        return find_organization(self.table, self.org_id)

    @property
    def period(self) -> str:
        return period_of(self.now, time_zone(ZONE))

    @property
    def invoices(self) -> list[Invoice]:
        return self.bureau.invoices(self.org_id)

    def lines(self) -> list[dict[str, Any]]:
        return [
            {name: next(iter(value.values())) for name, value in item.items()}
            for item in self.table.items.values()
            if item["sk"]["S"] == "LINE"
        ]

    def hear_of_a_dispute(self, kind: Any) -> None:
        made = sorted(self.payments.payments.values(), key=lambda each: each.created_at)
        if not made:
            # A Team organization pays beforehand.
            return
        payment = made[0]
        event = PaymentEvent(
            event_id=f"evt_{kind}",
            kind=kind,
            created_at=self.now,
            payment_id=payment.payment_id,
            key=payment.key,
            amount_cents=payment.amount_cents,
        )
        self.payments.now = self.now
        apply_invoice_event(self.table, invoice_organization.collector, event, self.now)


def document(plan: str) -> dict[str, Any]:
    allowance = {"allowance": [{"window": "PT5H", "amount": "3"}, {"window": "P7D", "amount": "9"}]}
    sonnet = {"input": 2000, "output": 9000, "cache_read": 200, "cache_write_5m": 2500}
    rates = {**sonnet, "cache_write_1h": 4000, "web_search": 10_000_000}
    tiers = [{"input_tokens_min": 0, "rates": rates}]
    return {
        "id": f"year-{plan}",
        "plan": plan,
        "name": "Year",
        "time_zone": ZONE,
        "extra_usage": {"enabled": True},
        "spend_limit": "120",
        "seat_tiers": {"standard": allowance},
        "contract_prices": [
            {"id": "spring", "model": "claude-sonnet-4-5", "from": "2028-04-15", "tiers": tiers},
            {
                "id": "autumn",
                "model": "claude-opus-4-5",
                "from": "2028-09-20",
                "discount_percent": 10,
            },
        ],
        "members": [
            {
                "user_id": f"user_{name}",
                "name": name,
                "email": f"{name}@year.example",
                "seat_tier": seat_tier,
                "continue_with_extra_usage": True,
            }
            for name, seat_tier in (
                ("ann", "standard"),
                ("ben", "standard"),
                ("cem", "premium"),
                ("dot", "premium"),
            )
        ],
        **({"wallet": {"balance": "5000"}} if plan == "team" else {}),
    }


def enable(year: Year, enabled: bool) -> None:
    set_enabled(year.table, year.org_id, enabled, year.now)


def move_seat(year: Year, user_id: str, seat_tier: Any) -> None:
    change_person(
        year.table,
        year.org_id,
        user_id,
        lambda old: replace(old, seat_tier=seat_tier),
        year.now,
    )


def on(month: int, day: int, year: int = 2028) -> datetime:
    return datetime(year, month, day, 9, tzinfo=UTC)


SCRIPT: list[tuple[datetime, Any]] = [
    (on(1, 12), lambda year: enable(year, False)),
    (on(1, 20), lambda year: enable(year, True)),
    (on(2, 15), lambda year: move_seat(year, "user_ann", "premium")),
    (on(3, 2), lambda year: year.hear_of_a_dispute("dispute_opened")),
    (on(3, 20), lambda year: year.hear_of_a_dispute("dispute_won")),
    (on(5, 3), lambda year: set_cap(year.table, year.org_id, 40 * CENT, year.now)),
    (on(6, 1), lambda year: set_cap(year.table, year.org_id, None, year.now)),
    (on(7, 9), lambda year: move_seat(year, "user_ann", "standard")),
    (on(8, 8), lambda year: change_active(year, "user_dot", False)),
    (on(10, 30), lambda year: change_active(year, "user_dot", True)),
]


def change_active(year: Year, user_id: str, active: bool) -> None:
    change_person(
        year.table, year.org_id, user_id, lambda old: replace(old, active=active), year.now
    )
    if active:
        year.users.append(user_id)
    else:
        year.users.remove(user_id)
        year.held = [each for each in year.held if each[0] != user_id]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_year_of_invoices_is_the_ledger_to_the_nano(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    year = Year("enterprise", seed, monkeypatch)

    year.live()

    check(year)
    # What the year is to be about did happen.
    for outcome in ("extra_usage", "included", "unbilled", "late for a closed month"):
        assert year.outcomes[outcome] > 10, year.outcomes
    assert year.outcomes["extra_usage_disabled"] > 0
    assert year.outcomes["payment_past_due"] > 0
    assert {invoice.status for invoice in year.invoices} == {"paid"}
    disputed = min(year.invoices, key=lambda invoice: invoice.period)
    assert len(disputed.receipts) == 3
    received = sum(payment.amount_cents for payment in year.payments.payments.values())
    assert received * CENT == sum(invoice.total for invoice in year.invoices)


def test_a_year_of_statements_is_the_wallet_to_the_nano(monkeypatch: pytest.MonkeyPatch) -> None:
    year = Year("team", 3, monkeypatch)

    year.live()

    check(year)
    opening = 0
    for statement in year.invoices:
        assert statement.movement is not None
        assert statement.movement.opening == opening
        opening = statement.closing_balance
    assert year.payments.payments == {}
    spent = sum(int(line["charged"]) for line in year.lines())
    assert opening == 5000 * CENT - spent


def check(year: Year) -> None:
    lines, invoices = year.lines(), year.invoices
    assert [invoice.period for invoice in invoices] == PERIODS
    ledger = sum(int(line["cost"]) for line in lines)
    billed = sum(invoice.subtotal for invoice in invoices)
    unbilled = sum(int(line["unbilled"]) for line in lines)
    included = sum(int(line["cost"]) for line in lines if line["source"] == "included")
    assert billed + unbilled + included == ledger
    assert billed > 0
    versions: set[str] = set()
    for invoice in invoices:
        shown = year.bureau.shown(invoice)
        own = [line for line in lines if line["period"] == invoice.period]
        assert invoice.subtotal == sum(int(line["charged"]) for line in own)
        listed = [*shown["lines"]]
        for adjustment in shown["adjustments"]:
            assert adjustment["period"] < invoice.period
            listed += adjustment["lines"]
        assert sum(nanos(line["amount"]) for line in listed) == invoice.subtotal
        versions |= {line["price_version"] for line in listed}
        span = Span(invoice.starts_at, invoice.ends_at, period=invoice.period)
        shelf = Shelf(MemoryFiles(), "")
        made = report(year.table, shelf, year.organization, span, (), invoice.ends_at)
        totals = made.totals.sums
        assert totals["amount"] == invoice.subtotal
        assert nanos(shown["included_amount"]) == totals["included_amount"]
        assert nanos(shown["unbilled_amount"]) == totals["unbilled_amount"]
    assert any("spring" in version for version in versions)
    assert any("autumn" in version for version in versions)
    bounds = [(invoice.starts_at, invoice.ends_at) for invoice in invoices]
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    hours = {invoice.period: invoice.ends_at - invoice.starts_at for invoice in invoices}
    assert hours["2028-02"] == timedelta(days=29)
    assert hours["2028-03"] == timedelta(days=31, hours=-1)
    assert hours["2028-11"] == timedelta(days=30, hours=1)


def nanos(amount: str) -> int:
    sign = -1 if amount.startswith("-") else 1
    whole, _, fraction = amount.removeprefix("-").partition(".")
    return sign * (int(whole) * CENT + int(fraction.ljust(7, "0")))
