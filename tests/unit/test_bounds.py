from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.pricing.domain.bounds import Inexact, RequestBound, bound_request
from headroom.pricing.domain.prices import (
    ContractPrice,
    ServiceTier,
    UnknownModel,
    Unpriceable,
    read_contract_price,
)
from headroom.pricing.domain.requests import Advisor, Fallback, HoldRequest
from headroom.pricing.domain.usage import COUNT_MAX, price
from headroom.pricing.price_book import PRICE_BOOK
from tests.used import used

JULY = datetime(2026, 7, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
# What a search finds is read again, and nobody bounds how much that is.
SEARCHES: tuple[Inexact, ...] = ("server_tools",)
# Sonnet 4.6 stopped charging more for long prompts on this day.
FLAT_FROM = datetime(2026, 3, 13, tzinfo=UTC)


def bound(
    model: str = "claude-sonnet-4-5",
    *,
    input_tokens: int = 12_000,
    searches: int = 0,
    service_tier: ServiceTier = "standard",
    at: datetime = JULY,
    contract: tuple[ContractPrice, ...] = (),
) -> RequestBound:
    return bound_request(
        PRICE_BOOK,
        HoldRequest(model, input_tokens, 1, searches, service_tier),
        at=at,
        contract=contract,
    )


def test_all_input_may_be_written_to_the_hour_long_cache() -> None:
    # 12,000 x 6,000 + 2 x 10,000,000; output at 15,000
    assert bound(searches=2) == RequestBound(92_000_000, 15_000, SEARCHES)
    assert bound(searches=2).amount(8_192) == 214_880_000


def test_the_hold_is_what_the_dearest_usage_costs_and_not_a_nano_more() -> None:
    """A larger hold would refuse requests that fit."""
    dearest = used(cache_write_1h_tokens=12_000, output_tokens=8_192, web_search_requests=2)
    priced = price(dearest, book=PRICE_BOOK, model="claude-sonnet-4-5", at=JULY)
    assert bound(searches=2).amount(8_192) == priced.amount_nanos


@pytest.mark.parametrize(
    ("input_tokens", "expected"),
    [
        (200_000, RequestBound(1_200_000_000, 15_000)),
        (200_001, RequestBound(2_400_012_000, 22_500)),
    ],
)
def test_input_that_can_reach_the_long_tier_is_held_at_its_rates(
    input_tokens: int, expected: RequestBound
) -> None:
    assert bound(input_tokens=input_tokens) == expected


def test_a_batch_is_held_at_half_but_for_searches() -> None:
    assert bound(searches=2, service_tier="batch") == RequestBound(56_000_000, 7_500, SEARCHES)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (FLAT_FROM - timedelta(hours=24), RequestBound(3_600_000_000, 22_500)),
        (FLAT_FROM - timedelta(microseconds=1), RequestBound(3_600_000_000, 22_500)),
        (FLAT_FROM, RequestBound(1_800_000_000, 15_000)),
    ],
)
def test_a_price_that_ends_while_the_hold_lives_still_counts(
    at: datetime, expected: RequestBound
) -> None:
    assert bound("claude-sonnet-4-6", input_tokens=300_000, at=at) == expected


@pytest.mark.parametrize(
    ("at", "output_nanos"),
    [
        (JULY - timedelta(hours=24, microseconds=1), 15_000),
        (JULY - timedelta(hours=24), 99_000),
        (JULY - timedelta(microseconds=1), 99_000),
        (JULY, 99_000),
    ],
)
def test_a_dearer_price_that_begins_within_a_day_counts_already(
    at: datetime, output_nanos: int
) -> None:
    dear = {
        "input": 3_000,
        "output": 99_000,
        "cache_read": 300,
        "cache_write_5m": 3_750,
        "cache_write_1h": 6_000,
        "web_search": 10_000_000,
    }
    raw = {
        "id": "ctr_1",
        "model": "claude-sonnet-4-5",
        "from": "2026-07-01",
        "tiers": [{"input_tokens_min": 0, "rates": dear}],
    }
    contract = (read_contract_price(raw, PRICE_BOOK, "c"),)
    assert bound(at=at, contract=contract).per_output_token_nanos == output_nanos


