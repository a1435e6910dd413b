"""The clients: `Client` for threads, `AsyncClient` for asyncio, alike in all they do."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import tempfile
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from headroom_client import calls, reading
from headroom_client.courier import Courier
from headroom_client.line import AsyncLine, Line, LineConfig
from headroom_client.outbox import ENTRIES_MAX, Outbox
from headroom_client.results import Authorization, OwnExtraUsage, UsageLine, UsageResult

TIMEOUT_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 30.0
FLUSH_SECONDS: Final = 10.0
EXIT_FLUSH_SECONDS: Final = 3.0
PAGE_LIMIT: Final = 100

log = logging.getLogger("headroom_client")


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """What was really used. `id` is billed once, ever; the Messages API's message id will do.

    `usage` is the Messages API's `usage` object as it stands, `occurred_at` an aware moment.
    """

    id: str
    user_id: str
    model: str
    usage: Mapping[str, Any]
    occurred_at: datetime
    authorization_id: str | None = None
    product: str | None = None

    def to_json(self) -> str:
        """Return the event as it is sent, now and in every repetition."""
        if self.occurred_at.tzinfo is None:
            raise ValueError("occurred_at must know its time zone")
        at = self.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        event = {
            "id": self.id,
            "authorization_id": self.authorization_id,
            "user_id": self.user_id,
            "model": self.model,
            "product": self.product,
            "occurred_at": at,
            "usage": self.usage,
        }
        given = {name: value for name, value in event.items() if value is not None}
        return json.dumps(given, separators=(",", ":"))


class _Base:
    """What both clients have: an outbox, and the courier that empties it."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        token: str | None = None,
        outbox: str | Path | None = None,
        outbox_entries_max: int = ENTRIES_MAX,
        timeout_seconds: float = TIMEOUT_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        transport: httpx2.BaseTransport | None = None,
        async_transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Make a client of one organization.

        Args:
            base_url: Where Headroom is; else the environment's HEADROOM_BASE_URL.
            api_key: A service key; else the environment's HEADROOM_API_KEY.
            token: A person's OIDC token instead of a key, for their own view.
            outbox: The file that keeps what has to reach Headroom. Without one it is kept in a
                temporary file, which is left behind only if something in it could not be delivered.
            outbox_entries_max: How many entries the outbox takes.
            timeout_seconds: How long one attempt of a call may take.
            patience_seconds: How long a call may take with all its repetitions.
            transport: For tests, what carries the requests.
            async_transport: The same for the asynchronous client.
        """
        url = (base_url or os.environ.get("HEADROOM_BASE_URL") or "").rstrip("/")
        key = api_key or (None if token else os.environ.get("HEADROOM_API_KEY"))
        if not url:
            raise ValueError("base_url is missing, and so is HEADROOM_BASE_URL")
        if (key is None) == (token is None):
            raise ValueError("give either api_key (or HEADROOM_API_KEY) or token")
        self._config = LineConfig(
            base_url=url,
            headers={"x-api-key": key} if key else {"authorization": f"Bearer {token}"},
            timeout_seconds=timeout_seconds,
            patience_seconds=patience_seconds,
            transport=transport,
            async_transport=async_transport,
        )
        self._folder = None if outbox else tempfile.mkdtemp(prefix="headroom-")
        path = Path(outbox) if outbox else Path(self._folder or "") / "outbox.db"
        self.outbox = Outbox(path, entries_max=outbox_entries_max)
        self.outbox.bind(url)
        self._line = Line(self._config)
        self.courier = Courier(self.outbox, self._line)
        self._closed = False
        _flush_at_exit(self)
        if self.outbox.waiting():
            self.courier.start()

    def report(self, event: UsageEvent) -> None:
        """Keep a usage event in the outbox, from where it is delivered in the background.

        It is on the disk when this returns. Raises OutboxFull if there is no room.
        """
        self.outbox.put("event", event.id, event.to_json())
        self.courier.start()
        self.courier.wake()

    def release_later(self, authorization_id: str) -> None:
        """Release an authorization by way of the outbox: at once if possible, surely later."""
        self.outbox.put("release", authorization_id)
        self.courier.start()
        self.courier.wake()

    def _shut(self, flush_seconds: float) -> None:
        if self._closed:
            return
        self._closed = True
        self.courier.flush(flush_seconds)
        self.courier.close()
        left = self.outbox.waiting()
        empty = not left and not self.outbox.parked()
        self.outbox.close()
        self._line.close()
        if left:
            log.warning("%d entries did not reach Headroom; %s keeps them", left, self.outbox.path)
        if self._folder and empty:
            for file in Path(self._folder).iterdir():
                file.unlink()
            Path(self._folder).rmdir()


class Client(_Base):
    """Headroom for threads. Close it, or use it as a context manager."""

    def authorize(
        self,
        *,
        user_id: str,
        model: str,
        input_tokens: int,
        max_tokens: int,
        min_tokens: int | None = None,
        web_search_requests: int | None = None,
        service_tier: str | None = None,
        use_extra_usage: bool | None = None,
        ttl_seconds: int | None = None,
        idempotency_key: str | None = None,
    ) -> Authorization:
        """Hold the money for a request.

        However often it has to be sent, it holds once. When no answer comes in time, a hold may
        have been taken; it expires by itself.

        Raises:
            Refused: it may not be spent, or does not fit; the error says which level refused.
            Unavailable: Headroom could not be asked; do not spend.
        """
        call = calls.authorize(
            user_id=user_id,
            model=model,
            input_tokens=input_tokens,
            max_tokens=max_tokens,
            min_tokens=min_tokens,
            web_search_requests=web_search_requests,
            service_tier=service_tier,
            use_extra_usage=use_extra_usage,
            ttl_seconds=ttl_seconds,
            idempotency_key=idempotency_key,
        )
        return reading.authorization(self._line.call(call))

    def release(self, authorization_id: str) -> None:
        """Give an authorization's money back, now; `release_later` does not wait."""
        self._line.call(calls.release(authorization_id))

    def extend(
        self,
        authorization_id: str,
        *,
        ttl_seconds: int | None = None,
        max_tokens: int | None = None,
        patience_seconds: float | None = None,
    ) -> Authorization:
        """Prolong an authorization, enlarge it, or both."""
        call = calls.extend(authorization_id, ttl_seconds=ttl_seconds, max_tokens=max_tokens)
        return reading.authorization(self._line.call(call, patience_seconds=patience_seconds))

    def record(self, events: Sequence[UsageEvent]) -> tuple[UsageResult, ...]:
        """Record up to 100 usage events, now; `report` does not wait and does not forget.

        One that is wrong is "rejected" among the results, and spoils none of the others.
        """
        call = calls.record([event.to_json() for event in events])
        return reading.usage_results(self._line.call(call), len(events))

    def own_extra_usage(self) -> OwnExtraUsage:
        """Return the member's own view; the client needs their token."""
        return reading.own_extra_usage(self._line.call(calls.own_extra_usage()))

    def continue_with_extra_usage(self, *, continues: bool) -> OwnExtraUsage:
        """Choose for the member whether to continue when the included usage is spent."""
        return reading.own_extra_usage(self._line.call(calls.continue_with_extra_usage(continues)))

    def own_usage(self, *, period: str | None = None) -> Iterator[UsageLine]:
        """Walk through the member's ledger of a period, the latest usage first."""
        page: str | None = None
        while True:
            call = calls.own_usage(period=period, page=page, limit=PAGE_LIMIT)
            lines, page = reading.usage_page(self._line.call(call))
            yield from lines
            if page is None:
                return

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until the outbox is empty; return False if time was up first."""
        return self.courier.flush(timeout_seconds)

    def close(self, flush_seconds: float = FLUSH_SECONDS) -> None:
        """Deliver what is to be delivered, if that is possible now, and close everything."""
        self._shut(flush_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(_Base):
    """Headroom for asyncio. Close it, or use it as an asynchronous context manager."""

    @cached_property
    def _async_line(self) -> AsyncLine:
        return AsyncLine(self._config)

    async def authorize(
        self,
        *,
        user_id: str,
        model: str,
        input_tokens: int,
        max_tokens: int,
        min_tokens: int | None = None,
        web_search_requests: int | None = None,
        service_tier: str | None = None,
        use_extra_usage: bool | None = None,
        ttl_seconds: int | None = None,
        idempotency_key: str | None = None,
    ) -> Authorization:
        """Hold the money for a request; see `Client.authorize`."""
        call = calls.authorize(
            user_id=user_id,
            model=model,
            input_tokens=input_tokens,
            max_tokens=max_tokens,
            min_tokens=min_tokens,
            web_search_requests=web_search_requests,
            service_tier=service_tier,
            use_extra_usage=use_extra_usage,
            ttl_seconds=ttl_seconds,
            idempotency_key=idempotency_key,
        )
        return reading.authorization(await self._async_line.call(call))

    async def release(self, authorization_id: str) -> None:
        """Give an authorization's money back, now; `release_later` does not wait."""
        await self._async_line.call(calls.release(authorization_id))

    async def extend(
        self,
        authorization_id: str,
        *,
        ttl_seconds: int | None = None,
        max_tokens: int | None = None,
        patience_seconds: float | None = None,
    ) -> Authorization:
        """Prolong an authorization, enlarge it, or both."""
        call = calls.extend(authorization_id, ttl_seconds=ttl_seconds, max_tokens=max_tokens)
        body = await self._async_line.call(call, patience_seconds=patience_seconds)
        return reading.authorization(body)

    async def record(self, events: Sequence[UsageEvent]) -> tuple[UsageResult, ...]:
        """Record up to 100 usage events, now; see `Client.record`."""
        call = calls.record([event.to_json() for event in events])
        return reading.usage_results(await self._async_line.call(call), len(events))

    async def own_extra_usage(self) -> OwnExtraUsage:
        """Return the member's own view; the client needs their token."""
        return reading.own_extra_usage(await self._async_line.call(calls.own_extra_usage()))

    async def continue_with_extra_usage(self, *, continues: bool) -> OwnExtraUsage:
        """Choose for the member whether to continue when the included usage is spent."""
        call = calls.continue_with_extra_usage(continues)
        return reading.own_extra_usage(await self._async_line.call(call))

    async def own_usage(self, *, period: str | None = None) -> AsyncIterator[UsageLine]:
        """Walk through the member's ledger of a period, the latest usage first."""
        page: str | None = None
        while True:
            call = calls.own_usage(period=period, page=page, limit=PAGE_LIMIT)
            lines, page = reading.usage_page(await self._async_line.call(call))
            for line in lines:
                yield line
            if page is None:
                return

    async def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until the outbox is empty; return False if time was up first."""
        return await asyncio.to_thread(self.courier.flush, timeout_seconds)

    async def close(self, flush_seconds: float = FLUSH_SECONDS) -> None:
        """Deliver what is to be delivered, if that is possible now, and close everything."""
        await self._async_line.aclose()
        await asyncio.to_thread(self._shut, flush_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _flush_at_exit(client: _Base) -> None:
    """Deliver what is left of a client that nobody closed, without keeping it alive until then."""
    known = weakref.ref(client)

    def deliver() -> None:
        if (alive := known()) is not None:
            alive._shut(EXIT_FLUSH_SECONDS)

    atexit.register(deliver)
    # At the exit itself it has to stay registered.
    weakref.finalize(client, atexit.unregister, deliver).atexit = False
