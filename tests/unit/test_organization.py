from __future__ import annotations

from dataclasses import replace

import pytest

from headroom.core.errors import InvalidRequest
from headroom.organizations.domain.organization import (
    UNLIMITED_NANOS,
    EffectiveLimit,
    Member,
    Organization,
    Tier,
    admits,
    effective_limits,
    format_duration,
    parse_duration,
)

ACME = Organization(
    org_id="org_acme",
    plan="enterprise",
    name="Acme",
    currency="USD",
    time_zone="UTC",
    language="en",
    enabled=True,
    admission="everyone",
    cap_nanos=500,
    tiers={"standard": Tier({"monthly": 100, "daily": 10}), "premium": Tier()},
    past_due=False,
    version=1,
)
ADA = Member(
    org_id="org_acme",
    user_id="user_ada",
    name="Ada",
    email="ada@example.com",
    role="member",
    seat_tier="standard",
    admitted=False,
    continues=True,
)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("PT1M", 1),
        ("PT5H", 300),
        ("PT90M", 90),
        ("PT5H30M", 330),
        ("P7D", 10_080),
        ("P1DT12H", 2_160),
        ("P45D", 64_800),
        ("PT1080M", 1_080),
    ],
)
def test_a_duration_is_read_in_minutes(text: str, minutes: int) -> None:
    assert parse_duration(text, "window") == minutes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P0D",
        "PT0M",
        "P45DT1M",
        "P46D",
        "P1W",
        "P1M",
        "PT5S",
        "P-1D",
        "PT1.5H",
        "P7d",
        " P7D",
        "P7D\n",
        "PT٥H",  # noqa: RUF001 - a digit of another script
        300,
        None,
    ],
)
def test_what_is_no_duration_is_refused_by_its_field(text: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^allowance\.window: "):
        parse_duration(text, "allowance.window")


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(1, "PT1M"), (59, "PT59M"), (60, "PT1H"), (90, "PT90M"), (1_440, "P1D"), (2_160, "PT36H")],
)
def test_a_duration_is_printed_in_the_largest_whole_unit(minutes: int, text: str) -> None:
    assert format_duration(minutes) == text
    assert parse_duration(text, "window") == minutes


def test_everyone_is_admitted_unless_members_are_selected() -> None:
    assert admits(ACME, ADA)
    assert not admits(replace(ACME, admission="selected"), ADA)
    assert admits(replace(ACME, admission="selected"), replace(ADA, admitted=True))


def test_a_member_has_the_limits_of_their_seat_tier() -> None:
    assert effective_limits(ACME, ADA) == (
        EffectiveLimit("monthly", 100, "seat_tier"),
        EffectiveLimit("daily", 10, "seat_tier"),
    )
    assert effective_limits(ACME, replace(ADA, seat_tier="premium")) == ()


def test_an_override_replaces_the_seat_tiers_limit_period_by_period() -> None:
    assert effective_limits(ACME, replace(ADA, limits={"monthly": 700, "weekly": 70})) == (
        EffectiveLimit("monthly", 700, "user"),
        EffectiveLimit("daily", 10, "seat_tier"),
        EffectiveLimit("weekly", 70, "user"),
    )


def test_an_override_of_none_lifts_the_seat_tiers_limit() -> None:
    found = effective_limits(ACME, replace(ADA, limits={"monthly": None}))
    assert found == (EffectiveLimit("daily", 10, "seat_tier"),)


def test_a_limit_of_nothing_is_a_limit() -> None:
    found = effective_limits(ACME, replace(ADA, limits={"monthly": 0, "daily": None}))
    assert found == (EffectiveLimit("monthly", 0, "user"),)


def test_no_cap_counts_as_an_amount_that_nobody_can_spend() -> None:
    assert ACME.cap == 500
    assert replace(ACME, cap_nanos=0).cap == 0
    assert replace(ACME, cap_nanos=None).cap == UNLIMITED_NANOS