def test_a_tier_that_is_cheaper_than_the_one_below_does_not_lower_the_bound() -> None:
    """A request may use less input than it announced and so end in the dearer, lower tier."""
    low = dict.fromkeys(
        ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search"), 5_001
    )
    high = dict.fromkeys(low, 11)
    raw = {
        "id": "ctr_1",
        "model": "claude-sonnet-4-5",
        "from": "2026-01-01",
        "tiers": [
            {"input_tokens_min": 0, "rates": low},
            {"input_tokens_min": 1_000, "rates": high},
        ],
    }
    contract = (read_contract_price(raw, PRICE_BOOK, "c"),)
    assert bound(input_tokens=1_000, contract=contract) == RequestBound(5_001_000, 5_001)
    # In a batch 5,001 is 2,500.5: a linear bound takes 2,501 for each token of output.
    in_batch = bound(input_tokens=1_001, contract=contract, service_tier="batch")
    assert in_batch == RequestBound(2_503_000, 2_501)


def bounded(request: HoldRequest, **terms: Any) -> RequestBound:
    return bound_request(PRICE_BOOK, request, **{"at": NOON, **terms})


def agreed(model: str, *modifiers: dict[str, Any], since: str = "2026-01-01") -> ContractPrice:
    raw = {"id": "ctr_1", "model": model, "from": since, "discount_percent": 40}
    return read_contract_price({**raw, "modifiers": list(modifiers)}, PRICE_BOOK, "c")


OPUS = HoldRequest("claude-opus-5-5", 1_000, 1, 0, "standard", cache_lifetimes=())
TOMORROW = "2026-11-21"


def test_a_geography_that_is_sold_from_tomorrow_is_held_for_already() -> None:
    """The default is for the models that know it, and Sonnet 4.5 is going to."""
    sonnet = replace(OPUS, model="claude-sonnet-4-5")
    us = {"kind": "inference_geo", "value": "us", "factor": "13/10"}
    later = (agreed(sonnet.model, {**us, "from": TOMORROW}),)
    found = bounded(sonnet, contract=later, default_geo="us")
    assert found == RequestBound(1_000 * 2_340, 11_700)
    # Another day further, nobody holds for it.
    early = bounded(sonnet, contract=later, default_geo="us", at=NOON - timedelta(days=1))
    assert early == RequestBound(1_000 * 1_800, 9_000)
    # A request that asks for it today is refused today.
    with pytest.raises(Unpriceable) as refusal:
        bounded(replace(sonnet, inference_geo="us"), contract=later)
    assert refusal.value.field == "inference_geo"


def test_a_factor_is_held_for_with_the_prices_of_its_own_time() -> None:
    """From tomorrow 40 % less, and 13/10 in the US: less than 11/10 of the list price today."""
    us = {"kind": "inference_geo", "value": "us", "factor": "13/10"}
    later = (agreed("claude-opus-5-5", us, since=TOMORROW),)
    assert bounded(OPUS, contract=later, default_geo="us") == RequestBound(1_000 * 4_400, 22_000)
    dear = {**us, "factor": "2"}
    later = (agreed("claude-opus-5-5", dear, since=TOMORROW),)
    assert bounded(OPUS, contract=later, default_geo="us") == RequestBound(1_000 * 4_800, 24_000)


def test_a_factor_that_ends_or_begins_within_the_day_counts() -> None:
    fast = {"kind": "speed", "value": "fast"}
    cheap = (agreed("claude-opus-5-5", {**fast, "factor": "3/2", "until": "2026-11-20"}),)
    request = replace(OPUS, speed="fast")
    # 60 % of 4,000: 3/2 today, and twice from midnight on, as listed.
    assert bounded(request, contract=cheap) == RequestBound(1_000 * 4_800, 24_000)
    early = bounded(request, contract=cheap, at=NOON - timedelta(days=1))
    assert early == RequestBound(1_000 * 3_600, 18_000)


def test_what_is_served_at_standard_speed_is_covered_where_fast_is_cheaper() -> None:
    fast = {"kind": "speed", "value": "fast", "factor": "1/2"}
    contract = (agreed("claude-opus-5-5", fast),)
    found = bounded(replace(OPUS, speed="fast"), contract=contract)
    assert found == bounded(OPUS, contract=contract) == RequestBound(1_000 * 2_400, 12_000)


