"""Many clients drain a wallet while it reloads itself: one charge a crossing, and never over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from headroom.core.domain.actor import SYSTEM
from headroom.core.errors import Overloaded, SpendRefused
from headroom.core.store.table import DynamoTable
from headroom.limits.usecases.thresholds import Announced
from headroom.organizations.store.organizations import find_organization, find_pool
from headroom.payments.usecases.auto_reload import set_auto_reload
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.payments.usecases.maintenance import look_after, reload_marked
from headroom.payments.usecases.top_ups import TopUp, top_up
from headroom.payments.usecases.wallet_view import show_wallet
from headroom.spending.usecases.grants import Hints
from headroom.wallets.domain.reload import PaymentTerms
from headroom.wallets.domain.wallet import AutoReload, Wallet
from headroom.wallets.store.wallets import find_wallet, list_wallet_entries
from tests.emulator.arena import (
    CENT_NANOS,
    PATIENCE_SECONDS,
    TOKEN_NANOS,
    Arena,
    Witness,
    open_arena,
    together,
)
from tests.fake_payments import GOOD_CARD, FakePayments

CLIENTS = 32
AUTHORIZATIONS = 1_000
TOKENS = 1_000
RUNAWAYS = 5
TERMS = PaymentTerms(CENT_NANOS, 1_000_000 * CENT_NANOS, timedelta(0))
FIRST = 100  # Cents bought with the card.


@dataclass
class Purse:
    """A Team organization with a card, and the stream of its budgets as two functions follow it."""

    arena: Arena
    payments: FakePayments
    opening: int
    threshold: int
    amount: int
    limit: int | None
    stopped: threading.Event = field(default_factory=threading.Event)
    reloaded: bool = False

    @property
    def wallet(self) -> Wallet:
        found = find_wallet(self.arena.table, self.arena.org_id)
        assert found is not None
        return found

    @property
    def reloads(self) -> list[int]:
        """What was charged for reloads, in cents."""
        return [
            payment.amount_cents
            for payment in self.payments.payments.values()
            if payment.key is not None and ".rld_" in payment.key
        ]

    def wait_for_reload(self, *, above: int) -> None:
        """Rest while the first reload is on its way and there are no more cents than these left.

        The threshold allows the processor some time; here a slow machine cannot take more.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.reloaded:
            self.reloaded = bool(self.reloads) and not self.wallet.pending
            pool = find_pool(self.arena.table, self.arena.org_id)
            if pool.funds > above * CENT_NANOS:
                return
            assert time.monotonic() < deadline, "nothing reloads the wallet"
            time.sleep(0.01)

    @contextmanager
    def followed(self, *, late: bool = False) -> Iterator[None]:
        """Let the stream be followed by several runs at the same time, as on several shards.

        If it is late, nothing but the grants that cross marks the wallet.
        """
        with ThreadPoolExecutor(4) as threads:
            runs = [] if late else [threads.submit(self._follow) for _ in range(2)]
            runs += [threads.submit(self._react) for _ in range(2)]
            try:
                yield
            finally:
                self.stopped.set()
                for run in runs:
                    run.result(PATIENCE_SECONDS)

    def come_to_rest(self) -> None:
        """Let the stream and the schedule bring what is left."""
        for _ in range(3):
            follow_budgets(
                self.arena.table, self.arena.look().budgets, Announced(), self.arena.clock()
            )
            look_after(
                self.arena.table, self.payments, self.arena.org_id, self.arena.clock(), TERMS
            )

    def prove(self, event_ids: list[str], spent: int) -> None:
        """Everything is in the ledger once, and the wallet is exact to the nano."""
        wallet = self.wallet
        self.arena.opening_nanos = wallet.given
        totals = self.arena.prove(event_ids)
        entries = list(list_wallet_entries(self.arena.table, self.arena.org_id))
        reloaded = sum(self.reloads) * CENT_NANOS
        balance = (self.opening + FIRST) * CENT_NANOS + reloaded - spent
        assert sum(entry.amount for entry in entries) == wallet.total == balance
        assert sum(entry.amount for entry in entries if entry.kind == "reload") == reloaded
        assert totals.pool.funds + sum(each.allotment for each in totals.budgets) == balance
        assert not wallet.pending

    def _follow(self) -> None:
        announced = Announced()
        while not self.stopped.is_set():
            try:
                follow_budgets(
                    self.arena.table, self.arena.look().budgets, announced, self.arena.clock()
                )
            except Overloaded:
                continue

    def _react(self) -> None:
        while not self.stopped.wait(0.005):
            if not self.wallet.crossed:
                continue
            try:
                reload_marked(
                    self.arena.table, self.payments, self.arena.org_id, self.arena.clock(), TERMS
                )
            except Overloaded:
                continue


