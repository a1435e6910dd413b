"""Every document and export comes to the figures that it prints, by its own rows alone.

Hundreds of months that chance made: priced by list and by contract, taxed, with usage that came
late or went beyond a limit, paid in part, too much or not at all, credited bit by bit. Each is
summed with whole numbers as its reader has it: as JSON, as CSV, and row by row as it is drawn.
"""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from reportlab.platypus import KeepTogether, Paragraph, Table

from headroom.billing.domain.invoice import Invoice, Terms
from headroom.billing.domain.phrases import Phrases, phrases
from headroom.billing.gateways import paper
from headroom.billing.gateways.paper import Seller
from headroom.billing.store.invoices import list_invoices
from headroom.billing.usecases import invoices as invoicing
from headroom.billing.usecases.collection import Collector, settle_invoice
from headroom.billing.usecases.credit_notes import credit_invoice
from headroom.billing.usecases.invoices import draft_invoice, find_shown, header, shown
from headroom.billing.usecases.ledger_sums import Shelf, Span
from headroom.billing.usecases.period_sums import credit_note_detail, detail_name
from headroom.billing.usecases.usage_report import GROUPS, report, report_csv
from headroom.billing.wire.reports import report_answer
from headroom.core.domain.actor import Actor
from headroom.core.domain.money import NANOS_PER_CENT as CENT
from headroom.core.domain.money import parse_exact
from headroom.core.wire.pages import PageRequest
from headroom.payments.usecases.wallets import open_wallet
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.usage_events import parse_event
from headroom.wallets.domain.wallet import credit, debit
from headroom.wallets.store.wallets import take_step
from tests.closes import close_period
from tests.contract.governing import ANN, BEN, NOW, OLGA, PAM, House
from tests.memory_files import MemoryFiles

SELLER = Seller("Seller", ["1 Street"], "EIN 1", ["IBAN 1"])
OPERATOR = Actor("user", "carla@vendor.example")
LIVES, MONTHS = 12, 12
KINDS = {"enterprise": "invoice", "team": "statement"}
MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5")
TAXES = (None, {"name": "VAT", "rate": "0.20"}, {"name": "TVA", "rate": "0.055"})
# Figures on paper that what stands above them comes to.
PRINTED = ("subtotal", "net", "total", "amount_due", "closing_balance")


