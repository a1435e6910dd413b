"""What Stripe does and localstripe does not, in front of localstripe.

Idempotency keys; lists of payments by customer and time; errors of cards that name the payment;
cards that ask for their holder off session; refunds that stop at what is left; disputes; and the
events of all that. `docs.stripe.com/api` says how each looks.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tools.local_stack.processor import bank
from tools.local_stack.processor.replies import Replies
from tools.local_stack.processor.upstream import ANY_KEY, Answer, Data, Upstream

# Stripe's test cards by name (docs.stripe.com/testing) that localstripe knows by number only.
CARDS = {"pm_card_authenticationRequired": "4000002760003184"}
ASKS_FOR_HOLDER = "authentication_required"
PAGE = 10
BANK = "/bank/"

Tell = Callable[[Data], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, with its body or query as flat names: `metadata[a]`, `created[gte]`."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        text = self.body.decode() if self.method == "POST" else self.query
        return dict(parse_qsl(text, keep_blank_values=True))

    @property
    def expands(self) -> set[str]:
        return {value for name, value in self.fields.items() if name.startswith("expand")}


@dataclass
class State:
    """What the processor knows beside localstripe's store."""

    disputes: dict[str, Data] = field(default_factory=dict)
    # Payments whose card asked for its holder while nobody was there.
    asked: list[str] = field(default_factory=list)
    # Where the holders of others are led back to when they have answered.
    ways_back: dict[str, str] = field(default_factory=dict)
    # Where this processor answers, as holders are told.
    address: str = ""
    webhook_url: str | None = None
    webhook_secret: str = "whsec_local"  # noqa: S105  (nobody trusts it but the local stack)


