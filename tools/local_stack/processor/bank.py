"""The bank of the local stack: the page where a card's holder confirms a payment, or does not."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

AGREES: Final = "agree"
REFUSES: Final = "refuse"
LEAVES: Final = "leave"
ANSWERS: Final = {AGREES: "Confirm", REFUSES: "Refuse", LEAVES: "Decide later"}

_PAGE: Final = Path(__file__).with_name("bank.html")


def show(intent: dict[str, Any]) -> str:
    """Return the page about a payment."""
    units, cents = divmod(intent["amount"], 100)
    buttons = "".join(
        f'<button name="answer" value="{value}">{html.escape(label)}</button>'
        for value, label in ANSWERS.items()
    )
    amount = html.escape(f"{units:,}.{cents:02d} {intent['currency'].upper()}")
    return _PAGE.read_text().replace("{{amount}}", amount).replace("{{buttons}}", buttons)


def way_back(return_url: str, intent: dict[str, Any]) -> str:
    """Return where the holder is led, with what Stripe adds to it."""
    address = urlsplit(return_url)
    added = {
        "payment_intent": intent["id"],
        "payment_intent_client_secret": intent["client_secret"],
    }
    return address._replace(
        query=urlencode(parse_qsl(address.query) + list(added.items()))
    ).geturl()
