"""What Stripe does and localstripe does not, in front of localstripe.

Idempotency keys; lists of payments by customer and time; errors of cards that name the payment;
cards that ask for their holder off session; refunds that stop at what is left; disputes; and the
events of all that. `docs.stripe.com/api` says how each looks.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlencode

from tools.local_stack.processor import bank
from tools.local_stack.processor.asking import Asked
from tools.local_stack.processor.cards import Cards
from tools.local_stack.processor.desk import Desk, State, Tell
from tools.local_stack.processor.payments import BANK, Payments
from tools.local_stack.processor.replies import Replies
from tools.local_stack.processor.returns import Disputes, Refunds
from tools.local_stack.processor.upstream import ANY_KEY, Answer, Upstream


class Processor:
    """Answers requests. `tell` is given each event."""

    def __init__(self, upstream: Upstream, tell: Tell) -> None:
        self.desk = Desk(upstream, tell)
        self.disputes = Disputes(self.desk)
        self.replies = Replies()
        parts = (Payments(self.desk), Cards(self.desk), Refunds(self.desk), self.disputes)
        self._routes = [route for part in parts for route in part.routes]

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
        for method, pattern, handle in self._routes:
            found = re.fullmatch(pattern, asked.path)
            if found and method == asked.method:
                return handle(asked, *found.groups())
        return self.desk.pass_on(asked)

    def configure(self, asked: Asked) -> Answer:
        """Do what no client may, and the makers of a scene need."""
        fields = asked.fields
        match asked.method, asked.path.removeprefix("/_config/").split("/"):
            case "POST", ["webhook"]:
                self.desk.state.webhook_url = fields["url"]
                self.desk.state.webhook_secret = fields["secret"]
            case "POST", ["disputes"]:
                amount = int(fields["amount"]) if "amount" in fields else None
                return Answer(200, self.disputes.open(fields["payment_intent"], amount))
            case "POST", ["payments", payment_id, "close_dispute"]:
                (dispute_id,) = self.disputes.of(payment_id)
                won = fields.get("won") == "true"
                return Answer(200, self.disputes.close(dispute_id, won=won))
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
        back = self.desk.state.ways_back.get(payment_id)
        intent = self.desk.upstream.get(f"/v1/payment_intents/{payment_id}") if back else None
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
        intent = self.desk.upstream.get(f"/v1/payment_intents/{payment_id}")
        assert intent is not None, payment_id
        body = {"client_secret": intent["client_secret"], "success": str(success).lower()}
        path = f"/v1/payment_intents/{payment_id}/_authenticate"
        headers = {"authorization": f"Bearer {ANY_KEY}"}
        return self.act(Asked("POST", path, "", headers, urlencode(body).encode()))

    def save(self, place: Path) -> None:
        """Keep what localstripe does not."""
        kept = {"state": self.desk.state.__dict__, "replies": self.replies.dump()}
        written = place.with_suffix(".new")
        written.write_text(json.dumps(kept))
        written.replace(place)

    def load(self, place: Path) -> None:
        """Read what was kept, if anything was."""
        if place.exists():
            kept = json.loads(place.read_text())
            self.desk.state = State(**kept["state"])
            self.replies.load(kept["replies"])
