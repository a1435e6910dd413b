"""The real gateway, over real HTTP, at localstripe behind the faulty processor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headroom.core.gateways.secrets import PaymentSecret
from headroom.payments.gateways.stripe import StripePayments
from headroom.payments.gateways.stripe_line import NETWORK_RETRIES, StripeLine
from tests.fake_payments import Delivery, Moment
from tests.faulty_processor import Fault, FaultyProcessor, Kind
from tools.local_stack.processor.server import ProcessorServer
from tools.local_stack.processor.upstream import LocalStripe, Upstream
from tools.local_stack.processor.webhooks import sign

SECRET = PaymentSecret("sk_test_local", ("whsec_current", "whsec_next"))
_PATHS = {"charge": "/v1/payment_intents", "refund": "/v1/refunds"}
_KINDS: dict[Moment, Kind] = {"before": "lost_before", "after": "lost_after"}


class StripeScene(StripePayments):
    """A client at Stripe's stand-in, with what happens there."""

    def __init__(self, processor: FaultyProcessor, api_base: str) -> None:
        super().__init__(StripeLine(api_base=api_base, read_secret=lambda fresh: SECRET))
        self.processor = processor
        self.url = api_base
        self.deliveries: list[Delivery] = []
        processor.desk.tell = self._hear

    def lose(self, call: str, when: Moment, /) -> None:
        # The library asks once more by itself, and that reply is lost as well.
        fault = Fault(_KINDS[when], _PATHS[call], times=1 + NETWORK_RETRIES)
        self.processor.break_next(fault)

    def settle(self, payment_id: str, /) -> None:
        assert self.processor.authenticate(payment_id).status == 200

    def fail(self, payment_id: str, /) -> None:
        assert self.processor.authenticate(payment_id, success=False).status == 200

    def dispute(self, payment_id: str, /) -> None:
        self.processor.disputes.open(payment_id)

    def close_dispute(self, payment_id: str, /, *, won: bool) -> None:
        (dispute_id,) = self.processor.disputes.of(payment_id)
        self.processor.disputes.close(dispute_id, won=won)

    def remove_payment_method(self, customer_id: str, /) -> None:
        method = self.find_payment_method(customer_id)
        assert method is not None
        with self._line.open() as stripe:
            stripe.v1.payment_methods.detach(method.payment_method_id)

    def _hear(self, event: dict[str, Any]) -> None:
        payload = json.dumps(event).encode()
        secret = SECRET.webhook_secrets[len(self.deliveries) % 2]
        self.deliveries.append(Delivery(payload, sign(payload, secret, int(time.time()))))


@contextmanager
def localstripe(home: Path) -> Iterator[Upstream]:
    """A localstripe of the tests' own."""
    running = LocalStripe(home)
    try:
        yield running.upstream
    finally:
        running.stop()


@contextmanager
def stripe_scene(upstream: Upstream) -> Iterator[StripeScene]:
    """A client of a processor of its own before that localstripe."""
    processor = FaultyProcessor(upstream, lambda event: None)
    server = ProcessorServer(processor)
    try:
        yield StripeScene(processor, server.url)
    finally:
        server.close()
