"""Collecting invoices: once, whatever is lost or repeated, and what follows when nobody pays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from functions.invoice_organization import handler as invoice_organization
from functions.receive_payment_event import handler as receive_payment_event
from headroom.billing.domain.invoice import Invoice, Receipt, with_receipt
from headroom.billing.store.invoices import find_invoice, find_payer
from headroom.billing.usecases.collection import (
    PROCESSOR,
    apply_invoice_event,
    collect,
    is_invoice_key,
)
from headroom.billing.usecases.credit_notes import credit_invoice
from headroom.core.domain.actor import Actor
from headroom.core.domain.money import round_to_cents
from headroom.payments.gateways.payments import PaymentUnknown
from headroom.wallets.domain.payments import EventKind, PaymentEvent
from tests.contract.closing import Bureau
from tests.contract.governing import ANN, CENT, NOW, House
from tests.documents import ROOT
from tests.fake_payments import (
    ASKING_CARD,
    DECLINING_CARD,
    GOOD_CARD,
    OTHER_CARD,
    OTHER_DECLINING_CARD,
    SLOW_CARD,
    FakePayments,
)

AFTER = datetime(2026, 12, 1, 0, 6, tzinfo=UTC)
DUE = AFTER + timedelta(days=30)


class Office:
    """An organization with a month of usage, a processor, and the functions that close it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, card: str | None) -> None:
        self.house = House()
        self.house.use(ANN, NOW, output_tokens=20_000)
        self.payments = FakePayments(AFTER)
        self.bureau = Bureau(self.house.table, AFTER, monkeypatch, self.payments)
        self.customer = self.payments.create_customer(org_id=self.house.org_id, name="House")
        if card is not None:
            self.payments.save_payment_method(self.customer, card)
        self.bureau.run()

    def invoice(self) -> Invoice:
        found = self.bureau.invoices(self.house.org_id)
        return next(each for each in found if each.kind == "invoice")

    def at(self, moment: datetime) -> None:
        self.bureau.clock.set(moment)
        self.payments.now = moment

    def chase(self, moment: datetime) -> None:
        self.at(moment)
        self.bureau.chase()

    def event(self, kind: EventKind, amount_cents: int = 0) -> PaymentEvent:
        (payment,) = self.payments.payments.values()
        return PaymentEvent(
            event_id=f"evt_{kind}",
            kind=kind,
            created_at=self.payments.now,
            payment_id=payment.payment_id,
            key=payment.key,
            customer_id=self.customer,
            amount_cents=amount_cents,
        )

    def hear(self, *events: PaymentEvent) -> None:
        for event in events:
            apply_invoice_event(
                self.house.table, invoice_organization.collector, event, self.bureau.clock.now()
            )

    def charged_cents(self) -> int:
        return sum(
            payment.amount_cents
            for payment in self.payments.payments.values()
            if payment.state == "succeeded"
        )

    def told(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(item["detail"]["S"]) for item in self.house.told(f"invoice.{name}")]

    def audited(self, action: str) -> list[dict[str, Any]]:
        return [entry for entry in self.house.audit() if entry["action"] == action]


@pytest.fixture
def carded(monkeypatch: pytest.MonkeyPatch) -> Office:
    return Office(monkeypatch, GOOD_CARD)


@pytest.fixture
def cardless(monkeypatch: pytest.MonkeyPatch) -> Office:
    return Office(monkeypatch, None)


def test_a_card_on_file_is_charged_for_the_whole_invoice(carded: Office) -> None:
    invoice = carded.invoice()

    assert (invoice.status, invoice.amount_due) == ("paid", 0)
    assert carded.charged_cents() * CENT == invoice.total > 0
    (payment,) = carded.payments.payments.values()
    assert is_invoice_key(payment.key)
    (told,) = carded.told("paid")
    assert (told["status"], told["amount_due"]) == ("paid", "0")
    (entry,) = carded.audited("invoice.payment_received")
    assert entry["subject"] == invoice.invoice_id
    assert entry["actor"]["id"] == "payment_processor"
    assert entry["after"]["reference"] == payment.payment_id


