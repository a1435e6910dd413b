"""Wallet, reloads and spending together: the promises hold after every single step of them all."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.histories import live
from tests.wallet_world import WalletWorld

STEPS = 260
HISTORIES = settings().max_examples


@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9))
def test_no_interleaving_breaks_a_promise_of_the_wallet(seed: int) -> None:
    """Once, never early, never above the ceiling, nothing lost: after each step."""
    live(WalletWorld(seed), STEPS)


@settings(max_examples=HISTORIES, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9))
def test_no_death_or_lost_reply_breaks_a_promise_of_the_wallet(seed: int) -> None:
    live(WalletWorld(seed, troubled=True), STEPS)


CORNERS = {
    "wallet_empty",
    "crossed by a grant",
    "asked for a reload",
    "bought: succeeded",
    "bought: pending",
    "bought: requires_action",
    "not bought: billing_error",
    "adjusted: promotional",
    "adjusted: adjustment",
    "adjusted: refund",
    "entry of purchase",
    "entry of reload",
    "entry of promotional",
    "entry of adjustment",
    "entry of refund",
    "entry of chargeback",
    "entry of expiry",
    "entry of usage",
    "reload succeeded",
    "reload declined",
    "purchase declined",
}


def test_the_histories_of_wallets_reach_every_corner() -> None:
    met: set[str] = set()
    for seed in range(120):
        world = WalletWorld(seed)
        live(world, STEPS)
        met |= {name for name, count in world.outcomes.items() if count}
        books = world.books()
        met |= {f"entry of {entry.kind}" for entry in books.entries}
        met |= {f"{intent.kind} {intent.state}" for intent in books.intents}
        if met >= CORNERS:
            return
    pytest.fail(f"no history came to {sorted(CORNERS - met)}")