def open_purse(
    table: DynamoTable,
    *,
    members: int,
    opening: int,
    threshold: int,
    amount: int,
    limit: int | None = None,
) -> Purse:
    document = {"plan": "team", "wallet": {"balance": str(opening)}}
    arena = open_arena(table, members=members, document=document)
    payments = FakePayments(arena.clock())
    purse = Purse(arena, payments, opening, threshold, amount, limit)
    organization = find_organization(table, arena.org_id)
    assert organization is not None
    asked = TopUp(FIRST * CENT_NANOS, GOOD_CARD, "first", "first")
    top_up(table, payments, organization, asked, TERMS, SYSTEM, arena.clock())
    organization = find_organization(table, arena.org_id)
    assert organization is not None
    monthly = None if limit is None else limit * CENT_NANOS
    wanted = AutoReload(threshold * CENT_NANOS, amount * CENT_NANOS, monthly)
    set_auto_reload(table, organization, wanted, TERMS, SYSTEM, arena.clock())
    return purse


@pytest.mark.parametrize("late", [False, True])
def test_a_thousand_authorizations_across_the_threshold_reload_the_wallet_once(
    table: DynamoTable, late: bool
) -> None:
    """1,500 cents are spent of 1,100: the reload at 600 brings 2,000, and is the only one."""
    purse = open_purse(table, members=20, opening=1000, threshold=600, amount=2000)
    arena, witness = purse.arena, Witness(purse.arena)
    shares = [range(first, AUTHORIZATIONS, CLIENTS) for first in range(CLIENTS)]
    refused: list[str] = []

    def spend(numbers: range) -> list[str]:
        hints, recorded = Hints(), []
        for number in numbers:
            user_id = arena.user_ids[number % len(arena.user_ids)]
            purse.wait_for_reload(above=200)
            while True:
                try:
                    held = arena.authorize(user_id, TOKENS, hints=hints, table=witness)
                except SpendRefused as refusal:
                    refused.append(refusal.facts["reason"])
                    continue
                break
            event = arena.event(f"event-{number}", user_id, TOKENS, held["id"])
            assert arena.record(event, hints=hints)["status"] == "recorded"
            recorded.append(f"event-{number}")
        return recorded

    with purse.followed(late=late):
        done = together([lambda share=share: spend(share) for share in shares])  # type: ignore[misc]
    purse.come_to_rest()

    assert purse.reloads == [2000]
    assert set(refused) <= {"contended"}, "refused although the reload came in time"
    assert witness.faults == []
    event_ids = [event_id for recorded in done for event_id in recorded]
    assert len(event_ids) == AUTHORIZATIONS
    purse.prove(event_ids, AUTHORIZATIONS * TOKENS * TOKEN_NANOS)


def test_runaway_clients_are_charged_no_more_than_the_ceiling(table: DynamoTable) -> None:
    """They spend as fast as they can until nothing reloads the wallet any more."""
    purse = open_purse(table, members=RUNAWAYS, opening=100, threshold=150, amount=100, limit=450)
    arena = purse.arena

    def run_away(number: int) -> list[str]:
        hints, empty = Hints(), 0
        recorded: list[str] = []
        while empty < 40:
            try:
                held = arena.authorize(arena.user_ids[number], TOKENS, hints=hints)
            except SpendRefused as refusal:
                if refusal.facts["reason"] == "wallet_empty":
                    organization = find_organization(table, arena.org_id)
                    assert organization is not None
                    shown = show_wallet(table, organization, arena.clock())
                    empty += shown["auto_reload"]["state"] == "ceiling_reached"
                continue
            event_id = f"event-{number}-{len(recorded)}"
            event = arena.event(event_id, arena.user_ids[number], TOKENS, held["id"])
            assert arena.record(event, hints=hints)["status"] == "recorded"
            recorded.append(event_id)
        return recorded

    with purse.followed():
        done = together([lambda each=each: run_away(each) for each in range(RUNAWAYS)])  # type: ignore[misc]
    purse.come_to_rest()

    # A fifth reload would come to 500, which is more than 450.
    assert purse.reloads == [100] * 4
    event_ids = [event_id for recorded in done for event_id in recorded]
    spent = len(event_ids) * TOKENS * TOKEN_NANOS
    allowed = (100 + FIRST + 400) * CENT_NANOS
    assert allowed - TOKENS * TOKEN_NANOS < spent <= allowed
    purse.prove(event_ids, spent)
