"""Every way a call can fail.

* HeadroomError
  - Refused             the money, or the permission to spend it, is not there
  - InvalidRequest      a field is missing or wrong
  - Unauthenticated     no credential, or one that is unknown, revoked or expired
  - Forbidden           the credential is good, but too weak
  - NotFound            no such object in this organization
  - Conflict            it contradicts what is recorded
  - RequestTooLarge     the body is larger than Headroom reads
  - Unavailable         no answer within the client's patience; nothing is known to be spent
    - RateLimited       too many requests, and so until the patience ended
    - ServerFailed      Headroom failed at this very call, and until the patience ended
  - UnexpectedAnswer    an answer that this client cannot read
  - Unmetered           a call that would not be metered was not made
    - Unbounded         its cost has no upper bound that could be held
  - UsageMissing        the model answered, and did not say what was used
  - OutboxFull          there is no room to keep what will be used
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


class HeadroomError(Exception):
    """Base of all failures. `request_id` names the answer in Headroom's logs, if there was one.

    `retry_after_seconds` is what the answer asked to wait, if it did. `may_be_done` says that
    Headroom may have done all the same what was asked, as the answer was lost. `custom_id` names
    the request of a message batch that could not be authorized.
    """

    request_id: str | None = None
    retry_after_seconds: int = 0
    may_be_done: bool = False
    custom_id: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The level of a limit: "organization", "seat_tier" or "user"."""

    type: str
    user_id: str | None = None
    seat_tier: str | None = None


class Refused(HeadroomError):
    """The request may not be made, or does not fit; nothing was held.

    `scope` names the level that refused and `resets_at` when that changes by itself.
    `affordable_max_tokens` is how many tokens of output would fit, 0 if none would.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        scope: Scope | None = None,
        resets_at: datetime | None = None,
        affordable_max_tokens: int | None = None,
        retryable: bool = False,
        next_steps: tuple[str, ...] = (),
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.scope = scope
        self.resets_at = resets_at
        self.affordable_max_tokens = affordable_max_tokens
        self.retryable = retryable
        self.next_steps = next_steps
        self.details = dict(details or {})


class InvalidRequest(HeadroomError):
    """A field of the request is missing or wrong; `field` names it where Headroom did."""

    field: str | None = None


class Unauthenticated(HeadroomError):
    """No credential, or one that is unknown, revoked or expired."""


class Forbidden(HeadroomError):
    """The credential is good, but its role or scopes are too weak."""


class NotFound(HeadroomError):
    """There is no such object, or it belongs to another organization."""


class Conflict(HeadroomError):
    """The request contradicts what is already recorded."""


class RequestTooLarge(HeadroomError):
    """The body is larger than Headroom reads."""


class Unavailable(HeadroomError):
    """There was no answer within the client's patience. Repeating the call is safe."""

    may_be_done = True


class RateLimited(Unavailable):
    """There were too many requests, and still when the client's patience ended."""

    may_be_done = False


class ServerFailed(Unavailable):
    """Headroom answered 500, and still when the client's patience ended."""


class UnexpectedAnswer(HeadroomError):
    """The answer is none of Headroom's, or of a Headroom that this client does not know."""

    may_be_done = True


class Unmetered(HeadroomError):
    """A call that costs money and that this client cannot meter; it was not made."""


class Unbounded(Unmetered):
    """A call whose cost has no upper bound that could be held; it was not made."""


class InexactBound(UserWarning):
    """Money is held by a cautious factor, as nobody bounds what a request can cost.

    It is shown once. Made an error, by `warnings.filterwarnings`, it refuses such requests.
    """


class UsageMissing(HeadroomError):
    """The model answered without usage. The hold is left to expire, and nothing was recorded."""


class OutboxFull(HeadroomError):
    """The outbox has no room for what would be used; see what is parked in it, and why."""
