"""Authorization requests as they come over the wire."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from headroom.domain.authorization import USER_ID
from headroom.domain.requests import HoldRequest
from headroom.domain.usage import COUNT_MAX, parse_service_tier
from headroom.errors import InvalidRequest
from headroom.usecases.authorizing import AuthorizationRequest
from headroom.wire.fields import (
    as_object,
    known_only,
    optional_flag,
    optional_whole,
    text,
    whole,
)

MODEL_LENGTH_MAX: Final = 128
USER_ID_LENGTH_MAX: Final = 69
WEB_SEARCHES_MAX: Final = 1000
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
        ),
        min_tokens=min_tokens,
        chooses=optional_flag(fields, "use_extra_usage"),
        ttl=timedelta(seconds=ttl_seconds or TTL_SECONDS),
    )


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
