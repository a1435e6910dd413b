"""Message batches: each request is held for like a single one, for as long as a batch may run.

All requests of a batch are authorized before it is sent, or none. What is held for them is written
to the outbox's file as soon as the batch has an id, so that any process can settle it when the
results are read, which may be hours later.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, cast

import anthropic
import httpx2
from anthropic import APIRequest, APIResponse, AsyncAPIResponse

from headroom_client.batch_holds import BatchHold
from headroom_client.batch_results import (
    AsyncSettledResults,
    ResultsReader,
    SettledResults,
    is_to_read,
)
from headroom_client.bound import Bound
from headroom_client.client import AsyncClient, Client
from headroom_client.errors import HeadroomError, InexactBound, Unmetered, UsageMissing
from headroom_client.metering import Metering, check_members, http_response
from headroom_client.ticket import Ticket

BATCHES: Final = "/v1/messages/batches"
# A batch ends within a day of its creation, and nothing is held for longer than a day.
TTL_SECONDS: Final = 86_400
# Headroom's own limit: so many authorizations of a member may be open at a time.
REQUESTS_MAX: Final = 100
SERVICE_TIER: Final = "batch"
# The API says by these that it did not take the request on; it is asked again by the SDK.
_TURNED_AWAY: Final = (503, 529)
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_PATHS: Final = (
    ("results", re.compile(rf"{BATCHES}/([^/]+)/results$")),
    ("retrieve", re.compile(rf"{BATCHES}/([^/]+)$")),
)

log = logging.getLogger("headroom_client")


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A call about batches that has to do with money; `batch_id` is empty for one to create."""

    does: Literal["create", "retrieve", "results"]
    batch_id: str = ""


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request of a batch. `as_given` is its whole entry in the body."""

    custom_id: str
    params: Mapping[str, Any]
    as_given: Mapping[str, Any]


class BatchMeter:
    """Meters the batches of the synchronous SDK."""

    def __init__(
        self,
        headroom: Client,
        metering: Metering,
        bound: Callable[[APIRequest, Mapping[str, Any]], Bound],
        authorize: Callable[[Bound, int], Ticket],
    ) -> None:
        self._headroom = headroom
        self._metering = metering
        self._bound = bound
        self._authorize = authorize
        self._ended: dict[str, datetime] = {}

    def handle(
        self,
        call: BatchCall,
        request: APIRequest,
        call_next: Callable[[APIRequest], APIResponse[Any]],
    ) -> APIResponse[Any]:
        """Create a batch, or pass on what is read of one."""
        if call.does == "create":
            return self._create(request, call_next)
        if call.does == "results":
            return self._read_results(call.batch_id, request, call_next)
        response = call_next(request)
        http = http_response(response)
        if http.is_success:
            http.read()
            note_end(http, self._ended)
        return response

    def _create(
        self, request: APIRequest, call_next: Callable[[APIRequest], APIResponse[Any]]
    ) -> APIResponse[Any]:
        asked = requests_of(request)
        self._headroom.outbox.check_room(len(asked))
        attempt = Attempt(self._headroom, asked)
        for each in asked:
            with naming(each):
                attempt.bounds.append(at_batch_rates(self._bound(request, each.params)))
        with attempt.authorizing():
            for each, bound in zip(asked, attempt.bounds, strict=True):
                with naming(each):
                    attempt.tickets.append(self._authorize(bound, TTL_SECONDS))
        with attempt.sending():
            response = call_next(attempt.as_authorized(request))
            http = http_response(response)
            http.read()
            attempt.take_answer(http)
        return response

    def _read_results(
        self,
        batch_id: str,
        request: APIRequest,
        call_next: Callable[[APIRequest], APIResponse[Any]],
    ) -> APIResponse[Any]:
        self._headroom.outbox.check_room()
        response = call_next(uncompressed(request))
        http = http_response(response)
        reader = ResultsReader(batch_id, self._headroom, self._metering, self._ended.get(batch_id))
        if is_to_read(http):
            http.stream = SettledResults(cast("httpx2.SyncByteStream", http.stream), reader)
        elif http.is_success:
            reader.feed(http.content)
            reader.end()
        return response


class AsyncBatchMeter:
    """Meters the batches of the asynchronous SDK."""

    def __init__(
        self,
        headroom: AsyncClient,
        metering: Metering,
        bound: Callable[[APIRequest, Mapping[str, Any]], Awaitable[Bound]],
        authorize: Callable[[Bound, int], Awaitable[Ticket]],
    ) -> None:
        self._headroom = headroom
        self._metering = metering
        self._bound = bound
        self._authorize = authorize
        self._ended: dict[str, datetime] = {}

    async def handle(
        self,
        call: BatchCall,
        request: APIRequest,
        call_next: Callable[[APIRequest], Awaitable[AsyncAPIResponse[Any]]],
    ) -> AsyncAPIResponse[Any]:
        """Create a batch, or pass on what is read of one."""
        if call.does == "create":
            return await self._create(request, call_next)
        if call.does == "results":
            return await self._read_results(call.batch_id, request, call_next)
        response = await call_next(request)
        http = http_response(response)
        if http.is_success:
            await http.aread()
            note_end(http, self._ended)
        return response

    async def _create(
        self,
        request: APIRequest,
        call_next: Callable[[APIRequest], Awaitable[AsyncAPIResponse[Any]]],
    ) -> AsyncAPIResponse[Any]:
        asked = requests_of(request)
        self._headroom.outbox.check_room(len(asked))
        attempt = Attempt(self._headroom, asked)
        for each in asked:
            with naming(each):
                attempt.bounds.append(at_batch_rates(await self._bound(request, each.params)))
        with attempt.authorizing():
            for each, bound in zip(asked, attempt.bounds, strict=True):
                with naming(each):
                    attempt.tickets.append(await self._authorize(bound, TTL_SECONDS))
        with attempt.sending():
            response = await call_next(attempt.as_authorized(request))
            http = http_response(response)
            await http.aread()
            attempt.take_answer(http)
        return response

    async def _read_results(
        self,
        batch_id: str,
        request: APIRequest,
        call_next: Callable[[APIRequest], Awaitable[AsyncAPIResponse[Any]]],
    ) -> AsyncAPIResponse[Any]:
        self._headroom.outbox.check_room()
        response = await call_next(uncompressed(request))
        http = http_response(response)
        reader = ResultsReader(batch_id, self._headroom, self._metering, self._ended.get(batch_id))
        if is_to_read(http):
            http.stream = AsyncSettledResults(cast("httpx2.AsyncByteStream", http.stream), reader)
        elif http.is_success:
            reader.feed(http.content)
            reader.end()
        return response


@dataclass(slots=True)
class Attempt:
    """One attempt to create a batch, and what is held for it, in the order of its requests."""

    headroom: Client | AsyncClient
    asked: Sequence[BatchRequest]
    bounds: list[Bound] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)

    @contextmanager
    def authorizing(self) -> Iterator[None]:
        """Give back what is held already when something else cannot be."""
        try:
            yield
        except BaseException:
            self._release()
            raise

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Give back what is held for a batch that surely is not, and nothing else.

        A single request whose answer is lost delivers nothing, so nobody pays for it. A batch runs
        on, and its results can be read by whoever finds its id: its holds are left to expire.
        """
        try:
            yield
        except BaseException as error:
            if was_not_sent(error):
                self._release()
            else:
                self._leave(f"{type(error).__name__}: {error}")
            raise

    def as_authorized(self, request: APIRequest) -> APIRequest:
        """Return the request as it may be sent: with the output that the money allows."""
        requests = [
            {**each.as_given, "params": _lowered(each.params, bound, ticket)}
            for each, bound, ticket in zip(self.asked, self.bounds, self.tickets, strict=True)
        ]
        return request.copy(body={**cast("Mapping[str, Any]", request.json), "requests": requests})

    def take_answer(self, http: httpx2.Response) -> None:
        """Keep what is held under the batch's id, or give it back if there is no batch.

        Raises:
            UsageMissing: there is one, and the answer does not say which.
        """
        if http.is_success:
            batch_id = _json(http).get("id")
            if not isinstance(batch_id, str):
                raise UsageMissing("the batch was answered without an id")
            self._keep(batch_id)
        elif http.status_code < 500 or http.status_code in _TURNED_AWAY:
            self._release()
        else:
            self._leave(f"status {http.status_code}")

    def _keep(self, batch_id: str) -> None:
        holds = [
            BatchHold(
                custom_id=each.custom_id,
                authorization_id=ticket.authorization.id,
                user_id=ticket.authorization.user_id,
                model=ticket.authorization.model,
                product=ticket.product,
                hold_until=ticket.authorization.expires_at.timestamp(),
            )
            for each, ticket in zip(self.asked, self.tickets, strict=True)
        ]
        try:
            self.headroom.outbox.keep_batch(batch_id, holds)
        except sqlite3.Error:
            # The batch runs, and who asked has to hear its id. Its results are recorded all the
            # same, as those of a batch that was created elsewhere.
            log.exception("what is held for %s is not kept, and is left to expire", batch_id)

    def _release(self) -> None:
        for ticket in self.tickets:
            ticket.release()

    def _leave(self, because: str) -> None:
        held = ", ".join(ticket.authorization.id for ticket in self.tickets)
        log.error("a batch may run whose id is lost (%s); left to expire: %s", because, held)


