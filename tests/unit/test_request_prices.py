"""What requests cost that are more than one sampling at one rate: worked by hand, in nanos."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.core.errors import InvalidRequest
from headroom.pricing.domain.bounds import HOLD_LIFE_MAX
from headroom.pricing.domain.prices import Unpriceable, read_contract_price
from headroom.pricing.domain.usage import (
    SOLD_UNTIL_REACHES,
    AskedSpeed,
    PricedUsage,
    parse_usage,
    price,
)
from headroom.pricing.price_book import PRICE_BOOK
from headroom.spending.wire.usage_events import AHEAD_MAX

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
CENT = 10_000_000


def priced(
    model: str,
    members: dict[str, Any],
    at: datetime = NOVEMBER,
    *,
    refused: bool = False,
    contract: tuple[dict[str, Any], ...] = (),
    asked: AskedSpeed | None = None,
) -> PricedUsage:
    usage = parse_usage({"input_tokens": 0, "output_tokens": 0, **members})
    agreed = [read_contract_price(each, PRICE_BOOK, "contract") for each in contract]
    return price(
        usage, book=PRICE_BOOK, model=model, at=at, refused=refused, contract=agreed, asked=asked
    )


def cost(model: str, members: dict[str, Any], at: datetime = NOVEMBER) -> int:
    return priced(model, members, at).amount_nanos


def tokens(input_tokens: int, output_tokens: int, **members: Any) -> dict[str, Any]:
    return {"input_tokens": input_tokens, "output_tokens": output_tokens, **members}


def iteration(type_: str, input_tokens: int, output_tokens: int, **members: Any) -> dict[str, Any]:
    caches = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    return {"type": type_, **caches, **tokens(input_tokens, output_tokens, **members)}


OCTOBER_5 = datetime(2026, 10, 5, 12, tzinfo=UTC)
OCTOBER_7 = datetime(2026, 10, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("model", "members", "at", "cents"),
    [
        ("claude-sonnet-5-5", {"cache_read_input_tokens": 1_000_000}, OCTOBER_5, "20"),
        ("claude-sonnet-5-5", {"cache_read_input_tokens": 1_000_000}, OCTOBER_7, "10"),
        ("claude-opus-4.8-fast", tokens(1_000, 100), NOVEMBER, "1.5"),
        (
            "claude-opus-5-5",
            tokens(100_000, 1_000, speed="fast", inference_geo="us"),
            NOVEMBER,
            "92.4",
        ),
        (
            "claude-sonnet-4-5",
            tokens(16, 2_621, cache_read_input_tokens=226_784, cache_creation_input_tokens=48_454),
            NOVEMBER,
            "28.91007",
        ),
        (
            "claude-opus-5",
            {
                "cache_creation_input_tokens": 1_000,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 600,
                    "ephemeral_1h_input_tokens": 80,
                },
            },
            NOVEMBER,
            "0.655",
        ),
        (
            "claude-opus-5",
            {
                "cache_creation_input_tokens": 500,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 600,
                    "ephemeral_1h_input_tokens": 80,
                },
            },
            NOVEMBER,
            "0.455",
        ),
        ("claude-opus-5", tokens(10, 5, service_tier="default"), NOVEMBER, "0.0175"),
        (
            "claude-opus-4-8",
            tokens(
                412,
                264,
                iterations=[
                    iteration("message", 408, 0, model="claude-fable-5"),
                    iteration("fallback_message", 412, 264, model="claude-opus-4-8"),
                ],
            ),
            NOVEMBER,
            "0.866",
        ),
        # The same, under the name that was asked for.
        (
            "claude-fable-5",
            tokens(
                412,
                264,
                iterations=[
                    iteration("message", 408, 0, model="claude-fable-5"),
                    iteration("fallback_message", 412, 264, model="claude-opus-4-8"),
                ],
            ),
            NOVEMBER,
            "0.866",
        ),
    ],
)
def test_requests_cost_what_the_provider_charges(
    model: str, members: dict[str, Any], at: datetime, cents: str
) -> None:
    whole, _, fraction = cents.partition(".")
    nanos = int(whole) * CENT + int(fraction.ljust(7, "0"))
    assert cost(model, members, at) == nanos


def test_compaction_is_added_to_the_top_level_figures() -> None:
    """Top level: 1,000 x 5,000 + 100 x 25,000; beside it 150,000 x 5,000 + 2,000 x 25,000."""
    used = tokens(
        1_000,
        100,
        iterations=[iteration("compaction", 150_000, 2_000), iteration("message", 1_000, 100)],
    )
    assert cost("claude-opus-5", used) == 7_500_000 + 800_000_000


def test_an_advisor_is_charged_at_its_own_rates_and_speed() -> None:
    """Advice: 20,000 x 10,000 + 1,500 x 50,000, never in fast mode, in the US like the rest."""
    advice = iteration("advisor_message", 20_000, 1_500, model="claude-fable-5-1")
    used = tokens(10, 10, iterations=[iteration("message", 10, 10), advice])
    own = 10 * 4_000 + 10 * 20_000
    assert cost("claude-opus-5-5", used) == own + 275_000_000
    assert cost("claude-opus-5-5", {**used, "speed": "fast"}) == 2 * own + 275_000_000
    in_the_us = cost("claude-opus-5-5", {**used, "inference_geo": "us"})
    assert in_the_us == (own + 275_000_000) * 11 // 10
    found = priced("claude-opus-5-5", used)
    assert {part.model for part in found.components} == {"claude-opus-5-5", "claude-fable-5-1"}
    assert found.model == "claude-opus-5-5"


def test_a_declined_attempt_that_had_output_is_charged_beside_the_top_level() -> None:
    served = iteration("fallback_message", 412, 264, model="claude-opus-4-8")
    declined = iteration("message", 408, 30, model="claude-fable-5")
    used = tokens(412, 264, iterations=[declined, served])
    assert cost("claude-fable-5", used) == 8_660_000 + 408 * 10_000 + 30 * 50_000


@pytest.mark.parametrize(
    ("first", "last", "nanos", "notes"),
    [
        (500, 0, 408 * 10_000 + 500 * 50_000, ("refused_before_output",)),
        (30, 40, 408 * 10_000 + 30 * 50_000 + 412 * 5_000 + 40 * 25_000, ()),
        (0, 40, 412 * 5_000 + 40 * 25_000, ("declined_without_output:claude-fable-5",)),
        (0, 0, 0, ("refused_before_output", "declined_without_output:claude-fable-5")),
    ],
)
def test_where_all_of_a_chain_declined_the_last_is_the_top_level(
    first: int, last: int, nanos: int, notes: tuple[str, ...]
) -> None:
    attempts = [
        iteration("message", 408, first, model="claude-fable-5"),
        iteration("message", 412, last, model="claude-opus-4-8"),
    ]
    found = priced("claude-fable-5", tokens(412, last, iterations=attempts), refused=True)
    assert (found.amount_nanos, found.model, found.notes) == (nanos, "claude-opus-4-8", notes)


def test_a_fallback_that_alone_ran_and_declined_is_charged_at_its_own_rates() -> None:
    alone = [iteration("message", 412, 40, model="claude-opus-4-8")]
    found = priced("claude-fable-5", tokens(412, 40, iterations=alone), refused=True)
    assert (found.amount_nanos, found.model) == (412 * 5_000 + 40 * 25_000, "claude-opus-4-8")


def test_compaction_beside_a_fallback_is_charged_at_the_model_that_served() -> None:
    entries = [
        iteration("compaction", 9_000, 90),
        iteration("message", 408, 0, model="claude-fable-5"),
        iteration("fallback_message", 412, 264, model="claude-opus-4-8"),
    ]
    used = tokens(412, 264, iterations=entries)
    assert cost("claude-fable-5", used) == 8_660_000 + 9_000 * 5_000 + 90 * 25_000


def chain(declined: str, served: str, **members: Any) -> dict[str, Any]:
    """An attempt that had output, and the fallback that answered: 1,000 in and 100 out each."""
    entries = [
        iteration("message", 1_000, 100, model=declined),
        iteration("fallback_message", 1_000, 100, model=served),
    ]
    return tokens(1_000, 100, iterations=entries, **members)


OPUS_5 = 1_000 * 5_000 + 100 * 25_000
OPUS_5_5 = 1_000 * 4_000 + 100 * 20_000
SONNET_5 = 1_000 * 2_000 + 100 * 10_000


@pytest.mark.parametrize(
    ("model", "members", "nanos"),
    [
        # What was served is said, and goes before the name.
        ("claude-opus-5-fast", tokens(1_000, 100, speed="standard"), OPUS_5),
        ("claude-opus-5-fast", tokens(1_000, 100, speed="fast"), 2 * OPUS_5),
        ("claude-opus-5-fast", tokens(1_000, 100), 2 * OPUS_5),
        ("claude-opus-5-fast", tokens(1_000, 100, speed=None), 2 * OPUS_5),
        # The name speaks of its own model, and not of the one that answered for it.
        (
            "claude-opus-5-fast",
            chain("claude-opus-5", "claude-sonnet-5"),
            2 * OPUS_5 + SONNET_5,
        ),
        (
            "claude-opus-5-fast",
            chain("claude-opus-5", "claude-sonnet-5", speed="standard"),
            2 * OPUS_5 + SONNET_5,
        ),
        (
            "claude-opus-5-fast",
            chain("claude-opus-5", "claude-opus-5-5"),
            2 * OPUS_5 + OPUS_5_5,
        ),
        (
            "claude-opus-5-fast",
            chain("claude-opus-5", "claude-opus-5-5", speed="fast"),
            2 * OPUS_5 + 2 * OPUS_5_5,
        ),
        # Names of entries do so too.
        (
            "claude-sonnet-5",
            chain("claude-sonnet-5", "claude-opus-5-fast"),
            SONNET_5 + 2 * OPUS_5,
        ),
        (
            "claude-opus-5-fast",
            chain("claude-opus-5-fast", "claude-sonnet-5"),
            2 * OPUS_5 + SONNET_5,
        ),
    ],
)
def test_a_name_says_the_speed_of_its_own_model_alone(
    model: str, members: dict[str, Any], nanos: int
) -> None:
    assert cost(model, members) == nanos


def test_an_advisor_may_be_a_model_in_fast_mode_where_it_is_sold() -> None:
    def advised(by: str) -> dict[str, Any]:
        advice = iteration("advisor_message", 1_000, 100, model=by)
        return tokens(0, 0, iterations=[advice])

    assert cost("claude-sonnet-5", advised("claude-opus-5-fast")) == 2 * OPUS_5
    # Sold once, and no more; never sold.
    for by in ("claude-opus-4-7-fast", "claude-sonnet-5-fast"):
        with pytest.raises(Unpriceable) as unpriced:
            cost("claude-opus-5", advised(by))
        assert unpriced.value.field == "usage.iterations[0].model"


@pytest.mark.parametrize(
    ("asked", "model", "served", "speed", "nanos"),
    [
        # Asked fast: the model that answered is not sold so.
        (AskedSpeed("fast"), "claude-opus-5", "claude-sonnet-5", "standard", 2 * OPUS_5 + SONNET_5),
        # Asked standard, by a fallback that names its own speed.
        (
            AskedSpeed("standard", (("claude-opus-5-5", "fast"),)),
            "claude-opus-5",
            "claude-opus-5-5",
            "fast",
            OPUS_5 + 2 * OPUS_5_5,
        ),
        # The attempt that declined was of a fallback: at the request's speed, its own, its name's.
        (
            AskedSpeed("fast", (("claude-opus-5", None),)),
            "claude-fable-5-2",
            "claude-sonnet-5",
            "standard",
            2 * OPUS_5 + SONNET_5,
        ),
        (
            AskedSpeed("fast", (("claude-opus-5", "standard"),)),
            "claude-fable-5-2",
            "claude-sonnet-5",
            "standard",
            OPUS_5 + SONNET_5,
        ),
        (
            AskedSpeed("standard", (("claude-opus-5-fast", None),)),
            "claude-fable-5-2",
            "claude-sonnet-5",
            "standard",
            2 * OPUS_5 + SONNET_5,
        ),
    ],
)
def test_a_declined_attempt_is_charged_at_the_speed_that_it_was_asked_at(
    asked: AskedSpeed, model: str, served: str, speed: str, nanos: int
) -> None:
    found = priced(model, chain("claude-opus-5", served, speed=speed), asked=asked)
    assert (found.amount_nanos, found.notes) == (nanos, ())


@pytest.mark.parametrize(("speed", "factor"), [("fast", 2), ("standard", 1), (None, 1)])
def test_what_nobody_says_of_the_asked_speed_is_as_the_usage_shows_and_said(
    speed: str | None, factor: int
) -> None:
    found = priced("claude-opus-5", chain("claude-opus-5", "claude-opus-5-5", speed=speed))
    assert found.amount_nanos == factor * (OPUS_5 + OPUS_5_5)
    shown = speed or "standard"
    assert found.notes == (f"asked_speed_unknown:claude-opus-5;speed={shown}",)
    # A model that is not sold in fast mode took no part in it: nothing to decide.
    plain = priced("claude-sonnet-5", chain("claude-sonnet-5", "claude-opus-5", speed="fast"))
    assert (plain.amount_nanos, plain.notes) == (SONNET_5 + 2 * OPUS_5, ())


@pytest.mark.parametrize("type_", ["message", "advisor_message"])
def test_a_model_beside_that_is_older_than_any_geography_has_no_factor_and_says_so(
    type_: str,
) -> None:
    """As speed does, it falls back to the plain price, instead of leaving all of it unpriced."""
    entries = [
        iteration(type_, 1_000, 100, model="claude-haiku-4-5"),
        iteration("fallback_message", 1_000, 100, model="claude-opus-5"),
    ]
    used = tokens(1_000, 100, iterations=entries, inference_geo="us")
    found = priced("claude-haiku-4-5", used)
    assert found.amount_nanos == OPUS_5 * 11 // 10 + 1_000 * 1_000 + 100 * 5_000
    assert found.notes == ("without_modifier:claude-haiku-4-5;inference_geo=us",)


def test_iterations_say_of_which_lifetime_writes_are_if_the_figures_do_not() -> None:
    hour = {
        "cache_creation_input_tokens": 1_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
    }
    rounds = [iteration("message", 10, 5) | hour, iteration("message", 10, 5) | hour]
    used = tokens(20, 10, cache_creation_input_tokens=2_000, iterations=rounds)
    found = priced("claude-opus-5", used)
    assert found.amount_nanos == 20 * 5_000 + 10 * 25_000 + 800 * 6_250 + 1_200 * 10_000
    assert found.notes == ("cache_writes_broken_down_by_iterations:2000",)
    # Figures that say it themselves count, and so do those that come to something else.
    said = {"cache_creation": {"ephemeral_5m_input_tokens": 2_000}}
    assert cost("claude-opus-5", used | said) == 20 * 5_000 + 10 * 25_000 + 2_000 * 6_250
    other = priced("claude-opus-5", used | {"cache_creation_input_tokens": 1_999})
    assert other.amount_nanos == 20 * 5_000 + 10 * 25_000 + 1_999 * 6_250
    assert other.notes == ("cache_writes_not_broken_down:1999",)


ENDED = datetime(2026, 12, 1, tzinfo=UTC)


def test_usage_reaches_past_the_end_of_a_modifier_as_far_as_a_hold_lives() -> None:
    """Fast mode of Opus 4.8 ends with November; what was held for then is reported in December."""
    assert SOLD_UNTIL_REACHES == HOLD_LIFE_MAX + AHEAD_MAX
    used = tokens(1_000, 0, speed="fast")
    moment = timedelta(microseconds=1)
    assert priced("claude-opus-4-8", used, ENDED - moment).notes == ()
    for at in (ENDED, ENDED + SOLD_UNTIL_REACHES - moment):
        found = priced("claude-opus-4-8", used, at)
        assert found.amount_nanos == 1_000 * 10_000
        assert found.notes == ("modifier_ended:claude-opus-4-8;speed=fast",)
    with pytest.raises(Unpriceable):
        priced("claude-opus-4-8", used, ENDED + SOLD_UNTIL_REACHES)
    # So it does where a contract that sold it is followed by one that does not.
    sold = {"kind": "speed", "value": "fast", "factor": "3/2"}
    terms = {"model": "claude-sonnet-5", "discount_percent": 50}
    contract = (
        {"id": "ctr_1", "from": "2026-11-01", "modifiers": [sold], **terms},
        {"id": "ctr_2", "from": "2026-12-01", **terms},
    )
    for at, notes in (
        (ENDED - moment, ()),
        (ENDED, ("modifier_ended:claude-sonnet-5;speed=fast",)),
    ):
        found = priced("claude-sonnet-5", used, at, contract=contract)
        assert (found.amount_nanos, found.notes) == (1_000 * 1_500, notes)
    with pytest.raises(Unpriceable):
        priced("claude-sonnet-5", used, ENDED + SOLD_UNTIL_REACHES, contract=contract)
    # What begins where another ends goes before it.
    assert cost("claude-opus-4-6", used, datetime(2026, 6, 28, tzinfo=UTC)) == 1_000 * 5_000


def test_the_tool_loop_of_the_serving_model_is_inside_the_top_level() -> None:
    used = tokens(
        900,
        50,
        iterations=[
            iteration("message", 400, 20, model="claude-opus-4-8"),
            iteration("fallback_message", 500, 30, model="claude-opus-4-8"),
        ],
    )
    assert cost("claude-opus-4-8", used) == 900 * 5_000 + 50 * 25_000


def test_a_price_step_is_taken_for_each_sampling_and_not_for_their_sum() -> None:
    """Haiku 5.5 costs five times as much above 100,000 tokens of one prompt."""
    two = [iteration("message", 60_000, 10), iteration("message", 60_000, 10)]
    assert cost("claude-haiku-5-5", tokens(120_000, 20, iterations=two)) == 12_010_000
    one_long = [iteration("message", 110_000, 10), iteration("message", 10_000, 10)]
    long = 110_000 * 500 + 10 * 2_500
    short = 10_000 * 100 + 10 * 500
    assert cost("claude-haiku-5-5", tokens(120_000, 20, iterations=one_long)) == long + short
    # Nothing tells them apart: it may have been one prompt.
    assert cost("claude-haiku-5-5", tokens(120_000, 20)) == 60_050_000
    # A million is the longest prompt that there is.
    assert cost("claude-haiku-5-5", tokens(1_000_001, 0)) == 100_000_100


def test_iterations_that_do_not_add_up_leave_the_top_level_figures_to_charge_by() -> None:
    rounds = [iteration("message", 60_000, 5), iteration("message", 50_000, 5)]
    used = tokens(130_000, 10, iterations=rounds)
    # The longest prompt that is known is short.
    assert cost("claude-haiku-5-5", used) == 13_005_000


def test_a_refusal_before_any_output_is_free_and_says_so() -> None:
    used = tokens(106, 1, cache_read_input_tokens=5_000)
    free = priced("claude-fable-5-2", used, refused=True)
    assert (free.amount_nanos, free.components) == (0, ())
    assert free.notes == ("refused_before_output",)
    assert free.price_version.endswith("/claude-fable-5-2/initial")
    assert cost("claude-fable-5-2", used) > 0
    late = tokens(106, 40)
    assert priced("claude-fable-5-2", late, refused=True).amount_nanos == cost(
        "claude-fable-5-2", late
    )


def test_a_refused_request_still_pays_for_the_advice_that_it_had() -> None:
    advice = iteration("advisor_message", 100, 10, model="claude-fable-5-1")
    used = tokens(50, 0, iterations=[iteration("message", 50, 0), advice])
    assert priced("claude-opus-5-5", used, refused=True).amount_nanos == 1_500_000


def test_fast_mode_multiplies_every_token_and_no_search() -> None:
    used = {
        **tokens(10, 10, cache_read_input_tokens=10),
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 10},
        "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 9},
    }
    tokens_alone = 10 * (4_000 + 20_000 + 200 + 5_000 + 8_000)
    assert cost("claude-opus-5-5", used) == tokens_alone + 30_000_000
    assert cost("claude-opus-5-5", {**used, "speed": "fast"}) == 2 * tokens_alone + 30_000_000


def test_modifiers_stack_with_each_other_and_with_the_batch_discount() -> None:
    used = tokens(1_000, 0, speed="fast", inference_geo="us", service_tier="batch")
    found = priced("claude-opus-5-5", used)
    assert found.amount_nanos == 1_000 * 4_400
    assert found.price_version == (
        f"{PRICE_BOOK.version}/claude-opus-5-5/initial"
        ";speed=fast*2;inference_geo=us*11/10;service_tier=batch*1/2"
    )


@pytest.mark.parametrize(
    ("model", "at", "factor"),
    [
        ("claude-opus-4-6", datetime(2026, 6, 1, tzinfo=UTC), 6),
        ("claude-opus-4-6", NOVEMBER, 1),
        ("claude-opus-4-7", datetime(2026, 7, 24, 23, tzinfo=UTC), 6),
        ("claude-opus-4-8", datetime(2026, 11, 30, 23, tzinfo=UTC), 2),
        ("claude-opus-5", NOVEMBER, 2),
        ("claude-opus-5-5", NOVEMBER, 2),
        ("claude-fable-5-2", NOVEMBER, 2),
        ("claude-mythos-5-2", NOVEMBER, 2),
    ],
)
def test_fast_mode_costs_its_factor_while_it_is_sold(model: str, at: datetime, factor: int) -> None:
    plain = cost(model, tokens(1_000, 0), at)
    assert cost(model, tokens(1_000, 0, speed="fast"), at) == factor * plain


@pytest.mark.parametrize(
    ("model", "members", "at", "field"),
    [
        ("claude-opus-4-7", {"speed": "fast"}, datetime(2026, 7, 27, tzinfo=UTC), "usage.speed"),
        ("claude-opus-4-8", {"speed": "fast"}, datetime(2026, 12, 3, tzinfo=UTC), "usage.speed"),
        ("claude-sonnet-5-5", {"speed": "fast"}, NOVEMBER, "usage.speed"),
        ("claude-opus-4-8-fast", {}, datetime(2026, 12, 3, tzinfo=UTC), "usage.speed"),
        ("claude-sonnet-5-5-fast", {}, NOVEMBER, "model"),
        ("claude-sonnet-4-5", {"inference_geo": "us"}, NOVEMBER, "usage.inference_geo"),
        ("claude-opus-5", {"speed": "warp"}, NOVEMBER, "usage.speed"),
        ("claude-opus-5", {"inference_geo": "mars"}, NOVEMBER, "usage.inference_geo"),
        ("claude-opus-5", {"service_tier": "flex"}, NOVEMBER, "usage.service_tier"),
        ("claude-opus-5", {"service_tier": "reserved"}, NOVEMBER, "usage.service_tier"),
        (
            "claude-opus-5",
            {"iterations": [iteration("dream", 1, 1)]},
            NOVEMBER,
            "usage.iterations[0].type",
        ),
        (
            "claude-opus-5",
            {"iterations": [iteration("advisor_message", 1, 1, model="claude-oracle-1")]},
            NOVEMBER,
            "usage.iterations[0].model",
        ),
        ("claude-opus-4-65", {}, NOVEMBER, "model"),
        ("claude-sonnet-4-59", {}, NOVEMBER, "model"),
    ],
)
def test_what_has_no_price_is_never_guessed(
    model: str, members: dict[str, Any], at: datetime, field: str
) -> None:
    with pytest.raises(Unpriceable) as unpriced:
        priced(model, {**tokens(10, 10), **members}, at)
    assert unpriced.value.field == field


@pytest.mark.parametrize("value", [None, "", "global", "not_available"])
def test_everywhere_is_no_modifier(value: str | None) -> None:
    assert cost("claude-sonnet-4-5", tokens(10, 0, inference_geo=value)) == 30_000


@pytest.mark.parametrize("value", [None, "default", "standard", "standard_only", "priority"])
def test_these_service_tiers_are_standard(value: str | None) -> None:
    assert cost("claude-opus-5", tokens(10, 0, service_tier=value)) == 50_000


def contract(model: str | None, *modifiers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    raw = {"id": "ctr_1", "model": model, "from": "2026-01-01", "discount_percent": 40}
    return {**raw, "modifiers": list(modifiers), **changes}


def test_a_listed_modifier_holds_wherever_the_agreed_one_is_not_in_force() -> None:
    """Fast mode is half again in December, and twice before and after, as listed."""
    agreed = {"kind": "speed", "value": "fast", "factor": "3/2"}
    december = {**agreed, "from": "2026-12-01", "until": "2026-12-31"}
    midnight, month = datetime(2026, 12, 1, tzinfo=UTC), timedelta(days=31)
    for at, nanos in (
        (NOVEMBER, 4_800),
        (midnight - timedelta(microseconds=1), 4_800),
        (midnight, 3_600),
        (midnight + month - timedelta(microseconds=1), 3_600),
        (midnight + month, 4_800),
    ):
        found = priced(
            "claude-opus-5-5",
            tokens(1_000, 0, speed="fast"),
            at,
            contract=(contract("claude-opus-5-5", december),),
        )
        assert found.amount_nanos == 1_000 * nanos, at


def test_a_contract_for_all_models_sells_no_model_with_what_it_never_had() -> None:
    half_again = {"kind": "speed", "value": "fast", "factor": "3/2"}
    in_the_us = {"kind": "inference_geo", "value": "us", "factor": "6/5"}
    agreed = (contract(None, half_again, in_the_us),)
    fast = tokens(1_000, 0, speed="fast")
    assert priced("claude-opus-5-5", fast, contract=agreed).amount_nanos == 1_000 * 3_600
    # Fast mode of Opus 4.7 ended on 2026-07-24, and of 4.8 ends on 2026-11-30.
    july = datetime(2026, 7, 24, 23, tzinfo=UTC)
    assert priced("claude-opus-4-7", fast, july, contract=agreed).amount_nanos == 1_000 * 4_500
    december = datetime(2026, 12, 3, tzinfo=UTC)
    for model, members, at in (
        ("claude-sonnet-5", fast, NOVEMBER),
        ("claude-opus-4-7", fast, NOVEMBER),
        ("claude-opus-4-7-fast", tokens(1_000, 0), NOVEMBER),
        ("claude-opus-4-8", fast, december),
        ("claude-sonnet-4-5", tokens(1_000, 0, inference_geo="us"), NOVEMBER),
    ):
        with pytest.raises(Unpriceable):
            priced(model, members, at, contract=agreed)
    # A contract for the model itself may sell it so.
    own = (contract("claude-opus-4-7", half_again),)
    assert priced("claude-opus-4-7", fast, contract=own).amount_nanos == 1_000 * 4_500


def test_a_contract_can_agree_on_modifiers() -> None:
    agreed = {
        "id": "ctr_1",
        "model": "claude-opus-5-5",
        "from": "2026-11-01",
        "discount_percent": 50,
        "modifiers": [{"kind": "speed", "value": "fast", "factor": "3/2"}],
    }
    fast = priced("claude-opus-5-5", tokens(1_000, 0, speed="fast"), contract=(agreed,))
    assert fast.amount_nanos == 1_000 * 3_000
    in_the_us = priced("claude-opus-5-5", tokens(1_000, 0, inference_geo="us"), contract=(agreed,))
    assert in_the_us.amount_nanos == 1_000 * 2_200
    bad: tuple[tuple[dict[str, Any], str], ...] = (
        ({"kind": "spin", "value": "fast", "factor": "2"}, "contract.modifiers[0].kind"),
        ({"kind": "speed", "value": "us", "factor": "2"}, "contract.modifiers[0].value"),
        ({"kind": "speed", "value": "fast", "factor": "0"}, "contract.modifiers[0].factor"),
        ({"kind": "speed", "value": "fast", "factor": 2.0}, "contract.modifiers[0].factor"),
        ({"kind": "speed", "value": "fast", "factor": "101"}, "contract.modifiers[0].factor"),
    )
    for modifier, field in bad:
        with pytest.raises(InvalidRequest) as refusal:
            read_contract_price({**agreed, "modifiers": [modifier]}, PRICE_BOOK, "contract")
        assert refusal.value.field == field