def test_a_webhook_before_or_after_or_twice_changes_nothing_more(carded: Office) -> None:
    before = carded.invoice()

    carded.hear(*[carded.event("payment_succeeded")] * 2)

    assert carded.invoice() == before
    assert len(carded.told("paid")) == 1


def test_without_a_card_the_invoice_waits_for_a_transfer(cardless: Office) -> None:
    invoice = cardless.invoice()

    assert (invoice.status, invoice.amount_due) == ("open", invoice.total)
    assert cardless.payments.payments == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_lost_reply_is_asked_for_again_and_charged_once(
    monkeypatch: pytest.MonkeyPatch, moment: Any
) -> None:
    lost = FakePayments(AFTER)
    lost.lose("charge", moment)
    monkeypatch.setattr("tests.contract.test_collecting.FakePayments", lambda now: lost)

    office = Office(monkeypatch, GOOD_CARD)

    assert office.invoice().status == "paid"
    assert len(office.payments.payments) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_reply_lost_for_days_is_looked_for_and_never_charged_again_blindly(
    cardless: Office, moment: Any
) -> None:
    office, table = cardless, cardless.house.table
    office.payments.save_payment_method(office.customer, GOOD_CARD)
    office.payments.lose("charge", moment)
    collector = invoice_organization.collector
    with pytest.raises(PaymentUnknown):
        collect(table, collector, office.invoice(), AFTER)

    # The processor has forgotten the key by now.
    office.chase(AFTER + timedelta(days=3))
    if moment == "before":
        assert office.invoice().amount_due == office.invoice().total
        office.chase(DUE)

    assert office.invoice().status == "paid"
    assert office.charged_cents() * CENT == office.invoice().total


def test_two_who_collect_at_once_charge_once(cardless: Office) -> None:
    office = cardless
    office.payments.save_payment_method(office.customer, GOOD_CARD)
    seen = office.invoice()
    collector = invoice_organization.collector

    for _ in range(2):
        collect(office.house.table, collector, seen, AFTER)

    assert len(office.payments.payments) == 1
    assert office.invoice().status == "paid"
    assert len(office.invoice().receipts) == 1


def test_a_declined_card_leaves_the_invoice_open_and_is_tried_again_when_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office(monkeypatch, DECLINING_CARD)
    assert (office.invoice().status, office.invoice().charges) == ("open", 1)
    assert office.invoice().charging is None

    office.payments.save_payment_method(office.customer, GOOD_CARD)
    office.chase(DUE + timedelta(hours=1))

    assert office.invoice().status == "paid"
    assert office.charged_cents() * CENT == office.invoice().total


def change_card(office: Office, card: str, event_id: str = "evt_card") -> PaymentEvent:
    office.payments.save_payment_method(office.customer, card)
    return PaymentEvent(
        event_id, "payment_method_changed", office.payments.now, customer_id=office.customer
    )


def test_a_new_card_pays_at_once_what_another_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(monkeypatch, DECLINING_CARD)
    charged = office.payments.calls.count("charge")
    same = change_card(office, DECLINING_CARD)
    office.hear(same, same)
    assert office.payments.calls.count("charge") == charged

    changed = change_card(office, GOOD_CARD)
    # Late and repeated, whatever it is that they tell of.
    office.hear(changed, same, changed)

    invoice = office.invoice()
    assert (invoice.status, invoice.amount_due) == ("paid", 0)
    assert office.charged_cents() * CENT == invoice.total
    assert office.payments.calls.count("charge") == charged + 1
    keys = [payment.key for payment in office.payments.payments.values()]
    assert len(set(keys)) == len(keys) == 2


def test_each_card_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(monkeypatch, DECLINING_CARD)

    for card in (OTHER_DECLINING_CARD, DECLINING_CARD, OTHER_DECLINING_CARD):
        changed = change_card(office, card)
        office.hear(changed, changed)

    assert office.invoice().declined_cards == (DECLINING_CARD, OTHER_DECLINING_CARD)
    assert len(office.payments.payments) == 2
    assert office.charged_cents() == 0


