from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headroom.domain.bounds import Inexact, RequestBound, bound_request
from headroom.domain.prices import ContractPrice, ServiceTier, UnknownModel, read_contract_price
from headroom.domain.requests import HoldRequest
from headroom.domain.usage import COUNT_MAX, price
from headroom.price_book import PRICE_BOOK
from tests.used import used

JULY = datetime(2026, 7, 1, tzinfo=UTC)
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
