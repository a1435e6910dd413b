"""A letter as it is sent: one subject line, plain text, and the same as HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from html import escape
from string import Formatter
from typing import Any, Final

from headroom.core.domain.periods import time_zone
from headroom.notifications.domain.letters.english import English
from headroom.notifications.domain.letters.french import French
from headroom.notifications.domain.letters.language import Language
from headroom.notifications.domain.letters.notices import Notice
from headroom.organizations.domain.organization import Member, Organization

LANGUAGES: Final[Mapping[str, Language]] = {"en": English(), "fr": French()}
SUBJECT_LENGTH_MAX: Final = 150

# Facts of events by the name that the words have for them.
_MONEY: Final = {
    "limit": "amount",
    "spent": "period_to_date_spend",
    "balance": "balance",
    "free": "free",
    "charge": "amount",
    "remaining": "remaining",
    "total": "total",
    "owed": "amount_due",
    "paid": "paid_amount",
}
_DAYS: Final = {"expires": "expires_at", "due": "due_at", "paid_on": "paid_at"}
_TEXTS: Final = {
    "percent": "threshold_percent",
    "pending": "pending",
    "reason": "decline_code",
    "number": "number",
    "credited": "credits_invoice_number",
    "url": "url",
}
_MONTH: Final = re.compile(r"([0-9]{4})-([0-9]{2})")
# Spaces of every kind but the hard ones of French, controls, and what turns text around.
_UNSEEN: Final = re.compile(
    r"[\x00-\x20\x7f-\x9f\u1680\u2000-\u200b\u200e\u200f\u2028-\u202e\u205f-\u206f\u3000\ufeff]+"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter to one person. `subject` is one line without control characters."""

    to: str
    subject: str
    text: str
    html: str


def compose(
    notice: Notice,
    organization: Organization,
    recipient: Member,
    *,
    requesters: Sequence[str] = (),
    people: Mapping[str, str] | None = None,
    settings_url: str = "",
) -> Letter:
    """Write the letter that tells a member of a notice, in their organization's language.

    `people` are the names of those whom its words name, by the words' own name for them.
    """
    language = LANGUAGES[organization.language]
    wording = language.wordings[notice.name]
    values = _values(notice.facts, language, organization)
    values["organization"] = _one_line(organization.name)
    values["recipient"] = _one_line(recipient.name)
    if requesters:
        values["requesters"] = ", ".join(_one_line(name) for name in requesters)
    values |= {word: _one_line(name) for word, name in (people or {}).items()}
    lines = [
        language.greeting.format_map(values),
        *(line.format_map(values) for line in wording.lines if _is_known(line, values)),
    ]
    footer = language.footer.format_map(values)
    # Cut last: what a name may hold must not push out what the line says without it.
    subject = _one_line(wording.subject.format_map(values))[:SUBJECT_LENGTH_MAX].rstrip()
    link = [f"{language.link}: {settings_url}"] if settings_url else []
    return Letter(
        to=recipient.email,
        subject=subject,
        text="\n\n".join([*lines, *link, f"-- \n{footer}"]) + "\n",
        html=_html(language, subject, lines, footer, settings_url),
    )


def _values(
    facts: Mapping[str, Any], language: Language, organization: Organization
) -> dict[str, str]:
    """Return what is known, as people read it: days are those of the organization's clocks."""
    zone = time_zone(organization.time_zone)
    values: dict[str, str] = {}
    for name, fact in _MONEY.items():
        if (cents := _cents(facts.get(fact))) is not None:
            values[name] = language.money(cents, organization.currency)
    for name, fact in _DAYS.items():
        if (moment := _moment(facts.get(fact))) is not None:
            day = moment.astimezone(zone)
            values[name] = language.date(day.year, day.month, day.day)
    for name, fact in _TEXTS.items():
        if facts.get(fact) is not None:
            values[name] = _one_line(str(facts[fact]))
    if (role := language.roles.get(str(facts.get("role")))) is not None:
        values["role"] = role
    period = facts.get("period")
    if not isinstance(period, str):
        return values
    if period in language.periods:
        values["limit_period"] = language.periods[period]
    elif month := _MONTH.fullmatch(period):
        values["period"] = language.month(int(month[1]), int(month[2]))
    return values


def _cents(amount: object) -> int | None:
    """Read an amount of the wire in whole cents; a letter has no room for fractions of them."""
    try:
        return int(Decimal(str(amount)).quantize(Decimal(1), ROUND_HALF_EVEN))
    except InvalidOperation:
        return None


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _is_known(line: str, values: Mapping[str, str]) -> bool:
    return all(name in values for _, name, _, _ in Formatter().parse(line) if name)


def _one_line(text: str) -> str:
    """Take out whatever could break a line, hide something or begin a header of its own."""
    return _UNSEEN.sub(" ", text).strip()


def _html(
    language: Language, subject: str, lines: Sequence[str], footer: str, settings_url: str
) -> str:
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in lines)
    link = (
        f'<p><a href="{escape(settings_url)}">{escape(language.link)}</a></p>'
        if settings_url
        else ""
    )
    return (
        f'<!doctype html><html lang="{language.code}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(subject)}</title></head>"
        '<body style="font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:2em auto;'
        f'padding:0 1em">{paragraphs}{link}'
        f'<p style="font-size:13px;opacity:.7">{escape(footer)}</p></body></html>'
    )
