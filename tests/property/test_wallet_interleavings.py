"""Wallet, reloads and spending together: the promises hold after every single step of them all."""

from __future__ import annotations

from collections import Counter

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


def test_the_histories_of_wallets_reach_every_corner() -> None:
    outcomes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for seed in range(120):
        world = WalletWorld(seed)
        live(world, STEPS)
        outcomes += world.outcomes
        books = world.books()
        kinds.update(entry.kind for entry in books.entries)
        states.update(f"{intent.kind} {intent.state}" for intent in books.intents)
    for corner in (
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
    ):
        assert outcomes[corner] > 0, corner
    for kind in (
        "purchase",
        "reload",
        "promotional",
        "adjustment",
        "refund",
        "chargeback",
        "expiry",
        "usage",
    ):
        assert kinds[kind] > 0, kind
    for state in ("reload succeeded", "reload declined", "purchase declined"):
        assert states[state] > 0, state
