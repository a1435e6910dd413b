"""Authorization requests as they come over the wire."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from headroom.core.errors import InvalidRequest
from headroom.core.wire.fields import (
    as_object,
    known_only,
    optional_flag,
    optional_whole,
    text,
    whole,
)
from headroom.pricing.domain.bounds import COMPACTION_TRIGGER
from headroom.pricing.domain.requests import (
    CACHE_LIFETIMES,
    SERVER_TOOLS,
    Advisor,
    CacheLifetime,
    Fallback,
    HoldRequest,
    ServerTool,
)
from headroom.pricing.domain.usage import (
    COUNT_MAX,
    Geography,
    parse_geography,
    parse_service_tier,
    parse_speed,
)
from headroom.spending.domain.authorization import USER_ID
from headroom.spending.usecases.authorizations import AuthorizationRequest

MODEL_LENGTH_MAX: Final = 128
USER_ID_LENGTH_MAX: Final = 69
WEB_SEARCHES_MAX: Final = 1000
# A chain of fallbacks, or a tool's uses, beyond this is a slip.
FALLBACKS_MAX: Final = 3
USES_MAX: Final = 1000
TTL_SECONDS: Final = 600
TTL_SECONDS_MAX: Final = 86_400

_REQUEST: Final = frozenset(
    {
        "user_id",
        "model",
        "input_tokens",
        "max_tokens",
        "min_tokens",
        "web_search_requests",
        "service_tier",
        "speed",
        "inference_geo",
        "cache_lifetimes",
        "compaction",
        "advisor",
        "fallbacks",
        "server_tools",
        "use_extra_usage",
        "ttl_seconds",
    }
)


def parse_authorization_request(body: object) -> AuthorizationRequest:
    """Read the body of `POST /v1/authorizations`.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    fields = as_object(body, "body")
    known_only(fields, _REQUEST)
    model = text(fields, "model", length_max=MODEL_LENGTH_MAX)
    max_tokens = whole(fields, "max_tokens", least=1, most=COUNT_MAX)
    min_tokens = optional_whole(fields, "min_tokens", least=1, most=COUNT_MAX)
    if min_tokens is not None and min_tokens > max_tokens:
        raise InvalidRequest("min_tokens", "must not be more than max_tokens")
    searches = optional_whole(fields, "web_search_requests", least=0, most=WEB_SEARCHES_MAX)
    ttl_seconds = optional_whole(fields, "ttl_seconds", least=1, most=TTL_SECONDS_MAX)
    return AuthorizationRequest(
        user_id=text(fields, "user_id", length_max=USER_ID_LENGTH_MAX, pattern=USER_ID),
        request=HoldRequest(
            model=model,
            input_tokens=whole(fields, "input_tokens", least=0, most=COUNT_MAX),
            max_tokens=max_tokens,
            web_search_requests=searches or 0,
            service_tier=parse_service_tier(fields.get("service_tier"), "service_tier"),
            speed=parse_speed(fields.get("speed"), "speed"),
            inference_geo=_geography(fields.get("inference_geo")),
            cache_lifetimes=_cache_lifetimes(fields.get("cache_lifetimes")),
            compaction_trigger=_compaction_trigger(fields.get("compaction")),
            advisor=_advisor(fields.get("advisor")),
            fallbacks=_fallbacks(fields.get("fallbacks")),
            default_fallbacks=fields.get("fallbacks") == "default",
            server_tools=_server_tools(fields.get("server_tools")),
        ),
        min_tokens=min_tokens,
        chooses=optional_flag(fields, "use_extra_usage"),
        ttl=timedelta(seconds=ttl_seconds or TTL_SECONDS),
    )


def _geography(value: object) -> Geography | None:
    """Read where inference is to run; None is the organization's default.

    What a usage object has where there is nothing to say ("" or "not_available") asks for nothing,
    and must not lift the default.
    """
    if value is None:
        return None
    if value in ("", "not_available"):
        raise InvalidRequest("inference_geo", 'must be "global" or "us"')
    return parse_geography(value, "inference_geo")


