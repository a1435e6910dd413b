"""A LiteLLM proxy with exact caps: every request is authorized before it is routed.

In the proxy's configuration, with HEADROOM_BASE_URL and HEADROOM_API_KEY in its environment:

    litellm_settings:
      callbacks: headroom_client.litellm.handler

The member who spends is the user of the virtual key, or with HEADROOM_LITELLM_MEMBER=end_user the
`user` of the request, which is only as good as whoever sends it. Metered are
`/v1/chat/completions` and `/v1/messages`; every other route that reaches a model is refused, as
are models without a price.

One authorization covers a request with all retries of the router; a fallback to another model is
authorized anew, before it is sent. What was used is recorded for the model that answered, from the
usage that the provider said or LiteLLM reports, of a stream as far as it came.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger

from headroom_client.bound import Bound, bound_chat, bound_request
from headroom_client.client import AsyncClient
from headroom_client.errors import (
    HeadroomError,
    OutboxFull,
    Refused,
    Unavailable,
    Unbounded,
    Unmetered,
)
from headroom_client.tally import Tally, stop_reason_of
from headroom_client.ticket import Ticket

MAX_TOKENS_DEFAULT: Final = 4096
TTL_SECONDS: Final = 1800
PATIENCE_SECONDS: Final = 10.0
# Short enough for a second attempt, which finds the hold of the first.
TIMEOUT_SECONDS: Final = 4.0
SETTLE_SECONDS: Final = 5.0
# How long LiteLLM may take to read to its end what its client has left.
LEFT_SECONDS: Final = 120.0
_CHAT: Final = frozenset({"completion", "acompletion"})
_FALLBACKS: Final = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
# What a client may say. LiteLLM acts on much else, or passes it on: what keeps a request from being
# reported, drops its limit, or adds to its input or price.
_SAID: Final = frozenset(
    {
        *("model", "messages", "max_tokens", "stream", "temperature", "top_p", "top_k", "tools"),
        *("tool_choice", "thinking", "reasoning_effort", "metadata", "service_tier", "user"),
        *("speed", "drop_params", "num_retries", "max_retries", "timeout", "stream_timeout"),
        *("tags", "guardrails", "cache", "ttl", "enable_prompt_caching", "disable_fallbacks"),
        *("litellm_metadata", "litellm_session_id", "litellm_trace_id", "headers", "organization"),
        *_FALLBACKS,
    }
)
_SAID_IN_MESSAGES: Final = _SAID | {
    *("system", "stop_sequences", "output_config", "cache_control", "context_management"),
    "inference_geo",
}
_SAID_IN_CHAT: Final = _SAID | {
    *("max_completion_tokens", "n", "stop", "stream_options", "response_format", "seed"),
    *("functions", "function_call", "parallel_tool_calls", "logit_bias", "logprobs"),
    *("top_logprobs", "presence_penalty", "frequency_penalty"),
}
# What a deployment may add to a request, and its client then did not say: it may make it dearer.
_DEPLOYED_ANYHOW: Final = ("speed", "inference_geo", "service_tier")
_DEPLOYED: Final = (
    *_DEPLOYED_ANYHOW,
    *("system", "tools", "thinking", "output_config", "cache_control", "context_management"),
    *("compaction", "mcp_servers", "functions", "response_format", "stop", "web_search_options"),
    *("audio", "prediction"),
)
_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_FIGURES: Final = (
    *("input_tokens", "output_tokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens"),
)
_LIFETIMES: Final = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
# Members of the API's usage that LiteLLM keeps as they are.
_PASSED_ON: Final = ("service_tier", "speed", "inference_geo", "iterations", "fallback_credit")
_TOOL_USES: Final = ("web_search_requests", "web_fetch_requests")

log = logging.getLogger("headroom_client")


@dataclass(slots=True)
class _Open:
    """A request on its way, and what was seen of its stream. `bound` is what it asked for.

    `call_id` is the very object that LiteLLM carries along with it: clients choose what it says.
    `asked` is the request itself, `added` what a deployment adds to it.
    """

    call_id: object
    call_type: str
    asked: Mapping[str, Any]
    added: Mapping[str, Any]
    bound: Bound
    ticket: Ticket
    since: float
    tally: Tally = field(default_factory=Tally)
    pieces: int = 0

    @property
    def output_max(self) -> int:
        """How much output the request asked for, or its money allows."""
        return min(self.bound.max_tokens, self.ticket.authorization.max_tokens)

    def settle_partly(self) -> None:
        """Release what came to nothing, or record as far as it came; the stream begins anew."""
        usage = self.tally.final_usage()
        if usage is not None:
            self.ticket.record(usage, self.tally.message_id, self.tally.stop_reason)
        elif self.pieces:
            counted = {"output_tokens": "counted, as the stream was cut off"}
            dearer = ("speed", "inference_geo")
            usage = {
                "input_tokens": 0,
                "output_tokens": self.pieces,
                **{name: self.bound.terms[name] for name in dearer if name in self.bound.terms},
                "headroom": counted,
            }
            self.ticket.record(usage, None)
        else:
            self.ticket.release()
        self.tally, self.pieces = Tally(), 0


class HeadroomHandler(CustomLogger):
    """The hooks of LiteLLM's proxy. `headroom` is the client to authorize and record with.

    `server_tools` lets clients use tools that the API runs, an advisor among them: nobody bounds
    what these read, and Headroom holds for it by a cautious factor.
    """

    def __init__(
        self,
        headroom: AsyncClient,
        *,
        end_user: bool = False,
        min_tokens: int | None = None,
        max_tokens_default: int = MAX_TOKENS_DEFAULT,
        server_tools: bool = False,
    ) -> None:
        super().__init__()
        self._server_tools = server_tools
        self._headroom = headroom
        self._end_user = end_user
        self._min_tokens = min_tokens
        self._max_tokens_default = max_tokens_default
        self._open: dict[str, _Open] = {}

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Authorize a request, and lower its output to what the money allows if that may be."""
        call_id = data["litellm_call_id"]
        try:
            if str(call_id) in self._open:
                raise Unmetered("x-litellm-call-id: another request with it is on its way")
            self._headroom.outbox.check_room()
            member = self._member(user_api_key_dict)
            _check_said(data, call_type)
            asked, added = self._asked(data, call_type)
            bound = self._bound({**asked, **added}, call_type)
            ticket = await self._authorize(member, bound)
        except HeadroomError as error:
            raise as_http(error) from error
        now = time.monotonic()
        opened = _Open(call_id, call_type, asked, added, bound, ticket, now)
        data["max_tokens"] = opened.output_max
        data.pop("max_completion_tokens", None)
        self._forget_expired(now)
        # Of two that were authorized at the same time, the second is not sent.
        if self._open.setdefault(str(call_id), opened) is not opened:
            ticket.release()
            raise as_http(Unmetered("x-litellm-call-id: another request with it is on its way"))
        return data

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Authorize anew what the router sends to another model, or dearer, than was authorized.

        A deployment's own parameters are in it by now. The first model's money is free then, as it
        did not answer. Refused, the fallback is not sent, and the client hears why the first model
        failed. The router tries each of them again with what the client asked for, so every attempt
        is lowered to what its money allows.
        """
        found = self._open.get(str(kwargs.get("litellm_call_id")))
        if found is None:
            return None
        try:
            added = _added(found.asked, kwargs, _names_of(call_type, found.call_type))
            bound = self._bound_sent(found, str(kwargs.get("model")), added)
            if not _is_held(found.bound, bound) or not found.ticket.is_open:
                found.settle_partly()
                member = found.ticket.authorization.user_id
                found.ticket = await self._authorize(member, bound)
                found.bound, found.added = bound, added
        except HeadroomError as error:
            # With this status the router does not shut the model off for everybody else.
            raise HTTPException(403, detail=as_http(error).detail) from error
        sent = {**kwargs, "max_tokens": found.output_max}
        if isinstance(kwargs.get("extra_body"), Mapping):
            # What is said there would be sent in place of the limit.
            extra = kwargs["extra_body"].items()
            sent["extra_body"] = {name: value for name, value in extra if name not in _LIMITS}
        return sent

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncIterator[Any]:
        """Pass a stream on, and look what comes along."""
        call_id = str(request_data.get("litellm_call_id"))
        found = self._open.get(call_id)
        finished = False
        try:
            async for chunk in response:
                if found is not None:
                    _look(found, chunk)
                yield chunk
            finished = True
        finally:
            if not finished:
                # LiteLLM goes on reading and reports in the end; if it does not, this is all.
                loop = asyncio.get_running_loop()
                loop.call_later(LEFT_SECONDS, self._settle_partly, found)

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record what a request used."""
        found = self._open.pop(str(kwargs.get("litellm_call_id")), None)
        if found is None:
            return
        # What the provider said, where its words came by; else what LiteLLM made of them.
        usage = (
            found.tally.final_usage()
            or usage_said(kwargs.get("original_response"))
            or usage_of(response_obj)
        )
        if usage is None:
            found.ticket.abandon()
        else:
            found.ticket.record(
                usage,
                found.tally.message_id or _id_of(response_obj),
                found.tally.stop_reason or _stop_reason_of(response_obj),
            )

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Release what came to nothing, or record as far as it came."""
        call_id = request_data.get("litellm_call_id")
        found = self._open.get(str(call_id))
        # Not when a request fails that only says the same id.
        if found is not None and found.call_id is call_id:
            self._settle_partly(found)

    def _member(self, key: Any) -> str:
        name = "end_user_id" if self._end_user else "user_id"
        member = getattr(key, name, None)
        if not isinstance(member, str) or not member:
            raise Unmetered(f"{name}: the request has none, and nobody to spend for")
        return member

    def _asked(
        self, data: dict[str, Any], call_type: str
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return what a client asks for, and what all deployments of the model add to it."""
        model, deployed = priced_model(str(data.get("model")))
        asked = {**data, "model": model}
        # LiteLLM's own: each is authorized when its turn comes.
        asked.pop("fallbacks", None)
        if call_type in _CHAT:
            limit = data.get("max_tokens") or data.get("max_completion_tokens")
            asked["max_tokens"] = limit or self._max_tokens_default
        return asked, _added(asked, {**deployed, **asked})

    def _bound_sent(self, found: _Open, model: str, added: Mapping[str, Any]) -> Bound:
        """Return the bound of what the router sends; most often it is as it was authorized."""
        if added == found.added:
            return replace(found.bound, model=model)
        return self._bound({**found.asked, **added, "model": model}, found.call_type)

    def _bound(self, body: Mapping[str, Any], call_type: str) -> Bound:
        if call_type == "anthropic_messages":
            bound = bound_request(body, min_tokens=self._min_tokens)
            if not self._server_tools and bound.terms.keys() & {"server_tools", "advisor"}:
                raise Unbounded("tools: what tools of the API's own read has no bound")
            return bound
        if call_type not in _CHAT:
            raise Unmetered(f"{call_type} is not metered")
        return bound_chat(body, min_tokens=self._min_tokens)

    async def _authorize(self, member: str, bound: Bound) -> Ticket:
        arguments: dict[str, Any] = {
            "user_id": member,
            **bound.to_authorize(),
            # LiteLLM may add breakpoints of its own: any cache may be written.
            "cache_lifetimes": None,
            "ttl_seconds": TTL_SECONDS,
        }
        # Earlier requests may hold more than they used until their usage is delivered.
        unsettled = self._open or self._headroom.outbox.waiting()
        try:
            authorization = await self._headroom.authorize(**arguments)
        except Refused:
            if not unsettled or not await self._headroom.flush(SETTLE_SECONDS):
                raise
            authorization = await self._headroom.authorize(**arguments)
        ticket = Ticket(self._headroom, authorization, "litellm")
        ticket.warn_of_bound(bound.terms)
        return ticket

    def _forget_expired(self, now: float) -> None:
        """Let go of what LiteLLM never reported on; its hold has expired by now."""
        while self._open:
            call_id, oldest = next(iter(self._open.items()))
            if oldest.since > now - TTL_SECONDS:
                return
            del self._open[call_id]
            oldest.ticket.abandon()

    def _settle_partly(self, found: _Open | None) -> None:
        if found is not None and self._open.get(str(found.call_id)) is found:
            del self._open[str(found.call_id)]
            found.settle_partly()


