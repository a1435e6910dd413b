"""The promises hold after every single store operation of any mix of use cases."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headroom.spending.domain import answers
from tests.histories import live
from tests.world import World

# Hypothesis' profile says how thorough to be; a history costs about a fifth of a second.
HISTORIES = settings().max_examples * 2
SOON_FORGETTING = patch.object(answers, "_room", lambda budget: 0)


@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9))
def test_no_interleaving_breaks_a_promise(seed: int) -> None:
    """Never over, never falsely refused, once, nothing lost: after each step of each history."""
    live(World(seed))


@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9))
def test_no_death_lost_reply_or_conflict_breaks_a_promise(seed: int) -> None:
    """Use cases die between two steps, repeat what had succeeded, or meet others all the time."""
    live(World(seed, troubled=True))


@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9), troubled=st.booleans())
def test_no_key_holds_twice_where_budgets_soon_forget(seed: int, troubled: bool) -> None:
    """As above, with the fewest answers remembered that may be."""
    with SOON_FORGETTING:
        live(World(seed, troubled=troubled))


CORNERS = {
    "included",
    "extra_usage",
    "organization_limit_reached",
    "wallet_empty",
    "user_limit_reached",
    "seat_tier_limit_reached",
    "included_limit_reached",
    "extra_usage_disabled",
    "member_not_enabled",
    "payment_past_due",
    "recorded included",
    "recorded extra_usage",
    "recorded unbilled",
    "duplicate extra_usage",
    "extended",
    "not extended: billing_error",
    "released",
    "answered again",
    "answered anew",
    "authorize Conflict",
}


def test_the_histories_reach_every_corner() -> None:
    """A model that never met a limit would prove nothing about limits."""
    outcomes: Counter[str] = Counter()
    for seed in range(120):
        with SOON_FORGETTING if seed % 2 else nullcontext():
            world = World(seed)
            live(world)
        outcomes += world.outcomes
        assert not outcomes["contended"]
        if outcomes.keys() >= CORNERS:
            return
    pytest.fail(f"no history came to {sorted(CORNERS - outcomes.keys())}")


@pytest.mark.parametrize("seed", [163, 235, 1247, 1638])
def test_histories_that_once_broke_a_promise_hold(seed: int) -> None:
    live(World(seed))