def _cache_lifetimes(value: object) -> tuple[CacheLifetime, ...] | None:
    """Read which caches the request may write; None is any of them."""
    if value is None:
        return None
    if not isinstance(value, list) or any(each not in CACHE_LIFETIMES for each in value):
        known = ", ".join(CACHE_LIFETIMES)
        raise InvalidRequest("cache_lifetimes", f"must be a list of {known}; empty for none")
    return tuple(each for each in CACHE_LIFETIMES if each in value)


def _compaction_trigger(value: object) -> int | None:
    """Read from how much input on the context is compacted; None if it never is."""
    if value is None:
        return None
    fields = as_object(value, "compaction")
    known_only(fields, frozenset({"trigger"}), "compaction.")
    trigger = optional_whole(fields, "trigger", least=0, most=COUNT_MAX, path="compaction.")
    return COMPACTION_TRIGGER if trigger is None else trigger


def _advisor(value: object) -> Advisor | None:
    if value is None:
        return None
    fields = as_object(value, "advisor")
    known_only(fields, frozenset({"model", "max_uses", "max_tokens"}), "advisor.")
    return Advisor(
        model=text(fields, "model", length_max=MODEL_LENGTH_MAX, path="advisor."),
        max_uses=optional_whole(fields, "max_uses", least=0, most=USES_MAX, path="advisor."),
        max_tokens=optional_whole(fields, "max_tokens", least=1, most=COUNT_MAX, path="advisor."),
    )


def _fallbacks(value: object) -> tuple[Fallback, ...]:
    """Read the chain of models that are tried when the one before declines."""
    if value is None or value == "default":
        return ()
    if not isinstance(value, list) or len(value) > FALLBACKS_MAX:
        raise InvalidRequest(
            "fallbacks", f'must be "default", or a list of at most {FALLBACKS_MAX} objects'
        )
    found = []
    for index, each in enumerate(value):
        path = f"fallbacks[{index}]."
        fields = as_object(each, path.removesuffix("."))
        known_only(fields, frozenset({"model", "max_tokens", "speed"}), path)
        speed = fields.get("speed")
        found.append(
            Fallback(
                model=text(fields, "model", length_max=MODEL_LENGTH_MAX, path=path),
                max_tokens=optional_whole(fields, "max_tokens", least=1, most=COUNT_MAX, path=path),
                speed=None if speed is None else parse_speed(speed, f"{path}speed"),
            )
        )
    return tuple(found)


def _server_tools(value: object) -> tuple[tuple[ServerTool, int | None], ...]:
    """Read how often each of the server's tools may be used, searches aside."""
    if value is None:
        return ()
    fields = as_object(value, "server_tools")
    known_only(fields, frozenset(SERVER_TOOLS), "server_tools.")
    found = []
    for tool in SERVER_TOOLS:
        if fields.get(tool) is not None:
            path = f"server_tools.{tool}."
            terms = as_object(fields[tool], path.removesuffix("."))
            known_only(terms, frozenset({"max_uses"}), path)
            uses = optional_whole(terms, "max_uses", least=0, most=USES_MAX, path=path)
            found.append((tool, uses))
    return tuple(found)


def parse_extension(body: object) -> tuple[timedelta | None, int | None]:
    """Read the body of `POST /v1/authorizations/{id}/extend`: how long, and how many tokens.

    Raises:
        InvalidRequest: a member is unknown or wrong, or both are missing.
    """
    fields = as_object(body, "body")
    known_only(fields, frozenset({"ttl_seconds", "max_tokens"}))
    ttl_seconds = optional_whole(fields, "ttl_seconds", least=1, most=TTL_SECONDS_MAX)
    max_tokens = optional_whole(fields, "max_tokens", least=1, most=COUNT_MAX)
    if ttl_seconds is None and max_tokens is None:
        raise InvalidRequest("ttl_seconds", "must be given, or max_tokens")
    return None if ttl_seconds is None else timedelta(seconds=ttl_seconds), max_tokens
