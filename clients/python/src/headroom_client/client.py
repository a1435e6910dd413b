"""The clients: `Client` for threads, `AsyncClient` for asyncio, alike in all they do."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import sqlite3
import tempfile
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, Unpack

import httpx2

from headroom_client import calls, reading
from headroom_client.calls import Call, Terms
from headroom_client.courier import Courier, Flushed
from headroom_client.errors import HeadroomError, OutboxFull
from headroom_client.line import AsyncLine, Line, LineConfig, may_repeat
from headroom_client.outbox import ENTRIES_MAX, Kind, Outbox
from headroom_client.results import Authorization, OwnExtraUsage, UsageLine, UsageResult

TIMEOUT_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 30.0
FLUSH_SECONDS: Final = 10.0
EXIT_FLUSH_SECONDS: Final = 3.0
PAGE_LIMIT: Final = 100
# How long an authorization holds that does not say it.
TTL_SECONDS: Final = 600
# How long a request may be on its way after nobody waits for its answer any more.
LATE_SECONDS: Final = 60

log = logging.getLogger("headroom_client")


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """What was really used. `id` is billed once, ever; the Messages API's message id will do.

    `usage` is the Messages API's `usage` object as it stands, `occurred_at` an aware moment. By
    `stop_reason` Headroom knows a refusal, which costs nothing before any output.
    """

    id: str
    user_id: str
    model: str
    usage: Mapping[str, Any]
    occurred_at: datetime
    authorization_id: str | None = None
    product: str | None = None
    stop_reason: str | None = None

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
            "stop_reason": self.stop_reason,
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
        moved_from: str | None = None,
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
            moved_from: Where the same Headroom was before, restored from its data for example; else
                the environment's HEADROOM_MOVED_FROM. An outbox that is tied to that address is
                delivered to `base_url` from now on.
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
        earlier = (moved_from or os.environ.get("HEADROOM_MOVED_FROM") or "").rstrip("/")
        self.outbox.bind(url, moved_from=earlier or None)
        self._line = Line(self._config)
        self.courier = Courier(self.outbox, self._line)
        self._closed = False
        _flush_at_exit(self)
        if self.outbox.waiting():
            self.courier.start()

    def report(self, event: UsageEvent, *, hold_expires_at: datetime | None = None) -> None:
        """Keep a usage event in the outbox, from where it is delivered in the background.

        It is on the disk when this returns. With `hold_expires_at`, the authorization's
        `expires_at`, it is delivered before others that can wait, and tried again before that.
        Raises OutboxFull if there is no room.
        """
        self._keep("event", event.id, event.to_json(), hold_expires_at)

    def release_later(
        self, authorization_id: str, *, hold_expires_at: datetime | None = None
    ) -> None:
        """Release an authorization by way of the outbox: at once if possible, surely later."""
        self._keep("release", authorization_id, "", hold_expires_at)

    def _keep(self, kind: Kind, entry_id: str, body: str, hold_expires_at: datetime | None) -> None:
        hold_until = None if hold_expires_at is None else hold_expires_at.timestamp()
        self.outbox.put(kind, entry_id, body, hold_until=hold_until)
        self.courier.start()
        self.courier.wake()

    def _patience_of(self, ttl_seconds: int | None) -> float:
        """Return how long to ask for an authorization: an answer is of a hold that is open yet."""
        return min(self._config.patience_seconds, ttl_seconds or TTL_SECONDS)

    @contextmanager
    def _giving_back(self, call: Call, key: str | None, ttl_seconds: int | None) -> Iterator[None]:
        """Give back by the outbox what an authorization may hold whose answer was lost.

        Not under a key of the caller's own: they may repeat it yet, and use the hold.
        """
        try:
            yield
        except BaseException as error:
            # Also when it is cancelled, or interrupted.
            if key is None and (not isinstance(error, HeadroomError) or error.may_be_done):
                seconds = (ttl_seconds or TTL_SECONDS) + LATE_SECONDS
                expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
                self._surely_later(
                    "give_back", call.headers[calls.IDEMPOTENCY_KEY], call.text, expires_at
                )
            raise

    @contextmanager
    def _releasing(self, authorization_id: str) -> Iterator[None]:
        """Release by the outbox what could not be released at once."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, HeadroomError) or may_repeat(error):
                self._surely_later("release", authorization_id)
            raise

    def _surely_later(
        self, kind: Kind, entry_id: str, body: str = "", expires_at: datetime | None = None
    ) -> None:
        try:
            self._keep(kind, entry_id, body, expires_at)
        except (OutboxFull, sqlite3.Error):
            # What failed before is what the caller has to hear.
            log.exception("a hold is left to expire: the outbox did not take %s", entry_id)

    def _shut(self, flush_seconds: float) -> None:
        if self._closed:
            return
        self._closed = True
        self.courier.flush(flush_seconds)
        self.courier.close()
        left = Flushed(tuple(self.outbox.left()))
        in_batches = self.outbox.open_batch_requests()
        empty = left and not self.outbox.parked() and not in_batches
        self.outbox.close()
        self._line.close()
        if not left:
            log.warning("not all reached Headroom; %s keeps it; %s", self.outbox.path, left)
        if self._folder and in_batches:
            said = "%d requests of batches are held for in %s: read their results with this outbox"
            log.warning(said, in_batches, self.outbox.path)
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
        **terms: Unpack[Terms],
    ) -> Authorization:
        """Hold the money for a request. `terms` are what else makes it dearer; see `Terms`.

        However often it has to be sent, it holds once. When no answer comes in time, a hold may
        have been taken; the outbox finds it by the idempotency key and gives it back. With an
        `idempotency_key` of your own it is left for your own repetition, until it expires.

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
            **terms,
        )
        with self._giving_back(call, idempotency_key, ttl_seconds):
            patience = self._patience_of(ttl_seconds)
            return reading.authorization(self._line.call(call, patience_seconds=patience))

    def release(self, authorization_id: str) -> None:
        """Give an authorization's money back, now; `release_later` does not wait.

        When it fails for want of an answer, the outbox goes on with it.
        """
        with self._releasing(authorization_id):
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

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> Flushed:
        """Deliver until the outbox is empty. If time is up first, the result is false and says why.

        What was parked does not count.
        """
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
        **terms: Unpack[Terms],
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
            **terms,
        )
        with self._giving_back(call, idempotency_key, ttl_seconds):
            patience = self._patience_of(ttl_seconds)
            answer = await self._async_line.call(call, patience_seconds=patience)
            return reading.authorization(answer)

    async def release(self, authorization_id: str) -> None:
        """Give an authorization's money back, now; see `Client.release`."""
        with self._releasing(authorization_id):
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

    async def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> Flushed:
        """Deliver until the outbox is empty; see `Client.flush`."""
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
