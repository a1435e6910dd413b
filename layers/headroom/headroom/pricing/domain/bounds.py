"""The most that a request can cost, known before it is sent.

Money is held by this bound, so it has to be true whatever the request turns into: any of its
input may be written to the long-lived cache, its prompt may end in any price tier up to its
size, any of its fallback models may answer after others began to, and the price list may change
between the hold and the moment the request occurs.

What the API itself does not bound is held with a cautious factor, and said: `inexact` names why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from headroom.pricing.domain.modifiers import PLAIN, Factor, ModifierKind, in_force
from headroom.pricing.domain.prices import (
    SERVICE_TIER_FACTORS,
    ContractPrice,
    Price,
    PriceBook,
    Rates,
    UnknownModel,
    Unpriceable,
)
from headroom.pricing.domain.requests import CACHE_LIFETIMES, CacheLifetime, HoldRequest
from headroom.pricing.domain.usage import COUNT_MAX, Geography, Speed

# A hold lives at most a day (`ttl_seconds` up to 86,400).
HOLD_LIFE_MAX: Final = timedelta(hours=24)

# A server's tool loop reads its input again in each round. How many rounds are held for, at most,
# where the request does not bound them lower; an organization may set another number.
LOOP_ROUNDS: Final = 4
LOOP_ROUNDS_MAX: Final = 20
# Without a cap of its own an advisor says "1,400 to 1,800 tokens total", typically.
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool
ADVICE_TOKENS: Final = 4096
# "Defaults to 150000 input tokens": types/beta/beta_compact_20260112_edit_param.py in the SDK.
COMPACTION_TRIGGER: Final = 150_000

# Models count the tokens of a text differently: "up to 1.35x as many tokens" from one to another.
# https://platform.claude.com/docs/en/about-claude/models/migration-guide
RETOLD: Final = Factor(27, 20)

Inexact = Literal["server_tools", "advisor", "compaction", "fallbacks", "default_fallbacks"]


@dataclass(frozen=True, slots=True)
class RequestBound:
    """A bound that is linear in `max_tokens`; an upper one unless `inexact` says why not."""

    fixed_nanos: int
    per_output_token_nanos: int
    inexact: tuple[Inexact, ...] = ()

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
    request: HoldRequest,
    *,
    at: datetime,
    contract: Sequence[ContractPrice] = (),
    default_geo: Geography = "global",
    loop_rounds: int = LOOP_ROUNDS,
) -> RequestBound:
    """Bound the cost of a request that is authorized at `at` and occurs within a day of it.

    Holds for every usage with at most `input_tokens` of input of all kinds together, at most the
    chosen `max_tokens` of output and `web_search_requests` searches, that the API can answer the
    request with.

    Raises:
        UnknownModel: the book has no price for a model that the request names.
        Unpriceable: a model is not sold with what the request asks for.
    """
    terms = _Terms(book, request, at, contract, request.inference_geo or default_geo)
    rounds = _rounds(request, loop_rounds)
    read = request.input_tokens * rounds
    speed: Speed = "fast" if terms.is_fast(request.model, "model") else request.speed
    asked = terms.dearest(request.model, request.speed, read, "model")
    attempts: list[tuple[_Dearest, int, int | None]] = [(asked, read, None)]
    if request.default_fallbacks:
        # Which model the server would choose is not said: as dear as the one that was asked.
        attempts.append((asked, _retold(read), None))
    for index, fallback in enumerate(request.fallbacks):
        field = f"fallbacks[{index}]"
        its_read = _retold(read)
        rates = terms.dearest(fallback.model, fallback.speed, its_read, field, instead=speed)
        attempts.append((rates, its_read, fallback.max_tokens))

    fixed, per_token = _Sum(), _Sum()
    compacts = _compacts(request, rounds)
    for rates, its_read, max_tokens in attempts:
        # A compaction is one summary of the whole context, as long as an answer may be.
        for _ in range(2 if compacts else 1):
            fixed.add(its_read, rates.input)
            if max_tokens is None:
                per_token.add(1, rates.output)
            else:
                fixed.add(max_tokens, rates.output)
    if request.advisor is not None:
        advisor = request.advisor
        uses = loop_rounds if advisor.max_uses is None else advisor.max_uses
        its_read = _retold(request.input_tokens)
        rates = terms.dearest(advisor.model, "standard", its_read, "advisor")
        # Each time it reads the whole conversation, with what was answered so far.
        fixed.add(uses * its_read, rates.input)
        per_token.add(uses, rates.input)
        fixed.add(uses * (advisor.max_tokens or ADVICE_TOKENS), rates.output)
    searches = max(request.web_search_requests, request.searches_at_most(loop_rounds))
    dearest_search = max(rates.web_search for rates, _, _ in attempts)
    return RequestBound(
        # Each line of the usage is rounded down by itself: their sum is at most this, rounded down.
        fixed_nanos=fixed.rounded_down() + searches * dearest_search,
        # Rounded up: the bound is linear, and a fraction of a nano must not be cut off a token.
        per_output_token_nanos=per_token.rounded_up(),
        inexact=inexact_of(request, loop_rounds),
    )


def inexact_of(request: HoldRequest, loop_rounds: int = LOOP_ROUNDS) -> tuple[Inexact, ...]:
    """Return why the bound of a request is no upper one; nothing if it is."""
    rounds = _rounds(request, loop_rounds)
    reasons: dict[Inexact, bool] = {
        "server_tools": bool(request.server_tools or request.web_search_requests),
        "advisor": request.advisor is not None,
        "compaction": _compacts(request, rounds),
        "fallbacks": bool(request.fallbacks),
        "default_fallbacks": request.default_fallbacks,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


@dataclass(frozen=True, slots=True)
class _Dearest:
    """The dearest that a model's tokens can come to, as exact (nanos, units)."""

    input: tuple[int, int]
    output: tuple[int, int]
    web_search: int


