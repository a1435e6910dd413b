"""The line to Headroom: a call is sent until there is an answer that stands, or patience ends.

Every call may be repeated: an authorization carries its idempotency key, an event its id, and the
rest says what shall be, not what shall change. A refusal is an answer, and is never repeated;
`contended`, 5xx and silence are none.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from headroom_client.calls import Call
from headroom_client.errors import HeadroomError, Refused, Unavailable
from headroom_client.reading import read_body, read_error

VERSION: Final = "0.1.0"
WAIT_SECONDS_FIRST: Final = 0.2
WAIT_SECONDS_MAX: Final = 8.0
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(frozen=True, slots=True)
class LineConfig:
    """Where Headroom is, who asks, and how patiently.

    `timeout_seconds` bounds one attempt, `patience_seconds` a call with all its repetitions.
    """

    base_url: str
    headers: Mapping[str, str]
    timeout_seconds: float
    patience_seconds: float
    transport: httpx2.BaseTransport | None = None
    async_transport: httpx2.AsyncBaseTransport | None = None

    def for_http(self) -> dict[str, Any]:
        """Return what the HTTP clients are made with."""
        user_agent = {"user-agent": f"headroom-client/{VERSION}", "accept": "application/json"}
        return {"base_url": self.base_url, "headers": {**user_agent, **self.headers}}

    def patience(self, seconds: float | None) -> Patience:
        """Return the patience for one call."""
        return Patience(self.patience_seconds if seconds is None else seconds)


@dataclass(slots=True)
class Patience:
    """How long a call may go on, and how long to wait before its next attempt."""

    seconds: float
    _deadline: float = field(init=False)
    _wait: float = WAIT_SECONDS_FIRST
    _may_be_done: bool = False

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.seconds

    def attempt_seconds(self, timeout_seconds: float) -> float:
        """Return how long the next attempt may take."""
        return max(min(timeout_seconds, self._deadline - time.monotonic()), 0.05)

    def remember(self, failure: HeadroomError) -> None:
        """Let a failure say also of the attempts before it whether one of them may have done it."""
        self._may_be_done = failure.may_be_done = self._may_be_done or failure.may_be_done

    def wait_seconds(self, failure: HeadroomError) -> float | None:
        """Return how long to wait before trying again, None if that has no sense or no time."""
        if not may_repeat(failure):
            return None
        # Full jitter, on top of what the answer asks for: clients that failed together part.
        wait = failure.retry_after_seconds + random.uniform(0, self._wait)  # noqa: S311
        self._wait = min(self._wait * 2, WAIT_SECONDS_MAX)
        return wait if time.monotonic() + wait < self._deadline else None


def may_repeat(failure: HeadroomError) -> bool:
    """Whether the same call may be answered otherwise by and by."""
    return isinstance(failure, Unavailable) or (isinstance(failure, Refused) and failure.retryable)


class Line:
    """One credential's line to one Headroom; threads may share it."""

    def __init__(self, config: LineConfig) -> None:
        self._config = config
        self._http = httpx2.Client(**config.for_http(), transport=config.transport)

    def call(self, call: Call, *, patience_seconds: float | None = None) -> dict[str, Any]:
        """Return the answer to a call, repeating it while that has sense.

        Raises:
            HeadroomError: it was refused, or there was no answer in time.
        """
        patience = self._config.patience(patience_seconds)
        while True:
            try:
                return self.attempt(call, patience.attempt_seconds(self._config.timeout_seconds))
            except HeadroomError as failure:
                patience.remember(failure)
                wait = patience.wait_seconds(failure)
                if wait is None:
                    raise
            time.sleep(wait)

    def attempt(self, call: Call, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Return the answer to a call that is sent once.

        Raises:
            HeadroomError: it was refused, or there was no answer.
        """
        timeout = self._config.timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            response = self._http.request(**_request(call), timeout=timeout)
        except httpx2.RequestError as error:
            raise _no_answer(call, error) from error
        return _answer(response)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncLine:
    """The same for asyncio."""

    def __init__(self, config: LineConfig) -> None:
        self._config = config
        self._http = httpx2.AsyncClient(**config.for_http(), transport=config.async_transport)

    async def call(self, call: Call, *, patience_seconds: float | None = None) -> dict[str, Any]:
        """Return the answer to a call, repeating it while that has sense.

        Raises:
            HeadroomError: it was refused, or there was no answer in time.
        """
        patience = self._config.patience(patience_seconds)
        while True:
            timeout = patience.attempt_seconds(self._config.timeout_seconds)
            try:
                return await self._attempt(call, timeout)
            except HeadroomError as failure:
                patience.remember(failure)
                wait = patience.wait_seconds(failure)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def _attempt(self, call: Call, timeout_seconds: float) -> dict[str, Any]:
        try:
            response = await self._http.request(**_request(call), timeout=timeout_seconds)
        except httpx2.RequestError as error:
            raise _no_answer(call, error) from error
        return _answer(response)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _request(call: Call) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "content": call.body,
        "headers": dict(call.headers),
        "params": dict(call.query) or None,
    }


def _answer(response: httpx2.Response) -> dict[str, Any]:
    if response.is_success:
        return read_body(response.status_code, response.content)
    raise read_error(response.status_code, response.content, response.headers)


def _no_answer(call: Call, error: httpx2.RequestError) -> Unavailable:
    failure = Unavailable(f"{call.method} {call.path}: {type(error).__name__} {error}".rstrip())
    failure.may_be_done = not isinstance(error, _NOT_SENT)
    return failure
