"""The official `anthropic` SDK, metered: no call reaches the model before its money is held.

`metered` gives back a client of the very same kind, with one middleware more. The SDK runs it
around each HTTP attempt of each call, whichever way the call was made: `messages.create`, streaming
or not, `messages.stream`, `messages.parse`, `with_raw_response`, `with_streaming_response`, and the
same of `beta.messages`. Each attempt has an authorization of its own, because each can be billed.
Message batches are metered by a module of their own, as their answers come when they are read.

What costs money and is not metered is refused before it is sent: every other POST but the counting
of tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast, overload

import anthropic
import httpx2
from anthropic import APIRequest, APIResponse, AsyncAPIResponse, Middleware
from anthropic.types import MessageTokensCount

from headroom_client.batches import AsyncBatchMeter, BatchMeter, batch_call, is_cancellation
from headroom_client.bodies import AsyncMeteredBody, MeteredBody
from headroom_client.bound import Bound
from headroom_client.client import AsyncClient, Client
from headroom_client.errors import Refused, Unmetered, UsageMissing
from headroom_client.metering import (
    Metering,
    arguments_of,
    bound_of,
    check_members,
    http_response,
)
from headroom_client.tally import stop_reason_of
from headroom_client.ticket import Ticket

TTL_SECONDS: Final = 900
SETTLE_SECONDS: Final = 5.0
MESSAGES: Final = "/v1/messages"
COUNT: Final = "/v1/messages/count_tokens"
_COUNTED: Final = frozenset(
    {
        "messages",
        "model",
        "system",
        "thinking",
        "tool_choice",
        "tools",
        "cache_control",
        "mcp_servers",
        "output_config",
    }
)


@overload
def metered(
    client: anthropic.Anthropic,
    headroom: Client,
    *,
    user_id: str,
    product: str | None = None,
    min_tokens: int | None = None,
    count_tokens: bool = False,
    server_tool_tokens: int | None = None,
    use_extra_usage: bool | None = None,
    ttl_seconds: int = TTL_SECONDS,
) -> anthropic.Anthropic: ...


@overload
def metered(
    client: anthropic.AsyncAnthropic,
    headroom: AsyncClient,
    *,
    user_id: str,
    product: str | None = None,
    min_tokens: int | None = None,
    count_tokens: bool = False,
    server_tool_tokens: int | None = None,
    use_extra_usage: bool | None = None,
    ttl_seconds: int = TTL_SECONDS,
) -> anthropic.AsyncAnthropic: ...


def metered(
    client: anthropic.Anthropic | anthropic.AsyncAnthropic,
    headroom: Client | AsyncClient,
    *,
    user_id: str,
    product: str | None = None,
    min_tokens: int | None = None,
    count_tokens: bool = False,
    server_tool_tokens: int | None = None,
    use_extra_usage: bool | None = None,
    ttl_seconds: int = TTL_SECONDS,
) -> anthropic.Anthropic | anthropic.AsyncAnthropic:
    """Return a client whose calls are authorized, and recorded, for one member.

    It shares the connections of `client`, so that one for each member or web request costs little.

    Args:
        client: An `Anthropic` or `AsyncAnthropic`.
        headroom: A `Client` or `AsyncClient`, accordingly.
        user_id: The member who spends.
        product: What the usage is filed under.
        min_tokens: The least output that is of use. With it, `max_tokens` is lowered to what the
            money allows instead of the request being refused; never below this.
        count_tokens: Ask the API's counting endpoint, which is free, for the size of the input. The
            hold is closer then, and PDFs and files become possible, for one more call each time.
        server_tool_tokens: The most input that server tools, such as web search, add to a request.
            Without it Headroom holds for them by a cautious factor, with an `InexactBound` warning.
        use_extra_usage: The member's choice for these requests alone.
        ttl_seconds: How long the money is held; a stream that goes on prolongs it. For a message
            batch it is held for a day.

    Raises:
        TypeError: such a client is not metered here; those of other platforms are not.
    """
    metering = Metering(
        user_id=user_id,
        product=product,
        min_tokens=min_tokens,
        count_tokens=count_tokens,
        server_tool_tokens=server_tool_tokens,
        use_extra_usage=use_extra_usage,
        ttl_seconds=ttl_seconds,
    )
    # Other platforms' clients answer in other forms; subclasses may be theirs.
    if type(client) is anthropic.Anthropic and isinstance(headroom, Client):
        return client.with_middleware(Meter(client, headroom, metering))
    if type(client) is anthropic.AsyncAnthropic and isinstance(headroom, AsyncClient):
        return client.with_middleware(AsyncMeter(client, headroom, metering))
    raise TypeError(f"a {type(client).__name__} cannot be metered with a {type(headroom).__name__}")


class Meter(Middleware):
    """Meters each attempt of the synchronous SDK."""

    def __init__(self, bare: anthropic.Anthropic, headroom: Client, metering: Metering) -> None:
        self._bare = bare
        self._headroom = headroom
        self._metering = metering
        self._batches = BatchMeter(headroom, metering, self._bound, self._authorize)

    def handle(
        self, request: APIRequest, call_next: Callable[[APIRequest], APIResponse[Any]]
    ) -> APIResponse[Any]:
        """Authorize, call, and see to it that what was used is recorded."""
        if (batch := batch_call(request)) is not None:
            return self._batches.handle(batch, request, call_next)
        body = body_to_meter(request)
        if body is None:
            return call_next(request)
        self._headroom.outbox.check_room()
        bound = self._bound(request, body)
        ticket = self._authorize(bound, self._metering.ttl_seconds)
        try:
            response = call_next(as_authorized(request, body, bound, ticket))
            http = http_response(response)
            if is_stream(http):
                inner = cast("httpx2.SyncByteStream", http.stream)
                ttl_seconds = self._metering.ttl_seconds
                http.stream = MeteredBody(inner, ticket, self._headroom, ttl_seconds)
            else:
                http.read()
                settle(http, ticket)
        except UsageMissing:
            ticket.abandon()
            raise
        except BaseException:
            ticket.release()
            raise
        return response

    def _bound(self, request: APIRequest, body: Mapping[str, Any]) -> Bound:
        return bound_of(body, self._metering, self._count(request, body))

    def _authorize(self, bound: Bound, ttl_seconds: int) -> Ticket:
        arguments = arguments_of(bound, self._metering, ttl_seconds)
        # Earlier requests may hold more than they used until their usage is delivered.
        unsettled = self._headroom.outbox.waiting()
        try:
            authorization = self._headroom.authorize(**arguments)
        except Refused:
            if not unsettled or not self._headroom.flush(SETTLE_SECONDS):
                raise
            authorization = self._headroom.authorize(**arguments)
        ticket = Ticket(self._headroom, authorization, self._metering.product)
        ticket.warn_of_bound(bound.terms)
        return ticket

    def _count(self, request: APIRequest, body: Mapping[str, Any]) -> int | None:
        if not self._metering.count_tokens:
            return None
        counted = self._bare.post(
            COUNT,
            body=to_count(body),
            cast_to=MessageTokensCount,
            options={"headers": betas_of(request), "params": dict(beta_of(request))},
        )
        return counted.input_tokens


class AsyncMeter(Middleware):
    """Meters each attempt of the asynchronous SDK."""

    def __init__(
        self, bare: anthropic.AsyncAnthropic, headroom: AsyncClient, metering: Metering
    ) -> None:
        self._bare = bare
        self._headroom = headroom
        self._metering = metering
        self._batches = AsyncBatchMeter(headroom, metering, self._bound, self._authorize)

    async def handle_async(
        self,
        request: APIRequest,
        call_next: Callable[[APIRequest], Awaitable[AsyncAPIResponse[Any]]],
    ) -> AsyncAPIResponse[Any]:
        """Authorize, call, and see to it that what was used is recorded."""
        if (batch := batch_call(request)) is not None:
            return await self._batches.handle(batch, request, call_next)
        body = body_to_meter(request)
        if body is None:
            return await call_next(request)
        self._headroom.outbox.check_room()
        bound = await self._bound(request, body)
        ticket = await self._authorize(bound, self._metering.ttl_seconds)
        try:
            response = await call_next(as_authorized(request, body, bound, ticket))
            http = http_response(response)
            if is_stream(http):
                inner = cast("httpx2.AsyncByteStream", http.stream)
                ttl_seconds = self._metering.ttl_seconds
                http.stream = AsyncMeteredBody(inner, ticket, self._headroom, ttl_seconds)
            else:
                await http.aread()
                settle(http, ticket)
        except UsageMissing:
            ticket.abandon()
            raise
        except BaseException:
            ticket.release()
            raise
        return response

    async def _bound(self, request: APIRequest, body: Mapping[str, Any]) -> Bound:
        return bound_of(body, self._metering, await self._count(request, body))

    async def _authorize(self, bound: Bound, ttl_seconds: int) -> Ticket:
        arguments = arguments_of(bound, self._metering, ttl_seconds)
        # Earlier requests may hold more than they used until their usage is delivered.
        unsettled = self._headroom.outbox.waiting()
        try:
            authorization = await self._headroom.authorize(**arguments)
        except Refused:
            if not unsettled or not await self._headroom.flush(SETTLE_SECONDS):
                raise
            authorization = await self._headroom.authorize(**arguments)
        ticket = Ticket(self._headroom, authorization, self._metering.product)
        ticket.warn_of_bound(bound.terms)
        return ticket

    async def _count(self, request: APIRequest, body: Mapping[str, Any]) -> int | None:
        if not self._metering.count_tokens:
            return None
        counted = await self._bare.post(
            COUNT,
            body=to_count(body),
            cast_to=MessageTokensCount,
            options={"headers": betas_of(request), "params": dict(beta_of(request))},
        )
        return counted.input_tokens


def body_to_meter(request: APIRequest) -> Mapping[str, Any] | None:
    """Return the body of a request that is to be metered, None if the request costs nothing.

    Raises:
        Unmetered: it costs money, or may, and is none that is metered here.
    """
    if request.method.upper() in ("GET", "HEAD", "DELETE"):
        return None
    url = httpx2.URL(request.url)
    if url.path == COUNT or is_cancellation(url.path):
        return None
    if url.path != MESSAGES:
        raise Unmetered(f"{request.method.upper()} {url.path} is not metered")
    if not isinstance(request.json, Mapping):
        raise Unmetered("a body that is no JSON object is not metered")
    check_members(request.json)
    return request.json


def as_authorized(
    request: APIRequest, body: Mapping[str, Any], bound: Bound, ticket: Ticket
) -> APIRequest:
    """Return the request as it may be sent: with the output that the money allows."""
    allowed = ticket.authorization.max_tokens
    changed = {**body, "max_tokens": allowed} if allowed < bound.max_tokens else dict(body)
    # The usage is read off the body's bytes as they come, so they must not be compressed.
    return request.copy(body=changed, headers={**request.headers, "accept-encoding": "identity"})


def is_stream(http: httpx2.Response) -> bool:
    """Whether an answer is a stream of events that is still to be read.

    Raises:
        UsageMissing: it is one that cannot be read on its way.
    """
    if not http.is_success or http.is_stream_consumed:
        return False
    if not http.headers.get("content-type", "").startswith("text/event-stream"):
        return False
    if http.headers.get("content-encoding", "identity") != "identity":
        raise UsageMissing("the stream is compressed, although it was asked not to be")
    return True


def settle(http: httpx2.Response, ticket: Ticket) -> None:
    """Settle by an answer that was read as a whole.

    Raises:
        UsageMissing: the model answered, but not with what it used.
    """
    if not http.is_success:
        ticket.release()
        return
    try:
        message = http.json()
    except ValueError:
        message = None
    usage = message.get("usage") if isinstance(message, dict) else None
    if not isinstance(usage, Mapping):
        raise UsageMissing("the model answered without usage")
    ticket.record(usage, message.get("id"), stop_reason_of(message))


def to_count(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a body that the counting endpoint takes."""
    return {name: part for name, part in body.items() if name in _COUNTED}


def beta_of(request: APIRequest) -> dict[str, str]:
    """Return the query by which the SDK marks the calls of its beta namespace, if this is one."""
    qualifiers = getattr(request.options, "qualifiers", None) or {}
    found = (httpx2.URL(request.url).params, request.query_params, qualifiers)
    return {"beta": "true"} if any("beta" in where for where in found) else {}


def betas_of(request: APIRequest) -> dict[str, str]:
    """Return the headers that change how a request is read."""
    return {
        name: value
        for name, value in request.headers.items()
        if name.lower() == "anthropic-beta" and isinstance(value, str)
    }
