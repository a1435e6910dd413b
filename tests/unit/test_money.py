from __future__ import annotations

import pytest

from headroom.core.domain.money import (
    format_amount,
    format_amount_rounded,
    format_limit,
    parse_amount,
    parse_limit,
)
from headroom.core.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0", 0),
        ("1", 10_000_000),
        ("50000", 500_000_000_000),
        ("999999999999999", 9_999_999_999_999_990_000_000),
    ],
)
def test_a_setting_is_whole_cents(text: str, nanos: int) -> None:
    assert parse_amount(text, "amount") == nanos
    assert format_amount(nanos) == text


@pytest.mark.parametrize(
    "value",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "-1",
        "-0",
        "1.0",
        "1.5",
        "1,000",
        "1_000",
        "1e3",
        "0x10",
        "01",
        "00",
        "NaN",
        "Infinity",
        "²",
        "١٢",
        "\uff11\uff12",
        "1000000000000000",
        "9" * 10_000,
        1,
        1.0,
        True,
        None,
        ["1"],
        {"amount": "1"},
    ],
)
def test_anything_but_whole_cents_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^spend_limit\.amount: must ") as refusal:
        parse_amount(value, "spend_limit.amount")
    assert refusal.value.field == "spend_limit.amount"
    assert len(str(refusal.value)) < 200


def test_a_limit_may_be_unlimited_but_not_absent_minded() -> None:
    assert parse_limit(None, "amount") is None
    assert parse_limit("0", "amount") == 0
    assert format_limit(None) is None
    assert format_limit(0) == "0"
    with pytest.raises(InvalidRequest):
        parse_limit("", "amount")
    with pytest.raises(InvalidRequest):
        parse_limit("null", "amount")


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (1, "0.0000001"),
        (9_999_999, "0.9999999"),
        (10_000_000, "1"),
        (100_000_000, "10"),
        (120_505_000_000, "12050.5"),
        (143_520_000, "14.352"),
        (-1, "-0.0000001"),
        (-10_000_000, "-1"),
        (-15_000_000, "-1.5"),
    ],
)
def test_spend_prints_as_exact_cents_without_trailing_zeros(nanos: int, text: str) -> None:
    assert format_amount(nanos) == text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0"),
        (4_999, "0"),
        (5_000, "0"),  # a tie goes to the even neighbour, 0.000
        (5_001, "0.001"),
        (14_999, "0.001"),
        (15_000, "0.002"),  # a tie goes to the even neighbour, 0.002
        (25_000, "0.002"),
        (9_995_000, "1"),  # 0.9995: up to the even 1.000
        (9_994_999, "0.999"),
        (120_505_000_000, "12050.5"),
        (-5_000, "0"),
        (-5_001, "-0.001"),
        (-15_000, "-0.002"),
        (-25_000, "-0.002"),
    ],
)
def test_spend_limits_endpoints_round_to_three_decimals_half_even(nanos: int, text: str) -> None:
    assert format_amount_rounded(nanos) == text