def as_http(error: HeadroomError) -> HTTPException:
    """Return a failure as the proxy's clients see it."""
    detail: dict[str, Any] = {"error": str(error), "type": type(error).__name__}
    headers = {"x-should-retry": "false"}
    if isinstance(error, Refused):
        return HTTPException(429, detail={**detail, **error.details}, headers=headers)
    if isinstance(error, Unavailable | OutboxFull):
        return HTTPException(503, detail=detail, headers={"retry-after": "5"})
    return HTTPException(
        403 if isinstance(error, Unmetered) else 400, detail=detail, headers=headers
    )


def priced_model(name: str) -> tuple[str, Mapping[str, Any]]:
    """Return the model behind a name of the proxy's, as LiteLLM spells it, and what comes with it.

    That is what all deployments of the name add to a request, as they are configured.

    Raises:
        Unmetered: different models are behind it.
    """
    from litellm.proxy.proxy_server import llm_router

    if "," in name:
        # LiteLLM asks each of them.
        raise Unmetered(f"{name}: it names several models")
    found = llm_router.get_model_list(model_name=name) if llm_router else None
    deployments = [deployment["litellm_params"] for deployment in found or []]
    models = {deployment["model"] for deployment in deployments} or {name}
    if len(models) > 1:
        raise Unmetered(f"{name}: it stands for models of different prices")
    added = [_added({}, deployment) for deployment in deployments]
    # Where they differ, the one that is chosen is authorized anew.
    return str(models.pop()), added[0] if added and all(one == added[0] for one in added) else {}