class Life:
    """Some months of an organization, closed one after the other."""

    def __init__(self, plan: str, seed: int) -> None:
        self.chance = random.Random(seed)
        tax = self.chance.choice(TAXES) if plan == "enterprise" else None
        odd = {"input": 1999, "output": 9001, "cache_read": 201, "cache_write_5m": 2501}
        rates = {**odd, "cache_write_1h": 4001, "web_search": 10_000_001}
        self.house = House(
            plan,
            language=self.chance.choice(["en", "fr"]),
            spend_limit=self.chance.choice(["60", "100000", None]),
            contract_prices=[
                {
                    "id": "odd",
                    "model": MODELS[0],
                    "from": "2027-03-15",
                    "tiers": [{"input_tokens_min": 0, "rates": rates}],
                },
                # It leaves fractions of a nano, of cache writes and in batches.
                {"id": "all", "model": None, "from": "2027-01-15", "discount_percent": 7},
            ],
            **({"tax": tax} if tax else {}),
        )
        self.table, self.org_id = self.house.table, self.house.org_id
        self.files = MemoryFiles()
        self.now = NOW
        self.events = 0

    def live(self) -> Iterator[tuple[str, datetime]]:
        """Let month after month pass; each is yielded when it has been closed."""
        for month in range(MONTHS):
            period = f"{2026 + (10 + month) // 12}-{(10 + month) % 12 + 1:02d}"
            end = datetime(2026 + (11 + month) // 12, (11 + month) % 12 + 1, 1, tzinfo=UTC)
            for _ in range(self.chance.randrange(9)):
                self.now += (end - self.now) * self.chance.random() / 4
                self.use()
                if self.house.organization.plan == "team":
                    self.move_money()
            self.draft(period)
            self.now = end + timedelta(minutes=6)
            close_period(self.table, self.files, self.org_id, period, self.now)
            yield period, end

    def use(self) -> None:
        late = timedelta(days=self.chance.choice([0, 0, 0, 20, 40, 60]))
        self.events += 1
        raw: dict[str, Any] = {
            "id": f"event-{self.events}",
            "user_id": self.chance.choice([ANN, BEN, PAM, OLGA]),
            "model": self.chance.choice(MODELS),
            "product": self.chance.choice([None, "chat", "-1+1"]),
            "occurred_at": max(self.now - late, NOW).isoformat(),
            "usage": {
                "input_tokens": self.chance.randrange(25_000),
                "output_tokens": self.chance.randrange(9_000),
                "cache_read_input_tokens": self.chance.randrange(9_999),
                "cache_creation_input_tokens": self.chance.choice([0, 1_235]),
                "server_tool_use": {"web_search_requests": self.chance.randrange(3)},
                "service_tier": self.chance.choice(["standard", "batch"]),
            },
        }
        event = parse_event({name: value for name, value in raw.items() if value}, self.now)
        told = record(self.table, Hints(), self.house.organization, event, self.now)
        assert told["status"] == "recorded", told

    def move_money(self) -> None:
        wallet = open_wallet(self.table, self.house.organization, self.now)
        amount = self.chance.randrange(1, 900) * CENT
        if self.chance.random() < 0.3:
            take_step(self.table, wallet, debit(wallet, "adjustment", amount, self.now))
        else:
            take_step(self.table, wallet, credit(wallet, "purchase", "purchase", amount, self.now))

    def draft(self, period: str) -> None:
        """The running month adds up too."""
        made, share = draft_invoice(
            self.table,
            lambda name: Shelf(MemoryFiles(), name),
            self.house.organization,
            self.now,
            lambda: True,
            terms=Terms(),
        )
        if made.period == period:
            whole = header(self.table, made) | invoicing.content(self.table, made, share)
            sum_json(whole)
            sum_paper(whole, self)

    def settle(self, invoice: Invoice) -> None:
        """Let somebody pay and credit some of an invoice, or all of it, or more."""
        for attempt in range(self.chance.randrange(4)):
            invoice = find_shown(self.table, self.org_id, invoice.invoice_id)
            left = (invoice.total - invoice.credited) // CENT
            amount = self.chance.randrange(1, left + 2) * CENT
            reference = f"{invoice.period} {attempt}"
            if self.chance.random() < 0.5 and amount <= left * CENT:
                credit_invoice(
                    self.table,
                    Terms(),
                    invoice,
                    amount=self.chance.choice([None, amount]),
                    reference=reference,
                    reason="Goodwill",
                    actor=OPERATOR,
                    now=self.now,
                )
            elif invoice.amount_due:
                settle_invoice(
                    self.table,
                    Collector(None, Terms()),
                    invoice,
                    reference=reference,
                    amount=self.chance.choice([None, min(amount, invoice.amount_due)]),
                    actor=OPERATOR,
                    now=self.now,
                )

    @property
    def documents(self) -> list[Invoice]:
        return list(list_invoices(self.table, self.org_id))

    @property
    def words(self) -> Phrases:
        organization = self.house.organization
        return phrases(organization.language, organization.time_zone)


def nanos(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(parse_exact(row["amount"]) for row in rows)


def sum_json(document: Mapping[str, Any]) -> None:
    figure = {
        name: parse_exact(document[name] or "0")
        for name in ("subtotal", "rounding", "tax", "total", "amount_due")
    }
    assert nanos([*document["lines"], *document["adjustments"]]) == figure["subtotal"]
    for adjustment in document["adjustments"]:
        if adjustment["kind"] == "late_usage":
            assert nanos(adjustment["lines"]) == parse_exact(adjustment["amount"])
    assert nanos(document["taxes"]) == figure["tax"]
    assert figure["subtotal"] + figure["rounding"] + figure["tax"] == figure["total"]
    if document["kind"] == "credit_note":
        assert document["by_member"] == document["by_seat_tier"] == []
    else:
        others = parse_exact(document["other_members_amount"])
        assert nanos(document["by_member"]) + others == figure["subtotal"]
        assert nanos(document["by_seat_tier"]) == figure["subtotal"]
    if document["kind"] == "invoice":
        credited, paid, surplus = (
            parse_exact(document[name]) for name in ("credited", "paid", "surplus")
        )
        assert figure["total"] - credited - paid + surplus == figure["amount_due"]
    if document["kind"] == "statement":
        opening, purchases, usage, closing = (
            parse_exact(document[name])
            for name in ("opening_balance", "purchases", "usage", "closing_balance")
        )
        assert usage == figure["total"]
        assert opening + purchases - usage == closing
    else:
        assert figure["total"] % CENT == 0


def sum_csv(document: Mapping[str, Any], body: bytes) -> None:
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert nanos(rows) == parse_exact(document["total"])
    for member in document["by_member"]:
        own = [row for row in rows if row["user_id"] == member["user_id"]]
        assert nanos(own) == parse_exact(member["amount"])


def sum_paper(document: Mapping[str, Any], life: Life) -> None:
    """Add up what is drawn, table by table."""
    words = life.words
    tables = list(drawn(paper._body(document, SELLER, words)))
    listed, breakdowns = 0, []
    sums: list[list[list[str]]] = []
    for rows in tables:
        if len(rows[0]) == 4:
            listed += sum(money(row[3], words) for row in rows[1:] if row[3])
        elif len(rows[0]) == 3:
            sums.append(rows)
        elif rows[0][1] == words["amount"]:
            breakdowns.append(sum(money(row[1], words) for row in rows[1:]))
        else:
            listed += sum(money(row[1], words) for row in rows)
    assert set(breakdowns) <= {listed}
    *balances, totals = sums
    for rows in balances:
        assert comes_to(rows, 0, words) == 1
    if document["kind"] == "statement":
        assert len(balances) == 1
        ((_, _, amount),) = totals
        assert money(amount, words) == listed
    else:
        assert comes_to(totals, listed, words) >= 2


def comes_to(rows: list[list[str]], amount: int, words: Phrases) -> int:
    """Go down a column of sums, and return how many figures it printed on the way."""
    printed = {words[name] for name in PRINTED}
    found = 0
    for _, name, text in rows:
        if name in printed:
            assert money(text, words) == amount, name
            found += 1
        else:
            amount += money(text, words)
    return found


def drawn(flowables: Iterable[Any]) -> Iterator[list[list[str]]]:
    """Walk through the tables of a paper, as their texts."""
    for each in flowables:
        # Their stubs do not have what flowables keep of what they were given.
        if isinstance(each, KeepTogether):
            yield from drawn(vars(each)["_content"])
        elif isinstance(each, Table):
            yield [[text_of(cell) for cell in row] for row in vars(each)["_cellvalues"]]


def text_of(cell: Any) -> str:
    if isinstance(cell, list):
        cell = cell[0]
    return cell.getPlainText() if isinstance(cell, Paragraph) else str(cell)


def money(text: str, words: Phrases) -> int:
    """Read an amount of a paper, such as "-USD 1,234.5678", in nanos."""
    plain = text.replace("\N{NO-BREAK SPACE}", "").replace("USD", "")
    if words.language == "fr":
        plain = plain.replace(",", ".")
    whole, _, fraction = plain.replace(",", "").removeprefix("-").partition(".")
    sign = -1 if "-" in plain else 1
    return sign * (int(whole) * 100 * CENT + int(fraction.ljust(9, "0")))


def sum_reports(life: Life, period: str, end: datetime, subtotal: int) -> None:
    groups = tuple(group for group in GROUPS if life.chance.random() < 0.5)
    span = Span(end, end, period=period)
    shelf = Shelf(MemoryFiles(), "")
    made = report(life.table, shelf, life.house.organization, span, groups, life.now)
    answer = report_answer(made, PageRequest(10_000, None, ""))
    rows = list(csv.DictReader(io.StringIO(b"".join(report_csv(made)).decode(), newline="")))
    assert parse_exact(answer["totals"]["amount"]) == subtotal
    for name, total in answer["totals"].items():
        read = parse_exact if name.endswith("amount") else int
        assert sum(read(row[name]) for row in rows) == read(total), name
        assert sum(read(row[name]) for row in answer["data"]) == read(total), name


@pytest.mark.parametrize("plan", ["enterprise", "team"])
def test_every_document_comes_to_what_it_prints(monkeypatch: pytest.MonkeyPatch, plan: str) -> None:
    monkeypatch.setattr(invoicing, "BY_MEMBER_MAX", 3)
    monkeypatch.setattr(paper, "MEMBERS_SHOWN", 2)
    seen: Counter[str] = Counter()
    for seed in range(LIVES):
        sum_life(Life(plan, seed), seen)

    # What the documents are to be about did happen.
    assert seen[KINDS[plan]] == LIVES * MONTHS
    wanted = ["late", "beyond", "others"]
    if plan == "enterprise":
        wanted += ["taxed", "credited", "paid", "surplus", "due", "credit_note"]
    assert {name: seen[name] for name in wanted if seen[name] < 3} == {}


@pytest.fixture(autouse=True)
def _fonts() -> None:
    """Tables are read as they are drawn, without drawing them."""
    paper._register()


def sum_life(life: Life, seen: Counter[str]) -> None:
    for period, end in life.live():
        written = next(each for each in life.documents if each.period == period)
        sum_reports(life, period, end, written.subtotal)
        if written.kind == "invoice":
            life.settle(written)
    documents = life.documents
    for invoice in documents:
        document = shown(life.table, life.files, invoice)
        sum_json(document)
        sum_paper(document, life)
        if invoice.kind == "credit_note":
            body = credit_note_detail(invoice.period, invoice.subtotal, invoice.additions)
        else:
            body = life.files.documents[detail_name(life.org_id, invoice.invoice_id)]
        sum_csv(document, body)
        seen.update(facts_of(document))
    for invoice in documents:
        notes = [each for each in documents if each.credits_invoice == invoice.invoice_id]
        assert sum(note.total for note in notes) == -invoice.credited
    statements = [each for each in documents if each.kind == "statement"]
    for before, after in pairwise(statements):
        assert after.movement is not None
        assert after.movement.opening == before.closing_balance


def facts_of(document: Mapping[str, Any]) -> Iterator[str]:
    yield document["kind"]
    kinds = {line["kind"] for line in document["lines"]}
    for name, is_so in {
        "late": document["kind"] != "credit_note" and document["adjustments"],
        "beyond": "beyond_limit" in kinds or document["unbilled_amount"] != "0",
        "others": document["other_members_amount"] != "0",
        "taxed": document["tax"] != "0",
        "credited": document["credited"] not in (None, "0"),
        "paid": document["paid"] not in (None, "0"),
        "surplus": document["surplus"] not in (None, "0"),
        "due": document["amount_due"] != "0",
    }.items():
        if is_so:
            yield name
