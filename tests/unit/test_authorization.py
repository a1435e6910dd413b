from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.domain.instants import from_millis, to_millis
from headroom.core.errors import NotFound
from headroom.organizations.domain.organization import WINDOW_MINUTES_MAX
from headroom.pricing.domain.requests import HoldRequest
from headroom.spending.domain.authorization import (
    AuthorizationId,
    Hold,
    hold_key,
    taken_at,
)

NOW = datetime(2026, 11, 23, 12, 30, 15, 250_000, tzinfo=UTC)
ORG = "org_one"
HERS = AuthorizationId(
    org_id=ORG,
    user_id="user_ada",
    key=hold_key(NOW, b"random"),
    source="extra_usage",
    home="member",
    seat_tier="premium",
    period="2026-11",
    exhausted_minutes=300,
    amount_nanos=143_520_000,
)

ids = st.builds(
    AuthorizationId,
    org_id=st.just(ORG),
    user_id=st.from_regex(r"user_[A-Za-z0-9_-]{1,64}", fullmatch=True),
    key=st.builds(
        hold_key,
        st.integers(0, to_millis(datetime(2200, 1, 1, tzinfo=UTC))).map(from_millis),
        st.binary(min_size=6, max_size=6),
    ),
    source=st.sampled_from(["included", "extra_usage"]),
    home=st.sampled_from(["member", "pool"]),
    seat_tier=st.sampled_from(["standard", "premium"]),
    period=st.builds("{:04d}-{:02d}".format, st.integers(2000, 2999), st.integers(1, 12)),
    exhausted_minutes=st.integers(0, WINDOW_MINUTES_MAX),
    amount_nanos=st.integers(0, 2**64 - 1),
)


@given(authorization=ids)
def test_an_id_says_all_that_it_was_made_of(authorization: AuthorizationId) -> None:
    assert AuthorizationId.parse(str(authorization), org_id=ORG) == authorization


def test_an_id_is_41_characters_and_the_members_own() -> None:
    assert len(str(HERS)) == len("auth_") + 36 + len("ada")
    assert str(HERS).endswith("ada")


def test_another_organizations_id_is_not_found() -> None:
    with pytest.raises(NotFound, match="none with this id"):
        AuthorizationId.parse(str(HERS), org_id="org_two")


@given(place=st.integers(0, 35), other=st.sampled_from("AQgw059_-"))
def test_an_id_with_another_character_is_another_hold_or_none(place: int, other: str) -> None:
    """The tag is two bytes: it may be met by chance, but never for the same hold."""
    text = str(HERS)
    at = len("auth_") + place
    changed = text[:at] + other + text[at + 1 :]
    if changed != text:
        with suppress(NotFound):
            assert AuthorizationId.parse(changed, org_id=ORG) != HERS


def test_two_members_ids_are_not_interchangeable() -> None:
    stolen = str(HERS).removesuffix("ada") + "bob"
    with pytest.raises(NotFound):
        AuthorizationId.parse(stolen, org_id=ORG)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "auth_",
        "auth_ada",
        str(HERS).removeprefix("auth_"),
        str(HERS).replace("auth_", "wtx_"),
        str(HERS).removesuffix("ada"),
        str(HERS) + "/../x",
        str(HERS) + "\n",
        str(HERS)[:20] + "=" + str(HERS)[21:],
        str(HERS)[:20] + "é" + str(HERS)[21:],
        str(HERS)[:20] + "+" + str(HERS)[21:],
        "auth_" + "A" * 36 + "a" * 65,
        "auth_" + "x" * 10_000,
    ],
)
def test_what_is_no_id_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        AuthorizationId.parse(text, org_id=ORG)


def test_an_id_whose_moment_is_beyond_the_calendar_is_not_found() -> None:
    """Anybody can compute the tag; a key of all ones is a moment in the year 10889."""
    made_up = replace(HERS, key="_" * 16)
    with pytest.raises(NotFound):
        AuthorizationId.parse(str(made_up), org_id=ORG)


def test_a_key_carries_its_moment_to_the_millisecond() -> None:
    assert taken_at(hold_key(NOW, b"random")) == NOW
    assert HERS.taken_at == NOW
    just_before = NOW.replace(microsecond=249_999)
    assert taken_at(hold_key(just_before, b"random")) == NOW.replace(microsecond=249_000)


def test_keys_of_one_millisecond_differ_by_their_entropy() -> None:
    assert hold_key(NOW, b"random") != hold_key(NOW, b"rondam")


@pytest.mark.parametrize("entropy", [b"", b"five!", b"seven!!"])
def test_a_key_takes_exactly_six_bytes_of_entropy(entropy: bytes) -> None:
    with pytest.raises(ValueError, match="6 bytes"):
        hold_key(NOW, entropy)


@pytest.mark.parametrize("tier", ["standard", "batch"])
def test_what_was_asked_for_survives_being_packed(tier: str) -> None:
    asked = HoldRequest("claude-sonnet-4-5", 12_000, 8_192, 2, tier)  # type: ignore[arg-type]
    assert HoldRequest.unpack(asked.pack()) == asked


def test_a_hold_of_epoch_0_belongs_to_the_pool() -> None:
    hold = Hold("k", 1, epoch=0, until_millis=0, source="extra_usage")
    assert hold.home == "pool"
    assert replace(hold, epoch=1).home == "member"
