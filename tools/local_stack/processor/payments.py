"""Payments: lists by customer and time, cards that ask for their holder, errors that name them."""

from __future__ import annotations

from tools.local_stack.processor.asking import Asked, page_of, refuse
from tools.local_stack.processor.desk import Desk, Route
from tools.local_stack.processor.upstream import Answer, Data

ASKS_FOR_HOLDER = "authentication_required"
BANK = "/bank/"


class Payments:
    """Answers about payments."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def routes(self) -> list[Route]:
        """What is answered here."""
        intents = r"/v1/payment_intents"
        return [
            ("GET", intents, self.list_all),
            ("POST", intents, self.pay),
            ("POST", intents + r"/(\w+)/(?:cancel|_authenticate)", self.go_on),
            ("POST", intents + r"/(\w+)/confirm", self.confirm),
            ("GET", intents + r"/(\w+)", self.show),
        ]

    def list_all(self, asked: Asked) -> Answer:
        fields = asked.fields
        found = self._desk.upstream.listed("/v1/payment_intents")
        if "customer" in fields:
            found = [each for each in found if each["customer"] == fields["customer"]]
        if "created[gte]" in fields:
            found = [each for each in found if each["created"] >= int(fields["created[gte]"])]
        if "created[lt]" in fields:
            found = [each for each in found if each["created"] < int(fields["created[lt]"])]
        expands = {each.removeprefix("data.") for each in asked.expands}
        found = [self._as_stripe(each, expands) for each in reversed(found)]
        return page_of(found, asked)

    def pay(self, asked: Asked) -> Answer:
        answer = self._desk.pass_on(asked)
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
            self._desk.state.asked.append(answer.data["id"])
            intent = self._as_stripe(answer.data, set())
            self._desk.announce("payment_intent.payment_failed", intent)
            return Answer(
                402, {"error": {**intent["last_payment_error"], "payment_intent": intent}}
            )
        return self._end_of(answer, asked)

    def go_on(self, asked: Asked, payment_id: str) -> Answer:
        answer = self._desk.pass_on(asked)
        if payment_id in self._desk.state.asked and answer.status in (200, 402):
            self._desk.state.asked.remove(payment_id)
        return self._end_of(answer, asked)

    def confirm(self, asked: Asked, payment_id: str) -> Answer:
        """Lead a holder to their bank; localstripe confirms nothing that it asked for before."""
        intent = self._desk.upstream.get(f"/v1/payment_intents/{payment_id}")
        if intent is None or intent["status"] != "requires_action":
            return refuse("payment_intent_unexpected_state", "It cannot be confirmed any more.")
        method = self._desk.upstream.get(f"/v1/payment_methods/{asked.fields['payment_method']}")
        if method is None or method["customer"] != intent["customer"]:
            return refuse("payment_method_unexpected_state", "The PaymentMethod is not attached.")
        if payment_id in self._desk.state.asked:
            self._desk.state.asked.remove(payment_id)
        self._desk.state.ways_back[payment_id] = asked.fields["return_url"]
        self._desk.state.address = f"http://{asked.headers['host']}"
        return self._end_of(Answer(200, intent), asked)

    def show(self, asked: Asked, payment_id: str) -> Answer:
        answer = self._desk.pass_on(asked)
        if answer.status != 200:
            return answer
        return Answer(200, self._as_stripe(answer.data, asked.expands))

    def _end_of(self, answer: Answer, asked: Asked) -> Answer:
        """Tell what a payment came to, and give its errors the form that Stripe's have."""
        if answer.status == 402:
            charge = self._desk.upstream.get(f"/v1/charges/{answer.data['error']['charge']}")
            assert charge is not None
            told = self._desk.upstream.get(f"/v1/payment_intents/{charge['payment_intent']}")
            assert told is not None
            intent = self._as_stripe(told, set())
            error = {**answer.data["error"], "type": "card_error", "payment_intent": intent}
            self._desk.announce("payment_intent.payment_failed", intent)
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
            self._desk.announce(type_, self._as_stripe(answer.data, set()))
        return Answer(200, intent)

    def _as_stripe(self, intent: Data, expands: set[str]) -> Data:
        """Return an intent of localstripe's as Stripe would show it."""
        shown = dict(intent)
        if shown["id"] in self._desk.state.asked and shown["status"] == "requires_action":
            shown["status"], shown["next_action"] = "requires_payment_method", None
            shown["last_payment_error"] = {
                "type": "card_error",
                "code": ASKS_FOR_HOLDER,
                "decline_code": ASKS_FOR_HOLDER,
                "message": "Your card was declined. This transaction requires authentication.",
            }
        if shown["status"] == "requires_action" and shown["id"] in self._desk.state.ways_back:
            redirect = {
                "url": f"{self._desk.state.address}{BANK}{shown['id']}",
                "return_url": self._desk.state.ways_back[shown["id"]],
            }
            shown["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
        charge = shown["latest_charge"]
        if charge is not None:
            disputed = any(
                each["charge"] == charge["id"] for each in self._desk.state.disputes.values()
            )
            charge = {**charge, "disputed": disputed, "metadata": shown["metadata"]}
            shown["latest_charge"] = charge if "latest_charge" in expands else charge["id"]
        return shown
