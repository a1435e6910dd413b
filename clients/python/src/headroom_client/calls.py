"""The calls of the contract, each with all that its repetitions need to be the same call."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict, Unpack
from urllib.parse import quote

EVENTS_MAX: Final = 100
AUTHORIZATIONS: Final = "/v1/authorizations"
IDEMPOTENCY_KEY: Final = "idempotency-key"


@dataclass(frozen=True, slots=True)
class Call:
    """One logical call: however often it is sent, it is done once."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The body as text, to be kept."""
        return (self.body or b"").decode()


class Terms(TypedDict, total=False):
    """What makes a request dearer, each as the contract has it; what is left out is not sent.

    `cache_lifetimes` are of "5m" and "1h", empty for none. `compaction` is `{"trigger": tokens}`,
    `advisor` `{"model", "max_uses", "max_tokens"}`, `fallbacks` "default" or a list of `{"model",
    "max_tokens", "speed"}`, `server_tools` `{tool: {"max_uses"}}`.
    """

    speed: str | None
    inference_geo: str | None
    cache_lifetimes: Sequence[str] | None
    compaction: Mapping[str, int] | None
    advisor: Mapping[str, Any] | None
    fallbacks: Sequence[Mapping[str, Any]] | Literal["default"] | None
    server_tools: Mapping[str, Mapping[str, int]] | None


def authorize(
    *,
    user_id: str,
    model: str,
    input_tokens: int,
    max_tokens: int,
    min_tokens: int | None,
    web_search_requests: int | None,
    service_tier: str | None,
    use_extra_usage: bool | None,
    ttl_seconds: int | None,
    idempotency_key: str | None,
    **terms: Unpack[Terms],
) -> Call:
    """Ask for an authorization; the key is made here, once for all repetitions."""
    if unknown := sorted(terms.keys() - Terms.__annotations__.keys()):
        raise TypeError(f"authorize() got an unexpected keyword argument {unknown[0]!r}")
    body = {
        "user_id": user_id,
        "model": model,
        "input_tokens": input_tokens,
        "max_tokens": max_tokens,
        "min_tokens": min_tokens,
        "web_search_requests": web_search_requests,
        "service_tier": service_tier,
        "use_extra_usage": use_extra_usage,
        "ttl_seconds": ttl_seconds,
        **terms,
    }
    key = idempotency_key or secrets.token_hex(16)
    return _post(AUTHORIZATIONS, _given(body), {IDEMPOTENCY_KEY: key})


def repeat_authorization(idempotency_key: str, body: str) -> Call:
    """Send a request for an authorization once more, as it was."""
    headers = {"content-type": "application/json", IDEMPOTENCY_KEY: idempotency_key}
    return Call("POST", AUTHORIZATIONS, body.encode(), headers)


def release(authorization_id: str) -> Call:
    """Give an authorization's money back."""
    return Call("DELETE", _authorization(authorization_id))


def extend(authorization_id: str, *, ttl_seconds: int | None, max_tokens: int | None) -> Call:
    """Prolong or enlarge an authorization; done twice it is as done once."""
    body = {"ttl_seconds": ttl_seconds, "max_tokens": max_tokens}
    return _post(f"{_authorization(authorization_id)}/extend", _given(body))


def record(events: Sequence[str]) -> Call:
    """Report usage events, each of them already JSON: what is sent again has to be the same."""
    if not 1 <= len(events) <= EVENTS_MAX:
        raise ValueError(f"a batch has 1 to {EVENTS_MAX} events, not {len(events)}")
    body = f'{{"events":[{",".join(events)}]}}'
    return Call("POST", "/v1/usage/events", body.encode(), {"content-type": "application/json"})


def own_extra_usage() -> Call:
    """Ask for the member's own view."""
    return Call("GET", "/v1/me/extra_usage")


def continue_with_extra_usage(continues: bool) -> Call:
    """Choose whether to continue with extra usage."""
    body = {"continue_with_extra_usage": continues}
    return Call("PUT", "/v1/me/extra_usage", _json(body), {"content-type": "application/json"})


def own_usage(*, period: str | None, page: str | None, limit: int) -> Call:
    """Ask for a page of the member's own ledger."""
    query = {"limit": str(limit), "period": period, "page": page}
    return Call("GET", "/v1/me/usage", query={k: v for k, v in query.items() if v is not None})


def _authorization(authorization_id: str) -> str:
    return f"{AUTHORIZATIONS}/{quote(authorization_id, safe='')}"


def _post(path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Call:
    return Call("POST", path, _json(body), {"content-type": "application/json", **(headers or {})})


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