def test_a_new_card_pays_what_is_past_due(cardless: Office) -> None:
    office = cardless
    office.chase(DUE + timedelta(days=14))
    assert office.house.refusal(now=office.payments.now) == "payment_past_due"

    office.hear(change_card(office, GOOD_CARD))

    assert office.invoice().status == "paid"
    assert office.house.refusal(now=office.payments.now) is None


def test_a_card_for_an_invoice_that_waits_for_a_transfer_is_not_charged_early(
    cardless: Office,
) -> None:
    cardless.hear(change_card(cardless, GOOD_CARD))

    assert cardless.payments.payments == {}


@pytest.mark.parametrize("told", [True, False])
def test_a_card_that_comes_while_another_is_decided_is_tried_afterwards(
    monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    office = Office(monkeypatch, SLOW_CARD)
    office.hear(change_card(office, GOOD_CARD))
    (payment,) = office.payments.payments.values()
    declined = office.event("payment_declined")
    office.payments.fail(payment.payment_id)
    if told:
        office.hear(declined, declined)
    else:
        office.chase(AFTER + timedelta(hours=2))

    assert office.invoice().status == "paid"
    assert office.charged_cents() * CENT == office.invoice().total


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_reply_lost_with_a_new_card_is_looked_for_when_the_event_comes_again(
    monkeypatch: pytest.MonkeyPatch, moment: Any
) -> None:
    office = Office(monkeypatch, DECLINING_CARD)
    changed = change_card(office, GOOD_CARD)
    office.payments.lose("charge", moment)
    with pytest.raises(PaymentUnknown):
        office.hear(changed)
    office.hear(changed)
    office.chase(AFTER + timedelta(hours=2))

    assert office.invoice().status == "paid"
    assert office.charged_cents() * CENT == office.invoice().total


def test_whoever_disputed_a_charge_is_not_charged_for_a_new_card(carded: Office) -> None:
    office = carded
    office.at(DUE + timedelta(days=3))
    office.hear(office.event("dispute_opened", office.invoice().total // CENT))
    assert office.invoice().status == "past_due"

    office.hear(change_card(office, OTHER_CARD))

    assert len(office.payments.payments) == 1


def test_a_card_that_is_gone_when_its_charge_is_repeated_is_declined(cardless: Office) -> None:
    office = cardless
    lose_charge(office, "before")
    office.payments.remove_payment_method(office.customer)

    office.chase(AFTER + timedelta(hours=2))

    invoice = office.invoice()
    assert office.payments.payments == {}
    assert (invoice.status, invoice.charging) == ("open", None)
    assert invoice.declined_cards == (GOOD_CARD,)
    office.hear(change_card(office, OTHER_CARD))
    assert office.invoice().status == "paid"


@pytest.mark.parametrize("card", [ASKING_CARD, SLOW_CARD])
def test_what_the_processor_decides_later_is_counted_when_it_says_so(
    monkeypatch: pytest.MonkeyPatch, card: str
) -> None:
    office = Office(monkeypatch, card)
    assert office.invoice().status == "open"
    (payment,) = office.payments.payments.values()

    office.payments.settle(payment.payment_id)
    office.hear(office.event("payment_succeeded"))

    assert office.invoice().status == "paid"
    assert len(office.payments.payments) == 1


def test_a_payment_that_nobody_told_us_of_is_found_by_looking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office(monkeypatch, SLOW_CARD)
    (payment,) = office.payments.payments.values()
    office.payments.settle(payment.payment_id)

    office.chase(AFTER + timedelta(hours=2))

    assert office.invoice().status == "paid"
    assert len(office.payments.payments) == 1


def test_past_due_escalates_by_days_and_ends_with_the_payment(cardless: Office) -> None:
    office, house = cardless, cardless.house
    office.chase(DUE - timedelta(seconds=1))
    assert office.invoice().status == "open"

    office.chase(DUE)
    assert office.invoice().status == "past_due"
    assert house.refusal(now=DUE) is None
    assert len(office.told("past_due")) == 1

    office.chase(DUE + timedelta(days=14) - timedelta(seconds=1))
    assert house.refusal(now=DUE) is None
    later = DUE + timedelta(days=14)
    office.chase(later)
    assert house.refusal(now=later) == "payment_past_due"

    office.chase(later + timedelta(days=1))
    assert len(office.told("past_due")) == 1
    assert len(office.audited("payment.past_due")) == 1

    answer = office.bureau.settle(office.invoice())
    assert (answer["status"], answer["amount_due"]) == ("paid", "0")
    assert house.refusal(now=later) is None
    assert len(office.told("paid")) == 1


def test_the_months_of_the_page_on_the_local_stack_go_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """docs/local-stack.md has a reader set the clock to these moments, and says what they see."""
    text = (ROOT / "docs" / "local-stack.md").read_text()
    _, _, section = text.partition("## Chase unpaid invoices\n")
    moments = re.findall(r"`make up NOW=(\S+)` and `make (\w+)`", section.partition("\n## ")[0])
    assert [command for _, command in moments] == ["close", "chase"]
    closed_at, late = (datetime.fromisoformat(moment) for moment, _ in moments)
    # Globex is one of the examples, and in New York.
    example = json.loads((ROOT / "tools/local_stack/examples/enterprise.json").read_text())
    house = House(time_zone=example["time_zone"])
    house.use(ANN, NOW, output_tokens=20_000)
    payments = FakePayments(closed_at)
    bureau = Bureau(house.table, closed_at, monkeypatch, payments)

    def status() -> str:
        (invoice,) = bureau.invoices(house.org_id)
        return invoice.status

    bureau.run()
    assert status() == "open"

    bureau.clock.set(late)
    assert bureau.chase() == 1
    assert status() == "past_due"
    assert house.refusal(now=late) is None

    assert "with the clock ten days further" in section
    later = late + timedelta(days=10)
    bureau.clock.set(later)
    assert bureau.chase() == 1
    assert house.refusal(now=later) == "payment_past_due"


def test_an_operators_payment_counts_once_and_is_audited(cardless: Office) -> None:
    office = cardless
    first = office.bureau.settle(office.invoice())
    again = office.bureau.settle(office.invoice())

    assert first == again
    assert len(office.invoice().receipts) == 1
    (entry,) = office.audited("invoice.payment_received")
    assert entry["actor"] == {"type": "user", "id": "carla@vendor.example"}
    assert entry["after"]["reference"] == "transfer:SEPA 2026-12-17/0042"


def test_a_part_payment_leaves_the_rest_due(cardless: Office) -> None:
    office = cardless
    office.bureau.settle(office.invoice(), reference="a", amount="10")
    assert office.invoice().amount_due == office.invoice().total - 10 * CENT
    refused = office.bureau.settle(office.invoice(), reference="b", amount="999999")
    assert refused["error"]["details"] == {"field": "amount"}

    office.bureau.settle(office.invoice(), reference="b")

    assert office.invoice().status == "paid"
    refused = office.bureau.settle(office.invoice(), reference="c")
    assert refused["error"]["details"] == {"field": "invoice_id"}


def test_a_transfer_while_a_charge_is_unknown_is_not_followed_by_another_charge(
    cardless: Office,
) -> None:
    office = cardless
    office.payments.save_payment_method(office.customer, GOOD_CARD)
    office.payments.lose("charge", "before")
    with pytest.raises(PaymentUnknown):
        collect(office.house.table, invoice_organization.collector, office.invoice(), AFTER)

    office.bureau.settle(office.invoice())
    office.chase(AFTER + timedelta(hours=3))

    assert office.invoice().status == "paid"
    assert office.payments.payments == {}


def test_a_disputed_payment_is_due_again_until_the_dispute_is_won(carded: Office) -> None:
    office, total = carded, carded.invoice().total
    cents = total // CENT
    moment = DUE + timedelta(days=3)
    office.at(moment)

    office.hear(*[office.event("dispute_opened", cents)] * 2)
    assert (office.invoice().status, office.invoice().amount_due) == ("past_due", total)
    office.hear(office.event("dispute_won", cents))
    assert (office.invoice().status, office.invoice().amount_due) == ("paid", 0)
    office.hear(office.event("dispute_opened", cents))

    assert office.invoice().amount_due == 0
    assert len(office.audited("invoice.payment_returned")) == 1


def test_a_lost_dispute_stops_spending_until_it_is_paid(carded: Office) -> None:
    office = carded
    cents = office.invoice().total // CENT
    moment = DUE + timedelta(days=15)
    office.at(moment)
    office.hear(office.event("dispute_lost", cents))
    assert office.invoice().status == "past_due"

    # The card that was disputed is not charged again by itself.
    office.payments.save_payment_method(office.customer, DECLINING_CARD)
    office.chase(moment + timedelta(hours=1))
    assert office.house.refusal(now=moment) == "payment_past_due"

    office.bureau.settle(office.invoice())
    assert office.house.refusal(now=moment) is None


def test_a_refund_at_the_processor_is_taken_off_what_was_paid(carded: Office) -> None:
    office = carded
    (payment,) = office.payments.payments.values()
    office.payments.refund(payment.payment_id, 25, key="refund-1")

    office.hear(*[office.event("payment_refunded", 25)] * 2)

    assert office.invoice().amount_due == 25 * CENT
    assert office.invoice().status == "open"


def test_a_credit_note_reverses_an_invoice_and_edits_nothing(cardless: Office) -> None:
    office = cardless
    before = office.bureau.shown(office.invoice())

    noted = office.bureau.settle(
        office.invoice(), action="credit", amount=None, reason="A trial was billed"
    )
    again = office.bureau.settle(
        office.invoice(), action="credit", amount=None, reason="A trial was billed"
    )

    assert noted == again
    assert noted["kind"] == "credit_note"
    assert noted["credits_invoice"] == office.invoice().invoice_id
    assert noted["number"].endswith("-C0001")
    assert noted["total"] == f"-{before['total']}"
    after = office.bureau.shown(office.invoice())
    assert (after["status"], after["amount_due"]) == ("void", "0")
    changed = {"status", "credited", "amount_due"}
    assert {name: value for name, value in after.items() if name not in changed} == {
        name: value for name, value in before.items() if name not in changed
    }
    note = find_invoice(office.house.table, office.house.org_id, noted["id"])
    assert note is not None
    shown = office.bureau.shown(note)
    assert shown["adjustments"][0]["description"] == "A trial was billed"
    # People know the invoice by its number.
    assert shown["credits_invoice_number"] == office.invoice().number
    assert shown["adjustments"][0]["invoice_number"] == office.invoice().number
    (entry,) = office.audited("invoice.credited")
    assert entry["after"]["status"] == "void"
    assert entry["after"]["number"] == office.invoice().number


def test_credits_cannot_exceed_the_invoice(cardless: Office) -> None:
    office = cardless
    cents = office.invoice().total // CENT
    credit = {"action": "credit", "reason": "Goodwill"}
    office.bureau.settle(office.invoice(), **credit, reference="a", amount=str(cents - 1))
    refused = office.bureau.settle(office.invoice(), **credit, reference="b", amount="2")
    reused = office.bureau.settle(office.invoice(), **credit, reference="a", amount="1")

    assert refused["error"]["details"] == {"field": "amount"}
    assert reused["error"]["type"] == "conflict_error"
    assert office.invoice().amount_due == CENT


def test_a_credit_on_a_paid_invoice_is_owed_to_the_customer(carded: Office) -> None:
    office = carded
    office.bureau.settle(office.invoice(), action="credit", reason="Goodwill", amount="12")

    assert office.invoice().status == "paid"
    assert office.invoice().surplus == 12 * CENT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"action": "void"}, "action"),
        ({"invoice_id": "inv_1"}, "invoice_id"),
        ({"amount": 5}, "amount"),
        ({"reference": ""}, "reference"),
        ({"operator": None}, "operator"),
        ({"action": "credit"}, "reason"),
        ({"force": True}, "force"),
    ],
)
def test_what_an_operator_says_wrongly_is_named(
    cardless: Office, changes: dict[str, Any], field: str
) -> None:
    answer = cardless.bureau.settle(cardless.invoice(), **changes)

    assert answer["error"]["details"] == {"field": field}
    assert cardless.invoice().receipts == ()