@dataclass(frozen=True, slots=True)
class _Terms:
    """Under which terms the models of one request are priced."""

    book: PriceBook
    request: HoldRequest
    at: datetime
    contract: Sequence[ContractPrice]
    geo: Geography

    def dearest(
        self,
        model: str,
        speed: Speed | None,
        input_tokens: int,
        field: str,
        *,
        instead: Speed = "standard",
    ) -> _Dearest:
        """Return the dearest that the request's tokens can come to, at any moment of its day.

        A fallback without a speed of its own runs at that of the request `instead`, where its
        model is sold so.
        """
        asked = list(self._asked(model, speed, field, instead))
        inputs, output, web_search = (0, 1), (0, 1), 0
        factors: dict[ModifierKind, Factor] = {}
        for moment, price in self._prices(model, field):
            factor = SERVICE_TIER_FACTORS[self.request.service_tier]
            for kind, value, where in asked:
                sold = in_force(price.modifiers, kind, value, moment)
                if sold is not None:
                    # What was asked for is not always what is served.
                    factors[kind] = sold.factor.dearer(PLAIN)
                elif where is not None and moment == self.at:
                    name = self.book.find(model).id
                    raise Unpriceable(where, f"{value!r} is not sold with {name}")
                # What ends within the day is held for as before it ended.
                factor = factor.times(factors.get(kind, PLAIN))
            for tier in price.tiers_within(input_tokens):
                nanos = _dearest_input(tier.rates, self.request.cache_lifetimes)
                per = tier.rates.per * factor.denominator
                inputs = _dearer(inputs, (nanos * factor.numerator, per))
                output = _dearer(output, (tier.rates.output * factor.numerator, per))
                web_search = max(web_search, tier.rates.web_search)
        return _Dearest(inputs, output, web_search)

    def is_fast(self, model: str, field: str) -> bool:
        """Tell whether a name asks for fast mode by itself."""
        try:
            return self.book.is_fast(model)
        except UnknownModel as error:
            raise UnknownModel(model, _model_in(field)) from error

    def _asked(
        self, model: str, speed: Speed | None, field: str, instead: Speed
    ) -> Iterator[tuple[ModifierKind, str, str | None]]:
        """Yield the modifiers that a model is asked with, each with the member that asks for it.

        None asks: the organization's geography, and a speed that a fallback takes over, are for
        the models that are sold so, from when they are.
        """
        inside = "" if field == "model" else f"{field}."
        if self.is_fast(model, field):
            yield "speed", "fast", _model_in(field)
        elif speed == "fast":
            yield "speed", "fast", f"{inside}speed"
        elif speed is None and instead == "fast":
            yield "speed", "fast", None
        if self.geo != "global":
            chosen = self.request.inference_geo is not None
            yield "inference_geo", self.geo, f"{inside}inference_geo" if chosen else None

    def _prices(self, model: str, field: str) -> list[tuple[datetime, Price]]:
        until = self.at + HOLD_LIFE_MAX
        try:
            return self.book.changes_within(model, self.at, until, self.contract)
        except UnknownModel as error:
            raise UnknownModel(model, _model_in(field)) from error


class _Sum:
    """A sum of exact fractions of nanos."""

    def __init__(self) -> None:
        self._above, self._below = 0, 1

    def add(self, quantity: int, unit: tuple[int, int]) -> None:
        nanos, per = unit
        self._above = self._above * per + quantity * nanos * self._below
        self._below *= per

    def rounded_down(self) -> int:
        return self._above // self._below

    def rounded_up(self) -> int:
        return -(-self._above // self._below)


def _rounds(request: HoldRequest, most: int) -> int:
    """Return how often the input is held for: once, or for the rounds of a server's tool loop.

    Searches alone are held for as they always were, which the answer then calls inexact.
    """
    uses = [most if limit is None else limit for _, limit in request.server_tools]
    if request.advisor is not None:
        uses.append(most if request.advisor.max_uses is None else request.advisor.max_uses)
    return min(1 + sum(uses), most) if uses else 1


def _compacts(request: HoldRequest, rounds: int) -> bool:
    """Tell whether the context may grow to where it is compacted."""
    trigger = request.compaction_trigger
    return trigger is not None and request.input_tokens * rounds >= trigger


def _retold(tokens: int) -> int:
    """Return how many tokens a text may be to a model that counts them another way."""
    return -(-tokens * RETOLD.numerator // RETOLD.denominator)


def _model_in(field: str) -> str:
    return field if field == "model" else f"{field}.model"


def _dearer(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Return the greater of two prices, each so many nanos for so many tokens."""
    return one if one[0] * other[1] >= other[0] * one[1] else other


def _dearest_input(rates: Rates, lifetimes: Sequence[CacheLifetime] | None) -> int:
    """Return the dearest that a token of input can be, given which caches may be written."""
    written = {
        "5m": rates.cache_write_5m,
        "1h": rates.cache_write_1h,
    }
    may_be = CACHE_LIFETIMES if lifetimes is None else lifetimes
    return max(rates.input, rates.cache_read, *(written[each] for each in may_be))
