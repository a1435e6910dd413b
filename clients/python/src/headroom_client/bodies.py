"""Streams of events that settle an authorization, however their reading ends.

The SDK and HTTPX read all streams through these, and close them on every way out. One that is
dropped unread, or with its loop gone, settles when it is collected.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from datetime import timedelta
from typing import Final

import httpx2

from headroom_client.client import AsyncClient, Client
from headroom_client.errors import HeadroomError
from headroom_client.tally import Tally
from headroom_client.ticket import Ticket

EXTEND_PATIENCE_SECONDS: Final = 2.0

log = logging.getLogger("headroom_client")


class _Reading:
    """What was read so far, and what follows from it."""

    def __init__(self, ticket: Ticket, ttl_seconds: int) -> None:
        self._ticket = ticket
        self._tally = Tally(asked=ticket.authorization.model)
        self._ttl_seconds = ttl_seconds
        self._extend_at = time.monotonic() + ttl_seconds / 2

    def take(self, chunk: bytes) -> None:
        """Look at a piece of the body on its way to the application."""
        self._tally.feed(chunk)
        if self._tally.complete:
            self.settle()

    def must_extend(self) -> bool:
        """Whether the hold should be prolonged before more is read."""
        if time.monotonic() < self._extend_at:
            return False
        self._extend_at = time.monotonic() + self._ttl_seconds / 2
        return True

    def settle(self) -> None:
        """Record what was used, or release what was not; only the first call counts."""
        usage = self._tally.final_usage()
        if usage is None:
            self._ticket.release()
        else:
            self._ticket.record(usage, self._tally.message_id, self._tally.stop_reason)

    def settle_collected(self) -> None:
        """Settle from a destructor, where nothing may be raised."""
        try:
            self.settle()
        except Exception:
            log.exception("%s was neither recorded nor released", self._ticket.authorization.id)


class MeteredBody(httpx2.SyncByteStream):
    """A stream to the synchronous SDK."""

    def __init__(
        self, body: httpx2.SyncByteStream, ticket: Ticket, headroom: Client, ttl_seconds: int
    ) -> None:
        self._body = body
        self._ticket = ticket
        self._headroom = headroom
        self._ttl_seconds = ttl_seconds
        self._reading = _Reading(ticket, ttl_seconds)

    @property
    def elapsed(self) -> timedelta | None:
        """What `httpx2.Response.elapsed` reads off its body."""
        return getattr(self._body, "elapsed", None)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._body:
                self._reading.take(chunk)
                yield chunk
                if self._reading.must_extend():
                    self._extend()
        finally:
            self._reading.settle()

    def close(self) -> None:
        """Settle, and close the connection."""
        try:
            self._reading.settle()
        finally:
            self._body.close()

    def __del__(self) -> None:
        self._reading.settle_collected()

    def _extend(self) -> None:
        try:
            self._ticket.authorization = self._headroom.extend(
                self._ticket.authorization.id,
                ttl_seconds=self._ttl_seconds,
                patience_seconds=EXTEND_PATIENCE_SECONDS,
            )
        except HeadroomError as error:
            log.warning("%s was not prolonged: %s", self._ticket.authorization.id, error)


class AsyncMeteredBody(httpx2.AsyncByteStream):
    """A stream to the asynchronous SDK."""

    def __init__(
        self, body: httpx2.AsyncByteStream, ticket: Ticket, headroom: AsyncClient, ttl_seconds: int
    ) -> None:
        self._body = body
        self._ticket = ticket
        self._headroom = headroom
        self._ttl_seconds = ttl_seconds
        self._reading = _Reading(ticket, ttl_seconds)

    @property
    def elapsed(self) -> timedelta | None:
        """What `httpx2.Response.elapsed` reads off its body."""
        return getattr(self._body, "elapsed", None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._body.__aiter__()
        try:
            async for chunk in chunks:
                self._reading.take(chunk)
                yield chunk
                if self._reading.must_extend():
                    await self._extend()
        finally:
            # First, as what follows may be cancelled.
            self._reading.settle()
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def aclose(self) -> None:
        """Settle, and close the connection."""
        try:
            self._reading.settle()
        finally:
            await self._body.aclose()

    def __del__(self) -> None:
        self._reading.settle_collected()

    async def _extend(self) -> None:
        try:
            self._ticket.authorization = await self._headroom.extend(
                self._ticket.authorization.id,
                ttl_seconds=self._ttl_seconds,
                patience_seconds=EXTEND_PATIENCE_SECONDS,
            )
        except HeadroomError as error:
            log.warning("%s was not prolonged: %s", self._ticket.authorization.id, error)