class Processor:
    """Answers requests. `tell` is given each event."""

    def __init__(self, upstream: Upstream, tell: Tell) -> None:
        self.upstream = upstream
        self.tell = tell
        self.replies = Replies()
        self.state = State()
        self._refunding = threading.Lock()

    def answer(self, asked: Asked) -> Answer:
        """Answer a request."""
        key = asked.headers.get("idempotency-key")
        if asked.path.startswith("/_config/"):
            return self.configure(asked)
        if asked.path.startswith(BANK):
            return self.visit_bank(asked)
        if not asked.headers.get("authorization", "").startswith(("Bearer sk_", "Bearer rk_")):
            error = {"type": "invalid_request_error", "message": "Invalid API Key provided"}
            return Answer(401, {"error": error})
        if asked.method == "POST" and key:
            whole = f"{asked.path}\0".encode() + asked.body
            return self.replies.once(key, whole, lambda: self.act(asked))
        return self.act(asked)

    def act(self, asked: Asked) -> Answer:
        """Carry a request out."""
        for method, pattern, handle in (
            ("GET", r"/v1/payment_intents", self._list_payments),
            ("POST", r"/v1/payment_intents", self._pay),
            ("POST", r"/v1/payment_intents/(\w+)/(?:cancel|_authenticate)", self._go_on),
            ("POST", r"/v1/payment_intents/(\w+)/confirm", self._confirm),
            ("GET", r"/v1/payment_intents/(\w+)", self._show_payment),
            ("POST", r"/v1/payment_methods/(\w+)/attach", self._attach),
            ("POST", r"/v1/payment_methods/(\w+)/detach", self._detach),
            ("POST", r"/v1/customers/(\w+)", self._update_customer),
            ("GET", r"/v1/refunds", self._list_refunds),
            ("POST", r"/v1/refunds", self._refund),
            ("GET", r"/v1/disputes", self._list_disputes),
        ):
            found = re.fullmatch(pattern, asked.path)
            if found and method == asked.method:
                return handle(asked, *found.groups())
        return self._pass_on(asked)

    def configure(self, asked: Asked) -> Answer:
        """Do what no client may, and the makers of a scene need."""
        fields = asked.fields
        match asked.method, asked.path.removeprefix("/_config/").split("/"):
            case "POST", ["webhook"]:
                self.state.webhook_url = fields["url"]
                self.state.webhook_secret = fields["secret"]
            case "POST", ["disputes"]:
                amount = int(fields["amount"]) if "amount" in fields else None
                return Answer(200, self.open_dispute(fields["payment_intent"], amount))
            case "POST", ["payments", payment_id, "close_dispute"]:
                (dispute_id,) = self.disputes_of(payment_id)
                won = fields.get("won") == "true"
                return Answer(200, self.close_dispute(dispute_id, won=won))
            case "POST", ["payments", payment_id, "authenticate"]:
                return self.authenticate(payment_id, success=fields.get("success") != "false")
            case "GET", ["health"]:
                pass
            case "POST", ["forget_keys"]:
                self.replies.forget()
            case _:
                return Answer(404, {"error": {"message": "there is nothing here"}})
        return Answer(200, {})

    # What happens without a client: the bank's and the holder's doing.

    def visit_bank(self, asked: Asked) -> Answer:
        """Show a payment to its card's holder, and lead them back with their answer."""
        payment_id = asked.path.removeprefix(BANK)
        back = self.state.ways_back.get(payment_id)
        intent = self.upstream.get(f"/v1/payment_intents/{payment_id}") if back else None
        if intent is None or back is None:
            return Answer(404, {"error": {"message": "there is no such payment"}})
        if asked.method != "POST":
            return Answer(200, {}, page=bank.show(intent))
        answer = asked.fields.get("answer")
        if answer != bank.LEAVES and intent["status"] == "requires_action":
            self.authenticate(payment_id, success=answer == bank.AGREES)
        return Answer(303, {}, {"location": bank.way_back(back, intent)})

    def authenticate(self, payment_id: str, *, success: bool = True) -> Answer:
        """Let the holder answer what their card asked for."""
        intent = self.upstream.get(f"/v1/payment_intents/{payment_id}")
        assert intent is not None, payment_id
        body = {"client_secret": intent["client_secret"], "success": str(success).lower()}
        path = f"/v1/payment_intents/{payment_id}/_authenticate"
        headers = {"authorization": f"Bearer {ANY_KEY}"}
        return self.act(Asked("POST", path, "", headers, urlencode(body).encode()))

    def open_dispute(self, payment_id: str, amount: int | None = None) -> Data:
        """Let the holder dispute a payment: the money is taken back."""
        intent = self.upstream.get(f"/v1/payment_intents/{payment_id}")
        assert intent is not None, payment_id
        dispute = {
            "id": _new_id("dp"),
            "object": "dispute",
            "amount": intent["amount"] if amount is None else amount,
            "currency": intent["currency"],
            "charge": intent["latest_charge"]["id"],
            "payment_intent": payment_id,
            "status": "needs_response",
            "reason": "fraudulent",
            "metadata": {},
            "created": int(time.time()),
        }
        self.state.disputes[dispute["id"]] = dispute
        self._tell("charge.dispute.created", dispute)
        self._tell("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close_dispute(self, dispute_id: str, *, won: bool) -> Data:
        """Let the bank decide a dispute: won, the money comes back."""
        dispute = self.state.disputes[dispute_id]
        dispute["status"] = "won" if won else "lost"
        self._tell("charge.dispute.closed", dispute)
        if won:
            self._tell("charge.dispute.funds_reinstated", dispute)
        return dispute

    def disputes_of(self, payment_id: str) -> list[str]:
        """Return the ids of the disputes about a payment."""
        found = self.state.disputes.values()
        return [each["id"] for each in found if each["payment_intent"] == payment_id]

    def save(self, place: Path) -> None:
        """Keep what localstripe does not."""
        kept = {"state": self.state.__dict__, "replies": self.replies.dump()}
        place.write_text(json.dumps(kept))

    def load(self, place: Path) -> None:
        """Read what was kept, if anything was."""
        if place.exists():
            kept = json.loads(place.read_text())
            self.state = State(**kept["state"])
            self.replies.load(kept["replies"])

    # Payments.

    def _list_payments(self, asked: Asked) -> Answer:
        fields = asked.fields
        found = self.upstream.listed("/v1/payment_intents")
        if "customer" in fields:
            found = [each for each in found if each["customer"] == fields["customer"]]
        if "created[gte]" in fields:
            found = [each for each in found if each["created"] >= int(fields["created[gte]"])]
        if "created[lt]" in fields:
            found = [each for each in found if each["created"] < int(fields["created[lt]"])]
        expands = {each.removeprefix("data.") for each in asked.expands}
        found = [self._as_stripe(each, expands) for each in reversed(found)]
        return _page(found, asked)

    def _pay(self, asked: Asked) -> Answer:
        answer = self._pass_on(asked)
        if answer.status == 404:
            error = {
                "type": "invalid_request_error",
                "code": "resource_missing",
                "param": "payment_method",
                "message": "No such PaymentMethod",
            }
            return Answer(404, {"error": error})
        off_session = asked.fields.get("off_session") == "true"
        if answer.status == 200 and off_session and answer.data["status"] == "requires_action":
            self.state.asked.append(answer.data["id"])
            intent = self._as_stripe(answer.data, set())
            self._tell("payment_intent.payment_failed", intent)
            return Answer(
                402, {"error": {**intent["last_payment_error"], "payment_intent": intent}}
            )
        return self._end_of(answer, asked)

    def _go_on(self, asked: Asked, payment_id: str) -> Answer:
        answer = self._pass_on(asked)
        if payment_id in self.state.asked and answer.status in (200, 402):
            self.state.asked.remove(payment_id)
        return self._end_of(answer, asked)

    def _confirm(self, asked: Asked, payment_id: str) -> Answer:
        """Lead a holder to their bank; localstripe confirms nothing that it asked for before."""
        intent = self.upstream.get(f"/v1/payment_intents/{payment_id}")
        if intent is None or intent["status"] != "requires_action":
            return _refuse("payment_intent_unexpected_state", "It cannot be confirmed any more.")
        method = self.upstream.get(f"/v1/payment_methods/{asked.fields['payment_method']}")
        if method is None or method["customer"] != intent["customer"]:
            return _refuse("payment_method_unexpected_state", "The PaymentMethod is not attached.")
        if payment_id in self.state.asked:
            self.state.asked.remove(payment_id)
        self.state.ways_back[payment_id] = asked.fields["return_url"]
        self.state.address = f"http://{asked.headers['host']}"
        return self._end_of(Answer(200, intent), asked)

    def _show_payment(self, asked: Asked, payment_id: str) -> Answer:
        answer = self._pass_on(asked)
        if answer.status != 200:
            return answer
        return Answer(200, self._as_stripe(answer.data, asked.expands))

    def _end_of(self, answer: Answer, asked: Asked) -> Answer:
        """Tell what a payment came to, and give its errors the form that Stripe's have."""
        if answer.status == 402:
            charge = self.upstream.get(f"/v1/charges/{answer.data['error']['charge']}")
            assert charge is not None
            told = self.upstream.get(f"/v1/payment_intents/{charge['payment_intent']}")
            assert told is not None
            intent = self._as_stripe(told, set())
            error = {**answer.data["error"], "type": "card_error", "payment_intent": intent}
            self._tell("payment_intent.payment_failed", intent)
            return Answer(402, {"error": error})
        if answer.status != 200:
            return answer
        intent = self._as_stripe(answer.data, asked.expands)
        type_ = {
            "succeeded": "payment_intent.succeeded",
            "requires_action": "payment_intent.requires_action",
            "requires_payment_method": "payment_intent.payment_failed",
            "canceled": "payment_intent.canceled",
            "processing": "payment_intent.processing",
        }.get(intent["status"])
        if type_ is not None:
            self._tell(type_, self._as_stripe(answer.data, set()))
        return Answer(200, intent)

    def _as_stripe(self, intent: Data, expands: set[str]) -> Data:
        """Return an intent of localstripe's as Stripe would show it."""
        shown = dict(intent)
        if shown["id"] in self.state.asked and shown["status"] == "requires_action":
            shown["status"], shown["next_action"] = "requires_payment_method", None
            shown["last_payment_error"] = {
                "type": "card_error",
                "code": ASKS_FOR_HOLDER,
                "decline_code": ASKS_FOR_HOLDER,
                "message": "Your card was declined. This transaction requires authentication.",
            }
        if shown["status"] == "requires_action" and shown["id"] in self.state.ways_back:
            redirect = {
                "url": f"{self.state.address}{BANK}{shown['id']}",
                "return_url": self.state.ways_back[shown["id"]],
            }
            shown["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
        charge = shown["latest_charge"]
        if charge is not None:
            disputed = any(each["charge"] == charge["id"] for each in self.state.disputes.values())
            charge = {**charge, "disputed": disputed, "metadata": shown["metadata"]}
            shown["latest_charge"] = charge if "latest_charge" in expands else charge["id"]
        return shown

    # Cards.

    def _attach(self, asked: Asked, method_id: str) -> Answer:
        if method_id in CARDS:
            card = {"number": CARDS[method_id], "exp_month": 12, "exp_year": 2030, "cvc": "123"}
            fields = {"type": "card"} | {f"card[{name}]": value for name, value in card.items()}
            method_id = self.upstream.post("/v1/payment_methods", **fields).data["id"]
        answer = self._pass_on(asked, f"/v1/payment_methods/{method_id}/attach")
        if answer.status == 402:
            return Answer(402, {"error": {**answer.data["error"], "type": "card_error"}})
        if answer.status == 200:
            self._tell("payment_method.attached", answer.data)
        return answer

    def _detach(self, asked: Asked, method_id: str) -> Answer:
        before = self.upstream.get(f"/v1/payment_methods/{method_id}")
        answer = self._pass_on(asked)
        if answer.status == 200 and before is not None:
            previous = {"customer": before["customer"]}
            self._tell("payment_method.detached", answer.data, previous)
        return answer

    def _update_customer(self, asked: Asked, customer_id: str) -> Answer:
        before = self.upstream.get(f"/v1/customers/{customer_id}")
        answer = self._pass_on(asked)
        if answer.status == 200 and before is not None:
            names = {name.partition("[")[0] for name in asked.fields}
            previous = {name: before[name] for name in names if before[name] != answer.data[name]}
            self._tell("customer.updated", answer.data, previous)
        return answer

    # Refunds and disputes.

    def _list_refunds(self, asked: Asked) -> Answer:
        intent = self.upstream.get(f"/v1/payment_intents/{asked.fields['payment_intent']}")
        if intent is None or intent["latest_charge"] is None:
            return _page([], asked)
        return self._pass_on(asked)

    def _refund(self, asked: Asked) -> Answer:
        with self._refunding:
            intent = self.upstream.get(f"/v1/payment_intents/{asked.fields['payment_intent']}")
            charge = intent and intent["latest_charge"]
            left = charge["amount"] - charge["amount_refunded"] if charge else 0
            if int(asked.fields.get("amount", left)) > left:
                message = "Refund amount is greater than unrefunded amount on charge"
                error = {"type": "invalid_request_error", "param": "amount", "message": message}
                return Answer(400, {"error": error})
            answer = self._pass_on(asked)
        if answer.status == 200:
            after = self.upstream.get(f"/v1/payment_intents/{asked.fields['payment_intent']}")
            assert after is not None
            told = {**after["latest_charge"], "metadata": after["metadata"]}
            self._tell("refund.created", answer.data)
            self._tell("charge.refunded", told)
        return answer

    def _list_disputes(self, asked: Asked) -> Answer:
        payment_id = asked.fields.get("payment_intent")
        found = list(self.state.disputes.values())
        return _page([each for each in found if each["payment_intent"] == payment_id], asked)

    def _pass_on(self, asked: Asked, path: str | None = None) -> Answer:
        whole = (path or asked.path) + (f"?{asked.query}" if asked.query else "")
        return self.upstream.send(asked.method, whole, asked.body)

    def _tell(self, type_: str, thing: Data, previous: Data | None = None) -> None:
        data: Data = {"object": thing}
        if previous is not None:
            data["previous_attributes"] = previous
        self.tell(
            {
                "id": _new_id("evt"),
                "object": "event",
                "api_version": None,
                "type": type_,
                "created": int(time.time()),
                "livemode": False,
                "pending_webhooks": 1,
                "data": data,
            }
        )


def _page(found: list[Any], asked: Asked) -> Answer:
    fields = asked.fields
    if after := fields.get("starting_after"):
        places = [index for index, each in enumerate(found) if each["id"] == after]
        found = found[places[0] + 1 :] if places else []
    limit = int(fields.get("limit", PAGE))
    page = {"object": "list", "url": asked.path, "data": found[:limit]}
    return Answer(200, {**page, "has_more": len(found) > limit})


def _refuse(code: str, message: str) -> Answer:
    error = {"type": "invalid_request_error", "code": code, "message": message}
    return Answer(400, {"error": error})


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def parse_target(target: str) -> tuple[str, str]:
    """Return path and query of a request's target."""
    parts = urlsplit(target)
    return parts.path, parts.query
