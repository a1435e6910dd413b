"""Every way a request can fail on purpose, and how a client sees it.

* HeadroomError
  - InvalidRequest          400  invalid_request_error   (names the field)
    - MethodNotAllowed      405  invalid_request_error   (Allow says which it takes)
  - Unauthenticated         401  authentication_error
  - Forbidden               403  permission_error
  - NotFound                404  not_found_error
  - Conflict                409  conflict_error
  - RequestTooLarge         413  request_too_large
  - SpendRefused            429  billing_error           (names the level that refused)
  - RateLimited             429  rate_limit_error        (says when to come back)
  - Overloaded              503  overloaded_error        (nothing was spent)

Anything else that reaches a handler is a bug and leaves as an opaque 500 `api_error`.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar


class HeadroomError(Exception):
    """Base of the failures that a caller can act on."""

    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST
    type: ClassVar[str] = "invalid_request_error"
    retryable: bool = False
    retry_after_seconds: int | None = None

    def details(self) -> dict[str, Any]:
        """Facts, beyond the message, that the caller may see."""
        return {}

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the error envelope of the wire contract."""
        error: dict[str, Any] = {"type": self.type, "message": str(self)}
        if details := self.details():
            error["details"] = details
        return {"type": "error", "error": error, "request_id": request_id}


class InvalidRequest(HeadroomError):
    """A field of the request is missing or wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field

    def details(self) -> dict[str, Any]:
        return {"field": self.field}


class Unauthenticated(HeadroomError):
    """No credential, or one that is unknown, revoked or expired."""

    status = HTTPStatus.UNAUTHORIZED
    type = "authentication_error"


class Forbidden(HeadroomError):
    """The credential is good, but its role or scopes are too weak."""

    status = HTTPStatus.FORBIDDEN
    type = "permission_error"


class NotFound(HeadroomError):
    """The object does not exist, or belongs to another organization."""

    status = HTTPStatus.NOT_FOUND
    type = "not_found_error"


class MethodNotAllowed(InvalidRequest):
    """There is something at this path, but not for this method."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__("method", f"must be {' or '.join(allowed)} at this path")
        self.allowed = tuple(allowed)


class Conflict(HeadroomError):
    """The request contradicts what is already recorded."""

    status = HTTPStatus.CONFLICT
    type = "conflict_error"


class Overtaken(Conflict):
    """The settings have changed since the version that the request names was read."""

    def __init__(self) -> None:
        super().__init__("If-Match: the settings have changed since; read them again")


class RequestTooLarge(HeadroomError):
    """The body is larger than this endpoint reads."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    type = "request_too_large"


class SpendRefused(HeadroomError):
    """The money, or the permission to spend it, is not there."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "billing_error"

    def __init__(
        self, message: str, *, facts: dict[str, Any], retryable: bool, retry_after_seconds: int
    ) -> None:
        super().__init__(message)
        self.facts = facts
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds

    def details(self) -> dict[str, Any]:
        return self.facts


class PaymentDeclined(SpendRefused):
    """The payment processor declines a payment; nothing was charged."""

    def __init__(self, decline_code: str) -> None:
        self.decline_code = decline_code
        super().__init__(
            "the payment was declined; use another payment method",
            facts={
                "reason": "payment_declined",
                "decline_code": decline_code,
                "next_steps": ["update_payment_method"],
            },
            retryable=False,
            retry_after_seconds=3600,
        )


class RateLimited(HeadroomError):
    """Too many requests; the same request succeeds after `retry_after_seconds`."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "rate_limit_error"
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Overloaded(HeadroomError):
    """The store cannot answer now. Nothing was spent."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "overloaded_error"
    retryable = True
    retry_after_seconds = 1


class Unfinished(Overloaded):
    """A large ledger is not added up yet. Each further request goes on with it.

    `seconds_left` is None while it is not known how long members take.
    """

    def __init__(self, *, done: int, members: int, seconds_left: int | None) -> None:
        super().__init__(
            f"the ledger is large: {done} of {members} members are added up; send this again, and "
            "it goes on from there"
        )
        self.facts: dict[str, Any] = {
            "members_done": done,
            "members": members,
            "seconds_left": seconds_left,
        }

    def details(self) -> dict[str, Any]:
        return self.facts