@pytest.mark.parametrize("name", ["claude-opus-5-5-fast", "anthropic/claude-opus-5.5-fast"])
def test_a_name_in_fast_mode_is_held_as_such_wherever_it_stands(name: str) -> None:
    slow = Fallback("claude-opus-5-5")
    standard = bounded(replace(OPUS, fallbacks=(slow,)))
    fast = bounded(replace(OPUS, fallbacks=(replace(slow, speed="fast"),)))
    assert fast.per_output_token_nanos == 60_000
    assert standard.per_output_token_nanos == 40_000
    assert bounded(replace(OPUS, fallbacks=(Fallback(name),))) == fast
    # As with the model that is asked: the name goes before the parameter.
    assert bounded(replace(OPUS, fallbacks=(Fallback(name, speed="standard"),))) == fast

    def advised(model: str) -> int:
        return bounded(replace(OPUS, advisor=Advisor(model, 1, 100))).fixed_nanos

    # The request itself reads 1,000 tokens twice at 4,000.
    own = 2 * 4_000_000
    assert advised(name) - own == 2 * (advised("claude-opus-5-5") - own)


GONE = "claude-opus-4-7-fast"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (replace(OPUS, model=GONE), "model"),
        (replace(OPUS, model="claude-opus-4-7", speed="fast"), "speed"),
        (replace(OPUS, advisor=Advisor(GONE)), "advisor.model"),
        (
            replace(OPUS, fallbacks=(Fallback("claude-opus-5"), Fallback(GONE))),
            "fallbacks[1].model",
        ),
        (
            replace(OPUS, fallbacks=(Fallback("claude-opus-4-7", speed="fast"),)),
            "fallbacks[0].speed",
        ),
        (replace(OPUS, advisor=Advisor("claude-sonnet-5-fast")), "advisor.model"),
        (replace(OPUS, fallbacks=(Fallback("claude-sonnet-5-fast"),)), "fallbacks[0].model"),
    ],
)
def test_what_is_not_sold_is_refused_by_the_member_that_asks_for_it(
    request_: HoldRequest, field: str
) -> None:
    with pytest.raises(Unpriceable) as refusal:
        bounded(request_)
    assert refusal.value.field == field


def test_a_fallback_takes_over_the_speed_where_its_model_is_sold_so() -> None:
    """Fable 5 never was; Opus 5 is, at twice its 25,000."""
    fast = replace(OPUS, speed="fast")
    plain = bounded(replace(fast, fallbacks=(Fallback("claude-fable-5"),)))
    assert plain.per_output_token_nanos == 40_000 + 50_000
    taken = bounded(replace(fast, fallbacks=(Fallback("claude-opus-5"),)))
    assert taken.per_output_token_nanos == 40_000 + 50_000
    own = bounded(replace(fast, fallbacks=(Fallback("claude-opus-5", speed="standard"),)))
    assert own.per_output_token_nanos == 40_000 + 25_000


def test_a_discount_that_leaves_fractions_of_a_nano_is_held_for_exactly() -> None:
    """10 % off 125 nanos: 112.5 for each of 999 tokens, rounded down once."""
    raw = {"id": "c", "model": None, "from": "2026-01-01", "discount_percent": 10}
    contract = (read_contract_price(raw, PRICE_BOOK, "c"),)
    request = replace(OPUS, model="claude-haiku-5-5", input_tokens=999, cache_lifetimes=("5m",))
    found = bounded(request, contract=contract)
    assert found == RequestBound(112_387, 450)
    dearest = used(cache_write_5m_tokens=999, output_tokens=7)
    cost = price(dearest, book=PRICE_BOOK, model=request.model, at=NOON, contract=contract)
    assert found.amount(7) == cost.amount_nanos


def test_an_unknown_model_has_no_bound() -> None:
    with pytest.raises(UnknownModel):
        bound("claude-unheard-of")


@pytest.mark.parametrize(
    ("nanos", "max_tokens"),
    [
        (-1, 0),
        (0, 0),
        (1_000, 0),
        (1_014, 0),
        (1_015, 1),
        (1_029, 1),
        (1_030, 2),
        (10**30, COUNT_MAX),
    ],
)
def test_affordable_is_the_largest_max_tokens_that_fits(nanos: int, max_tokens: int) -> None:
    assert RequestBound(1_000, 15).affordable(nanos) == max_tokens


def test_output_that_costs_nothing_is_affordable_once_the_rest_is() -> None:
    assert RequestBound(1_000, 0).affordable(999) == 0
    assert RequestBound(1_000, 0).affordable(1_000) == COUNT_MAX
