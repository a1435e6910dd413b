"""How requests of the `anthropic` SDK are authorized, whichever way they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx2
from anthropic import APIResponse

from headroom_client.bound import Bound, bound_request
from headroom_client.errors import Unmetered

# Every other member of a body may change what a request costs, by which nobody knows.
_KNOWN: Final = frozenset(
    {
        "max_tokens",
        "messages",
        "model",
        "cache_control",
        "compaction",
        "container",
        "context_management",
        "diagnostics",
        "fallback_credit_token",
        "fallbacks",
        "inference_geo",
        "mcp_servers",
        "metadata",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)


@dataclass(frozen=True, slots=True)
class Metering:
    """For whom, and how, requests are authorized; see `metered`."""

    user_id: str
    product: str | None
    min_tokens: int | None
    count_tokens: bool
    server_tool_tokens: int | None
    use_extra_usage: bool | None
    ttl_seconds: int


def check_members(body: Mapping[str, Any]) -> None:
    """See that every member of a body of `POST /v1/messages` is known.

    Raises:
        Unmetered: one is not.
    """
    if unknown := sorted(body.keys() - _KNOWN):
        raise Unmetered(f"{unknown[0]}: a request with it is not metered")


def bound_of(body: Mapping[str, Any], metering: Metering, counted: int | None) -> Bound:
    """Return what to hold money for."""
    return bound_request(
        body,
        counted_tokens=counted,
        min_tokens=metering.min_tokens,
        server_tool_tokens=metering.server_tool_tokens,
    )


def arguments_of(bound: Bound, metering: Metering, ttl_seconds: int) -> dict[str, Any]:
    """Return what to authorize, and for how long."""
    return {
        "user_id": metering.user_id,
        **bound.to_authorize(),
        "use_extra_usage": metering.use_extra_usage,
        "ttl_seconds": ttl_seconds,
    }


def http_response(response: object) -> httpx2.Response:
    """Return the HTTP answer behind what the SDK made of it."""
    if isinstance(response, httpx2.Response):
        return response
    return cast("APIResponse[Any]", response).http_response
