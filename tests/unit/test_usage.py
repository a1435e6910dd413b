from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.core.errors import InvalidRequest
from headroom.pricing.domain.prices import UnknownModel, Unpriceable, read_contract_price
from headroom.pricing.domain.usage import Component, PricedUsage, Usage, parse_usage, price
from headroom.pricing.price_book import PRICE_BOOK
from tests.used import used

JULY = datetime(2026, 7, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
FLAT_FROM = datetime(2026, 3, 13, tzinfo=UTC)

# The example of the wire contract.
EXAMPLE = {
    "input_tokens": 11873,
    "output_tokens": 912,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "server_tool_use": {"web_search_requests": 1},
    "service_tier": "standard",
}


def usage(**members: object) -> dict[str, Any]:
    return {"input_tokens": 10, "output_tokens": 5, **members}


def cost(usage: Usage, model: str = "claude-sonnet-4-5", at: datetime = JULY) -> int:
    return price(usage, book=PRICE_BOOK, model=model, at=at).amount_nanos


def test_a_usage_object_is_read_as_the_api_sends_it() -> None:
    assert parse_usage(EXAMPLE) == used(11873, 912, 0, 0, 0, 1, "standard")


def test_members_that_the_contract_does_not_name_are_ignored() -> None:
    seen = usage(
        output_tokens_details={"thinking_tokens": 4},
        server_tool_use={"web_search_requests": 2, "web_fetch_requests": 9},
        cache_creation={"ephemeral_5m_input_tokens": 1, "ephemeral_9d_input_tokens": 0},
        something_new={"of": "tomorrow"},
    )
    assert parse_usage(seen) == used(10, 5, 0, 1, 0, 2)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        (
            {"cache_creation": {"ephemeral_24h_input_tokens": 7}},
            "cache_creation.ephemeral_24h_input_tokens",
        ),
        (
            {"iterations": [{"type": "message", "cache_creation": {"ephemeral_9d": 1}}]},
            "iterations[0].cache_creation.ephemeral_9d",
        ),
        ({"server_tool_use": {"video_requests": 1}}, "server_tool_use.video_requests"),
        ({"server_tool_use": {"video": {"seconds": 3}}}, "server_tool_use.video"),
        ({"server_tool_use": {"\ud800": 1}}, r"server_tool_use.\ud800"),
    ],
)
def test_what_is_counted_and_not_known_is_never_free(members: dict[str, Any], field: str) -> None:
    with pytest.raises(Unpriceable) as unpriced:
        parse_usage(usage(**members))
    assert unpriced.value.field == f"usage.{field}"
    assert str(unpriced.value).isascii()


def test_code_that_was_run_is_said_because_its_time_is_not_charged() -> None:
    seen = usage(server_tool_use={"code_execution_requests": 2, "tool_search_requests": 3})
    assert parse_usage(seen).notes == ("code_execution_time_not_charged",)
    assert parse_usage(usage(server_tool_use={"code_execution_requests": 0})).notes == ()


def test_null_counts_as_nothing_because_the_api_sends_it() -> None:
    seen = {
        "input_tokens": None,
        "output_tokens": 7,
        "cache_read_input_tokens": None,
        "cache_creation_input_tokens": None,
        "cache_creation": None,
        "server_tool_use": None,
        "service_tier": None,
    }
    assert parse_usage(seen) == used(output_tokens=7)
    assert parse_usage(usage(server_tool_use={"web_search_requests": None})) == used(10, 5)


@pytest.mark.parametrize("breakdown", [{}, {"cache_creation": None}, {"cache_creation": {}}])
def test_cache_writes_without_a_breakdown_are_five_minute_ones_and_said(
    breakdown: dict[str, Any],
) -> None:
    seen = parse_usage(usage(cache_creation_input_tokens=100, **breakdown))
    assert seen.tokens == used(10, 5, cache_write_5m_tokens=100).tokens
    assert seen.notes == ("cache_writes_not_broken_down:100",)
    assert parse_usage(usage(cache_creation_input_tokens=0, **breakdown)).notes == ()


