"""What happens at the local payment processor without the application: `make pay`.

A card's holder confirms or refuses a payment, or disputes it; their bank decides the dispute; an
owner puts another card on file, as they would on the processor's hosted page. The application
hears of each by the processor's events, as in production.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from tools.local_stack.payments import API_KEY, EXAMPLE_CARD
from tools.local_stack.processor.payments import ASKS_FOR_HOLDER

# Stripe's test cards by name (docs.stripe.com/testing), by what each does.
CARDS: Final = {
    "good": EXAMPLE_CARD,
    "asks": "pm_card_authenticationRequired",
    "declines": "pm_card_chargeCustomerFail",
    "refused": "pm_card_visa_chargeDeclined",
}
ACTIONS: Final = ("list", "card", "confirm", "refuse", "dispute", "win", "lose")
TIMEOUT_SECONDS: Final = 30
LISTED_MAX: Final = 20

Data = dict[str, Any]


class NothingToDo(Exception):
    """There is no such payment, customer or card; the message says what was looked for."""


@dataclass(frozen=True, slots=True)
class Hand:
    """Does to payments at `url` what people and banks do; each answers with JSON to print."""

    url: str

    def act(self, action: str, *, org_id: str, payment_id: str | None, card: str) -> Data:
        """Carry an action out; a payment that is not named is the newest that it can be done to.

        Raises:
            NothingToDo: there is nothing that it could be done to.
        """
        match action:
            case "list":
                return {"type": "list", "data": self._payments()[:LISTED_MAX]}
            case "card":
                return self._change_card(org_id, card)
            case "confirm" | "refuse":
                chosen = self._choose(payment_id, lambda each: each["status"] == "requires_action")
                self._configure(
                    f"payments/{chosen}/authenticate", success=str(action == "confirm").lower()
                )
            case "dispute":
                chosen = self._choose(
                    payment_id,
                    lambda each: each["status"] == "succeeded" and each["dispute"] is None,
                )
                self._configure("disputes", payment_intent=chosen)
            case "win" | "lose":
                chosen = self._choose(payment_id, lambda each: each["dispute"] == "needs_response")
                self._configure(
                    f"payments/{chosen}/close_dispute", won=str(action == "win").lower()
                )
            case _:
                raise NothingToDo(f"{action} is none of {', '.join(ACTIONS)}")
        (after,) = [each for each in self._payments() if each["id"] == chosen]
        return after

    def _payments(self) -> list[Data]:
        """All payments, the newest first, with what became of the dispute about each."""
        listed = self._call("GET", "/v1/payment_intents?limit=1000000")["data"]
        return [
            {
                "type": "payment",
                "id": intent["id"],
                "status": _status(intent),
                "amount": str(intent["amount"]),
                "currency": intent["currency"].upper(),
                "dispute": self._dispute(intent["id"]),
                "for": intent["metadata"],
            }
            for intent in listed
        ]

    def _dispute(self, payment_id: str) -> str | None:
        query = urlencode({"payment_intent": payment_id})
        found = self._call("GET", f"/v1/disputes?{query}")["data"]
        return str(found[0]["status"]) if found else None

    def _choose(self, payment_id: str | None, fits: Callable[[Data], bool]) -> str:
        named = [each for each in self._payments() if payment_id in (None, each["id"])]
        for each in named:
            if fits(each):
                return str(each["id"])
        what = payment_id or "any payment"
        raise NothingToDo(f"that cannot be done to {what}; see what there is with: make pay")

    def _change_card(self, org_id: str, card: str) -> Data:
        if card not in CARDS:
            raise NothingToDo(f"{card or 'no card'} is none of {', '.join(CARDS)}")
        listed = self._call("GET", "/v1/customers?limit=1000000")["data"]
        customers = [each["id"] for each in listed if org_id in each["metadata"].values()]
        if not customers:
            raise NothingToDo(f"{org_id} has no customer at the processor; buy with a card first")
        customer_id = customers[0]
        method = self._call(
            "POST", f"/v1/payment_methods/{CARDS[card]}/attach", customer=customer_id
        )
        if method.get("type") == "declined":
            return method
        default = {"invoice_settings[default_payment_method]": method["id"]}
        self._call("POST", f"/v1/customers/{customer_id}", **default)
        return {"type": "payment_method", "id": method["id"], "last4": method["card"]["last4"]}

    def _configure(self, path: str, **fields: str) -> None:
        self._call("POST", f"/_config/{path}", **fields)

    def _call(self, method: str, path: str, **fields: str) -> Data:
        request = urllib.request.Request(  # noqa: S310  (our own http address)
            self.url + path,
            data=urlencode(fields).encode() if method == "POST" else None,
            headers={"authorization": f"Bearer {API_KEY}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                told: Data = json.load(answer)
        except urllib.error.HTTPError as error:
            # A card that is declined is no failure of this program: it is what was asked for.
            told = json.loads(error.read())
            if error.code != 402:
                raise NothingToDo(f"the processor answered {error.code}: {told}") from error
            return {**told["error"], "type": "declined"}
        return told


def _status(intent: Data) -> str:
    """A payment off session that its card asked for waits for its holder under another name."""
    error = intent.get("last_payment_error") or {}
    waits = error.get("code") == ASKS_FOR_HOLDER
    return "requires_action" if waits else str(intent["status"])


def team_of(stack: Mapping[str, Any]) -> str:
    """Return the id of the example Team organization of a stack.json."""
    org_id: str = next(each["id"] for each in stack["organizations"] if each["plan"] == "team")
    return org_id