def _added(
    asked: Mapping[str, Any], sent: Mapping[str, Any], names: tuple[str, ...] = _DEPLOYED
) -> dict[str, Any]:
    """Return what is sent and was not asked for, whether a parameter or a part of the body."""
    said = {name: sent[name] for name in names if sent.get(name) is not None}
    if isinstance(extra := sent.get("extra_body"), Mapping):
        said |= {name: value for name, value in extra.items() if name not in _LIMITS}
    return {name: value for name, value in said.items() if asked.get(name) != value}


def _names_of(call_type: Any, asked_as: str) -> tuple[str, ...]:
    """Return what a deployment may add: what a translated request says has another form."""
    is_translated = (getattr(call_type, "value", call_type) in _CHAT) != (asked_as in _CHAT)
    return _DEPLOYED_ANYHOW if is_translated else _DEPLOYED


def _is_held(held: Bound, sent: Bound) -> bool:
    """Tell whether money for the one is enough for the other; LiteLLM names a provider or not."""
    return (
        _without_provider(sent.model) == _without_provider(held.model)
        and sent.terms == held.terms
        and sent.input_tokens <= held.input_tokens
    )


def usage_said(answer: object) -> dict[str, Any] | None:
    """Return the usage of an answer of the Messages API as it came, None of anything else."""
    try:
        message = json.loads(answer) if isinstance(answer, str | bytes) else None
    except ValueError:
        return None
    if not isinstance(message, Mapping) or message.get("type") != "message":
        return None
    usage = message.get("usage")
    counts = ("input_tokens", "output_tokens")
    if not isinstance(usage, dict) or any(type(usage.get(name)) is not int for name in counts):
        return None
    return usage


