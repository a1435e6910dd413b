"""What Headroom answers, as frozen values. Amounts are strings of cents, exact; see `to_nanos`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headroom_client.errors import Scope
from headroom_client.money import to_nanos


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that an authorization was checked against, as it was then."""

    scope: Scope
    period: str | None
    amount: str | None
    remaining: str | None
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Authorization:
    """Permission to make a request: money that is held for it until `expires_at`.

    `max_tokens` is what the money allows, less than was asked for only if `min_tokens` was given.
    `bound_exact` says that no usage of the request can cost more than is held. Where it is false,
    `bound_because` names what nobody bounds, such as "server_tools".
    """

    id: str
    user_id: str
    model: str
    source: str
    amount: str
    max_tokens: int
    expires_at: datetime
    period: str
    limits: tuple[Limit, ...]
    bound_exact: bool = True
    bound_because: tuple[str, ...] = ()

    @property
    def amount_nanos(self) -> int:
        """What is held, in nanos."""
        return to_nanos(self.amount)


@dataclass(frozen=True, slots=True)
class UsageResult:
    """What became of a usage event.

    `status` is "recorded", "duplicate" or "rejected"; only a rejected one has an error, and then
    it has neither source, amount nor period. The source of what has no price yet is "unpriced".
    """

    id: str | None
    status: str
    source: str | None = None
    amount: str | None = None
    period: str | None = None
    unbilled: str | None = None
    error_type: str | None = None
    error_message: str | None = None

    @property
    def amount_nanos(self) -> int | None:
        """What it cost, in nanos."""
        return None if self.amount is None else to_nanos(self.amount)


@dataclass(frozen=True, slots=True)
class AllowanceWindow:
    """Usage included in the seat, in a rolling window such as "PT5H"."""

    window: str
    amount: str
    remaining: str
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class OwnLimit:
    """A limit that holds for the member, and where it comes from; no amount is unlimited."""

    period: str
    source: str
    amount: str | None
    remaining: str | None


@dataclass(frozen=True, slots=True)
class NextRequest:
    """What would happen to the member's next request: its source, or why there is none."""

    source: str | None
    reason: str | None
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class OwnExtraUsage:
    """A member's own view."""

    user_id: str
    seat_tier: str
    period: str
    currency: str
    enabled: bool
    admitted: bool
    continue_with_extra_usage: bool
    allowance: tuple[AllowanceWindow, ...]
    limits: tuple[OwnLimit, ...]
    period_to_date_spend: str
    held: str
    next_request: NextRequest


@dataclass(frozen=True, slots=True)
class UsageLine:
    """A line of the member's ledger. `raw` is the whole of it, with each price that was applied."""

    id: str
    model: str
    source: str
    reason: str | None
    amount: str
    charged: str
    unbilled: str
    period: str
    occurred_at: datetime
    product: str | None
    raw: Mapping[str, Any]
