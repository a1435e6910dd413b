"""What people read: the right words, the right people, and nothing that a name could smuggle in."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from string import Formatter
from typing import Any

import pytest

from headroom.notifications.domain.letters.letter import LANGUAGES, Letter, compose
from headroom.notifications.domain.letters.notices import Notice, notice_of
from headroom.organizations.domain.mail_topics import TOPICS
from headroom.organizations.domain.organization import Member, Organization, Tier

THRESHOLD = {
    "id": "evt_1",
    "organization_id": "org_acme",
    "scope": {"type": "organization"},
    "period": "monthly",
    "threshold_percent": 90,
    "amount": "1250000",
    "period_to_date_spend": "1130049.5",
}
# One event of each kind that is told, with the facts that it carries.
EVENTS: dict[str, dict[str, Any]] = {
    "member.role_raised": {
        "actor": {"type": "user", "id": "user_olga"},
        "subject": "user_ada",
        "before": {"role": "member"},
        "after": {"role": "owner"},
    },
    "spend_limit.threshold_reached": THRESHOLD,
    "spend_limit.increase_requests_outstanding": {"pending": 2, "request_ids": ["slir_1"]},
    "spend_limit.increase_approved": {"user_id": "user_ada", "period": "weekly", "amount": "500"},
    "spend_limit.increase_denied": {"user_id": "user_ada"},
    "wallet.low": {"balance": "512.25"},
    "wallet.empty": {"balance": "0"},
    "wallet.reload_failed": {"amount": "5000", "decline_code": "card_declined"},
    "wallet.reload_needs_action": {"amount": "5000"},
    "wallet.credit_expiring": {"remaining": "700", "expires_at": "2026-12-01T00:00:00Z"},
    "wallet.money_returned": {
        "payment_id": "pi_1",
        "paid_at": "2026-11-02T12:00:00Z",
        "paid_amount": "5000",
        "reason": "dispute",
        "amount": "2500",
    },
    "invoice.finalized": {
        "number": "ACME-7",
        "period": "2026-11",
        "total": "9900",
        "due_at": "2026-12-31T00:00:00Z",
    },
    "invoice.past_due": {"number": "ACME-7", "period": "2026-11", "amount_due": "9900"},
    "webhook_endpoint.disabled": {"url": "https://acme.example/hook"},
}


def organization(name: str = "Acme", language: str = "en") -> Organization:
    return Organization(
        org_id="org_acme",
        plan="enterprise",
        name=name,
        currency="USD",
        time_zone="UTC",
        language=language,
        enabled=True,
        admission="everyone",
        cap_nanos=None,
        tiers={"standard": Tier(), "premium": Tier()},
        past_due=False,
        version=1,
    )


def member(name: str = "Ada") -> Member:
    return Member("org_acme", "user_ada", name, "ada@acme.example", "owner", "standard", True, True)


def letter(
    detail_type: str, detail: dict[str, Any], language: str = "en", **changes: Any
) -> Letter:
    notice = notice_of(detail_type, detail)
    assert notice is not None
    people = {"member": "Ada", "by": "Olga"} if notice.by else {}
    return compose(notice, organization(language=language), member(), people=people, **changes)


def test_a_letter_says_what_was_spent_of_what() -> None:
    told = letter("spend_limit.threshold_reached", THRESHOLD)

    assert told.to == "ada@acme.example"
    assert told.subject == "Acme has used 90% of its spend limit"
    # Half a cent is rounded to the even one.
    assert "Acme has spent $11,300.50 of its monthly limit of $12,500.00" in told.text
    assert told.text.startswith("Hello Ada,\n\n")


def test_the_same_in_french_with_its_money_and_its_spaces() -> None:
    told = letter("spend_limit.threshold_reached", THRESHOLD, "fr")

    assert told.subject == "Acme a utilisé 90\u00a0% de sa limite de dépenses"
    assert "11\u202f300,50\u00a0$\u00a0US" in told.text
    assert "limite mensuelle de 12\u202f500,00\u00a0$\u00a0US" in told.text
    assert 'lang="fr"' in told.html


def test_dates_and_months_are_as_people_write_them() -> None:
    english = letter("wallet.credit_expiring", EVENTS["wallet.credit_expiring"])
    french = letter("wallet.credit_expiring", EVENTS["wallet.credit_expiring"], "fr")

    assert "expires on December 1, 2026" in english.text
    assert "expirent le 1er décembre 2026" in french.text
    assert "for November 2026" in letter("invoice.finalized", EVENTS["invoice.finalized"]).text
    french = letter("invoice.finalized", EVENTS["invoice.finalized"], "fr")
    assert "pour novembre 2026" in french.text


CREDIT_NOTE = {"kind": "credit_note", "number": "ACME-C1", "total": "-500", "due_at": None}


def test_a_document_is_called_what_it_is_and_a_credit_note_names_its_invoice_by_number() -> None:
    credit = {**CREDIT_NOTE, "period": "2026-11", "credits_invoice_number": "ACME-7"}
    statement = {"kind": "statement", "number": "ACME-S1", "period": "2026-11", "total": "500"}

    noted = letter("invoice.finalized", credit)
    stated = letter("invoice.finalized", statement)

    assert "Credit note ACME-C1 on invoice ACME-7 is ready." in noted.text
    assert "-$5.00" in noted.text
    assert "Statement ACME-S1 for November 2026 is ready." in stated.text
    assert "due on" not in noted.text + stated.text
    for told in (credit, statement):
        assert "ACME-" in letter("invoice.finalized", told, "fr").text


def test_a_payment_that_was_taken_back_is_named_by_its_amount_and_day() -> None:
    told = letter("wallet.money_returned", EVENTS["wallet.money_returned"])

    assert "the payment of $50.00 on November 2, 2026" in told.text
    assert "pi_1" not in told.text


def test_days_are_those_of_the_organizations_clocks_as_on_its_documents() -> None:
    notice = notice_of("invoice.finalized", EVENTS["invoice.finalized"])
    assert notice is not None
    new_york = replace(organization(), time_zone="America/New_York")

    assert "due on December 30, 2026" in compose(notice, new_york, member()).text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("detail_type", EVENTS)
def test_every_event_has_a_letter_in_every_language(detail_type: str, language: str) -> None:
    told = letter(detail_type, EVENTS[detail_type], language, settings_url="https://h.example/s")

    assert told.subject
    assert "\n" not in told.subject
    assert "https://h.example/s" in told.text
    assert 'href="https://h.example/s"' in told.html
    assert "{" not in told.subject + told.text + told.html
    # Greeting, at least one sentence of its own, link, footer.
    assert told.text.count("\n\n") >= 3


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("detail_type", EVENTS)
def test_where_there_is_no_page_no_letter_leads_to_one(detail_type: str, language: str) -> None:
    told = letter(detail_type, EVENTS[detail_type], language, settings_url="")

    assert LANGUAGES[language].link not in told.text + told.html
    assert "<a " not in told.html


def test_both_languages_say_the_same_with_the_same_values() -> None:
    english, french = LANGUAGES["en"].wordings, LANGUAGES["fr"].wordings
    assert english.keys() == french.keys()
    for name in english:
        mine, theirs = english[name], french[name]
        assert [names(line) for line in mine.lines] == [names(line) for line in theirs.lines], name
        assert names(mine.subject) == names(theirs.subject), name


def names(line: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(line) if name}


def test_every_wording_is_told_by_some_event_and_every_topic_has_one() -> None:
    reached = {**THRESHOLD, "threshold_percent": 100, "period_to_date_spend": "1250000"}
    own = {"scope": {"type": "user", "user_id": "user_ada"}}
    notices = [
        *(notice_of(kind, detail) for kind, detail in EVENTS.items()),
        notice_of("spend_limit.threshold_reached", reached),
        notice_of("spend_limit.threshold_reached", {**THRESHOLD, **own}),
        notice_of("spend_limit.threshold_reached", {**reached, **own}),
        notice_of("wallet.money_returned", {"reason": "refund", "amount": "1"}),
        notice_of("invoice.finalized", {"kind": "statement"}),
        notice_of("invoice.finalized", {"kind": "credit_note"}),
        notice_of("wallet.empty", {"balance": "9", "free": "1"}),
    ]
    assert {notice.name for notice in notices if notice} == LANGUAGES["en"].wordings.keys()
    # One that has no topic cannot be switched off.
    assert {notice.topic for notice in notices if notice} == {*TOPICS, None}


def test_a_role_is_named_as_people_name_it_with_whose_it_is_and_who_gave_it() -> None:
    told = letter("member.role_raised", EVENTS["member.role_raised"])
    french = letter("member.role_raised", EVENTS["member.role_raised"], "fr")

    assert told.subject == "Ada has a new role in Acme: Owner"
    assert "Olga gave Ada a role with more rights" in told.text
    assert (
        "Olga a donné à Ada un rôle avec plus de droits chez Acme\u00a0: Propriétaire."
        in french.text
    )


def test_a_line_whose_value_is_not_known_is_left_out() -> None:
    told = letter("invoice.finalized", {"number": "ACME-7", "total": "9900"})

    assert "Its total: $99.00." in told.text
    assert "due" not in told.text


def test_a_threshold_is_told_of_the_member_it_is_about() -> None:
    scope = {"type": "user", "user_id": "user_bea"}
    notice = notice_of("spend_limit.threshold_reached", {**THRESHOLD, "scope": scope})

    assert notice is not None
    assert (notice.audience, notice.user_id, notice.name) == (
        "member",
        "user_bea",
        "own_limit_near",
    )


def test_crossing_several_thresholds_at_once_is_one_mail() -> None:
    """Each crossing is announced; only the highest of those at one moment is worth a letter."""
    spent = {**THRESHOLD, "period_to_date_spend": "1187500"}
    told = [
        level
        for level in (75, 90, 95)
        if notice_of("spend_limit.threshold_reached", {**spent, "threshold_percent": level})
    ]
    assert told == [95]


def test_whoever_decides_may_ask_that_nobody_is_told() -> None:
    for decision in ("approved", "denied"):
        detail = {"user_id": "user_ada", "amount": "1"}
        assert notice_of(f"spend_limit.increase_{decision}", {**detail, "notify": True})
        assert notice_of(f"spend_limit.increase_{decision}", {**detail, "notify": False}) is None


def test_a_wallet_that_is_low_because_it_is_empty_is_called_empty() -> None:
    assert "is empty" in letter("wallet.low", {"balance": "0"}).subject
    assert "running low" in letter("wallet.low", {"balance": "0.5"}).subject


def test_a_refusal_beside_held_money_says_what_is_free_and_never_that_nothing_is_left() -> None:
    facts = {"balance": "1500", "free": "600", "auto_reload": "ready"}
    for language, free in (("en", "$6.00 of $15.00"), ("fr", "6,00\u00a0$\u00a0US sur 15,00")):
        told = letter("wallet.empty", facts, language)
        assert free in told.text
        assert "Nothing is left" not in told.text
    assert "Nothing is left" in letter("wallet.empty", {"balance": "0", "free": "0"}).text
    # As an earlier release announced it.
    assert "is empty" in letter("wallet.empty", {"balance": "0"}).subject


def test_money_that_went_back_is_told_with_why_and_how_much() -> None:
    facts = EVENTS["wallet.money_returned"]
    disputed = letter("wallet.money_returned", facts)
    refunded = letter("wallet.money_returned", {**facts, "reason": "refund"}, "fr")

    assert disputed.subject == "A payment of Acme was disputed"
    assert "took back $25.00" in disputed.text
    assert refunded.subject == "Un paiement de Acme a été remboursé"
    assert "25,00\u00a0$\u00a0US sont revenus sur la carte" in refunded.text


def test_other_events_are_not_for_mail() -> None:
    assert notice_of("wallet.topped_up", {}) is None


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.data: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.data.append(data)


def test_a_name_cannot_become_markup() -> None:
    hostile = '<img src=x onerror="alert(1)"> & <b>Co</b>'
    notice = Notice("wallet_low", "wallet", "owners", {"balance": "1"})
    told = compose(notice, organization(hostile), member(hostile), requesters=[hostile])

    tags = Tags()
    tags.feed(told.html)
    assert {"img", "b", "script"}.isdisjoint(tags.seen)
    assert any(hostile in text for text in tags.data)
    assert hostile in told.text


@pytest.mark.parametrize(
    "hostile", ["A\r\nBcc: eve@evil.example", "A\u2028B", "A\x00B", "A\u202eB"]
)
def test_a_name_cannot_break_the_subject_line(hostile: str) -> None:
    notice = Notice("wallet_low", "wallet", "owners", {"balance": "1"})

    told = compose(notice, organization(hostile), member())

    assert not re.search(r"[\r\n\x00\u2028\u202e]", told.subject)
    assert not re.search(r"[\r\x00\u2028\u202e]", told.text)


def test_a_name_of_braces_is_only_a_name() -> None:
    notice = Notice("wallet_low", "wallet", "owners", {"balance": "1"})

    told = compose(notice, organization("{balance}{0.__class__}"), member("{recipient}"))

    assert "{balance}{0.__class__}" in told.subject
    assert told.text.startswith("Hello {recipient},")


def test_a_long_name_leaves_a_subject_that_fits() -> None:
    notice = Notice("wallet_low", "wallet", "owners", {"balance": "1"})
    assert len(compose(notice, organization("A" * 1000), member()).subject) <= 150
