"""The most that a request can cost, known before it is sent.

Money is held by this bound, so it has to be true whatever the request turns into: any of its
input may be written to the long-lived cache, its prompt may end in any price tier up to its
size, and the price list may change between the hold and the moment the request occurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from headroom.domain.prices import (
    BATCH_DIVISOR,
    ContractPrice,
    PriceBook,
    ServiceTier,
    line_nanos,
)
from headroom.domain.usage import COUNT_MAX

# A hold lives at most a day (`ttl_seconds` up to 86,400).
HOLD_LIFE_MAX: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class RequestBound:
    """An upper bound that is linear in `max_tokens`."""

    fixed_nanos: int
    per_output_token_nanos: int

    def amount(self, max_tokens: int) -> int:
        """Return the nanos to hold for a request with this `max_tokens`."""
        return self.fixed_nanos + max_tokens * self.per_output_token_nanos

    def affordable(self, nanos: int) -> int:
        """Return the largest `max_tokens` whose bound fits into `nanos`; 0 if not even 1 does."""
        left = nanos - self.fixed_nanos
        if left < self.per_output_token_nanos:
            return 0
        if not self.per_output_token_nanos:
            return COUNT_MAX
        return min(left // self.per_output_token_nanos, COUNT_MAX)


def bound_request(
    book: PriceBook,
    *,
    model: str,
    input_tokens: int,
    web_search_requests: int,
    service_tier: ServiceTier,
    at: datetime,
    contract: Sequence[ContractPrice] = (),
) -> RequestBound:
    """Bound the cost of a request that is authorized at `at` and occurs within a day of it.

    Holds for every usage with at most `input_tokens` of input of all kinds together, at most the
    chosen `max_tokens` of output and `web_search_requests` searches, in the same service tier.

    Raises:
        UnknownModel: the book has no price for the model.
    """
    prices = book.prices_within(model, at, at + HOLD_LIFE_MAX, contract)
    reachable = [tier.rates for price in prices for tier in price.tiers_within(input_tokens)]
    dearest_input = max(rates.dearest_input() for rates in reachable)
    dearest_output = max(rates.output for rates in reachable)
    dearest_search = max(rates.web_search for rates in reachable)

    per = BATCH_DIVISOR if service_tier == "batch" else 1
    return RequestBound(
        # Each line of the usage is rounded down by itself, so their sum is at most this one line.
        fixed_nanos=line_nanos(input_tokens, dearest_input, per)
        + web_search_requests * dearest_search,
        # Rounded up: the bound is linear, and half of an odd rate must not be cut off a token.
        per_output_token_nanos=-(-dearest_output // per),
    )