def test_a_breakdown_says_which_cache_was_written() -> None:
    split = {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}
    expected = used(10, 5, cache_write_5m_tokens=60, cache_write_1h_tokens=40)
    assert parse_usage(usage(cache_creation=split)) == expected
    assert parse_usage(usage(cache_creation=split, cache_creation_input_tokens=100)) == expected
    only_1h = usage(
        cache_creation={"ephemeral_1h_input_tokens": 40}, cache_creation_input_tokens=40
    )
    assert parse_usage(only_1h) == used(10, 5, cache_write_1h_tokens=40)


def test_cache_writes_that_are_not_broken_down_are_five_minute_ones_and_said() -> None:
    split = {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}
    more = parse_usage(usage(cache_creation=split, cache_creation_input_tokens=101))
    assert (more.tokens.cache_write_5m, more.tokens.cache_write_1h) == (61, 40)
    assert more.notes == ("cache_writes_not_broken_down:1",)
    # As it occurs in the wild: all parts 0, and a sum.
    none = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    whole = parse_usage(usage(cache_creation=none, cache_creation_input_tokens=7))
    assert (whole.tokens.cache_write_5m, whole.tokens.cache_write_1h) == (7, 0)


@pytest.mark.parametrize("total", [99, 0])
def test_a_breakdown_above_its_total_is_believed_and_said(total: int) -> None:
    split = {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}
    seen = parse_usage(usage(cache_creation=split, cache_creation_input_tokens=total))
    assert (seen.tokens.cache_write_5m, seen.tokens.cache_write_1h) == (60, 40)
    assert seen.notes == (f"cache_writes_above_their_sum:{100 - total}",)


def test_output_that_the_client_counted_is_said() -> None:
    said = {"output_tokens": "counted, as the stream was cut off"}
    assert parse_usage(usage(headroom=said)).notes == ("output_tokens_counted_by_client",)
    assert parse_usage(usage(headroom={"other": 1})).notes == ()
    assert parse_usage(usage(headroom="output_tokens")).notes == ()


@pytest.mark.parametrize("bad", [True, False, 1.0, 1.5, float("nan"), -1, "7", [], {}, 10**9 + 1])
@pytest.mark.parametrize(
    "path",
    [
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation.ephemeral_5m_input_tokens",
        "cache_creation.ephemeral_1h_input_tokens",
        "server_tool_use.web_search_requests",
    ],
)
def test_a_count_that_is_no_count_is_refused_by_its_whole_path(path: str, bad: object) -> None:
    outer, _, inner = path.partition(".")
    seen = usage(**{outer: {inner: bad} if inner else bad})
    with pytest.raises(InvalidRequest) as refusal:
        parse_usage(seen, "events[3].usage")
    assert refusal.value.field == f"events[3].usage.{path}"
    assert str(refusal.value).startswith(f"events[3].usage.{path}: must be ")


def test_the_largest_count_is_a_thousand_million() -> None:
    assert parse_usage(usage(input_tokens=10**9)).tokens.input == 10**9


@pytest.mark.parametrize("value", [None, [], "usage", 1, True])
def test_usage_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^usage: must be an object"):
        parse_usage(value)


