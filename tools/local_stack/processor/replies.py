"""Idempotency keys: the first answer is kept and replayed, as Stripe does."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

from tools.local_stack.processor.upstream import Answer

REPLAYED = {"idempotent-replayed": "true"}


class Replies:
    """The answers to keyed requests (docs.stripe.com/api/idempotent_requests)."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, Answer]] = {}
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def once(self, key: str, request: bytes, act: Callable[[], Answer]) -> Answer:
        """Return what `act` answered when the key was new, and refuse another request with it.

        What was refused before it was carried out (a 400, 404, 409) is not kept.
        """
        digest = hashlib.sha256(request).hexdigest()
        with self._lock:
            if key in self._busy:
                return _refuse(409, "invalid_request_error", "idempotency_key_in_use")
            if key in self._kept:
                first, answer = self._kept[key]
                if first != digest:
                    return _refuse(400, "idempotency_error", None)
                return Answer(answer.status, answer.data, {**answer.headers, **REPLAYED})
            self._busy.add(key)
        try:
            answer = act()
            if answer.status not in (400, 401, 404, 409, 429):
                with self._lock:
                    self._kept[key] = digest, answer
            return answer
        finally:
            with self._lock:
                self._busy.discard(key)

    def forget(self) -> None:
        """Forget all keys, as Stripe does after a day."""
        with self._lock:
            self._kept.clear()

    def dump(self) -> dict[str, Any]:
        with self._lock:
            return {k: [d, a.status, a.data, a.headers] for k, (d, a) in self._kept.items()}

    def load(self, dumped: dict[str, Any]) -> None:
        with self._lock:
            self._kept = {k: (d, Answer(*rest)) for k, (d, *rest) in dumped.items()}


def _refuse(status: int, type_: str, code: str | None) -> Answer:
    message = "This idempotency key is in use, or was used with other parameters."
    error = {"type": type_, "message": message} | ({"code": code} if code else {})
    return Answer(status, {"error": error})