def usage_of(response: Any) -> dict[str, Any] | None:
    """Return LiteLLM's usage as the Messages API has it, None if there is none."""
    found = getattr(response, "usage", None)
    if found is None:
        return None
    details = getattr(found, "prompt_tokens_details", None)
    lifetimes = getattr(details, "cache_creation_token_details", None)
    read = getattr(found, "cache_read_input_tokens", None) or 0
    written = getattr(found, "cache_creation_input_tokens", None) or 0
    tools = getattr(found, "server_tool_use", None)
    said = {
        # LiteLLM counts what the cache served and took in among the prompt.
        "input_tokens": max(found.prompt_tokens - read - written, 0),
        "output_tokens": found.completion_tokens,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation": lifetimes
        and {name: getattr(lifetimes, name, None) or 0 for name in _LIFETIMES},
        "server_tool_use": {name: getattr(tools, name, None) or 0 for name in _TOOL_USES},
        **{name: getattr(found, name, None) for name in _PASSED_ON},
    }
    return {name: value for name, value in _without_sums(said).items() if value is not None}


def _without_sums(usage: dict[str, Any]) -> dict[str, Any]:
    """Take out of the top-level figures what the API leaves out of them, and LiteLLM adds up.

    What compaction, an advisor and attempts that were declined used is told by the iterations
    alone. Where these have no sampling that answered, what they have is taken off the sum.
    """
    iterations = usage.get("iterations")
    if not isinstance(iterations, list) or not all(isinstance(it, Mapping) for it in iterations):
        return {**usage, "iterations": None}
    serving = {it.get("model") for it in iterations if it.get("type") == "fallback_message"}
    inside = [it for it in iterations if _is_inside(it, serving)]
    figures = _sum_of(inside, _FIGURES)
    if not inside:
        beside = _sum_of(iterations, _FIGURES)
        figures = {name: max(usage[name] - beside[name], 0) for name in _FIGURES}
    # Where no iteration has lifetimes, LiteLLM has those of the whole.
    lifetimes = usage["cache_creation"]
    if any(it.get("cache_creation") for it in iterations):
        told = [it["cache_creation"] for it in inside if it.get("cache_creation")]
        lifetimes = _sum_of(told, _LIFETIMES) if told else None
    return {**usage, **figures, "cache_creation": lifetimes}