def batch_call(request: APIRequest) -> BatchCall | None:
    """Return what a request does about batches, None if it has nothing to do with money."""
    method, path = request.method.upper(), httpx2.URL(request.url).path
    if method == "POST" and path == BATCHES:
        return BatchCall("create")
    if method == "GET":
        for does, pattern in _PATHS:
            if found := pattern.search(path):
                return BatchCall(cast('Literal["retrieve", "results"]', does), found[1])
    return None


def is_cancellation(path: str) -> bool:
    """Whether a path is the one by which a batch is cancelled."""
    return re.fullmatch(rf"{BATCHES}/[^/]+/cancel", path) is not None


def requests_of(request: APIRequest) -> list[BatchRequest]:
    """Return the requests of a batch that is to be created.

    Raises:
        Unmetered: they cannot be metered, or are more than can be held for at a time.
    """
    body = request.json
    if not isinstance(body, Mapping) or body.keys() != {"requests"}:
        raise Unmetered("a batch is metered that has requests, and nothing else")
    listed = body["requests"]
    if not isinstance(listed, list | tuple) or not listed:
        raise Unmetered("requests: must be a list that is not empty")
    if len(listed) > REQUESTS_MAX:
        raise Unmetered(
            f"requests: {len(listed)} are too many for one batch, as Headroom holds for at most "
            f"{REQUESTS_MAX} requests of a member at a time"
        )
    found = [_request(each, f"requests.{number}") for number, each in enumerate(listed)]
    if len({each.custom_id for each in found}) < len(found):
        raise Unmetered("requests: each must have a custom_id of its own")
    return found


