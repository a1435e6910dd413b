"""A client of the API, as good clients are: it repeats what may be repeated, as it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import httpx2

ATTEMPTS_MAX: Final = 6
TIMEOUT_SECONDS: Final = 30.0
WAIT_SECONDS_MAX: Final = 5.0


class NoAnswer(Exception):
    """The API could not be reached, or failed; the message says how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered at last, how long that attempt took, and how many came before it."""

    status: int
    body: dict[str, Any]
    seconds: float
    repeated: int

    @property
    def ok(self) -> bool:
        """Whether the request was done."""
        return self.status == HTTPStatus.OK

    @property
    def error(self) -> dict[str, Any]:
        """The error of an answer that is none."""
        found = self.body.get("error")
        return found if isinstance(found, dict) else {"type": "unknown", "message": str(self.body)}


class Api:
    """The deployed API. Connections are kept alive and shared by threads."""

    def __init__(
        self,
        api_url: str,
        *,
        clients: int,
        transport: httpx2.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
        # The stack is on this machine: no proxy of the environment leads there.
        self._http = httpx2.Client(
            base_url=api_url,
            limits=limits,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            transport=transport,
        )
        self._pause = pause

    def authorize(self, key: str, body: dict[str, Any], *, idempotency_key: str) -> Answer:
        """Ask whether a member may make a request; its key makes that safe to repeat.

        Raises:
            NoAnswer: nobody knows what became of it; `give_back` what it may hold.
        """
        return self._call("POST", "/v1/authorizations", key, body, idempotency_key)

    def give_back(self, key: str, body: dict[str, Any], *, idempotency_key: str) -> None:
        """Release what an authorization holds whose answer was lost: the same key finds it.

        Raises:
            NoAnswer: it failed every time.
        """
        answer = self.authorize(key, body, idempotency_key=idempotency_key)
        # An error says that nothing is held under this key, or not any more.
        if answer.ok:
            self.release(key, answer.body["id"])

    def record(self, key: str, event: dict[str, Any]) -> Answer:
        """Report the usage of one request; its id makes that safe to repeat.

        Raises:
            NoAnswer: it failed every time.
        """
        return self._call("POST", "/v1/usage/events", key, {"events": [event]})

    def release(self, key: str, authorization_id: str) -> Answer:
        """Give a hold back; that is safe to repeat.

        Raises:
            NoAnswer: it failed every time.
        """
        return self._call("DELETE", f"/v1/authorizations/{authorization_id}", key, None)

    def touch(self, key: str, path: str) -> None:
        """Send a request that is refused for its form, so that a worker stands ready."""
        self._http.post(path, headers={"x-api-key": key}, json={})

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        key: str,
        body: dict[str, Any] | None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Call until there is an answer that does not ask for a repetition."""
        headers = {"x-api-key": key}
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        for attempt in range(ATTEMPTS_MAX):
            last = attempt + 1 == ATTEMPTS_MAX
            started = time.perf_counter()
            try:
                response = self._http.request(method, path, headers=headers, json=body)
            except httpx2.TransportError as error:
                if last:
                    raise NoAnswer(f"{method} {path}: {error!r}") from error
                self._pause(1)
                continue
            seconds = time.perf_counter() - started
            asked_to_repeat = response.headers.get("x-should-retry") == "true"
            failed = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            if not last and (asked_to_repeat or failed):
                wait = float(response.headers.get("retry-after", 1))
                self._pause(min(wait, WAIT_SECONDS_MAX))
                continue
            if failed:
                raise NoAnswer(f"{method} {path}: {response.status_code} {response.text[:200]}")
            return Answer(response.status_code, response.json(), seconds, attempt)
        raise AssertionError("the last attempt returns or raises")