def _is_inside(iteration: Mapping[str, Any], serving: set[Any]) -> bool:
    """Tell a sampling of the model that answered: of a fallback's, or where there was none."""
    if iteration.get("type") == "message":
        return not serving or iteration.get("model") in {None, *serving}
    return iteration.get("type") == "fallback_message"


def _sum_of(parts: list[Mapping[str, Any]], names: tuple[str, ...]) -> dict[str, int]:
    return {name: sum(part.get(name) or 0 for part in parts) for name in names}


def _check_said(data: Mapping[str, Any], call_type: str) -> None:
    """Check that a client says nothing by which more, or something else, is spent than is held.

    Raises:
        Unmetered: it does.
    """
    body = (data.get("proxy_server_request") or {}).get("body")
    if not isinstance(body, Mapping):
        raise Unmetered("the request is not as its client sent it")
    known = _SAID_IN_CHAT if call_type in _CHAT else _SAID_IN_MESSAGES
    for name in sorted(body.keys() - known):
        raise Unmetered(f"{name}: a request that says this is not metered")
    for name in _FALLBACKS:
        if _brings_a_request(body.get(name)):
            raise Unbounded(f"{name}: a request of its own has no bound")


def _brings_a_request(fallbacks: object) -> bool:
    """Tell whether fallbacks are more than names of models: what they send was never looked at."""
    if fallbacks is None or isinstance(fallbacks, str):
        return False
    if isinstance(fallbacks, Mapping):
        # From a model to those that follow it; a request has its model in this place.
        return not all(
            isinstance(names, list) and all(isinstance(name, str) for name in names)
            for names in fallbacks.values()
        )
    return not isinstance(fallbacks, list) or any(map(_brings_a_request, fallbacks))


def _without_provider(name: str) -> str:
    return name.rpartition("/")[2]


def _look(found: _Open, chunk: Any) -> None:
    if isinstance(chunk, bytes):
        found.tally.feed(chunk)
        return
    for choice in getattr(chunk, "choices", None) or []:
        delta = getattr(choice, "delta", None)
        parts = ("content", "reasoning_content", "tool_calls")
        found.pieces += any(getattr(delta, part, None) for part in parts)


def _id_of(response: Any) -> str | None:
    found = getattr(response, "id", None)
    return found if isinstance(found, str) else None


def _stop_reason_of(response: Any) -> str | None:
    """Return why an answer ended; a refusal is called another way in the form of a chat."""
    choices = getattr(response, "choices", None)
    if not choices:
        return stop_reason_of(response)
    reason = getattr(choices[0], "finish_reason", None)
    return "refusal" if reason == "content_filter" else stop_reason_of({"stop_reason": reason})


def _from_env(environment: Mapping[str, str]) -> HeadroomHandler:
    least = environment.get("HEADROOM_LITELLM_MIN_TOKENS")
    return HeadroomHandler(
        AsyncClient(
            outbox=environment.get("HEADROOM_OUTBOX"),
            timeout_seconds=TIMEOUT_SECONDS,
            patience_seconds=PATIENCE_SECONDS,
        ),
        end_user=environment.get("HEADROOM_LITELLM_MEMBER") == "end_user",
        min_tokens=int(least) if least else None,
        server_tools=environment.get("HEADROOM_LITELLM_SERVER_TOOLS") == "allow",
    )


def __getattr__(name: str) -> HeadroomHandler:
    """Make `handler` when the proxy asks for it, from the environment as it is then."""
    if name != "handler":
        raise AttributeError(name)
    made = globals()["handler"] = _from_env(os.environ)
    return made
