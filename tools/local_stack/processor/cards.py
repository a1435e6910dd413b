"""Cards and their owners: Stripe's test cards by name, and events that say what was before."""

from __future__ import annotations

from tools.local_stack.processor.asking import Asked
from tools.local_stack.processor.desk import Desk, Route
from tools.local_stack.processor.upstream import Answer

# Stripe's test cards by name (docs.stripe.com/testing) that localstripe knows by number only.
CARDS = {"pm_card_authenticationRequired": "4000002760003184"}


class Cards:
    """Answers about cards and customers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            ("POST", r"/v1/payment_methods/(\w+)/attach", self.attach),
            ("POST", r"/v1/payment_methods/(\w+)/detach", self.detach),
            ("POST", r"/v1/customers/(\w+)", self.update_customer),
        ]

    def attach(self, asked: Asked, method_id: str) -> Answer:
        if method_id in CARDS:
            card = {"number": CARDS[method_id], "exp_month": 12, "exp_year": 2030, "cvc": "123"}
            fields = {"type": "card"} | {f"card[{name}]": value for name, value in card.items()}
            method_id = self._desk.upstream.post("/v1/payment_methods", **fields).data["id"]
        answer = self._desk.pass_on(asked, f"/v1/payment_methods/{method_id}/attach")
        if answer.status == 402:
            return Answer(402, {"error": {**answer.data["error"], "type": "card_error"}})
        if answer.status == 200:
            self._desk.announce("payment_method.attached", answer.data)
        return answer

    def detach(self, asked: Asked, method_id: str) -> Answer:
        before = self._desk.upstream.get(f"/v1/payment_methods/{method_id}")
        answer = self._desk.pass_on(asked)
        if answer.status == 200 and before is not None:
            previous = {"customer": before["customer"]}
            self._desk.announce("payment_method.detached", answer.data, previous)
        return answer

    def update_customer(self, asked: Asked, customer_id: str) -> Answer:
        before = self._desk.upstream.get(f"/v1/customers/{customer_id}")
        answer = self._desk.pass_on(asked)
        if answer.status == 200 and before is not None:
            names = {name.partition("[")[0] for name in asked.fields}
            previous = {name: before[name] for name in names if before[name] != answer.data[name]}
            self._desk.announce("customer.updated", answer.data, previous)
        return answer
