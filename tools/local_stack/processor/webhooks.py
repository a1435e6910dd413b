"""Webhooks: signed as Stripe signs, delivered in a thread, and again until they are taken."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DELIVERY_TIMEOUT_SECONDS = 30.0
# Stripe goes on for three days; here it is seconds, so that one sees it happen.
RETRY_AFTER_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)

# Takes payload and signature; whether it was taken well.
Deliver = Callable[[bytes, str], bool]


@dataclass(frozen=True, slots=True, order=True)
class _Due:
    at: float
    number: int
    payload: bytes
    attempt: int


class Webhooks:
    """Delivers events by `deliver`, each signed anew at each attempt, in a thread of its own."""

    def __init__(self, deliver: Deliver, secret: Callable[[], str]) -> None:
        self._deliver = deliver
        self._secret = secret
        self._waiting: queue.PriorityQueue[_Due] = queue.PriorityQueue()
        self._numbers = iter(range(1 << 62))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, event: dict[str, Any], *, after_seconds: float = 0.0) -> None:
        """Deliver an event, now or later."""
        self._put(json.dumps(event).encode(), 0, after_seconds)

    def stop(self) -> None:
        """End the thread; what was not delivered is forgotten."""
        self._stopped.set()
        self._put(b"", 0, -1e9)
        self._thread.join()

    def _put(self, payload: bytes, attempt: int, after_seconds: float) -> None:
        due = _Due(time.monotonic() + after_seconds, next(self._numbers), payload, attempt)
        self._waiting.put(due)

    def _run(self) -> None:
        while True:
            due = self._waiting.get()
            if self._stopped.is_set():
                return
            wait = due.at - time.monotonic()
            if wait > 0:
                # Another may be due before this one by the time it is.
                self._waiting.put(due)
                self._stopped.wait(min(wait, 0.05))
                continue
            signature = sign(due.payload, self._secret(), int(time.time()))
            taken = self._deliver(due.payload, signature)
            if not taken and due.attempt < len(RETRY_AFTER_SECONDS):
                self._put(due.payload, due.attempt + 1, RETRY_AFTER_SECONDS[due.attempt])


def sign(payload: bytes, secret: str, at: int) -> str:
    """Return a `Stripe-Signature` (docs.stripe.com/webhooks#verify-manually)."""
    signed = f"{at}.".encode() + payload
    return f"t={at},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def deliver_by_http(address: Callable[[], str | None]) -> Deliver:
    """Return a delivery by POST. Without an address, nobody listens and all is taken."""

    def deliver(payload: bytes, signature: str) -> bool:
        url = address()
        if url is None:
            return True
        request = urllib.request.Request(  # noqa: S310  (the address is the local stack's)
            url,
            data=payload,
            method="POST",
            headers={"content-type": "application/json", "stripe-signature": signature},
        )
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=DELIVERY_TIMEOUT_SECONDS
            ) as answer:
                return bool(200 <= answer.status < 300)
        except OSError:
            return False

    return deliver
