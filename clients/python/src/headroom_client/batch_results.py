"""The results of a message batch, each settled as its line is read off the wire.

A result is settled once, however often and by however many readers it is read. A reader that leaves
early has settled what it read; the rest is left to the next.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from headroom_client.batch_holds import BatchHold, Settlement
from headroom_client.client import AsyncClient, Client, UsageEvent
from headroom_client.errors import UsageMissing
from headroom_client.metering import Metering
from headroom_client.tally import stop_reason_of

log = logging.getLogger("headroom_client")


class ResultsReader:
    """Settles the results of one batch as their bytes come along, in pieces of any size.

    `ended_at` is when the batch ended, if that is known. It is when its usage occurred: results may
    be read weeks later, and whoever reads them has to report the same.
    """

    def __init__(
        self,
        batch_id: str,
        headroom: Client | AsyncClient,
        metering: Metering,
        ended_at: datetime | None,
    ) -> None:
        self._batch_id = batch_id
        self._headroom = headroom
        self._metering = metering
        self._occurred_at = ended_at or datetime.now(UTC)
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Settle the lines that end in the next bytes.

        Raises:
            OutboxFull: there is no room for what they say was used.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._settle(lines)

    def end(self) -> None:
        """Settle a last line without an end, when all was read."""
        rest, self._rest = self._rest, b""
        self._settle([rest])

    def _settle(self, lines: Iterable[bytes]) -> None:
        results = dict(filter(None, map(_result, lines)))
        if not results:
            return
        outbox, courier = self._headroom.outbox, self._headroom.courier
        holds = outbox.find_batch_holds(self._batch_id, results)
        found = [self._settlement(each, results[each], holds.get(each)) for each in results]
        outbox.settle_batch(self._batch_id, [each for each in found if each is not None])
        courier.start()
        courier.wake()

    def _settlement(
        self, custom_id: str, result: Mapping[str, Any], hold: BatchHold | None
    ) -> Settlement | None:
        """Return what follows from a result; None if nothing does, or nothing can be said."""
        match result:
            case {"type": "succeeded", "message": Mapping() as message}:
                return self._recording(custom_id, message, hold)
            case {"type": "errored" | "canceled" | "expired"}:
                if hold is None:
                    return None
                return Settlement(
                    custom_id, "release", hold.authorization_id, hold_until=hold.hold_until
                )
        log.error("%s: the result of %s is none that is known", self._batch_id, custom_id)
        return None

    def _recording(
        self, custom_id: str, message: Mapping[str, Any], hold: BatchHold | None
    ) -> Settlement | None:
        usage, model = message.get("usage"), hold.model if hold else message.get("model")
        if not isinstance(usage, Mapping) or not isinstance(model, str):
            log.error("%s: %s was answered without usage", self._batch_id, custom_id)
            return None
        message_id = message.get("id")
        event = UsageEvent(
            id=message_id if isinstance(message_id, str) else f"{self._batch_id}:{custom_id}",
            authorization_id=hold.authorization_id if hold else None,
            user_id=hold.user_id if hold else self._metering.user_id,
            model=model,
            product=hold.product if hold else self._metering.product,
            occurred_at=self._occurred_at,
            usage=_at_batch_rates(usage),
            stop_reason=stop_reason_of(message),
        )
        return Settlement(
            custom_id, "event", event.id, event.to_json(), hold.hold_until if hold else None
        )


class SettledResults(httpx2.SyncByteStream):
    """Results on their way to the synchronous SDK."""

    def __init__(self, body: httpx2.SyncByteStream, reader: ResultsReader) -> None:
        self._body = body
        self._reader = reader

    @property
    def elapsed(self) -> timedelta | None:
        """What `httpx2.Response.elapsed` reads off its body."""
        return getattr(self._body, "elapsed", None)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            self._reader.feed(chunk)
            yield chunk
        self._reader.end()

    def close(self) -> None:
        """Close the connection."""
        self._body.close()


class AsyncSettledResults(httpx2.AsyncByteStream):
    """Results on their way to the asynchronous SDK."""

    def __init__(self, body: httpx2.AsyncByteStream, reader: ResultsReader) -> None:
        self._body = body
        self._reader = reader

    @property
    def elapsed(self) -> timedelta | None:
        """What `httpx2.Response.elapsed` reads off its body."""
        return getattr(self._body, "elapsed", None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._body.__aiter__()
        try:
            async for chunk in chunks:
                self._reader.feed(chunk)
                yield chunk
            self._reader.end()
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._body.aclose()


def is_to_read(http: httpx2.Response) -> bool:
    """Whether an answer has results that are still to be read.

    Raises:
        UsageMissing: they cannot be read on their way.
    """
    if not http.is_success or http.is_stream_consumed:
        return False
    if http.headers.get("content-encoding", "identity") != "identity":
        raise UsageMissing("the results are compressed, although they were asked not to be")
    return True


def _result(line: bytes) -> tuple[str, Mapping[str, Any]] | None:
    """Return the custom id and the result that a line is of, None if it is of none."""
    if not line.strip():
        return None
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    match found:
        case {"custom_id": str() as custom_id, "result": Mapping() as result}:
            return custom_id, result
    log.error("a line among the results of a batch is none")
    return None


def _at_batch_rates(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the usage as it stands, and with its tier if it does not say it."""
    return usage if usage.get("service_tier") else {**usage, "service_tier": "batch"}