@pytest.mark.parametrize("member", ["cache_creation", "server_tool_use"])
def test_a_member_that_is_no_object_is_refused(member: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^usage\.{member}: must be an object"):
        parse_usage(usage(**{member: 5}))


@pytest.mark.parametrize("missing", ["input_tokens", "output_tokens"])
def test_usage_without_its_main_counts_is_refused_rather_than_free(missing: str) -> None:
    seen = usage()
    del seen[missing]
    with pytest.raises(InvalidRequest, match=rf"^usage\.{missing}: is required"):
        parse_usage(seen)


def test_priority_is_priced_as_standard() -> None:
    assert parse_usage(usage(service_tier="priority")).service_tier == "standard"
    assert parse_usage(usage(service_tier="batch")).service_tier == "batch"


@pytest.mark.parametrize("tier", ["", "Batch", "flex", 1, True, ["batch"]])
def test_an_unknown_service_tier_has_no_price(tier: object) -> None:
    with pytest.raises(Unpriceable, match=r"^usage\.service_tier: must be"):
        parse_usage(usage(service_tier=tier))


DREAM = {"type": "dream", "input_tokens": "many", "model": {"id": "x"}}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"speed": 2}, "speed"),
        ({"inference_geo": ["us"]}, "inference_geo"),
        ({"service_tier": {}}, "service_tier"),
        ({"iterations": {"type": "message"}}, "iterations"),
        ({"iterations": [{"type": "message"}] * 257}, "iterations"),
        ({"iterations": [5]}, "iterations[0]"),
        ({"iterations": [None]}, "iterations[0]"),
        ({"iterations": [{"type": "message"}, DREAM]}, "iterations[1].type"),
        ({"iterations": [{**DREAM, "type": None}]}, "iterations[0].type"),
        ({"iterations": [{"input_tokens": 1}]}, "iterations[0].type"),
        ({"iterations": [{"type": "advisor_message"}]}, "iterations[0].model"),
        ({"iterations": [{"type": "fallback_message"}]}, "iterations[0].model"),
        ({"iterations": [{**DREAM, "type": "message"}]}, "iterations[0].model"),
        (
            {"iterations": [{"type": "message", "input_tokens": "many"}]},
            "iterations[0].input_tokens",
        ),
        (
            {"iterations": [{"type": "compaction", "cache_creation": 5}]},
            "iterations[0].cache_creation",
        ),
    ],
)
def test_what_is_not_understood_has_no_price_and_is_no_mistake(
    members: dict[str, Any], field: str
) -> None:
    """It has happened: a rejected event would be lost."""
    with pytest.raises(Unpriceable) as unpriced:
        parse_usage(usage(**members))
    assert unpriced.value.field == f"usage.{field}"
    assert str(unpriced.value).startswith(f"usage.{field}: ")


def test_the_most_iterations_are_read() -> None:
    assert len(parse_usage(usage(iterations=[{"type": "message"}] * 256)).iterations) == 256


@pytest.mark.parametrize("credit", [5, {"status": 5}, {"status": {"type": 5}}, {"status": None}])
def test_a_credit_that_is_not_understood_changes_nothing(credit: object) -> None:
    assert parse_usage(usage(fallback_credit=credit)) == used(10, 5)


def test_every_kind_of_token_is_a_line_of_the_price() -> None:
    usage_of = used(1_000, 100, 20_000, 3_000, 400, 2)
    version = f"{PRICE_BOOK.version}/claude-sonnet-4-5/initial"
    assert price(usage_of, book=PRICE_BOOK, model="claude-sonnet-4-5-20250929", at=JULY) == (
        PricedUsage(
            model="claude-sonnet-4-5",
            service_tier="standard",
            price_version=version,
            components=tuple(
                Component(*each, "claude-sonnet-4-5", version)
                for each in (
                    ("input", 1_000, 3_000, 1, 3_000_000),
                    ("output", 100, 15_000, 1, 1_500_000),
                    ("cache_read", 20_000, 300, 1, 6_000_000),
                    ("cache_write_5m", 3_000, 3_750, 1, 11_250_000),
                    ("cache_write_1h", 400, 6_000, 1, 2_400_000),
                    ("web_search", 2, 10_000_000, 1, 20_000_000),
                )
            ),
            amount_nanos=44_150_000,
        )
    )


def test_nothing_used_costs_nothing_and_has_no_lines() -> None:
    priced = price(used(), book=PRICE_BOOK, model="claude-sonnet-4-5", at=JULY)
    assert priced.components == ()
    assert priced.amount_nanos == 0


