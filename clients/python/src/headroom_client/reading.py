"""Answers of Headroom, from JSON to values and errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from headroom_client.errors import (
    Conflict,
    Forbidden,
    HeadroomError,
    InvalidRequest,
    NotFound,
    RateLimited,
    Refused,
    RequestTooLarge,
    Scope,
    ServerFailed,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
)
from headroom_client.results import (
    AllowanceWindow,
    Authorization,
    Limit,
    NextRequest,
    OwnExtraUsage,
    OwnLimit,
    UsageLine,
    UsageResult,
)

T = TypeVar("T")
Json = Mapping[str, Any]

_ERRORS: Final[Mapping[int, type[HeadroomError]]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: RequestTooLarge,
    429: RateLimited,
}


def read_body(status: int, content: bytes) -> dict[str, Any]:
    """Return the object that a successful answer carries.

    Raises:
        UnexpectedAnswer: it carries something else.
    """
    body = _object(content)
    if body is None or not 200 <= status < 300:
        raise UnexpectedAnswer(f"status {status} with {content[:200]!r}")
    return body


def read_error(status: int, content: bytes, headers: Mapping[str, str]) -> HeadroomError:
    """Return the failure that an answer with another status than 2xx means.

    What is no envelope of the contract, a proxy's page for example, is judged by its status.
    """
    body = _object(content) or {}
    envelope = body.get("error")
    error: Json = envelope if isinstance(envelope, Mapping) else {}
    details = error.get("details")
    details = details if isinstance(details, Mapping) else {}
    message = str(error.get("message") or body.get("message") or f"status {status}")
    failure: HeadroomError
    if status == 429 and error.get("type") == "billing_error":
        failure = _refusal(message, details)
    elif status == 500:
        failure = ServerFailed(message)
    elif status > 500:
        failure = Unavailable(message)
    else:
        failure = _ERRORS.get(status, UnexpectedAnswer)(message)
    if isinstance(failure, InvalidRequest) and isinstance(details.get("field"), str):
        failure.field = details["field"]
    failure.request_id = headers.get("request-id")
    wait = headers.get("retry-after", "")
    # Whole seconds are what is promised; nothing absurd is obeyed.
    failure.retry_after_seconds = (
        int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 7 else 0
    )
    return failure


def authorization(body: Json) -> Authorization:
    """Read an authorization. An older Headroom says nothing of its bounds: they are exact."""
    bound = body.get("bound") or {}
    return _read(
        lambda: Authorization(
            id=_text(body["id"]),
            user_id=_text(body["user_id"]),
            model=_text(body["model"]),
            source=_text(body["source"]),
            amount=_text(body["amount"]),
            max_tokens=_whole(body["max_tokens"]),
            expires_at=moment(body["expires_at"]),
            period=_text(body["period"]),
            limits=tuple(
                Limit(
                    scope=_scope(limit["scope"]),
                    period=limit.get("period"),
                    amount=limit["amount"],
                    remaining=limit["remaining"],
                    resets_at=_moment_or_none(limit.get("resets_at")),
                )
                for limit in body["limits"]
            ),
            bound_exact=bound.get("exact", True) is True,
            bound_because=tuple(map(_text, bound.get("because") or ())),
        )
    )


def usage_results(body: Json, count: int) -> tuple[UsageResult, ...]:
    """Read the results of a batch of `count` events."""

    def result(found: Json) -> UsageResult:
        error = found.get("error") or {}
        return UsageResult(
            id=found["id"],
            status=_text(found["status"]),
            source=found.get("source"),
            amount=found.get("amount"),
            period=found.get("period"),
            unbilled=found.get("unbilled"),
            error_type=error.get("type"),
            error_message=error.get("message"),
        )

    results = _read(lambda: tuple(result(found) for found in body["results"]))
    if len(results) != count:
        raise UnexpectedAnswer(f"{count} events were sent, and {len(results)} results came back")
    return results


def own_extra_usage(body: Json) -> OwnExtraUsage:
    """Read a member's own view."""
    return _read(
        lambda: OwnExtraUsage(
            user_id=body["user_id"],
            seat_tier=body["seat_tier"],
            period=body["period"],
            currency=body["currency"],
            enabled=body["enabled"],
            admitted=body["admitted"],
            continue_with_extra_usage=body["continue_with_extra_usage"],
            allowance=tuple(
                AllowanceWindow(
                    window["window"],
                    window["amount"],
                    window["remaining"],
                    moment(window["resets_at"]),
                )
                for window in body["allowance"]
            ),
            limits=tuple(
                OwnLimit(limit["period"], limit["source"], limit["amount"], limit["remaining"])
                for limit in body["limits"]
            ),
            period_to_date_spend=_text(body["period_to_date_spend"]),
            held=_text(body["held"]),
            next_request=NextRequest(
                body["next_request"]["source"],
                body["next_request"].get("reason"),
                _moment_or_none(body["next_request"].get("resets_at")),
            ),
        )
    )


def usage_page(body: Json) -> tuple[tuple[UsageLine, ...], str | None]:
    """Read a page of the member's ledger, and the cursor of the next one."""
    return _read(
        lambda: (
            tuple(
                UsageLine(
                    id=line["id"],
                    model=line["model"],
                    source=line["source"],
                    reason=line["reason"],
                    amount=_text(line["amount"]),
                    charged=_text(line["charged"]),
                    unbilled=_text(line["unbilled"]),
                    period=line["period"],
                    occurred_at=moment(line["occurred_at"]),
                    product=line["product"],
                    raw=line,
                )
                for line in body["data"]
            ),
            body["next_page"],
        )
    )


def moment(value: object) -> datetime:
    """Read a moment of the wire as an aware one.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(_text(value))
    if found.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return found


def _refusal(message: str, details: Json) -> Refused:
    scope = details.get("scope")
    affordable = details.get("affordable_max_tokens")
    try:
        resets_at = _moment_or_none(details.get("resets_at"))
    except (ValueError, TypeError):
        resets_at = None
    return Refused(
        message,
        reason=str(details.get("reason", "unknown")),
        scope=_scope(scope) if isinstance(scope, Mapping) else None,
        resets_at=resets_at,
        affordable_max_tokens=affordable if type(affordable) is int else None,
        retryable=details.get("retryable") is True,
        next_steps=tuple(str(step) for step in details.get("next_steps") or ()),
        details=details,
    )


def _read(build: Callable[[], T]) -> T:
    try:
        return build()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnexpectedAnswer(
            f"an answer without what the contract promises: {error!r}"
        ) from error


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _scope(scope: Json) -> Scope:
    return Scope(str(scope.get("type")), scope.get("user_id"), scope.get("seat_tier"))


def _moment_or_none(value: object) -> datetime | None:
    return None if value is None else moment(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value
