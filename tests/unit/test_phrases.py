"""Documents say amounts exactly, dates by the customer's clocks, and bear any name."""

from __future__ import annotations

from typing import Any

import pytest

from headroom.billing.domain.phrases import _WORDS, LANGUAGES, phrases
from headroom.billing.gateways import paper
from headroom.billing.gateways.paper import Customer, Seller, draw

SELLER = Seller("Seller", ["1 Street"], "EIN 1", ["IBAN 1"])
CUSTOMER = Customer("Customer", "org_1", "en", "UTC")


def test_both_languages_have_the_same_words() -> None:
    assert set(_WORDS["en"]) == set(_WORDS["fr"])
    for name, english in _WORDS["en"].items():
        assert english.count("{") == _WORDS["fr"][name].count("{"), name


@pytest.mark.parametrize(
    ("cents", "english", "french"),
    [
        ("0", "USD 0.00", "0,00 USD"),
        ("123456789", "USD 1,234,567.89", "1 234 567,89 USD"),
        ("-0.5", "-USD 0.005", "-0,005 USD"),
        ("14.3520001", "USD 0.143520001", "0,143520001 USD"),
        ("-100000", "-USD 1,000.00", "-1 000,00 USD"),
    ],
)
def test_amounts_are_exact(cents: str, english: str, french: str) -> None:
    hard = {"en": english, "fr": french}
    for language in LANGUAGES:
        said = phrases(language, "UTC").money(cents, "USD")
        assert said.replace("\N{NO-BREAK SPACE}", " ") == hard[language]


@pytest.mark.parametrize(
    ("kind", "unit_price", "per", "said"),
    [
        ("input", "0.0003", 1, "USD 3.00 per million"),
        ("cache_read", "0.0000125", 2, "USD 0.0625 per million"),
        ("web_search", "1", 1, "USD 0.01 each"),
        ("beyond_limit", "0", 1, ""),
    ],
)
def test_prices_are_said_as_people_compare_them(
    kind: str, unit_price: str, per: int, said: str
) -> None:
    line = {"kind": kind, "unit_price": unit_price, "per": per}

    assert phrases("en", "UTC").price(line, "USD").replace("\N{NO-BREAK SPACE}", " ") == said


def test_days_are_those_of_the_customers_clocks() -> None:
    moment = "2026-12-01T04:30:00Z"

    assert phrases("en", "America/New_York").day(moment) == "November 30, 2026"
    assert phrases("fr", "Europe/Paris").day(moment) == "1er décembre 2026"
    assert phrases("fr", "UTC").month("2028-02") == "février 2028"
    assert phrases("en", "UTC").day(None) == ""


def test_a_language_that_we_do_not_speak_is_english() -> None:
    assert phrases("de-AT", "UTC").language == "en"
    assert phrases("fr-CA", "UTC").language == "fr"


def document(**changes: Any) -> dict[str, Any]:
    line = {
        "model": "claude-sonnet-4-5",
        "kind": "input",
        "quantity": 1,
        "unit_price": "0.0003",
        "per": 1,
        "price_version": "v1",
        "amount": "0.0003",
    }
    return {
        "kind": "invoice",
        "number": "X-0001",
        "status": "open",
        "period": "2026-11",
        "currency": "USD",
        "subtotal": "0.0003",
        "rounding": "-0.0003",
        "total": "0",
        "credited": "0",
        "paid": "0",
        "surplus": "0",
        "amount_due": "0",
        "credits_invoice": None,
        "credits_invoice_number": None,
        "issued_at": "2026-12-01T00:06:00Z",
        "due_at": "2026-12-31T00:06:00Z",
        "lines": [line],
        "adjustments": [],
        "by_seat_tier": [{"seat_tier": "standard", "amount": "0.0003"}],
        "by_member": [{"user_id": "user_1", "name": "Ada", "amount": "0.0003"}],
        "other_members_amount": "0",
        "members": 1,
        "taxes": [{"name": "VAT", "rate": "0.20", "amount": "1"}],
        **changes,
    }


def pages(paper: bytes) -> int:
    return paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ")


def test_the_same_document_is_the_same_paper() -> None:
    assert draw(document(), SELLER, CUSTOMER) == draw(document(), SELLER, CUSTOMER)


@pytest.mark.parametrize(
    "name", ["<b>Bobby</b> & Tables", "王小明", "\x07bell", "a" * 500, "&lt;", "{name}", "%s"]
)
def test_no_name_breaks_the_paper(name: str) -> None:
    member = {"user_id": "user_1", "name": name, "amount": "1"}

    drawn = draw(
        document(by_member=[member]), SELLER, Customer(name, "org_1", "fr", "Europe/Paris")
    )

    assert drawn.startswith(b"%PDF-")


@pytest.mark.parametrize(
    "name", ["Zoë Ångström", "Łucja Źródło", "Ștefan Őry", "Ελένη", "Юлия", "Nguyễn", "E\u0301lise"]
)
def test_names_in_latin_greek_and_cyrillic_are_printed_by_their_letters(name: str) -> None:
    """Two names that differ are two papers: no letter became a question mark or a blank."""
    papers = {
        draw(
            document(by_member=[{"user_id": "user_1", "name": each, "amount": "1"}]),
            SELLER,
            Customer("Acme", "org_1", "en", "UTC"),
        )
        for each in (name, "?" * len(name), " " * len(name), f"{name} (user_1)")
    }

    assert len(papers) == 4
    member = {"user_id": "user_1", "name": name}
    assert paper._named(member) == name
    assert "?" not in paper._marked(name)


@pytest.mark.parametrize("name", ["王小明", "עמר", "नमस्ते", "김", "😀"])
def test_a_name_without_letters_for_it_is_printed_with_the_members_id(name: str) -> None:
    draw(document(), SELLER, CUSTOMER)

    assert paper._named({"user_id": "user_1", "name": name}) == f"{name} (user_1)"
    assert paper._marked(f"{name} (user_1)") == "?" * len(name) + " (user_1)"


def test_a_thousand_lines_take_more_pages() -> None:
    one = document()["lines"][0]

    assert pages(draw(document(lines=[one] * 1000), SELLER, CUSTOMER)) > 20
    assert pages(draw(document(), SELLER, CUSTOMER)) == 1