def test_a_batch_halves_tokens_and_not_searches() -> None:
    usage_of = used(1_000, 100, 20_000, 3_000, 400, 2, "batch")
    # Half of 24,150,000 for the tokens, and 20,000,000 for the searches.
    assert cost(usage_of) == 32_075_000


def test_cached_tokens_count_toward_the_long_request() -> None:
    """199,000 + 500 + 300 + 200 is exactly 200,000: short. One more of any kind is long."""

    def long_cost(usage: Usage) -> int:
        # While Sonnet 4.5 took prompts of a million tokens.
        return cost(usage, at=MARCH)

    # 500 x 3,000 + 199,000 x 300 + 300 x 3,750 + 200 x 6,000 + 10 x 15,000
    assert long_cost(used(500, 10, 199_000, 300, 200)) == 63_675_000
    # 501 x 6,000 + 199,000 x 600 + 300 x 7,500 + 200 x 12,000 + 10 x 22,500
    assert long_cost(used(501, 10, 199_000, 300, 200)) == 127_281_000
    # Each other kind can be the one that makes it long: every rate of input doubles.
    assert long_cost(used(500, 10, 199_001, 300, 200)) == 127_275_600
    assert long_cost(used(500, 10, 199_000, 301, 200)) == 127_282_500
    assert long_cost(used(500, 10, 199_000, 300, 201)) == 127_287_000
    # Output does not make a request long.
    assert long_cost(used(500, 11, 199_000, 300, 200)) == 63_690_000


def test_haiku_is_long_from_100001_tokens() -> None:
    assert cost(used(100_000, 1), "claude-haiku-5-5") == 10_000_500
    assert cost(used(100_001, 1), "claude-haiku-5-5") == 50_003_000


def test_usage_is_priced_at_the_moment_it_occurred() -> None:
    usage_of = used(300_000, 10)
    before = FLAT_FROM - timedelta(microseconds=1)
    assert cost(usage_of, "claude-sonnet-4-6", before) == 1_800_225_000
    assert cost(usage_of, "claude-sonnet-4-6", FLAT_FROM) == 900_150_000


@pytest.mark.parametrize(
    ("tokens", "nanos"), [(1, 62), (2, 125), (3, 187), (1_000_000, 312_500_000)]
)
def test_half_of_an_odd_rate_is_charged_by_the_pair_and_rounded_down_once(
    tokens: int, nanos: int
) -> None:
    """Haiku 5.5 writes five-minute cache at 62.5 nanos a token in a batch; 312.5 when long."""
    usage_of = used(cache_write_5m_tokens=tokens, service_tier="batch")
    priced = price(usage_of, book=PRICE_BOOK, model="claude-haiku-5-5", at=JULY)
    assert priced.amount_nanos == nanos
    unit = 625 if tokens > 100_000 else 125
    (line,) = priced.components
    assert (line.kind, line.quantity, line.unit_nanos, line.per) == (
        "cache_write_5m",
        tokens,
        unit,
        2,
    )
    assert line.price_version.endswith(";service_tier=batch*1/2")


def test_an_unknown_model_has_no_price() -> None:
    with pytest.raises(UnknownModel):
        cost(used(1, 1), "claude-unheard-of")


def test_a_contract_price_is_charged_and_named() -> None:
    raw = {"id": "ctr_7", "model": None, "from": "2026-07-01", "discount_percent": 40}
    agreed = [read_contract_price(raw, PRICE_BOOK, "contract[0]")]
    usage_of = used(1_000, 100)
    priced = price(usage_of, book=PRICE_BOOK, model="claude-sonnet-4-5", at=JULY, contract=agreed)
    assert priced.amount_nanos == 2_700_000  # 60 % of 3,000,000 + 1,500,000
    assert priced.price_version.endswith("/contract/ctr_7/40-percent-off")