def at_batch_rates(bound: Bound) -> Bound:
    """Return the bound of a request that is sent in a batch.

    A tier that the request names itself, and that no other rule took out, is left for Headroom to
    refuse.
    """
    return replace(bound, terms={"service_tier": SERVICE_TIER, **bound.terms})


def uncompressed(request: APIRequest) -> APIRequest:
    """Return a request whose answer can be read on its way."""
    return request.copy(headers={**request.headers, "accept-encoding": "identity"})


def note_end(http: httpx2.Response, ended: dict[str, datetime]) -> None:
    """Remember when a batch ended, if an answer says so: no later its requests were answered."""
    batch = _json(http)
    batch_id, said = batch.get("id"), batch.get("ended_at")
    if not isinstance(batch_id, str) or not isinstance(said, str):
        return
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return
    if at.tzinfo is not None:
        ended[batch_id] = at


def was_not_sent(error: BaseException) -> bool:
    """Whether a call failed before anything of it could reach the API."""
    if isinstance(error, anthropic.APIConnectionError):
        return isinstance(error.__cause__, _NOT_SENT)
    # By a TypeError the SDK says that it could not make the request, for want of a key for example.
    return isinstance(error, TypeError)


@contextmanager
def naming(request: BatchRequest) -> Iterator[None]:
    """Let a failure name the request of the batch that it is about."""
    try:
        yield
    except (HeadroomError, InexactBound) as error:
        if isinstance(error, HeadroomError):
            error.custom_id = request.custom_id
        error.add_note(f"custom_id: {request.custom_id}; nothing of the batch was sent")
        raise


def _request(entry: object, where: str) -> BatchRequest:
    if not isinstance(entry, Mapping) or entry.keys() != {"custom_id", "params"}:
        raise Unmetered(f"{where}: must have a custom_id and params, and nothing else")
    custom_id, params = entry["custom_id"], entry["params"]
    if not isinstance(custom_id, str) or not isinstance(params, Mapping):
        raise Unmetered(f"{where}: its custom_id must be text, and its params an object")
    request = BatchRequest(custom_id, params, entry)
    with naming(request):
        check_members(params)
        if params.get("stream"):
            raise Unmetered("stream: no request of a batch is streamed")
    return request


def _lowered(params: Mapping[str, Any], bound: Bound, ticket: Ticket) -> dict[str, Any]:
    allowed = ticket.authorization.max_tokens
    return {**params, "max_tokens": allowed} if allowed < bound.max_tokens else dict(params)


def _json(http: httpx2.Response) -> dict[str, Any]:
    try:
        found = http.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
