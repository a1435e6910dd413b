"""How documents say things, in English and in French: words, dates, numbers and amounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from headroom.core.domain.money import NANOS_PER_CENT, NANOS_PER_UNIT, parse_exact
from headroom.core.domain.periods import time_zone

_TOKENS: Final = frozenset({"input", "output", "cache_read", "cache_write_5m", "cache_write_1h"})
_MILLION: Final = 1_000_000

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "invoice": "Invoice",
        "statement": "Statement",
        "credit_note": "Credit note",
        "draft": "Draft",
        "number": "Number",
        "period": "Period",
        "issued": "Issued",
        "due": "Due",
        "credits": "Credits invoice",
        "billed_to": "Billed to",
        "description": "Description",
        "quantity": "Quantity",
        "unit_price": "Unit price",
        "amount": "Amount",
        "usage": "Extra usage",
        "no_usage": "No extra usage was charged in this period.",
        "price_version": "Price list {version}",
        "subtotal": "Subtotal",
        "rounding": "Rounding to whole cents",
        "net": "Total before tax",
        "total": "Total",
        "credited": "Credited",
        "paid": "Paid",
        "surplus": "Paid too much, goes back to you",
        "amount_due": "Amount due",
        "opening_balance": "Opening balance",
        "purchases": "Purchases and credits",
        "usage_total": "Extra usage",
        "closing_balance": "Closing balance",
        "payment": "Payment",
        "terms": "Payable by {day}.",
        "quote": "Please quote {number}.",
        "paid_in_full": "Paid. Nothing is due.",
        "nothing_due": "Nothing is due.",
        "by_seat_tier": "By seat tier",
        "by_member": "By member",
        "seat_tier": "Seat tier",
        "member": "Member",
        "more_members": "Other members with usage: {count} (each is in the CSV file)",
        "late_usage": "Usage of {period} that was reported late (see {number})",
        "late_usage_alone": "Usage of {period} that was reported late",
        "credit": "Credit on {number}, {period}",
        "page": "Page",
        "standard": "Standard",
        "premium": "Premium",
        "input": "Input tokens",
        "output": "Output tokens",
        "cache_read": "Cache reads, tokens",
        "cache_write_5m": "Cache writes, 5 minutes, tokens",
        "cache_write_1h": "Cache writes, 1 hour, tokens",
        "web_search": "Web searches",
        "beyond_limit": "Used beyond a limit, not charged",
        "per_million": "per million",
        "each": "each",
    },
    "fr": {
        "invoice": "Facture",
        "statement": "Relevé",
        "credit_note": "Avoir",
        "draft": "Brouillon",
        "number": "Numéro",
        "period": "Période",
        "issued": "Date d’émission",
        "due": "Échéance",
        "credits": "Avoir sur facture",
        "billed_to": "Facturé à",
        "description": "Désignation",
        "quantity": "Quantité",
        "unit_price": "Prix unitaire",
        "amount": "Montant",
        "usage": "Utilisation supplémentaire",
        "no_usage": "Aucune utilisation supplémentaire n’a été facturée pour cette période.",
        "price_version": "Tarif {version}",
        "subtotal": "Sous-total",
        "rounding": "Arrondi au centime",
        "net": "Total hors taxe",
        "total": "Total",
        "credited": "Avoirs",
        "paid": "Déjà réglé",
        "surplus": "Trop-perçu, à vous rembourser",
        "amount_due": "Montant à payer",
        "opening_balance": "Solde d’ouverture",
        "purchases": "Achats et crédits",
        "usage_total": "Utilisation supplémentaire",
        "closing_balance": "Solde de clôture",
        "payment": "Règlement",
        "terms": "À régler au plus tard le {day}.",
        "quote": "Merci de rappeler la référence {number}.",
        "paid_in_full": "Facture acquittée. Rien n’est dû.",
        "nothing_due": "Rien n’est dû.",
        "by_seat_tier": "Par type de poste",
        "by_member": "Par membre",
        "seat_tier": "Type de poste",
        "member": "Membre",
        "more_members": "Autres membres : {count} (chacun figure dans le fichier CSV)",
        "late_usage": "Utilisation de {period} signalée tardivement (voir {number})",
        "late_usage_alone": "Utilisation de {period} signalée tardivement",
        "credit": "Avoir sur {number}, {period}",
        "page": "Page",
        "standard": "Standard",
        "premium": "Premium",
        "input": "Jetons en entrée",
        "output": "Jetons en sortie",
        "cache_read": "Lectures du cache, jetons",
        "cache_write_5m": "Écritures du cache, 5 minutes, jetons",
        "cache_write_1h": "Écritures du cache, 1 heure, jetons",
        "web_search": "Recherches web",
        "beyond_limit": "Au-delà d’une limite, non facturé",
        "per_million": "le million",
        "each": "l’unité",
    },
}
LANGUAGES: Final = tuple(_WORDS)
_MONTHS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
    "fr": (
        *("janvier", "février", "mars", "avril", "mai", "juin"),
        *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
    ),
}
# Thousands and decimals; French puts a space that does not break between thousands.
_MARKS: Final = {"en": (",", "."), "fr": ("\N{NO-BREAK SPACE}", ",")}


@dataclass(frozen=True, slots=True)
class Phrases:
    """The words of one language, and dates by the clocks of one zone."""

    language: str
    zone: tzinfo

    def __getitem__(self, name: str) -> str:
        return _WORDS[self.language][name]

    def kind(self, kind: str) -> str:
        """Name what was used."""
        return self[kind]

    def tier(self, tier: str) -> str:
        """Name a seat tier."""
        return self[tier]

    def month(self, period: str) -> str:
        """Print a billing period."""
        year, month = period.split("-")
        return f"{_MONTHS[self.language][int(month) - 1]} {year}"

    def day(self, moment: str | None) -> str:
        """Print the local day of a moment of the wire; "" if there is none."""
        if moment is None:
            return ""
        local = datetime.fromisoformat(moment).astimezone(self.zone)
        month = _MONTHS[self.language][local.month - 1]
        if self.language == "fr":
            first = "1er" if local.day == 1 else str(local.day)
            return f"{first} {month} {local.year}"
        return f"{month} {local.day}, {local.year}"

    def number(self, count: int) -> str:
        """Print a whole number."""
        return f"{count:,}".replace(",", _MARKS[self.language][0])

    def percent(self, rate: str) -> str:
        """Print a decimal below one, such as "0.055"."""
        decimals = rate.partition(".")[2].ljust(2, "0")
        whole, fraction = int(decimals[:2]), decimals[2:].rstrip("0")
        number = f"{whole}{_MARKS[self.language][1]}{fraction}" if fraction else f"{whole}"
        return f"{number}\N{NO-BREAK SPACE}%" if self.language == "fr" else f"{number}%"

    def money(self, cents: str, currency: str) -> str:
        """Print an amount of the wire, exact, with at least two decimals."""
        return self._nanos(parse_exact(cents), currency)

    def price(self, line: Mapping[str, Any], currency: str) -> str:
        """Print a price as people compare it: tokens by the million."""
        nanos = parse_exact(line["unit_price"])
        if not nanos:
            return ""
        if line["kind"] not in _TOKENS:
            return f"{self._nanos(nanos // line['per'], currency)} {self['each']}"
        return f"{self._nanos(nanos * _MILLION // line['per'], currency)} {self['per_million']}"

    def _nanos(self, nanos: int, currency: str) -> str:
        thousands, point = _MARKS[self.language]
        units, rest = divmod(abs(nanos), NANOS_PER_UNIT)
        cents, fraction = divmod(rest, NANOS_PER_CENT)
        decimals = f"{cents:02d}" + f"{fraction:07d}".rstrip("0")
        whole = f"{units:,}".replace(",", thousands)
        sign = "-" if nanos < 0 else ""
        if self.language == "fr":
            return f"{sign}{whole}{point}{decimals}\N{NO-BREAK SPACE}{currency}"
        return f"{sign}{currency}\N{NO-BREAK SPACE}{whole}{point}{decimals}"


def phrases(language: str, zone_name: str) -> Phrases:
    """Return the words of a language; English for one that we do not speak."""
    spoken = language.lower().partition("-")[0]
    return Phrases(spoken if spoken in _WORDS else "en", time_zone(zone_name))
