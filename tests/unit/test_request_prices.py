"""What requests cost that are more than one sampling at one rate: worked by hand, in nanos."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from headroom.domain.prices import Unpriceable, read_contract_price
from headroom.domain.usage import PricedUsage, parse_usage, price
from headroom.errors import InvalidRequest
from headroom.price_book import PRICE_BOOK

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
CENT = 10_000_000


def priced(
    model: str,
    members: dict[str, Any],
    at: datetime = NOVEMBER,
    *,
    refused: bool = False,
    contract: tuple[dict[str, Any], ...] = (),
) -> PricedUsage:
    usage = parse_usage({"input_tokens": 0, "output_tokens": 0, **members})
    agreed = [read_contract_price(each, PRICE_BOOK, "contract") for each in contract]
    return price(usage, book=PRICE_BOOK, model=model, at=at, refused=refused, contract=agreed)


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
        ("claude-opus-4-7", {"speed": "fast"}, datetime(2026, 7, 25, tzinfo=UTC), "usage.speed"),
        ("claude-opus-4-8", {"speed": "fast"}, datetime(2026, 12, 1, tzinfo=UTC), "usage.speed"),
        ("claude-sonnet-5-5", {"speed": "fast"}, NOVEMBER, "usage.speed"),
        ("claude-opus-4-8-fast", {}, datetime(2026, 12, 1, tzinfo=UTC), "usage.speed"),
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


@pytest.mark.parametrize("value", [3, ["fast"], {"a": 1}, True])
@pytest.mark.parametrize("member", ["speed", "inference_geo", "service_tier"])
def test_a_modifier_that_is_no_text_is_a_mistake_of_the_client(member: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as mistake:
        parse_usage({**tokens(1, 1), member: value})
    assert not isinstance(mistake.value, Unpriceable)
    assert mistake.value.field == f"usage.{member}"


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
