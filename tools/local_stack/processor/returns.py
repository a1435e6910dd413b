"""Money that goes back: refunds that stop at what is left, and disputes, which a bank decides."""

from __future__ import annotations

import threading
import time

from tools.local_stack.processor.asking import Asked, page_of
from tools.local_stack.processor.desk import Desk, Route, new_id
from tools.local_stack.processor.upstream import Answer, Data


class Refunds:
    """Answers about refunds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._refunding = threading.Lock()

    @property
    def routes(self) -> list[Route]:
        """What is answered here."""
        return [("GET", r"/v1/refunds", self.list_all), ("POST", r"/v1/refunds", self.refund)]

    def list_all(self, asked: Asked) -> Answer:
        intent = self._desk.upstream.get(f"/v1/payment_intents/{asked.fields['payment_intent']}")
        if intent is None or intent["latest_charge"] is None:
            return page_of([], asked)
        return self._desk.pass_on(asked)

    def refund(self, asked: Asked) -> Answer:
        with self._refunding:
            intent = self._desk.upstream.get(
                f"/v1/payment_intents/{asked.fields['payment_intent']}"
            )
            charge = intent and intent["latest_charge"]
            left = charge["amount"] - charge["amount_refunded"] if charge else 0
            if int(asked.fields.get("amount", left)) > left:
                message = "Refund amount is greater than unrefunded amount on charge"
                error = {"type": "invalid_request_error", "param": "amount", "message": message}
                return Answer(400, {"error": error})
            answer = self._desk.pass_on(asked)
        if answer.status == 200:
            after = self._desk.upstream.get(f"/v1/payment_intents/{asked.fields['payment_intent']}")
            assert after is not None
            told = {**after["latest_charge"], "metadata": after["metadata"]}
            self._desk.announce("refund.created", answer.data)
            self._desk.announce("charge.refunded", told)
        return answer


class Disputes:
    """Answers about disputes, and lets holders and banks act."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def routes(self) -> list[Route]:
        """What is answered here."""
        return [("GET", r"/v1/disputes", self.list_all)]

    def list_all(self, asked: Asked) -> Answer:
        payment_id = asked.fields.get("payment_intent")
        found = list(self._desk.state.disputes.values())
        return page_of([each for each in found if each["payment_intent"] == payment_id], asked)

    def open(self, payment_id: str, amount: int | None = None) -> Data:
        """Let the holder dispute a payment: the money is taken back."""
        intent = self._desk.upstream.get(f"/v1/payment_intents/{payment_id}")
        assert intent is not None, payment_id
        dispute = {
            "id": new_id("dp"),
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
        self._desk.state.disputes[dispute["id"]] = dispute
        self._desk.announce("charge.dispute.created", dispute)
        self._desk.announce("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close(self, dispute_id: str, *, won: bool) -> Data:
        """Let the bank decide a dispute: won, the money comes back."""
        dispute = self._desk.state.disputes[dispute_id]
        dispute["status"] = "won" if won else "lost"
        self._desk.announce("charge.dispute.closed", dispute)
        if won:
            self._desk.announce("charge.dispute.funds_reinstated", dispute)
        return dispute

    def of(self, payment_id: str) -> list[str]:
        """Return the ids of the disputes about a payment."""
        found = self._desk.state.disputes.values()
        return [each["id"] for each in found if each["payment_intent"] == payment_id]