@pytest.fixture
def steps(cardless: Office) -> Iterator[list[str]]:
    names: list[str] = []
    cardless.house.table.step = names.append
    yield names
    cardless.house.table.step = lambda name: None


class Dies(Exception):
    pass


@pytest.mark.parametrize("card", [GOOD_CARD, DECLINING_CARD])
def test_collecting_may_die_before_any_of_its_steps(
    monkeypatch: pytest.MonkeyPatch, card: str
) -> None:
    """Each run dies a step later than the one before; then one runs through."""
    for dies_at in range(40):
        office = Office(monkeypatch, None)
        office.payments.save_payment_method(office.customer, card)
        left = dies_at

        def step(name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Dies

        office.house.table.step = step
        died = False
        try:
            collect(office.house.table, invoice_organization.collector, office.invoice(), AFTER)
        except Dies:
            died = True
        office.house.table.step = lambda name: None

        office.chase(AFTER + timedelta(hours=2))
        office.chase(DUE)
        succeeded = office.charged_cents() * CENT
        if card == GOOD_CARD:
            assert succeeded == office.invoice().total
            assert office.invoice().status == "paid"
        else:
            assert succeeded == 0
            assert office.invoice().status == "past_due"
        if not died:
            return
    raise AssertionError("collecting has no end")


def test_a_processor_out_of_reach_holds_up_a_due_date_for_a_day_and_nobody_else(
    cardless: Office,
) -> None:
    office = cardless
    office.payments.save_payment_method(office.customer, GOOD_CARD)
    for moment in (DUE, DUE + timedelta(hours=23)):
        office.payments.lose("find_payment_method", "before")
        office.chase(moment)
        assert office.invoice().status == "open"

    office.payments.lose("find_payment_method", "before")
    office.chase(DUE + timedelta(days=1))

    assert office.invoice().status == "past_due"


def test_the_function_that_hears_the_processor_knows_an_invoices_payment(
    carded: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispute does not name our key; the payment that it is about does."""
    office = carded
    monkeypatch.setattr(receive_payment_event, "table", office.house.table)
    monkeypatch.setattr(receive_payment_event, "collector", invoice_organization.collector)
    monkeypatch.setattr(receive_payment_event, "payments", office.payments)
    disputed = replace(office.event("dispute_opened", 100), key=None)

    receive_payment_event._act(disputed, AFTER)

    assert office.invoice().amount_due == 100 * CENT


def test_documents_written_at_once_have_numbers_of_their_own(cardless: Office) -> None:
    """The second is written between the first one's look at the series and its write."""
    office, table = cardless, cardless.house.table
    terms = invoice_organization.collector.terms

    def credit(reference: str) -> str:
        return credit_invoice(
            table,
            terms,
            office.invoice(),
            amount=CENT,
            reference=reference,
            reason="Goodwill",
            actor=PROCESSOR,
            now=AFTER,
        ).number

    numbers: list[str] = []

    def overtake(name: str) -> None:
        if name == "transact" and not numbers:
            numbers.append("")
            numbers[0] = credit("fast")

    table.step = overtake
    numbers.append(credit("slow"))
    table.step = lambda name: None

    assert [number[-5:] for number in numbers] == ["C0001", "C0002"]
    assert office.invoice().credited == 2 * CENT


def test_a_receipt_counts_once() -> None:
    invoice = replace(DRAFT, subtotal=100 * CENT)
    receipt = Receipt("pi_1", 60 * CENT, "2026-12-02T00:00:00Z", "processor")

    once = with_receipt(invoice, receipt, AFTER)

    assert with_receipt(once, receipt, AFTER) == once
    assert (once.amount_due, once.status) == (40 * CENT, "open")
    assert with_receipt(once, receipt, DUE).receipts == once.receipts


@pytest.mark.parametrize(
    ("nanos", "cents"),
    [(0, 0), (4_999_999, 0), (5_000_000, 0), (5_000_001, 1), (15_000_000, 2), (25_000_000, 2)],
)
def test_rounding_is_half_to_even(nanos: int, cents: int) -> None:
    assert round_to_cents(nanos) == cents * CENT
    assert round_to_cents(-nanos) == -cents * CENT


DRAFT = Invoice(
    org_id="org_1",
    invoice_id="inv_202611i0000000000000000",
    number="A-0001",
    kind="invoice",
    period="2026-11",
    starts_at=AFTER,
    ends_at=AFTER,
    currency="USD",
    subtotal=0,
    rounding=0,
    taxes=(),
    issued_at=AFTER,
    due_at=DUE,
)


def lose_charge(office: Office, moment: Literal["before", "after"]) -> None:
    """Let the reply to a charge be lost, before or after the processor made it."""
    office.payments.save_payment_method(office.customer, GOOD_CARD)
    office.payments.lose("charge", moment)
    with pytest.raises(PaymentUnknown):
        collect(office.house.table, invoice_organization.collector, office.invoice(), AFTER)


def test_an_invoice_that_was_credited_while_a_charge_was_unknown_is_not_charged(
    cardless: Office,
) -> None:
    lose_charge(cardless, "before")
    credit_invoice(
        cardless.house.table,
        invoice_organization.collector.terms,
        cardless.invoice(),
        amount=None,
        reference="c1",
        reason="wrong",
        actor=Actor("user", "operator"),
        now=AFTER,
    )
    for hours in (1, 3, 30):
        cardless.chase(AFTER + timedelta(hours=hours))

    assert cardless.charged_cents() == 0
    assert (cardless.invoice().status, cardless.invoice().charging) == ("void", None)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_part_payment_does_not_forget_a_charge_under_way(
    cardless: Office, moment: Literal["before", "after"]
) -> None:
    """Whether it was made decides what is still due: nothing else is charged before that."""
    lose_charge(cardless, moment)
    total = cardless.invoice().total
    cardless.bureau.settle(cardless.invoice(), reference="a", amount="10")
    for at in (AFTER + timedelta(hours=3), DUE, DUE + timedelta(hours=3)):
        cardless.chase(at)

    invoice = cardless.invoice()
    assert invoice.status == "paid"
    if moment == "after":
        # It had been made: the transfer is what is too much, and nothing was charged again.
        assert cardless.charged_cents() * CENT == total
        assert invoice.surplus == 10 * CENT
    else:
        assert cardless.charged_cents() * CENT == total - 10 * CENT
        assert invoice.surplus == 0


def test_a_charge_that_waits_for_its_holder_is_cancelled_when_the_invoice_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office(monkeypatch, ASKING_CARD)
    office.payments.save_payment_method(office.customer, GOOD_CARD)
    for days in (1, 31, 32):
        office.chase(AFTER + timedelta(days=days))

    assert office.invoice().status == "paid"
    assert office.charged_cents() * CENT == office.invoice().total


def test_the_customer_of_an_organization_is_made_once(cardless: Office) -> None:
    """The processor knows for a day under which key it made a customer, and then makes another."""
    invoice, table = cardless.invoice(), cardless.house.table
    cardless.payments.calls.clear()
    for days in (0, 2):
        collect(table, invoice_organization.collector, invoice, AFTER + timedelta(days=days))

    assert cardless.payments.calls.count("create_customer") <= 1
    assert find_payer(table, cardless.house.org_id) == cardless.customer


@pytest.mark.parametrize("returned", ["disputed", "refunded"])
def test_money_that_went_back_is_not_charged_again_by_itself_when_it_is_due(
    carded: Office, returned: str
) -> None:
    office = carded
    office.at(AFTER + timedelta(days=5))
    (payment,) = office.payments.payments.values()
    cents = office.invoice().total // CENT
    if returned == "disputed":
        office.hear(office.event("dispute_opened", cents))
    else:
        office.payments.refund(payment.payment_id, cents, key="refund-1")
        office.hear(office.event("payment_refunded", cents))
    assert (office.invoice().status, office.invoice().amount_due) == ("open", cents * CENT)

    office.chase(DUE)
    office.chase(DUE + timedelta(hours=1))

    assert len(office.payments.payments) == 1
    assert office.invoice().status == "past_due"
